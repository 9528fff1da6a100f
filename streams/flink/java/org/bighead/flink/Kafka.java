package org.bighead.flink;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.flink.util.Collector;

/** Where messages come from and events go to. */
final class Kafka {
    private Kafka() {}

    /** A source topic from its beginning; `Progress` commits offsets. */
    static KafkaSource<Message> source(String servers, String topic, String consumers, boolean bounded) {
        KafkaSourceBuilder<Message> source =
                KafkaSource.<Message>builder()
                        .setBootstrapServers(servers)
                        .setTopics(topic)
                        .setGroupId(consumers)
                        .setStartingOffsets(OffsetsInitializer.earliest())
                        .setDeserializer(new Messages())
                        .setProperty("isolation.level", "read_committed")
                        .setProperty("fetch.max.wait.ms", "50")
                        .setProperty("commit.offsets.on.checkpoint", "false")
                        .setProperty("partition.discovery.interval.ms", "10000");
        return (bounded ? source.setBounded(OffsetsInitializer.latest()) : source).build();
    }

    /** A topic to write to; what was written before a checkpoint is acknowledged when it completes. */
    static KafkaSink<Outgoing> sink(String servers, String topic, Map<String, String> settings) {
        Properties properties = new Properties();
        properties.putAll(settings);
        return KafkaSink.<Outgoing>builder()
                .setBootstrapServers(servers)
                .setKafkaProducerConfig(properties)
                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                .setRecordSerializer(new Events(topic))
                .build();
    }

    private static final class Messages implements KafkaRecordDeserializationSchema<Message> {
        private static final Message.Header[] NONE = new Message.Header[0];

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Message> out) {
            Header[] found = record.headers().toArray();
            Message.Header[] headers = found.length == 0 ? NONE : new Message.Header[found.length];
            for (int index = 0; index < found.length; index++) {
                headers[index] = new Message.Header(found[index].key(), found[index].value());
            }
            out.collect(
                    new Message(
                            record.partition(), record.offset(), record.timestamp(), record.key(), record.value(), headers));
        }

        @Override
        public TypeInformation<Message> getProducedType() {
            return Wire.Messages.TYPE;
        }
    }

    /** Events with CloudEvents headers, as bighead.events.headers writes them. */
    private static final class Events implements KafkaRecordSerializationSchema<Outgoing> {
        private static final byte[] SPEC = bytes("1.0");
        private static final byte[] AVRO = bytes("application/avro");
        private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'");
        private final String topic;

        Events(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(Outgoing one, KafkaSinkContext context, Long timestampMs) {
            RecordHeaders headers = new RecordHeaders();
            headers.add("ce_specversion", SPEC);
            headers.add("ce_id", id());
            headers.add("ce_source", bytes(one.source()));
            headers.add("ce_type", bytes(one.type()));
            headers.add("ce_time", bytes(TIME.format(Instant.ofEpochMilli(one.timeMs()).atOffset(ZoneOffset.UTC))));
            headers.add("content-type", AVRO);
            headers.add("ce_subject", bytes(one.subject()));
            return new ProducerRecord<>(topic, null, null, one.key(), one.value(), headers);
        }

        private static byte[] id() {
            ThreadLocalRandom random = ThreadLocalRandom.current();
            HexFormat hex = HexFormat.of();
            return bytes(hex.toHexDigits(random.nextLong()) + hex.toHexDigits(random.nextLong()));
        }

        private static byte[] bytes(String text) {
            return text.getBytes(StandardCharsets.UTF_8);
        }
    }
}
