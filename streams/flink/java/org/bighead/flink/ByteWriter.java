package org.bighead.flink;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Writes Avro's binary encoding into a growing array. */
final class ByteWriter {
    private byte[] data = new byte[256];
    private int size;

    byte[] bytes() {
        return Arrays.copyOf(data, size);
    }

    int size() {
        return size;
    }

    void clear() {
        size = 0;
    }

    void raw(int value) {
        room(1);
        data[size++] = (byte) value;
    }

    void raw(byte[] value) {
        room(value.length);
        System.arraycopy(value, 0, data, size, value.length);
        size += value.length;
    }

    void writeBoolean(boolean value) {
        raw(value ? 1 : 0);
    }

    void writeLong(long value) {
        room(10);
        long rest = (value << 1) ^ (value >> 63);
        while ((rest & ~0x7FL) != 0) {
            data[size++] = (byte) ((rest & 0x7F) | 0x80);
            rest >>>= 7;
        }
        data[size++] = (byte) rest;
    }

    void writeDouble(double value) {
        room(8);
        long bits = Double.doubleToRawLongBits(value);
        for (int shift = 0; shift < 64; shift += 8) {
            data[size++] = (byte) (bits >>> shift);
        }
    }

    void writeString(String value) {
        writeBytes(value.getBytes(StandardCharsets.UTF_8));
    }

    void writeBytes(byte[] value) {
        writeLong(value.length);
        raw(value);
    }

    /** The bytes of another writer. */
    void raw(ByteWriter value) {
        room(value.size);
        System.arraycopy(value.data, 0, data, size, value.size);
        size += value.size;
    }

    /** The bytes of another writer, with their length. */
    void writeBytes(ByteWriter value) {
        writeLong(value.size);
        raw(value);
    }

    void writeValue(Kind kind, Object value) {
        switch (kind) {
            case BOOLEAN -> writeBoolean((Boolean) value);
            case LONG -> writeLong((Long) value);
            case DOUBLE -> writeDouble((Double) value);
            case STRING -> writeString((String) value);
        }
    }

    private void room(int more) {
        if (size + more > data.length) {
            data = Arrays.copyOf(data, Math.max(data.length * 2, size + more));
        }
    }
}
