package org.bighead.flink;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/** Messages to rows. What cannot be decoded is a dead letter of all groups; replays for other consumers are left out. */
final class Decode extends ProcessFunction<Message, Row> {
    static final String STAGE = "lane";
    private static final int MOST_KNOWN = 10_000;

    private final Registry registry;
    private final List<RowReader.Column> columns;
    private final Set<String> stages;
    private final Letters letters;
    private final Map<Integer, RowReader> readers = new HashMap<>();

    Decode(Registry registry, List<RowReader.Column> columns, Set<String> stages, Letters letters) {
        this.registry = registry;
        this.columns = columns;
        this.stages = stages;
        this.letters = letters;
    }

    @Override
    public void processElement(Message message, Context context, Collector<Row> out) throws InterruptedException {
        String stage = message.stage();
        if (stage != null && !stages.contains(stage)) {
            return;
        }
        try {
            RowReader reader = reader(message.value);
            message.misfits = reader.misfits;
            out.collect(reader.read(message));
        } catch (Refusal error) {
            context.output(Letters.TAG, letters.of(message, error, STAGE));
        }
    }

    private RowReader reader(byte[] value) throws Refusal, InterruptedException {
        int id = schemaId(value);
        RowReader reader = readers.get(id);
        if (reader == null) {
            if (readers.size() > MOST_KNOWN) {
                readers.clear();
            }
            reader = new RowReader(registry.schema(id), columns);
            readers.put(id, reader);
        }
        return reader;
    }

    private static int schemaId(byte[] value) throws Refusal {
        if (value == null) {
            throw Refusal.undecodable("the message has no value; expected 0x00, a schema id and Avro");
        }
        if (value.length < Frames.SIZE) {
            throw Refusal.undecodable(
                    "the value has " + value.length + " bytes; expected at least " + Frames.SIZE + ": 0x00 and a schema id");
        }
        if (value[0] != 0) {
            String looks = value[0] == '{' || value[0] == '[' || value[0] == '"' ? "; it looks like JSON" : "";
            throw Refusal.undecodable(
                    String.format("the value starts with 0x%02x", value[0]) + looks
                            + "; expected 0x00 and a schema id: let the producer use an Avro serializer with the schema registry");
        }
        return Frames.id(value);
    }
}
