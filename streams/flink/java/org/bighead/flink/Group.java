package org.bighead.flink;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/**
 * One epoch of a group, as the job's description says it.
 *
 * <p>cutMs: events below are left to batch; -1 where none are. columns: what `sql` gives before its own four columns, which
 * are whether the row is kept, whether it takes another back, its time and its message.
 */
record Group(
        String name,
        int epoch,
        long cutMs,
        String sql,
        String time,
        List<String> columns,
        List<String> keys,
        List<String> inputs,
        List<String> sourceColumns,
        List<Level> levels,
        List<Cell> cells)
        implements Serializable {

    /**
     * The width of a tile in milliseconds, 0 for one that holds everything; how long after its last event Flink's state has
     * it, 0 for ever.
     */
    record Level(String name, long sizeMs, long keptMs) implements Serializable {
        long start(long timeMs) {
            return sizeMs == 0 ? 0 : timeMs - timeMs % sizeMs;
        }
    }

    static Group of(JsonNode json) {
        List<String> inputs = texts(json.get("inputs"));
        List<Level> levels = new ArrayList<>();
        json.get("levels")
                .forEach(
                        one ->
                                levels.add(
                                        new Level(
                                                one.get("name").asText(),
                                                one.get("size_ms").asLong(),
                                                one.get("kept_ms").asLong())));
        List<Cell> cells = new ArrayList<>();
        boolean changes = json.get("changes").asBoolean();
        json.get("cells").forEach(one -> cells.add(Cell.of(one, inputs, changes)));
        return new Group(
                json.get("name").asText(),
                json.get("epoch").asInt(),
                json.get("cut_ms").asLong(),
                json.get("sql").asText(),
                json.get("time").asText(),
                texts(json.get("columns")),
                texts(json.get("keys")),
                inputs,
                texts(json.get("source_columns")),
                levels,
                cells);
    }

    String stage() {
        return "lane:" + name;
    }

    boolean checked() {
        return cells.stream().anyMatch(Cell::checked);
    }

    static List<String> texts(JsonNode json) {
        List<String> texts = new ArrayList<>();
        json.forEach(one -> texts.add(one.asText()));
        return texts;
    }
}
