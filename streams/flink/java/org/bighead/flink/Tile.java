package org.bighead.flink;

import java.util.ArrayList;
import java.util.List;

/** One tile, changed in place: how many events it has, the newest one's time, how far each source partition is. */
final class Tile {
    final String entity;
    final Group.Level level;
    final long startMs;
    final List<State> cells;
    boolean changed;
    private final List<long[]> positions = new ArrayList<>(1);
    private long seq;
    private long latestMs = -1;

    Tile(Group group, String entity, Group.Level level, long startMs) {
        this.entity = entity;
        this.level = level;
        this.startMs = startMs;
        this.cells = group.cells().stream().map(Cell::empty).toList();
    }

    long latestMs() {
        return latestMs;
    }

    /** Whether the tile has not taken the event yet. */
    boolean lacks(Event event) {
        for (long[] position : positions) {
            if (position[0] == event.partition) {
                return event.offset > position[1];
            }
        }
        return true;
    }

    /** Takes an event; its inputs by cell. */
    void take(Event event, List<List<Input>> inputs) {
        Place place = new Place(event.timeMs, event.partition, event.offset);
        for (int index = 0; index < inputs.size(); index++) {
            State state = cells.get(index);
            for (Input input : inputs.get(index)) {
                if (event.back) {
                    state.delete(input, place);
                } else {
                    state.update(input, place);
                }
            }
        }
        seq++;
        latestMs = Math.max(latestMs, event.timeMs);
        move(event.partition, event.offset);
    }

    private void move(long partition, long offset) {
        int last = positions.size() - 1;
        if (last >= 0 && positions.get(last)[0] == partition) {
            positions.get(last)[1] = offset;
            return;
        }
        positions.removeIf(position -> position[0] == partition);
        positions.add(new long[] {partition, offset});
    }

    /** The states of the cells, as both the tile's event and Flink's state hold them. */
    void write(ByteWriter out) {
        out.clear();
        cells.forEach(cell -> cell.write(out));
    }

    /** What is kept in Flink's state: everything but its key. */
    byte[] save(ByteWriter out, ByteWriter states) {
        out.clear();
        out.writeLong(seq);
        out.writeLong(latestMs);
        out.writeLong(positions.size());
        for (long[] position : positions) {
            out.writeLong(position[0]);
            out.writeLong(position[1]);
        }
        out.raw(states);
        return out.bytes();
    }

    Tile load(byte[] saved) {
        ByteReader in = new ByteReader(saved, 0);
        seq = in.readLong();
        latestMs = in.readLong();
        for (long count = in.readLong(); count > 0; count--) {
            positions.add(new long[] {in.readLong(), in.readLong()});
        }
        cells.forEach(cell -> cell.read(in));
        return this;
    }

    /** The key of the tile on the state topic; see bighead.features.tiles.log_key. */
    String key(Group group) {
        return "[\"" + group.name() + "\"," + group.epoch() + "," + entity + ",\"" + level.name() + "\"," + startMs + ",0]";
    }

    /** The tile as a FeatureTile in Confluent framing. */
    byte[] event(Group group, int schemaId, ByteWriter out, ByteWriter states) {
        out.clear();
        Frames.begin(out, schemaId);
        out.writeString(group.name());
        out.writeLong(group.epoch());
        out.writeString(level.name());
        out.writeLong(startMs);
        out.writeString(entity);
        out.writeLong(0);
        out.writeLong(seq);
        out.writeLong(latestMs);
        out.writeLong(positions.size());
        for (long[] position : positions) {
            out.writeLong(position[0]);
            out.writeLong(position[1]);
        }
        out.writeLong(0);
        out.writeLong(states.size() + 1);
        out.raw(1); // the version of the states' bytes
        out.raw(states);
        return out.bytes();
    }
}
