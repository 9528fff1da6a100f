package org.bighead.flink;

/** One event as a group folds it: its entity, its place, its inputs; its message where it may still be refused. */
final class Event {
    final String entity;
    final long timeMs;
    final int partition;
    final long offset;
    final boolean back;
    final Object[] values;
    final Message message;

    Event(String entity, long timeMs, int partition, long offset, boolean back, Object[] values, Message message) {
        this.entity = entity;
        this.timeMs = timeMs;
        this.partition = partition;
        this.offset = offset;
        this.back = back;
        this.values = values;
        this.message = message;
    }

    String entity() {
        return entity;
    }
}
