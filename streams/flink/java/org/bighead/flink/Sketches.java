package org.bighead.flink;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.apache.datasketches.common.ArrayOfStringsSerDe;
import org.apache.datasketches.frequencies.ItemsSketch;
import org.apache.datasketches.hll.HllSketch;
import org.apache.datasketches.hll.TgtHllType;
import org.apache.datasketches.kll.KllDoublesSketch;
import org.apache.datasketches.memory.Memory;

/** Operations on Apache DataSketches, with the parameters and the canonical bytes of bighead.features.sketches. */
final class Sketches {
    private static final int HLL_LG_K = 12;
    private static final int KLL_K = 200;

    private Sketches() {}

    static final class UniqueCount extends Kept.Packed {
        private static final int HLL_MODE = 2;
        private static final int COMPACT = 8;
        private static final int OUT_OF_ORDER = 16;
        private HllSketch sketch = new HllSketch(HLL_LG_K, TgtHllType.HLL_8);

        @Override
        void update(Input input, Place place) {
            n++;
            Object value = input.value();
            if (value instanceof String text) {
                sketch.update(text);
            } else if (value instanceof Double number) {
                sketch.update(number.doubleValue());
            } else if (value instanceof Boolean truth) {
                sketch.update(truth ? 1L : 0L);
            } else {
                sketch.update(((Long) value).longValue());
            }
        }

        @Override
        void pack(ByteWriter out) {
            if (n > 0) {
                out.raw(canonical(sketch.toCompactByteArray()));
            }
        }

        /** Coupons in order; for registers the estimator of streams in order, which depends on theirs, switched off. */
        private static byte[] canonical(byte[] data) {
            int mode = data[7] & 3;
            if (mode == HLL_MODE) {
                data[5] |= COMPACT | OUT_OF_ORDER; // Java leaves the first out: with 8 bits a register nothing is smaller
                Arrays.fill(data, 8, 16, (byte) 0);
                return data;
            }
            int start = mode == 0 ? 8 : 12;
            ByteBuffer buffer = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
            int[] coupons = new int[(data.length - start) / 4];
            for (int index = 0; index < coupons.length; index++) {
                coupons[index] = buffer.getInt(start + 4 * index);
            }
            Integer[] sorted = Arrays.stream(coupons).boxed().toArray(Integer[]::new);
            Arrays.sort(sorted, Integer::compareUnsigned);
            for (int index = 0; index < sorted.length; index++) {
                buffer.putInt(start + 4 * index, sorted[index]);
            }
            return data;
        }

        @Override
        void unpack(ByteReader in) {
            if (in.left() > 0) {
                sketch = HllSketch.heapify(in.rest());
            }
        }
    }

    static final class Percentiles extends Kept.Packed {
        private KllDoublesSketch sketch = KllDoublesSketch.newHeapInstance(KLL_K);

        @Override
        void update(Input input, Place place) {
            n++;
            sketch.update(((Number) input.value()).doubleValue());
        }

        @Override
        void pack(ByteWriter out) {
            if (n > 0) {
                out.raw(sketch.isEstimationMode() ? sketch.toByteArray() : inOrder().toByteArray());
            }
        }

        /** The sketch that met the values in order. */
        private KllDoublesSketch inOrder() {
            byte[] data = sketch.toByteArray();
            double[] values = new double[(int) sketch.getN()];
            ByteBuffer buffer = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
            for (int index = 0; index < values.length; index++) {
                values[index] = buffer.getDouble(data.length - 8 * (values.length - index));
            }
            Arrays.sort(values);
            KllDoublesSketch ordered = KllDoublesSketch.newHeapInstance(KLL_K);
            for (double value : values) {
                ordered.update(value);
            }
            return ordered;
        }

        @Override
        void unpack(ByteReader in) {
            if (in.left() > 0) {
                sketch = KllDoublesSketch.heapify(Memory.wrap(in.rest()));
            }
        }
    }

    static final class FrequentItems extends Kept.Packed {
        private static final ArrayOfStringsSerDe TEXTS = new ArrayOfStringsSerDe();
        private static final int HEADER = 32;
        private static final byte FULL = 4;
        private ItemsSketch<String> sketch;

        FrequentItems(int k) {
            sketch = new ItemsSketch<>(1 << Math.max(5, 64 - Long.numberOfLeadingZeros(4L * k - 1)));
        }

        @Override
        void update(Input input, Place place) {
            n++;
            sketch.update(Values.text(input.value()));
        }

        @Override
        void pack(ByteWriter out) {
            if (n > 0) {
                byte[] data = sketch.toByteArray(TEXTS);
                out.raw(sketch.isEmpty() ? emptied(data) : sorted(data));
            }
        }

        /** What a purge left without items keeps its error, which the library would not write. */
        private byte[] emptied(byte[] data) {
            ByteBuffer buffer = ByteBuffer.allocate(HEADER).order(ByteOrder.LITTLE_ENDIAN);
            buffer.put(FULL).put(data, 1, 4);
            return buffer.putLong(16, sketch.getStreamLength()).putLong(24, sketch.getMaximumError()).array();
        }

        /** The items in the order of their texts. */
        private byte[] sorted(byte[] data) {
            ByteBuffer buffer = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
            long[] weights = new long[sketch.getNumActiveItems()];
            byte[][] texts = new byte[weights.length][];
            Integer[] order = new Integer[weights.length];
            buffer.position(HEADER);
            buffer.asLongBuffer().get(weights);
            buffer.position(HEADER + 8 * weights.length);
            for (int index = 0; index < weights.length; index++) {
                order[index] = index;
                texts[index] = new byte[buffer.getInt()];
                buffer.get(texts[index]);
            }
            Arrays.sort(order, (one, other) -> Arrays.compareUnsigned(texts[one], texts[other]));
            buffer.position(HEADER);
            for (int index : order) {
                buffer.putLong(weights[index]);
            }
            for (int index : order) {
                buffer.putInt(texts[index].length).put(texts[index]);
            }
            return data;
        }

        @Override
        void unpack(ByteReader in) {
            if (in.left() > 0) {
                sketch = ItemsSketch.getInstance(Memory.wrap(in.rest()), TEXTS);
            }
        }
    }
}
