package org.bighead.flink;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** One aggregate state inside each tile: an operation on an input column, by a bucket or the keys of a map or not. */
record Cell(String op, String column, Kind kind, String shape, int k, int value, int bucket, boolean changes)
        implements Serializable {

    /** value and bucket are places in an event's values; bucket is -1 without one. */
    static Cell of(JsonNode json, List<String> inputs, boolean changes) {
        String column = json.get("column").asText();
        JsonNode bucket = json.get("bucket");
        return new Cell(
                json.get("op").asText(),
                column,
                Kind.of(json.get("kind").asText()),
                json.get("shape").asText(),
                json.get("k").asInt(),
                inputs.indexOf(column),
                bucket.isNull() ? -1 : inputs.indexOf(bucket.asText()),
                changes);
    }

    State empty() {
        return bucket >= 0 || shape.equals("map") ? new Bucketed(this::plain) : plain();
    }

    private State plain() {
        return switch (op) {
            case "COUNT" -> new Plain.Count();
            case "SUM", "AVERAGE" -> kind == Kind.LONG ? new Plain.LongSum() : new Plain.DoubleSum();
            case "VARIANCE", "STDDEV" -> new Moments(2);
            case "SKEW" -> new Moments(3);
            case "KURTOSIS" -> new Moments(4);
            case "MIN" -> new Plain.Extreme(kind, false);
            case "MAX" -> new Plain.Extreme(kind, true);
            case "FIRST" -> new Plain.Placed(kind, false, false);
            case "LAST" -> new Plain.Placed(kind, true, changes);
            case "FIRST_K" -> new Kept.InOrder(kind, k, false);
            case "LAST_K" -> new Kept.InOrder(kind, k, true);
            case "TOP_K" -> new Kept.ByValue(kind, k, true);
            case "BOTTOM_K" -> new Kept.ByValue(kind, k, false);
            case "UNIQUE_COUNT" -> new Kept.Distinct(kind, Integer.MAX_VALUE);
            case "BOUNDED_UNIQUE_COUNT" -> new Kept.Distinct(kind, k);
            case "HISTOGRAM" -> new Kept.Histogram();
            case "APPROX_UNIQUE_COUNT" -> new Sketches.UniqueCount();
            case "APPROX_PERCENTILE" -> new Sketches.Percentiles();
            case "APPROX_HISTOGRAM_K" -> new Sketches.FrequentItems(k);
            default -> throw new IllegalArgumentException("operation " + op + " is not known");
        };
    }

    /** Whether taking an event can fail. */
    boolean checked() {
        return kind == Kind.LONG && (op.equals("SUM") || op.equals("AVERAGE"));
    }

    /** What an event gives to the operation: each element of a list, each value of a map by its key, or the value. */
    List<Input> inputs(Object[] values, boolean back) {
        Object given = values[value];
        if (given == null && back && op.equals("LAST")) {
            return List.of(new Input(null, kind.zero(), 0)); // what the entity was does not matter, only that it is gone
        }
        if (given == null || (bucket >= 0 && values[bucket] == null)) {
            return List.of();
        }
        String text = bucket >= 0 ? Values.text(values[bucket]) : null;
        return switch (shape) {
            case "list" -> elements((Object[]) given, text);
            case "map" -> byKey((Map<?, ?>) given);
            default -> single(Values.clean(given), text);
        };
    }

    private static List<Input> single(Object value, String text) {
        return value == null ? List.of() : List.of(new Input(text, value, 0));
    }

    private static List<Input> elements(Object[] given, String text) {
        List<Input> inputs = new ArrayList<>();
        for (int index = 0; index < given.length; index++) {
            Object one = Values.clean(given[index]);
            if (one != null) {
                inputs.add(new Input(text, one, index));
            }
        }
        return inputs;
    }

    private static List<Input> byKey(Map<?, ?> given) {
        Map<String, Object> sorted = new TreeMap<>(Values.TEXTS);
        given.forEach((key, one) -> sorted.put((String) key, one));
        List<Input> inputs = new ArrayList<>();
        int index = 0;
        for (Map.Entry<String, Object> entry : sorted.entrySet()) {
            Object one = Values.clean(entry.getValue());
            if (one != null) {
                inputs.add(new Input(entry.getKey(), one, index));
            }
            index++;
        }
        return inputs;
    }
}
