// Two million numbered records: `java -cp … TwoMillion.java produce|read|seek BOOTSTRAP TOPIC COUNT`.
// `produce` creates the topic and writes record n at offset n; `read` reads all of them from the
// beginning; `seek` reads a few from each of 100 random offsets. Prints `OK n`, or ends with the
// first record that is not the one it should be.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class TwoMillion {
    static final String FILLER = "the quick brown fox jumps over the lazy dog and on over the next segment of the log";

    public static void main(String[] args) throws Exception {
        String bootstrap = args[1];
        String topic = args[2];
        long count = Long.parseLong(args[3]);
        long checked = switch (args[0]) {
            case "produce" -> produce(bootstrap, topic, count);
            case "read" -> read(bootstrap, topic, count);
            case "seek" -> seek(bootstrap, topic, count);
            default -> throw new IllegalArgumentException(args[0]);
        };
        System.out.println("OK " + checked);
    }

    static byte[] value(long n) {
        return (n + " " + FILLER).getBytes(StandardCharsets.UTF_8);
    }

    static long produce(String bootstrap, String topic, long count) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            NewTopic wanted = new NewTopic(topic, 1, (short) 1).configs(Map.of("segment.bytes", "16777216"));
            admin.createTopics(List.of(wanted)).all().get();
        }
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("acks", "all");
        config.put("batch.size", 65536);
        config.put("linger.ms", 5);
        AtomicReference<String> fault = new AtomicReference<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (long n = 0; n < count && fault.get() == null; n++) {
                long expected = n;
                producer.send(new ProducerRecord<>(topic, value(n)), (metadata, error) -> {
                    if (error != null) {
                        fault.compareAndSet(null, error.toString());
                    } else if (metadata.offset() != expected) {
                        fault.compareAndSet(null, "record " + expected + " got offset " + metadata.offset());
                    }
                });
            }
        }
        if (fault.get() != null) {
            throw new IllegalStateException(fault.get());
        }
        return count;
    }

    static long read(String bootstrap, String topic, long count) {
        try (var consumer = consumer(bootstrap)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = check(consumer, 0, count);
            long last = consumer.endOffsets(List.of(partition)).get(partition);
            if (last != count) {
                throw new IllegalStateException("the log ends at " + last);
            }
            return end;
        }
    }

    static long seek(String bootstrap, String topic, long count) {
        Random random = new Random(20);
        long checked = 0;
        try (var consumer = consumer(bootstrap)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            for (int n = 0; n < 100; n++) {
                long from = random.nextLong(count);
                consumer.seek(partition, from);
                long to = Math.min(count, from + 100);
                checked += check(consumer, from, to) - from;
            }
        }
        return checked;
    }

    // Reads from offset `from` until `to` was passed; every record has to be its own number.
    static long check(Consumer<byte[], byte[]> consumer, long from, long to) {
        long next = from;
        long deadline = System.nanoTime() + 120_000_000_000L;
        while (next < to) {
            for (var record : consumer.poll(Duration.ofMillis(500))) {
                if (record.offset() != next || !Arrays.equals(record.value(), value(next))) {
                    throw new IllegalStateException("expected " + next + ", got offset " + record.offset() + ": " + new String(record.value()));
                }
                next++;
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("no records after " + next);
            }
        }
        return next;
    }

    static KafkaConsumer<byte[], byte[]> consumer(String bootstrap) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("auto.offset.reset", "none");
        config.put("enable.auto.commit", false);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
