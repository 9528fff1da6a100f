package org.bighead.flink;

import java.util.List;

/**
 * The state of one operation, changed in place. What is written are the columns of bighead.features.operations, in order,
 * byte for byte.
 */
abstract class State {
    /** How many inputs there are. */
    long n;

    /** Takes one input. */
    abstract void update(Input input, Place place);

    /** Takes an input back. */
    void delete(Input input, Place place) {
        throw new UnsupportedOperationException(getClass().getSimpleName() + " cannot take an event back");
    }

    /** Raises ArithmeticException where the inputs of one event cannot be taken; changes nothing. */
    void check(List<Input> inputs, boolean back) {}

    /** Writes what follows the count. */
    abstract void writeRest(ByteWriter out);

    /** Reads what follows the count. */
    abstract void readRest(ByteReader in);

    final void write(ByteWriter out) {
        out.writeLong(n);
        writeRest(out);
    }

    final State read(ByteReader in) {
        n = in.readLong();
        readRest(in);
        return this;
    }
}
