package org.bighead.flink;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Commits how far a complete checkpoint has come, under the job's consumer group. Flink's source does that too, but from the
 * thread that polls: where nothing comes, ten seconds later.
 */
final class Progress extends RichMapFunction<Message, Message> implements CheckpointedFunction, CheckpointListener {
    private static final Logger LOG = LoggerFactory.getLogger(Progress.class);
    private static final Duration CLOSING = Duration.ofSeconds(1);

    private final String servers;
    private final String topic;
    private final String consumers;
    private transient Map<Integer, Long> reached;
    private transient NavigableMap<Long, Map<Integer, Long>> snapshots;
    private transient Admin admin;
    private transient volatile Map<Integer, Long> committed;

    Progress(String servers, String topic, String consumers) {
        this.servers = servers;
        this.topic = topic;
        this.consumers = consumers;
    }

    @Override
    public void open(OpenContext context) {
        admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, servers));
    }

    @Override
    public Message map(Message message) {
        reached.put(message.partition, message.offset + 1);
        return message;
    }

    /** Nothing is kept: after a restart, partitions are known once something comes, and what was committed stays. */
    @Override
    public void initializeState(FunctionInitializationContext context) {
        reached = new HashMap<>();
        snapshots = new TreeMap<>();
        committed = Map.of();
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) {
        snapshots.put(context.getCheckpointId(), Map.copyOf(reached));
    }

    @Override
    public void notifyCheckpointComplete(long id) {
        Map<Integer, Long> complete = snapshots.get(id);
        snapshots.headMap(id, true).clear();
        if (complete == null || complete.equals(committed)) {
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        complete.forEach((partition, offset) -> offsets.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset)));
        committed = complete;
        admin.alterConsumerGroupOffsets(consumers, offsets).all().whenComplete((done, error) -> {
            if (error != null) {
                committed = Map.of(); // the next checkpoint says it again
                LOG.warn("the progress of {} is not committed: {}", consumers, error.toString());
            }
        });
    }

    @Override
    public void close() {
        if (admin != null) {
            admin.close(CLOSING);
        }
    }
}
