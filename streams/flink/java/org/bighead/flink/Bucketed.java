package org.bighead.flink;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;

/** An operation for each bucket, or each key of a map, apart. */
final class Bucketed extends Kept.Packed {
    private final Supplier<State> empty;
    private final Map<String, State> held = new TreeMap<>(Values.TEXTS);

    Bucketed(Supplier<State> empty) {
        this.empty = empty;
    }

    @Override
    void update(Input input, Place place) {
        n++;
        held.computeIfAbsent(input.bucket(), bucket -> empty.get()).update(input, place);
    }

    @Override
    void delete(Input input, Place place) {
        n--;
        held.computeIfAbsent(input.bucket(), bucket -> empty.get()).delete(input, place);
    }

    @Override
    void check(List<Input> inputs, boolean back) {
        Map<String, List<Input>> parts = new HashMap<>();
        for (Input input : inputs) {
            parts.computeIfAbsent(input.bucket(), bucket -> new ArrayList<>()).add(input);
        }
        parts.forEach((bucket, part) -> held.getOrDefault(bucket, empty.get()).check(part, back));
    }

    @Override
    void pack(ByteWriter out) {
        begin(out, held.size());
        held.forEach(
                (bucket, state) -> {
                    out.writeString(bucket);
                    state.write(out);
                });
        out.writeLong(0);
    }

    @Override
    void unpack(ByteReader in) {
        for (long count = in.readLong(); count != 0; count = in.readLong()) {
            for (long index = 0; index < count; index++) {
                held.put(in.readString(), empty.get().read(in));
            }
        }
    }
}
