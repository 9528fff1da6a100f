package org.bighead.flink;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.JobExecutionResult;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;

/**
 * Computes groups of one topic: Kafka, Avro, each group's SQL, its fold, and the state topic. The one argument is the job's
 * description, JSON, which bighead.compile.flink and streams.flink make.
 */
public final class Job {
    static final String EVENTS = "events";
    private static final String MESSAGE = "__message";

    private final JsonNode json;
    private final StreamExecutionEnvironment environment;
    private final StreamTableEnvironment tables;
    private final Letters letters;

    private Job(JsonNode json) {
        this.json = json;
        Map<String, String> settings = texts(json.get("settings"));
        environment = StreamExecutionEnvironment.getExecutionEnvironment(Configuration.fromMap(settings));
        tables = StreamTableEnvironment.create(environment);
        letters = new Letters(json.get("topic").asText(), json.get("letter_schema_id").asInt());
    }

    /** Builds the job and runs it. */
    public static void main(String[] arguments) throws Exception {
        String text = arguments[0].startsWith("@") ? Files.readString(Path.of(arguments[0].substring(1))) : arguments[0];
        new Job(new ObjectMapper().readTree(text)).run();
    }

    private void run() throws Exception {
        List<Group> groups = new ArrayList<>();
        json.get("groups").forEach(one -> groups.add(Group.of(one)));
        SingleOutputStreamOperator<Row> rows = rows(groups);
        register(rows);
        DataStream<Outgoing> dead = rows.getSideOutput(Letters.TAG);
        DataStream<Outgoing> alive = null;
        for (Group group : groups) {
            SingleOutputStreamOperator<Event> events = events(group, group == groups.get(0));
            SingleOutputStreamOperator<Outgoing> tiles = tiles(group, events);
            dead = dead.union(events.getSideOutput(Letters.TAG), tiles.getSideOutput(Letters.TAG));
            alive = alive == null ? tiles : alive.union(tiles);
        }
        String servers = text("kafka");
        Map<String, String> producer = texts(json.get("producer"));
        alive.sinkTo(Kafka.sink(servers, text("state_topic"), producer)).name("tiles").uid("tiles");
        dead.sinkTo(Kafka.sink(servers, text("letters_topic"), producer)).name("dead letters").uid("dead-letters");
        JobExecutionResult result = environment.execute(text("name"));
        if (json.get("bounded").asBoolean()) {
            System.out.println("{\"runtime_ms\": " + result.getNetRuntime() + "}");
        }
    }

    private SingleOutputStreamOperator<Row> rows(List<Group> groups) {
        List<RowReader.Column> columns = new ArrayList<>();
        json.get("columns").properties().forEach(one -> columns.add(new RowReader.Column(one.getKey(), one.getValue().asText())));
        Set<String> stages = new HashSet<>(Set.of(Decode.STAGE));
        groups.forEach(group -> stages.add(group.stage()));
        String[] names = new String[columns.size() + 1];
        TypeInformation<?>[] types = new TypeInformation<?>[names.length];
        for (int index = 0; index < columns.size(); index++) {
            names[index] = columns.get(index).name();
            types[index] = typeOf(columns.get(index).type());
        }
        names[columns.size()] = MESSAGE;
        types[columns.size()] = Wire.Messages.TYPE;
        return environment
                .fromSource(
                        Kafka.source(text("kafka"), text("topic"), text("consumers"), json.get("bounded").asBoolean()),
                        WatermarkStrategy.noWatermarks(),
                        text("topic"))
                .uid("source")
                .map(new Progress(text("kafka"), text("topic"), text("consumers")))
                .returns(Wire.Messages.TYPE)
                .name("progress")
                .uid("progress")
                .process(new Decode(new Registry(text("registry")), columns, stages, letters))
                .returns(new RowTypeInfo(types, names))
                .name("decode")
                .uid("decode");
    }

    private void register(DataStream<Row> rows) {
        tables.createTemporarySystemFunction("bighead_add", Functions.Add.class);
        tables.createTemporarySystemFunction("bighead_subtract", Functions.Subtract.class);
        tables.createTemporarySystemFunction("bighead_multiply", Functions.Multiply.class);
        tables.createTemporarySystemFunction("bighead_negate", Functions.Negate.class);
        tables.createTemporarySystemFunction("bighead_abs", Functions.Abs.class);
        tables.createTemporarySystemFunction("bighead_compare", Functions.Compare.class);
        tables.createTemporaryView(EVENTS, rows);
    }

    private SingleOutputStreamOperator<Event> events(Group group, boolean speaks) {
        String timeStage = json.get("one_time").asBoolean() ? Decode.STAGE : group.stage();
        return tables.toDataStream(tables.sqlQuery(group.sql()))
                .process(new Project(group, letters, json.get("max_future_ms").asLong(), timeStage, speaks))
                .returns(Wire.Events.TYPE)
                .name("project " + group.name())
                .uid("project " + group.name() + " " + group.epoch());
    }

    private SingleOutputStreamOperator<Outgoing> tiles(Group group, DataStream<Event> events) {
        Fold fold = new Fold(group, letters, json.get("tile_schema_id").asInt(), json.get("linger_ms").asLong());
        return events.keyBy(Event::entity, Types.STRING)
                .transform("fold " + group.name(), Wire.Outgoings.TYPE, fold)
                .uid("fold " + group.name() + " " + group.epoch());
    }

    private static TypeInformation<?> typeOf(String type) {
        if (type.startsWith("array<")) {
            return Types.OBJECT_ARRAY(typeOf(inner(type)));
        }
        if (type.startsWith("map<")) {
            return Types.MAP(Types.STRING, typeOf(inner(type)));
        }
        return switch (type) {
            case "boolean" -> Types.BOOLEAN;
            case "long" -> Types.LONG;
            case "double" -> Types.DOUBLE;
            case "string" -> Types.STRING;
            default -> throw new IllegalArgumentException("type " + type + " is not known");
        };
    }

    private static String inner(String type) {
        return type.substring(type.indexOf('<') + 1, type.length() - 1);
    }

    private String text(String name) {
        return json.get(name).asText();
    }

    private static Map<String, String> texts(JsonNode json) {
        Map<String, String> texts = new HashMap<>();
        json.properties().forEach(one -> texts.put(one.getKey(), one.getValue().asText()));
        return texts;
    }
}
