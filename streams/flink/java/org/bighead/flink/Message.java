package org.bighead.flink;

import java.io.Serializable;

/** A message as Kafka had it. `stage`: that which a replayed dead letter is meant for. */
final class Message implements Serializable {
    record Header(String name, byte[] value) implements Serializable {}

    final int partition;
    final long offset;
    final long timestampMs;
    final byte[] key;
    final byte[] value;
    final Header[] headers;

    /** Columns that its schema has with another type than the definition, by name; set when it is decoded. */
    transient java.util.Map<String, String> misfits = java.util.Map.of();

    Message(int partition, long offset, long timestampMs, byte[] key, byte[] value, Header[] headers) {
        this.partition = partition;
        this.offset = offset;
        this.timestampMs = timestampMs;
        this.key = key;
        this.value = value;
        this.headers = headers;
    }

    /** The stage that a replayed dead letter is meant for; null for an ordinary message. */
    String stage() {
        String found = null;
        for (Header header : headers) {
            if (header.name().equals("bighead-replay-stage") && header.value() != null) {
                found = new String(header.value(), java.nio.charset.StandardCharsets.UTF_8);
            }
        }
        return found;
    }
}
