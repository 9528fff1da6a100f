package org.bighead.flink;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.types.Row;

/** Reads values that one schema wrote into the columns that groups read; what they do not read is skipped. */
final class RowReader {
    private final Schema schema;
    private final List<Column> columns;
    private final int[] places;

    /** Why a column cannot be read from this schema: what it is there, by name. */
    final Map<String, String> misfits = new HashMap<>();

    record Column(String name, String type) implements java.io.Serializable {}

    RowReader(Schema schema, List<Column> columns) {
        this.schema = schema;
        this.columns = columns;
        this.places = new int[schema.getFields().size()];
        for (Schema.Field field : schema.getFields()) {
            places[field.pos()] = -1;
            for (int index = 0; index < columns.size(); index++) {
                if (columns.get(index).name().equals(field.name())) {
                    String found = typeOf(field.schema(), true);
                    if (columns.get(index).type().equals(found)) {
                        places[field.pos()] = index;
                    } else {
                        misfits.put(field.name(), found == null ? "of a type that features cannot read" : found);
                    }
                }
            }
        }
    }

    /** A row with the columns and the message; columns that the schema does not have are null. */
    Row read(Message message) throws Refusal {
        ByteReader in = new ByteReader(message.value, Frames.SIZE);
        Row row = new Row(columns.size() + 1);
        try {
            for (Schema.Field field : schema.getFields()) {
                Object value = datum(field.schema(), in, places[field.pos()] >= 0);
                if (places[field.pos()] >= 0) {
                    row.setField(places[field.pos()], value);
                }
            }
        } catch (IndexOutOfBoundsException | IllegalArgumentException | ArithmeticException | StackOverflowError error) {
            throw Refusal.undecodable(
                    "the value is no " + schema.getFullName() + ": its Avro breaks off or does not fit the schema ("
                            + error.getClass().getSimpleName() + ": " + error.getMessage() + ")");
        }
        if (in.left() > 0) {
            throw Refusal.undecodable(
                    "the value is a " + schema.getFullName() + " with " + in.left() + " bytes too many; it was written otherwise");
        }
        row.setField(columns.size(), message);
        return row;
    }

    /** A value; null where it is not wanted, or of a type that features cannot read. */
    private static Object datum(Schema schema, ByteReader in, boolean wanted) {
        return switch (schema.getType()) {
            case NULL -> null;
            case BOOLEAN -> in.readBoolean();
            case INT, LONG -> in.readLong();
            case FLOAT -> (double) Float.intBitsToFloat(in.readFloatBits());
            case DOUBLE -> in.readDouble();
            case STRING -> wanted ? in.readString() : skipped(in, in.length());
            case BYTES -> skipped(in, in.length());
            case FIXED -> skipped(in, schema.getFixedSize());
            case ENUM -> schema.getEnumSymbols().get(Math.toIntExact(in.readLong()));
            case UNION -> datum(schema.getTypes().get(Math.toIntExact(in.readLong())), in, wanted);
            case RECORD -> record(schema, in);
            case ARRAY -> array(schema, in);
            case MAP -> map(schema, in);
        };
    }

    private static Object skipped(ByteReader in, long count) {
        in.skip(count);
        return null;
    }

    private static Object record(Schema schema, ByteReader in) {
        for (Schema.Field field : schema.getFields()) {
            datum(field.schema(), in, false);
        }
        return null;
    }

    private static Object array(Schema schema, ByteReader in) {
        List<Object> values = new ArrayList<>();
        for (long count = block(in); count != 0; count = block(in)) {
            for (long index = 0; index < count; index++) {
                values.add(datum(schema.getElementType(), in, true));
            }
        }
        String element = typeOf(schema.getElementType(), false);
        return element == null ? null : values.toArray(arrayOf(element, values.size()));
    }

    private static Object[] arrayOf(String element, int size) {
        return switch (element) {
            case "boolean" -> new Boolean[size];
            case "long" -> new Long[size];
            case "double" -> new Double[size];
            default -> new String[size];
        };
    }

    private static Object map(Schema schema, ByteReader in) {
        Map<String, Object> values = new LinkedHashMap<>();
        for (long count = block(in); count != 0; count = block(in)) {
            for (long index = 0; index < count; index++) {
                values.put(in.readString(), datum(schema.getValueType(), in, true));
            }
        }
        return values;
    }

    /** How many items follow; a negative count is followed by their size. */
    private static long block(ByteReader in) {
        long count = in.readLong();
        if (count < 0) {
            in.readLong();
            count = -count;
        }
        if (count > in.left() * 8L + 8) {
            throw new IndexOutOfBoundsException(count + " items in " + in.left() + " bytes");
        }
        return count;
    }

    /** The type of a column in the words of bighead.features.types; null where features cannot read it. */
    private static String typeOf(Schema schema, boolean collections) {
        return switch (schema.getType()) {
            case BOOLEAN -> "boolean";
            case INT, LONG -> "long";
            case FLOAT, DOUBLE -> "double";
            case STRING, ENUM -> "string";
            case UNION -> ofUnion(schema, collections);
            case ARRAY -> collections ? wrapped("array", typeOf(schema.getElementType(), false)) : null;
            case MAP -> collections ? wrapped("map", typeOf(schema.getValueType(), false)) : null;
            default -> null;
        };
    }

    private static String ofUnion(Schema schema, boolean collections) {
        List<Schema> branches =
                schema.getTypes().stream().filter(one -> one.getType() != Schema.Type.NULL).toList();
        return branches.size() == 1 ? typeOf(branches.get(0), collections) : null;
    }

    private static String wrapped(String outer, String inner) {
        return inner == null ? null : outer + "<" + inner + ">";
    }
}
