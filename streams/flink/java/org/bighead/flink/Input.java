package org.bighead.flink;

/** One input of an operation: its bucket (null without), its value, and its index among those of one event. */
record Input(String bucket, Object value, long index) {}
