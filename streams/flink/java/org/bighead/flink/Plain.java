package org.bighead.flink;

import java.math.BigInteger;
import java.util.List;

/** Operations whose state is a few plain columns: COUNT, SUM, AVERAGE, MIN, MAX, FIRST, LAST. */
final class Plain {
    private Plain() {}

    static final class Count extends State {
        @Override
        void update(Input input, Place place) {
            n++;
        }

        @Override
        void delete(Input input, Place place) {
            n--;
        }

        @Override
        void writeRest(ByteWriter out) {}

        @Override
        void readRest(ByteReader in) {}
    }

    static final class LongSum extends State {
        private long sum;

        @Override
        void update(Input input, Place place) {
            n++;
            sum += (Long) input.value();
        }

        @Override
        void delete(Input input, Place place) {
            n--;
            sum -= (Long) input.value();
        }

        @Override
        void check(List<Input> inputs, boolean back) {
            long total = sum;
            for (Input input : inputs) {
                long value = (Long) input.value();
                long next = back ? total - value : total + value;
                // Two's complement: an overflow has a sign that neither operand explains.
                boolean over = back ? ((total ^ value) & (total ^ next)) < 0 : ((total ^ next) & (value ^ next)) < 0;
                if (over) {
                    BigInteger change = BigInteger.valueOf(value);
                    BigInteger reached = BigInteger.valueOf(total).add(back ? change.negate() : change);
                    throw new ArithmeticException("the sum reached " + reached + ", which does not fit in 64 bits");
                }
                total = next;
            }
        }

        @Override
        void writeRest(ByteWriter out) {
            out.writeLong(sum);
        }

        @Override
        void readRest(ByteReader in) {
            sum = in.readLong();
        }
    }

    static final class DoubleSum extends State {
        private double sum;

        @Override
        void update(Input input, Place place) {
            n++;
            sum += (Double) input.value();
        }

        @Override
        void delete(Input input, Place place) {
            n--;
            sum -= (Double) input.value();
        }

        @Override
        void writeRest(ByteWriter out) {
            out.writeDouble(sum);
        }

        @Override
        void readRest(ByteReader in) {
            sum = in.readDouble();
        }
    }

    static final class Extreme extends State {
        private final Kind kind;
        private final int sign;
        private Object value;

        Extreme(Kind kind, boolean greatest) {
            this.kind = kind;
            this.sign = greatest ? 1 : -1;
            this.value = kind.zero();
        }

        @Override
        void update(Input input, Place place) {
            if (n == 0 || Values.compare(input.value(), value) * sign > 0) {
                value = input.value();
            }
            n++;
        }

        @Override
        void writeRest(ByteWriter out) {
            out.writeValue(kind, value);
        }

        @Override
        void readRest(ByteReader in) {
            value = in.readValue(kind);
        }
    }

    /** FIRST and LAST; with `changes` LAST over a source whose rows can take the entity away. */
    static final class Placed extends State {
        private final Kind kind;
        private final boolean newest;
        private final boolean changes;
        private Place place = new Place(0, 0, 0);
        private boolean gone;
        private Object value;

        Placed(Kind kind, boolean newest, boolean changes) {
            this.kind = kind;
            this.newest = newest;
            this.changes = changes;
            this.value = kind.zero();
        }

        @Override
        void update(Input input, Place from) {
            take(from, false, input.value());
        }

        @Override
        void delete(Input input, Place from) {
            take(from, true, kind.zero());
        }

        private void take(Place from, boolean away, Object taken) {
            int order = from.compareTo(place);
            if (n == 0 || (newest ? order >= 0 : order < 0)) {
                place = from;
                gone = away;
                value = taken;
            }
            n++;
        }

        @Override
        void writeRest(ByteWriter out) {
            out.writeLong(place.timeMs());
            out.writeLong(place.partition());
            out.writeLong(place.offset());
            if (changes) {
                out.writeBoolean(gone);
            }
            out.writeValue(kind, value);
        }

        @Override
        void readRest(ByteReader in) {
            place = new Place(in.readLong(), in.readLong(), in.readLong());
            gone = changes && in.readBoolean();
            value = in.readValue(kind);
        }
    }
}
