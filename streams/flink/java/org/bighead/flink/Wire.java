package org.bighead.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** How what flows between Flink's operators is written. Nothing of it lies in a checkpoint. */
final class Wire {
    private Wire() {}

    /** A serializer of values that are never changed once made. */
    abstract static class Fixed<T> extends TypeSerializerSingleton<T> {
        @Override
        public boolean isImmutableType() {
            return true;
        }

        @Override
        public T createInstance() {
            return null;
        }

        @Override
        public T copy(T from) {
            return from;
        }

        @Override
        public T copy(T from, T reuse) {
            return from;
        }

        @Override
        public int getLength() {
            return -1;
        }

        @Override
        public T deserialize(T reuse, DataInputView in) throws IOException {
            return deserialize(in);
        }

        @Override
        public void copy(DataInputView from, DataOutputView to) throws IOException {
            serialize(deserialize(from), to);
        }
    }

    /** Tells Flink of a type and its serializer. */
    static final class Type<T> extends TypeInformation<T> {
        private final Class<T> type;
        private final Fixed<T> serializer;

        Type(Class<T> type, Fixed<T> serializer) {
            this.type = type;
            this.serializer = serializer;
        }

        @Override
        public boolean isBasicType() {
            return false;
        }

        @Override
        public boolean isTupleType() {
            return false;
        }

        @Override
        public int getArity() {
            return 1;
        }

        @Override
        public int getTotalFields() {
            return 1;
        }

        @Override
        public Class<T> getTypeClass() {
            return type;
        }

        @Override
        public boolean isKeyType() {
            return false;
        }

        @Override
        public TypeSerializer<T> createSerializer(SerializerConfig config) {
            return serializer;
        }

        @Override
        public String toString() {
            return type.getSimpleName();
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Type<?> one && one.type == type;
        }

        @Override
        public int hashCode() {
            return type.hashCode();
        }

        @Override
        public boolean canEqual(Object other) {
            return other instanceof Type;
        }
    }

    public static final class Messages extends Fixed<Message> {
        public static final Messages INSTANCE = new Messages();
        static final Type<Message> TYPE = new Type<>(Message.class, INSTANCE);

        @Override
        public void serialize(Message message, DataOutputView out) throws IOException {
            out.writeInt(message.partition);
            out.writeLong(message.offset);
            out.writeLong(message.timestampMs);
            bytes(message.key, out);
            bytes(message.value, out);
            out.writeInt(message.headers.length);
            for (Message.Header header : message.headers) {
                bytes(header.name().getBytes(StandardCharsets.UTF_8), out);
                bytes(header.value(), out);
            }
        }

        @Override
        public Message deserialize(DataInputView in) throws IOException {
            int partition = in.readInt();
            long offset = in.readLong();
            long timestampMs = in.readLong();
            byte[] key = bytes(in);
            byte[] value = bytes(in);
            Message.Header[] headers = new Message.Header[in.readInt()];
            for (int index = 0; index < headers.length; index++) {
                headers[index] = new Message.Header(new String(bytes(in), StandardCharsets.UTF_8), bytes(in));
            }
            return new Message(partition, offset, timestampMs, key, value, headers);
        }

        @Override
        public TypeSerializerSnapshot<Message> snapshotConfiguration() {
            return new Snapshot();
        }

        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Message> {
            public Snapshot() {
                super(() -> INSTANCE);
            }
        }
    }

    public static final class Events extends Fixed<Event> {
        public static final Events INSTANCE = new Events();
        static final Type<Event> TYPE = new Type<>(Event.class, INSTANCE);

        @Override
        public void serialize(Event event, DataOutputView out) throws IOException {
            text(event.entity, out);
            out.writeLong(event.timeMs);
            out.writeInt(event.partition);
            out.writeLong(event.offset);
            out.writeBoolean(event.back);
            out.writeByte(event.values.length);
            for (Object value : event.values) {
                value(value, out);
            }
            out.writeBoolean(event.message != null);
            if (event.message != null) {
                Messages.INSTANCE.serialize(event.message, out);
            }
        }

