package org.bighead.flink;

/** A platform event to be written: its key and bytes, and what its CloudEvents headers say. */
record Outgoing(byte[] key, byte[] value, String type, String source, String subject, long timeMs) {}
