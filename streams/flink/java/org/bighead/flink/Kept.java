package org.bighead.flink;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Operations that keep values: FIRST_K, LAST_K, TOP_K, BOTTOM_K, distinct values, histograms. */
final class Kept {
    private Kept() {}

    /** A state whose rest is one column of bytes. */
    abstract static class Packed extends State {
        abstract void pack(ByteWriter out);

        abstract void unpack(ByteReader in);

        @Override
        final void writeRest(ByteWriter out) {
            ByteWriter inner = new ByteWriter();
            pack(inner);
            out.writeBytes(inner);
        }

        @Override
        final void readRest(ByteReader in) {
            unpack(new ByteReader(in.readBytes(), 0));
        }

        static void begin(ByteWriter out, int count) {
            if (count > 0) {
                out.writeLong(count);
            }
        }
    }

    record Item(Place place, long index, Object value) implements Comparable<Item> {
        @Override
        public int compareTo(Item other) {
            int order = place.compareTo(other.place);
            return order != 0 ? order : Long.compare(index, other.index);
        }
    }

    static final class InOrder extends Packed {
        private final Kind kind;
        private final int k;
        private final Comparator<Item> order;
        private final List<Item> items = new ArrayList<>();

        InOrder(Kind kind, int k, boolean newest) {
            this.kind = kind;
            this.k = k;
            this.order = newest ? Comparator.reverseOrder() : Comparator.naturalOrder();
        }

        @Override
        void update(Input input, Place place) {
            n++;
            insert(items, new Item(place, input.index(), input.value()), order, k);
        }

        @Override
        void pack(ByteWriter out) {
            begin(out, items.size());
            for (Item item : items) {
                out.writeLong(item.place().timeMs());
                out.writeLong(item.place().partition());
                out.writeLong(item.place().offset());
                out.writeLong(item.index());
                out.writeValue(kind, item.value());
            }
            out.writeLong(0);
        }

        @Override
        void unpack(ByteReader in) {
            for (long count = in.readLong(); count != 0; count = in.readLong()) {
                for (long index = 0; index < count; index++) {
                    Place place = new Place(in.readLong(), in.readLong(), in.readLong());
                    items.add(new Item(place, in.readLong(), in.readValue(kind)));
                }
            }
        }
    }

    static final class ByValue extends Packed {
        private final Kind kind;
        private final int k;
        private final Comparator<Object> order;
        private final List<Object> items = new ArrayList<>();

        ByValue(Kind kind, int k, boolean greatest) {
            this.kind = kind;
            this.k = k;
            this.order = greatest ? Values.ORDER.reversed() : Values.ORDER;
        }

        @Override
        void update(Input input, Place place) {
            n++;
            insert(items, input.value(), order, k);
        }

        @Override
        void pack(ByteWriter out) {
            packAll(out, kind, items);
        }

        @Override
        void unpack(ByteReader in) {
            unpackAll(in, kind, items::add);
        }
    }

    /** All different values, or with k the least k. */
    static final class Distinct extends Packed {
        private final Kind kind;
        private final int k;
        private final Set<Object> values = new HashSet<>();

        Distinct(Kind kind, int k) {
            this.kind = kind;
            this.k = k;
        }

        @Override
        void update(Input input, Place place) {
            n++;
            if (values.add(input.value()) && values.size() > k) {
                values.remove(Collections.max(values, Values.ORDER));
            }
        }

        @Override
        void pack(ByteWriter out) {
            List<Object> sorted = new ArrayList<>(values);
            sorted.sort(Values.ORDER);
            packAll(out, kind, sorted);
        }

        @Override
        void unpack(ByteReader in) {
            unpackAll(in, kind, values::add);
        }
    }

    static final class Histogram extends Packed {
        private final Map<String, Long> counts = new TreeMap<>(Values.TEXTS);

        @Override
        void update(Input input, Place place) {
            n++;
            add(Values.text(input.value()), 1);
        }

        @Override
        void delete(Input input, Place place) {
            n--;
            add(Values.text(input.value()), -1);
        }

        private void add(String text, long by) {
            counts.merge(text, by, (left, right) -> left + right == 0 ? null : Long.valueOf(left + right));
        }

        @Override
        void pack(ByteWriter out) {
            begin(out, counts.size());
            counts.forEach(
                    (text, count) -> {
                        out.writeString(text);
                        out.writeLong(count);
                    });
            out.writeLong(0);
        }

        @Override
        void unpack(ByteReader in) {
            for (long count = in.readLong(); count != 0; count = in.readLong()) {
                for (long index = 0; index < count; index++) {
                    counts.put(in.readString(), in.readLong());
                }
            }
        }
    }

    private static <T> void insert(List<T> items, T item, Comparator<? super T> order, int k) {
        if (items.size() == k && order.compare(item, items.get(k - 1)) >= 0) {
            return;
        }
        int at = Collections.binarySearch(items, item, order);
        items.add(at < 0 ? -at - 1 : at, item);
        if (items.size() > k) {
            items.remove(k);
        }
    }

    private static void packAll(ByteWriter out, Kind kind, List<Object> values) {
        Packed.begin(out, values.size());
        for (Object value : values) {
            out.writeValue(kind, value);
        }
        out.writeLong(0);
    }

    private static void unpackAll(ByteReader in, Kind kind, java.util.function.Consumer<Object> take) {
        for (long count = in.readLong(); count != 0; count = in.readLong()) {
            for (long index = 0; index < count; index++) {
                take.accept(in.readValue(kind));
            }
        }
    }
}
