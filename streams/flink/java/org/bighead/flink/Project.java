package org.bighead.flink;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/** The rows that a group's SQL gives, to events for its fold; what is wrong with one is a dead letter, as in streams.step. */
final class Project extends ProcessFunction<Row, Event> {
    private final Group group;
    private final Letters letters;
    private final long maxFutureMs;
    private final String timeStage;
    private final boolean speaks;
    private final int[] keys;
    private final int[] inputs;
    private final int keep;

    /**
     * timeStage: that of letters about the event's time. speaks: whether this group says what concerns all groups of the
     * topic.
     */
    Project(Group group, Letters letters, long maxFutureMs, String timeStage, boolean speaks) {
        this.group = group;
        this.letters = letters;
        this.maxFutureMs = maxFutureMs;
        this.timeStage = timeStage;
        this.speaks = speaks;
        this.keys = places(group.keys());
        this.inputs = places(group.inputs());
        this.keep = group.columns().size();
    }

    private int[] places(List<String> names) {
        return names.stream().mapToInt(group.columns()::indexOf).toArray();
    }

    @Override
    public void processElement(Row row, Context context, Collector<Event> out) {
        String[] failures = Functions.failures();
        Message message = (Message) row.getField(keep + 3);
        String addressed = message.stage();
        if (addressed != null && !addressed.equals(Decode.STAGE) && !addressed.equals(group.stage())) {
            return;
        }
        Object time = row.getField(keep + 2);
        try {
            Times.check(time, nowMs(message), maxFutureMs, group.time());
        } catch (Refusal error) {
            if (speaks || timeStage.equals(group.stage()) || group.stage().equals(addressed)) {
                context.output(Letters.TAG, letters.of(message, error, timeStage));
            }
            return;
        }
        try {
            readable(message);
            evaluated(row, failures);
            if (Boolean.TRUE.equals(row.getField(keep))) {
                String entity = entity(row);
                if ((Long) time >= group.cutMs()) {
                    out.collect(event(row, (Long) time, entity, message));
                }
            }
        } catch (Refusal error) {
            context.output(Letters.TAG, letters.of(message, error, group.stage()));
        }
    }

    /** Kafka's own time of a message stands for now, so that reading a log again gives the same verdicts. */
    private static long nowMs(Message message) {
        long nowMs = System.currentTimeMillis();
        return message.timestampMs >= 0 ? Math.min(message.timestampMs, nowMs) : nowMs;
    }

    private void readable(Message message) throws Refusal {
        for (var misfit : message.misfits.entrySet()) {
            if (group.sourceColumns().contains(misfit.getKey())) {
                throw Refusal.invalid(
                        "field '" + misfit.getKey() + "' of schema id " + Frames.id(message.value) + " is " + misfit.getValue()
                                + "; the definition that was applied reads it otherwise: apply a definition for the new schema,"
                                + " or publish the old type");
            }
        }
    }

    /** What fails in the inputs does not matter where `where` leaves the row out. */
    private void evaluated(Row row, String[] failures) throws Refusal {
        if (failures == null) {
            return;
        }
        String failure = failures[0] != null ? failures[0] : Boolean.TRUE.equals(row.getField(keep)) ? failures[1] : null;
        if (failure != null) {
            throw Refusal.invalid("an expression of group '" + group.name() + "' cannot be evaluated: " + failure);
        }
    }

    private String entity(Row row) throws Refusal {
        List<Object> values = new ArrayList<>(keys.length);
        for (int index = 0; index < keys.length; index++) {
            Object value = row.getField(keys[index]);
            if (value == null) {
                throw Refusal.invalid(
                        "key '" + group.keys().get(index) + "' of group '" + group.name() + "' is null; expected a value: exclude"
                                + " such events with `where`, or let the producer fill it");
            }
            values.add(value);
        }
        return Values.entity(values);
    }

    private Event event(Row row, long timeMs, String entity, Message message) {
        Object[] values = new Object[inputs.length];
        for (int index = 0; index < inputs.length; index++) {
            values[index] = row.getField(inputs[index]);
        }
        boolean back = Boolean.TRUE.equals(row.getField(keep + 1));
        Message kept = group.checked() ? message : null;
        return new Event(entity, timeMs, message.partition, message.offset, back, values, kept);
    }
}
