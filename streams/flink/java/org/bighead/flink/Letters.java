package org.bighead.flink;

import java.io.Serializable;
import org.apache.flink.util.OutputTag;

/** Dead letters: the message with its bytes, key and headers as they are, and the reason. */
record Letters(String topic, int schemaId) implements Serializable {
    static final OutputTag<Outgoing> TAG = new OutputTag<>("dead-letters", Wire.Outgoings.TYPE);
    private static final String TYPE = "bighead.v1.DeadLetter";

    Outgoing of(Message message, Refusal error, String stage) {
        long nowMs = System.currentTimeMillis();
        ByteWriter out = new ByteWriter();
        Frames.begin(out, schemaId);
        out.writeString(topic);
        out.writeLong(message.partition);
        out.writeLong(message.offset);
        out.writeString(stage);
        out.writeString(error.kind);
        out.writeString(error.getMessage());
        optional(message.key, out);
        optional(message.value, out);
        if (message.headers.length > 0) {
            out.writeLong(message.headers.length);
            for (Message.Header header : message.headers) {
                out.writeString(header.name());
                optional(header.value(), out);
            }
        }
        out.writeLong(0);
        out.writeLong(message.timestampMs);
        out.writeLong(nowMs);
        String subject = topic + "/" + message.partition + "/" + message.offset;
        return new Outgoing(message.key, out.bytes(), TYPE, "bighead/" + stage, subject, nowMs);
    }

    private static void optional(byte[] value, ByteWriter out) {
        out.writeLong(value == null ? 0 : 1);
        if (value != null) {
            out.writeBytes(value);
        }
    }
}
