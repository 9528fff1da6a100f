package org.bighead.flink;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Reads Avro's binary encoding; an IndexOutOfBoundsException says that it breaks off. */
final class ByteReader {
    private final byte[] data;
    private int at;

    ByteReader(byte[] data, int start) {
        this.data = data;
        this.at = start;
    }

    int left() {
        return data.length - at;
    }

    int readByte() {
        return data[at++];
    }

    boolean readBoolean() {
        int value = data[at++];
        if (value != 0 && value != 1) {
            throw new IllegalArgumentException("a truth value is " + value);
        }
        return value == 1;
    }

    long readLong() {
        long rest = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            int next = data[at++];
            rest |= (long) (next & 0x7F) << shift;
            if (next >= 0) {
                return (rest >>> 1) ^ -(rest & 1);
            }
        }
        throw new IllegalArgumentException("a number has more than 64 bits");
    }

    int readFloatBits() {
        return (int) fixed(4);
    }

    double readDouble() {
        return Double.longBitsToDouble(fixed(8));
    }

    String readString() {
        int length = length();
        String value = new String(data, at, length, StandardCharsets.UTF_8);
        if (value.indexOf('\uFFFD') >= 0) {
            check(length);
        }
        at += length;
        return value;
    }

    /** Bytes that are no UTF-8 were replaced, unless the text really has that character. */
    private void check(int length) {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data, at, length));
        } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("a text is no UTF-8", error);
        }
    }

    byte[] readBytes() {
        int length = length();
        byte[] value = new byte[length];
        System.arraycopy(data, at, value, 0, length);
        at += length;
        return value;
    }

    /** All that is left. */
    byte[] rest() {
        byte[] value = java.util.Arrays.copyOfRange(data, at, data.length);
        at = data.length;
        return value;
    }

    void skip(long count) {
        if (count < 0 || count > left()) {
            throw new IndexOutOfBoundsException(count + " bytes of " + left());
        }
        at += (int) count;
    }

    /** The length of what follows, which is there. */
    int length() {
        long length = readLong();
        if (length < 0 || length > left()) {
            throw new IndexOutOfBoundsException(length + " bytes of " + left());
        }
        return (int) length;
    }

    Object readValue(Kind kind) {
        return switch (kind) {
            case BOOLEAN -> readBoolean();
            case LONG -> readLong();
            case DOUBLE -> readDouble();
            case STRING -> readString();
        };
    }

    private long fixed(int count) {
        long bits = 0;
        for (int index = 0; index < count; index++) {
            bits |= (long) (data[at++] & 0xFF) << (8 * index);
        }
        return bits;
    }
}
