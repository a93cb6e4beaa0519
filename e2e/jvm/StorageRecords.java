// Writes and reads topics for the storage scenarios, through the Java client.
//   create BOOTSTRAP TOPIC PARTITIONS [KEY=VALUE ...]
//   produce BOOTSTRAP TOPIC FROM COUNT CODEC     idempotent; record i goes to partition i % partitions
//   transactions BOOTSTRAP TOPIC ROUNDS          two producers in turn, every third transaction is aborted
//   read BOOTSTRAP TOPIC ISOLATION               one line per record: partition offset timestamp key checksum headers
//   offset-for-time BOOTSTRAP TOPIC TIMESTAMP    one line per partition: partition offset timestamp

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

public class StorageRecords {
    static final long START = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "create" -> create(args);
            case "produce" -> produce(args[1], args[2], Long.parseLong(args[3]), Long.parseLong(args[4]), args[5]);
            case "transactions" -> transactions(args[1], args[2], Integer.parseInt(args[3]));
            case "read" -> read(args[1], args[2], args[3]);
            case "offset-for-time" -> offsetForTime(args[1], args[2], Long.parseLong(args[3]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static void create(String[] args) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 4; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            configs.put(pair[0], pair[1]);
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[1]))) {
            NewTopic topic = new NewTopic(args[2], Integer.parseInt(args[3]), (short) 1).configs(configs);
            admin.createTopics(List.of(topic)).all().get(60, TimeUnit.SECONDS);
        }
    }

    static byte[] value(long i) {
        byte[] value = new byte[(int) (50 + i * 37 % 700)];
        Arrays.fill(value, (byte) ('a' + i % 26));
        byte[] head = ("record " + i).getBytes(StandardCharsets.UTF_8);
        System.arraycopy(head, 0, value, 0, head.length);
        return value;
    }

    static Properties producerConfig(String bootstrap) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.serializer", ByteArraySerializer.class.getName());
        config.put("value.serializer", ByteArraySerializer.class.getName());
        config.put("acks", "all");
        config.put("delivery.timeout.ms", "60000");
        return config;
    }

    static void produce(String bootstrap, String topic, long from, long count, String codec) throws Exception {
        Properties config = producerConfig(bootstrap);
        config.put("compression.type", codec);
        config.put("linger.ms", "2");
        try (Producer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            int partitions = producer.partitionsFor(topic).size();
            for (long i = from; i < from + count; i++) {
                byte[] key = ("key " + i % 100).getBytes(StandardCharsets.UTF_8);
                var record = new ProducerRecord<>(topic, (int) (i % partitions), START + i * 10, key, value(i));
                record.headers().add("number", Long.toString(i).getBytes(StandardCharsets.UTF_8));
                producer.send(record, (metadata, error) -> { if (error != null) { error.printStackTrace(); System.exit(1); } });
            }
        }
    }

    static void transactions(String bootstrap, String topic, int rounds) throws Exception {
        List<Producer<byte[], byte[]>> producers = new ArrayList<>();
        for (String id : List.of("one", "two")) {
            Properties config = producerConfig(bootstrap);
            config.put("transactional.id", "storage-" + id);
            Producer<byte[], byte[]> producer = new KafkaProducer<>(config);
            producer.initTransactions();
            producers.add(producer);
        }
        int partitions = producers.get(0).partitionsFor(topic).size();
        for (int round = 0; round < rounds; round++) {
            for (var producer : producers) {
                producer.beginTransaction();
                for (int i = 0; i < 5; i++) {
                    long number = round * 5L + i;
                    producer.send(new ProducerRecord<>(topic, i % partitions, START + number * 10, null, value(number))).get(60, TimeUnit.SECONDS);
                }
            }
            for (var producer : producers) {
                if (round % 3 == 1) producer.abortTransaction(); else producer.commitTransaction();
            }
        }
        producers.forEach(Producer::close);
    }

    static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String isolation) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        config.put("isolation.level", isolation);
        config.put("enable.auto.commit", "false");
        config.put("check.crcs", "true");
        return new KafkaConsumer<>(config);
    }

    static List<TopicPartition> partitions(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        List<TopicPartition> partitions = new ArrayList<>();
        consumer.partitionsFor(topic).forEach(info -> partitions.add(new TopicPartition(topic, info.partition())));
        partitions.sort(Comparator.comparingInt(TopicPartition::partition));
        return partitions;
    }

    static void read(String bootstrap, String topic, String isolation) {
        StringBuilder out = new StringBuilder();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, isolation)) {
            for (TopicPartition partition : partitions(consumer, topic)) {
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                long end = consumer.endOffsets(List.of(partition)).get(partition);
                long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
                while (consumer.position(partition) < end) {
                    if (System.nanoTime() > deadline) throw new IllegalStateException("stuck at " + consumer.position(partition) + " of " + end);
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) print(out, record);
                }
                out.append("end ").append(partition.partition()).append(' ').append(end).append('\n');
            }
        }
        System.out.print(out);
    }

    static void print(StringBuilder out, ConsumerRecord<byte[], byte[]> record) {
        CRC32 checksum = new CRC32();
        checksum.update(record.value());
        out.append(record.partition()).append(' ').append(record.offset()).append(' ').append(record.timestamp()).append(' ');
        out.append(record.key() == null ? "-" : new String(record.key(), StandardCharsets.UTF_8).replace(' ', '_')).append(' ');
        out.append(checksum.getValue());
        for (Header header : record.headers()) out.append(' ').append(header.key()).append('=').append(new String(header.value(), StandardCharsets.UTF_8));
        out.append('\n');
    }

    static void offsetForTime(String bootstrap, String topic, long timestamp) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, "read_uncommitted")) {
            for (TopicPartition partition : partitions(consumer, topic)) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, timestamp)).get(partition);
                System.out.println(partition.partition() + " " + (found == null ? "-" : found.offset() + " " + found.timestamp()));
            }
        }
    }
}
