package org.bighead.flink;

/** Confluent framing: 0x00 and four bytes of schema id. */
final class Frames {
    static final int SIZE = 5;

    private Frames() {}

    static void begin(ByteWriter out, int schemaId) {
        out.raw(0);
        for (int shift = 24; shift >= 0; shift -= 8) {
            out.raw(schemaId >>> shift);
        }
    }

    static int id(byte[] value) {
        int id = 0;
        for (int index = 1; index < SIZE; index++) {
            id = id << 8 | value[index] & 0xFF;
        }
        return id;
    }
}
