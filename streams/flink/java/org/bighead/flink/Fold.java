package org.bighead.flink;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.StateTtlConfig;
import org.apache.flink.api.common.typeutils.base.LongSerializer;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Folds a group's events into its tiles, all levels of an event at once: it is in all of them or in none.
 *
 * <p>Changed tiles are kept decoded and written, to Flink's state and onwards, after `lingerMs`, when there are many, and
 * before each checkpoint. SQL's GROUP BY would shuffle an event once for each level, and can refuse none.
 */
final class Fold extends AbstractStreamOperator<Outgoing> implements OneInputStreamOperator<Event, Outgoing>, BoundedOneInput {
    private static final String TYPE = "bighead.v1.FeatureTile";
    private static final String SOURCE = "bighead/lane/flink";
    private static final int CACHED_TILES = 50_000;
    private static final int MOST_CHANGED = 20_000;

    private record Key(String entity, long slot) {}

    private final Group group;
    private final Letters letters;
    private final int schemaId;
    private final long lingerMs;
    private transient List<MapState<Long, byte[]>> saved;
    private transient LinkedHashMap<Key, Tile> tiles;
    private transient List<Tile> changed;
    private transient ByteWriter writer;
    private transient ByteWriter states;
    private transient boolean waiting;

    Fold(Group group, Letters letters, int schemaId, long lingerMs) {
        this.group = group;
        this.letters = letters;
        this.schemaId = schemaId;
        this.lingerMs = lingerMs;
    }

    @Override
    public void open() throws Exception {
        super.open();
        Map<Long, MapState<Long, byte[]>> known = new HashMap<>();
        saved = group.levels().stream().map(level -> known.computeIfAbsent(level.keptMs(), this::state)).toList();
        tiles = new LinkedHashMap<>(1024, 0.75f, true);
        changed = new ArrayList<>();
        writer = new ByteWriter();
        states = new ByteWriter();
    }

    /** The tiles that are kept so long. Late events are taken until then; RocksDB forgets the rest when it compacts. */
    private MapState<Long, byte[]> state(long keptMs) {
        MapStateDescriptor<Long, byte[]> descriptor =
                new MapStateDescriptor<>(
                        keptMs == 0 ? "tiles" : "tiles for a time", LongSerializer.INSTANCE, BytePrimitiveArraySerializer.INSTANCE);
        if (keptMs > 0) {
            descriptor.enableTimeToLive(StateTtlConfig.newBuilder(Duration.ofMillis(keptMs)).build());
        }
        return getRuntimeContext().getMapState(descriptor);
    }

    @Override
    public void processElement(StreamRecord<Event> record) throws Exception {
        Event event = record.getValue();
        List<Tile> open = new ArrayList<>(group.levels().size());
        for (int index = 0; index < group.levels().size(); index++) {
            Tile tile = tile(event, index);
            if (tile.lacks(event)) {
                open.add(tile);
            }
        }
        List<List<Input>> inputs = new ArrayList<>(group.cells().size());
        for (Cell cell : group.cells()) {
            inputs.add(cell.inputs(event.values, event.back));
        }
        try {
            check(open, inputs, event);
        } catch (Refusal error) {
            output.collect(Letters.TAG, new StreamRecord<>(letters.of(event.message, error, group.stage())));
            return;
        }
        for (Tile tile : open) {
            tile.take(event, inputs);
            if (!tile.changed) {
                tile.changed = true;
                changed.add(tile);
            }
        }
        if (changed.size() >= MOST_CHANGED) {
            flush();
        } else if (!waiting) {
            waiting = true;
            getProcessingTimeService()
                    .registerTimer(getProcessingTimeService().getCurrentProcessingTime() + lingerMs, now -> flush());
        }
    }

    private void check(List<Tile> open, List<List<Input>> inputs, Event event) throws Refusal {
        for (int index = 0; index < inputs.size(); index++) {
            Cell cell = group.cells().get(index);
            if (!cell.checked()) {
                continue;
            }
            for (Tile tile : open) {
                try {
                    tile.cells.get(index).check(inputs.get(index), event.back);
                } catch (ArithmeticException error) {
                    throw Refusal.invalid(
                            "group '" + group.name() + "' cannot take the event: " + cell.op() + " of '" + cell.column() + "': "
                                    + error.getMessage());
                }
            }
        }
    }

    private Tile tile(Event event, int level) throws Exception {
        Group.Level width = group.levels().get(level);
        long start = width.start(event.timeMs);
        Key key = new Key(event.entity, slot(level, start));
        Tile tile = tiles.get(key);
        if (tile == null) {
            tile = new Tile(group, event.entity, width, start);
            byte[] before = saved.get(level).get(key.slot());
            if (before != null) {
                tile.load(before);
            }
            tiles.put(key, tile);
        }
        return tile;
    }

    private static long slot(int level, long startMs) {
        return startMs * 8 + level;
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        flush();
    }

    @Override
    public void endInput() throws Exception {
        flush();
    }

    private void flush() throws Exception {
        waiting = false;
        for (Tile tile : changed) {
            tile.write(states);
            setCurrentKey(tile.entity);
            int level = group.levels().indexOf(tile.level);
            saved.get(level).put(slot(level, tile.startMs), tile.save(writer, states));
            tile.changed = false;
            String key = tile.key(group);
            byte[] value = tile.event(group, schemaId, writer, states);
            byte[] text = key.getBytes(StandardCharsets.UTF_8);
            output.collect(new StreamRecord<>(new Outgoing(text, value, TYPE, SOURCE, key, tile.latestMs())));
        }
        changed.clear();
        Iterator<Map.Entry<Key, Tile>> oldest = tiles.entrySet().iterator();
        for (int more = tiles.size() - CACHED_TILES; more > 0; more--) {
            oldest.next();
            oldest.remove();
        }
    }
}
