package org.bighead.flink;

import java.util.Comparator;
import java.util.List;

/** How values are ordered, cleaned and written as text: as in Python. */
final class Values {
    /** Texts by code points: Java compares surrogates before the characters above them. */
    static final Comparator<String> TEXTS = Values::compareTexts;

    static final Comparator<Object> ORDER = Values::compare;

    private Values() {}

    @SuppressWarnings("unchecked")
    static int compare(Object left, Object right) {
        return left instanceof String text
                ? compareTexts(text, (String) right)
                : ((Comparable<Object>) left).compareTo(right);
    }

    private static int compareTexts(String left, String right) {
        int shorter = Math.min(left.length(), right.length());
        for (int index = 0; index < shorter; index++) {
            char a = left.charAt(index);
            char b = right.charAt(index);
            if (a != b) {
                boolean pairs = Character.isSurrogate(a) != Character.isSurrogate(b);
                return pairs ? (Character.isSurrogate(a) ? 1 : -1) : Character.compare(a, b);
            }
        }
        return Integer.compare(left.length(), right.length());
    }

    /** NaN and infinities count as null; -0.0 is 0.0. */
    static Object clean(Object value) {
        if (value instanceof Double number) {
            return Double.isFinite(number) ? (Object) (number + 0.0) : null;
        }
        return value;
    }

    static String text(Object value) {
        return String.valueOf(value);
    }

    /** The canonical text of an entity key: a JSON array without spaces. */
    static String entity(List<Object> keys) {
        StringBuilder text = new StringBuilder("[");
        for (int index = 0; index < keys.size(); index++) {
            if (index > 0) {
                text.append(',');
            }
            Object key = keys.get(index);
            if (key instanceof String one) {
                quote(one, text);
            } else {
                text.append(key);
            }
        }
        return text.append(']').toString();
    }

    private static void quote(String value, StringBuilder text) {
        text.append('"');
        for (int index = 0; index < value.length(); index++) {
            char one = value.charAt(index);
            switch (one) {
                case '"' -> text.append("\\\"");
                case '\\' -> text.append("\\\\");
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                case '\f' -> text.append("\\f");
                case '\b' -> text.append("\\b");
                default -> {
                    if (one < 0x20) {
                        text.append(String.format("\\u%04x", (int) one));
                    } else {
                        text.append(one);
                    }
                }
            }
        }
        text.append('"');
    }
}
