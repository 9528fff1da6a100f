package org.bighead.flink;

/** The types of single values. */
enum Kind {
    BOOLEAN,
    LONG,
    DOUBLE,
    STRING;

    static Kind of(String text) {
        return valueOf(text.toUpperCase(java.util.Locale.ROOT));
    }

    Object zero() {
        return switch (this) {
            case BOOLEAN -> false;
            case LONG -> 0L;
            case DOUBLE -> 0.0;
            case STRING -> "";
        };
    }
}
