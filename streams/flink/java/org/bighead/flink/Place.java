package org.bighead.flink;

/** Where an event lies: its time and its place in the log, in the order that FIRST and LAST go by. */
record Place(long timeMs, long partition, long offset) implements Comparable<Place> {
    @Override
    public int compareTo(Place other) {
        int order = Long.compare(timeMs, other.timeMs);
        order = order != 0 ? order : Long.compare(partition, other.partition);
        return order != 0 ? order : Long.compare(offset, other.offset);
    }
}