        @Override
        public Event deserialize(DataInputView in) throws IOException {
            String entity = text(in);
            long timeMs = in.readLong();
            int partition = in.readInt();
            long offset = in.readLong();
            boolean back = in.readBoolean();
            Object[] values = new Object[in.readUnsignedByte()];
            for (int index = 0; index < values.length; index++) {
                values[index] = value(in);
            }
            Message message = in.readBoolean() ? Messages.INSTANCE.deserialize(in) : null;
            return new Event(entity, timeMs, partition, offset, back, values, message);
        }

        @Override
        public TypeSerializerSnapshot<Event> snapshotConfiguration() {
            return new Snapshot();
        }

        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Event> {
            public Snapshot() {
                super(() -> INSTANCE);
            }
        }
    }

    public static final class Outgoings extends Fixed<Outgoing> {
        public static final Outgoings INSTANCE = new Outgoings();
        static final Type<Outgoing> TYPE = new Type<>(Outgoing.class, INSTANCE);

        @Override
        public void serialize(Outgoing one, DataOutputView out) throws IOException {
            bytes(one.key(), out);
            bytes(one.value(), out);
            text(one.type(), out);
            text(one.source(), out);
            text(one.subject(), out);
            out.writeLong(one.timeMs());
        }

        @Override
        public Outgoing deserialize(DataInputView in) throws IOException {
            return new Outgoing(bytes(in), bytes(in), text(in), text(in), text(in), in.readLong());
        }

        @Override
        public TypeSerializerSnapshot<Outgoing> snapshotConfiguration() {
            return new Snapshot();
        }

        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Outgoing> {
            public Snapshot() {
                super(() -> INSTANCE);
            }
        }
    }

    private static void bytes(byte[] value, DataOutputView out) throws IOException {
        out.writeInt(value == null ? -1 : value.length);
        if (value != null) {
            out.write(value);
        }
    }

    private static byte[] bytes(DataInputView in) throws IOException {
        int length = in.readInt();
        if (length < 0) {
            return null;
        }
        byte[] value = new byte[length];
        in.readFully(value);
        return value;
    }

    private static void text(String value, DataOutputView out) throws IOException {
        bytes(value.getBytes(StandardCharsets.UTF_8), out);
    }

    private static String text(DataInputView in) throws IOException {
        return new String(bytes(in), StandardCharsets.UTF_8);
    }

    private static void value(Object value, DataOutputView out) throws IOException {
        if (value == null) {
            out.writeByte(0);
        } else if (value instanceof Long one) {
            out.writeByte(1);
            out.writeLong(one);
        } else if (value instanceof Double one) {
            out.writeByte(2);
            out.writeDouble(one);
        } else if (value instanceof Boolean one) {
            out.writeByte(one ? 4 : 3);
        } else if (value instanceof String one) {
            out.writeByte(5);
            text(one, out);
        } else if (value instanceof Object[] list) {
            out.writeByte(6);
            out.writeInt(list.length);
            for (Object one : list) {
                value(one, out);
            }
        } else {
            Map<?, ?> map = (Map<?, ?>) value;
            out.writeByte(7);
            out.writeInt(map.size());
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                text((String) entry.getKey(), out);
                value(entry.getValue(), out);
            }
        }
    }

    private static Object value(DataInputView in) throws IOException {
        int tag = in.readByte();
        return switch (tag) {
            case 0 -> null;
            case 1 -> in.readLong();
            case 2 -> in.readDouble();
            case 3, 4 -> tag == 4;
            case 5 -> text(in);
            case 6 -> list(in);
            default -> map(in);
        };
    }

    private static Object[] list(DataInputView in) throws IOException {
        Object[] list = new Object[in.readInt()];
        for (int index = 0; index < list.length; index++) {
            list[index] = value(in);
        }
        return list;
    }

    private static Map<String, Object> map(DataInputView in) throws IOException {
        int size = in.readInt();
        Map<String, Object> map = new LinkedHashMap<>();
        for (int index = 0; index < size; index++) {
            map.put(text(in), value(in));
        }
        return map;
    }
}
