// The tour of the Java client: `java -cp <kafka-clients> Tour.java BOOTSTRAP PREFIX`.
// One line per step: `STEP<TAB>name<TAB>ok|failed<TAB>detail`. It compiles against every client from
// 2.7 on: what was renamed since is called by reflection.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

public class Tour {
    static String bootstrap;
    static String prefix;
    static boolean failed = false;

    interface Step {
        void run() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        System.out.println("CLIENT\tjava\t" + version());
        try (Admin admin = Admin.create(base())) {
            step("admin-create", () -> create(admin, "admin", 3));
            step("admin-describe", () -> {
                TopicDescription topic = describe(admin, "admin");
                equal(topic.partitions().size(), 3);
                for (var partition : topic.partitions()) {
                    check(partition.leader() != null && partition.isr().size() == 1, "leader and isr of " + partition);
                }
            });
            step("admin-config", () -> config(admin));
            step("admin-partitions", () -> {
                admin.createPartitions(Map.of(topic("admin"), NewPartitions.increaseTo(5))).all().get();
                await("five partitions", () -> describe(admin, "admin").partitions().size() == 5);
            });
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                step("codec-" + codec, () -> codec(admin, codec));
            }
            step("headers", () -> headers(admin));
            step("timestamps", () -> timestamps(admin));
            step("large-record", () -> large(admin));
            step("too-large", () -> tooLarge(admin));
            step("idempotent", () -> idempotent(admin));
            step("group", () -> group(admin));
            step("admin-groups", () -> groups(admin));
            step("admin-delete-records", () -> deleteRecords(admin));
            step("admin-delete-topic", () -> {
                admin.deleteTopics(List.of(topic("admin"))).all().get();
                await("the topic to be gone", () -> !admin.listTopics().names().get().contains(topic("admin")));
            });
        }
        System.out.println("END");
        System.exit(failed ? 1 : 0);
    }

    static void config(Admin admin) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic("admin"));
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "3600000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
        await("retention.ms", () -> {
            Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            return config.get("retention.ms").value().equals("3600000")
                && config.get("retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
                && config.get("cleanup.policy").value().equals("delete");
        });
    }

    static void codec(Admin admin, String codec) throws Exception {
        create(admin, codec, 1);
        Map<String, Object> config = base();
        config.put("compression.type", codec);
        config.put("linger.ms", 50);
        List<String> sent = new ArrayList<>();
        try (var producer = producer(config)) {
            for (int n = 0; n < 500; n++) {
                String value = (codec + " record " + n + " ").repeat(40);
                sent.add(value);
                producer.send(new ProducerRecord<>(topic(codec), "key-" + n, value.getBytes(StandardCharsets.UTF_8)));
            }
            producer.flush();
        }
        List<String> read = new ArrayList<>();
        for (var record : readAll(codec, sent.size())) {
            read.add(new String(record.value(), StandardCharsets.UTF_8));
        }
        equal(read, sent);
    }

    static void headers(Admin admin) throws Exception {
        create(admin, "headers", 1);
        var record = new ProducerRecord<>(topic("headers"), "key", "value".getBytes(StandardCharsets.UTF_8));
        record.headers().add("twice", "first".getBytes()).add("other", new byte[0]).add("twice", "second".getBytes()).add("nothing", null);
        try (var producer = producer(base())) {
            producer.send(record).get();
        }
        List<String> read = new ArrayList<>();
        for (Header header : readAll("headers", 1).get(0).headers()) {
            read.add(header.key() + "=" + (header.value() == null ? "null" : new String(header.value())));
        }
        equal(read, List.of("twice=first", "other=", "twice=second", "nothing=null"));
    }

    static void timestamps(Admin admin) throws Exception {
        create(admin, "timestamps", 1);
        long start = System.currentTimeMillis() - 100_000;
        try (var producer = producer(base())) {
            for (int n = 0; n < 10; n++) {
                producer.send(new ProducerRecord<>(topic("timestamps"), 0, start + n * 1000, "k", new byte[] {(byte) n})).get();
            }
        }
        int n = 0;
        for (var record : readAll("timestamps", 10)) {
            equal(record.timestamp(), start + 1000L * n++);
        }
        TopicPartition partition = new TopicPartition(topic("timestamps"), 0);
        try (var consumer = consumer(null)) {
            var found = consumer.offsetsForTimes(Map.of(partition, start + 3500)).get(partition);
            equal(found.offset(), 4L);
            equal(found.timestamp(), start + 4000);
            check(consumer.offsetsForTimes(Map.of(partition, start + 1_000_000)).get(partition) == null, "no offset after the end");
            equal(consumer.endOffsets(List.of(partition)).get(partition), 10L);
            equal(consumer.beginningOffsets(List.of(partition)).get(partition), 0L);
        }
    }

    static void large(Admin admin) throws Exception {
        create(admin, "large", 1);
        byte[] value = noise(900_000);
        try (var producer = producer(base())) {
            producer.send(new ProducerRecord<>(topic("large"), "k", value)).get();
        }
        check(Arrays.equals(readAll("large", 1).get(0).value(), value), "the large record came back changed");
    }

    static void tooLarge(Admin admin) throws Exception {
        create(admin, "too-large", 1);
        Map<String, Object> config = base();
        config.put("max.request.size", 10_000_000);
        try (var producer = producer(config)) {
            producer.send(new ProducerRecord<>(topic("too-large"), "k", noise(2_000_000))).get();
            throw new IllegalStateException("a record of 2 MB was taken");
        } catch (ExecutionException error) {
            check(error.getCause() instanceof RecordTooLargeException, "refused with " + error.getCause());
        }
        try (var producer = producer(base())) {
            equal(producer.send(new ProducerRecord<>(topic("too-large"), "k", noise(10))).get().offset(), 0L);
        }
    }

    static void idempotent(Admin admin) throws Exception {
        create(admin, "idempotent", 1);
        Map<String, Object> config = base();
        config.put("enable.idempotence", true);
        config.put("acks", "all");
        config.put("batch.size", 500);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = producer(config)) {
            for (int n = 0; n < 1000; n++) {
                sent.add(producer.send(new ProducerRecord<>(topic("idempotent"), "k", Integer.toString(n).getBytes())));
            }
        }
        for (int n = 0; n < sent.size(); n++) {
            equal(sent.get(n).get().offset(), (long) n);
        }
        int n = 0;
        for (var record : readAll("idempotent", 1000)) {
            equal(new String(record.value()), Integer.toString(n++));
        }
    }

    static void group(Admin admin) throws Exception {
        create(admin, "group", 1);
        try (var producer = producer(base())) {
            for (int n = 0; n < 100; n++) {
                producer.send(new ProducerRecord<>(topic("group"), "k", Integer.toString(n).getBytes()));
            }
        }
        List<String> read = new ArrayList<>();
        TopicPartition partition = new TopicPartition(topic("group"), 0);
        try (var consumer = consumer(prefix + "group")) {
            consumer.subscribe(List.of(topic("group")));
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (read.size() < 50 && System.nanoTime() < deadline) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    if (read.size() < 50) {
                        read.add(new String(record.value()));
                    }
                }
            }
            equal(read.size(), 50);
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(50, "half way")));
        }
        try (var consumer = consumer(prefix + "group")) {
            consumer.subscribe(List.of(topic("group")));
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (read.size() < 100 && System.nanoTime() < deadline) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    read.add(new String(record.value()));
                }
            }
            OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
            equal(committed.offset(), 50L);
            equal(committed.metadata(), "half way");
            consumer.commitSync();
            equal(consumer.committed(Set.of(partition)).get(partition).offset(), 100L);
        }
        List<String> expected = new ArrayList<>();
        for (int n = 0; n < 100; n++) {
            expected.add(Integer.toString(n));
        }
        equal(read, expected);
    }

    static void groups(Admin admin) throws Exception {
        String name = prefix + "group";
        List<String> names = new ArrayList<>();
        for (var listing : admin.listConsumerGroups().all().get()) {
            names.add(listing.groupId());
        }
        check(names.contains(name), "groups are " + names);
        var described = admin.describeConsumerGroups(List.of(name)).all().get().get(name);
        equal(described.groupId(), name);
        check(described.coordinator() != null, "no coordinator");
        var offsets = admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get();
        equal(offsets.get(new TopicPartition(topic("group"), 0)).offset(), 100L);
        admin.deleteConsumerGroups(List.of(name)).all().get();
        await("the group to be gone", () -> {
            for (var listing : admin.listConsumerGroups().all().get()) {
                if (listing.groupId().equals(name)) {
                    return false;
                }
            }
            return true;
        });
    }

    static void deleteRecords(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(topic("idempotent"), 0);
        var low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(400))).lowWatermarks().get(partition).get();
        equal(low.lowWatermark(), 400L);
        try (var consumer = consumer(null)) {
            equal(consumer.beginningOffsets(List.of(partition)).get(partition), 400L);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            equal(consumer.position(partition), 400L);
        }
    }

    // --- what the steps share

    static String version() throws Exception {
        Properties properties = new Properties();
        try (var resource = Admin.class.getResourceAsStream("/kafka/kafka-version.properties")) {
            properties.load(resource);
        }
        return properties.getProperty("version");
    }

    static String topic(String name) {
        return prefix + name;
    }

    static Map<String, Object> base() {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        return config;
    }

    static KafkaProducer<String, byte[]> producer(Map<String, Object> config) {
        return new KafkaProducer<>(config, new StringSerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<String, byte[]> consumer(String group) {
        Map<String, Object> config = base();
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        if (group != null) {
            config.put("group.id", group);
        }
        return new KafkaConsumer<>(config, new StringDeserializer(), new ByteArrayDeserializer());
    }

    static List<ConsumerRecord<String, byte[]>> readAll(String name, int count) {
        List<ConsumerRecord<String, byte[]>> read = new ArrayList<>();
        TopicPartition partition = new TopicPartition(topic(name), 0);
        try (var consumer = consumer(null)) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long deadline = System.nanoTime() + 30_000_000_000L;
            while (read.size() < count && System.nanoTime() < deadline) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    read.add(record);
                }
            }
            equal(read.size(), count);
            equal(consumer.endOffsets(List.of(partition)).get(partition), (long) count);
        }
        return read;
    }

    static void create(Admin admin, String name, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic(name), Optional.of(partitions), Optional.empty()))).all().get();
        await("the topic " + name, () -> describe(admin, name).partitions().size() == partitions);
    }

    @SuppressWarnings("unchecked")
    static TopicDescription describe(Admin admin, String name) throws Exception {
        DescribeTopicsResult result = admin.describeTopics(List.of(topic(name)));
        KafkaFuture<Map<String, TopicDescription>> all;
        try {
            all = (KafkaFuture<Map<String, TopicDescription>>) DescribeTopicsResult.class.getMethod("allTopicNames").invoke(result);
        } catch (NoSuchMethodException older) {
            all = (KafkaFuture<Map<String, TopicDescription>>) DescribeTopicsResult.class.getMethod("all").invoke(result);
        }
        return all.get().get(topic(name));
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    // Metadata spreads after the answer; a condition that never holds is the failure.
    static void await(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + 30_000_000_000L;
        Exception last = null;
        while (System.nanoTime() < deadline) {
            try {
                if (condition.holds()) {
                    return;
                }
            } catch (ExecutionException notYet) {
                last = notYet;
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("waited in vain for " + what, last);
    }

    static byte[] noise(int length) {
        byte[] bytes = new byte[length];
        new Random(7).nextBytes(bytes);
        return bytes;
    }

    static void step(String name, Step step) {
        try {
            step.run();
            System.out.println("STEP\t" + name + "\tok");
        } catch (Throwable error) {
            failed = true;
            System.out.println("STEP\t" + name + "\tfailed\t" + error.toString().replaceAll("[\\t\\n]", " "));
            error.printStackTrace();
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    static void equal(Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            String a = String.valueOf(actual);
            String e = String.valueOf(expected);
            throw new IllegalStateException("got " + a.substring(0, Math.min(200, a.length())) + ", expected " + e.substring(0, Math.min(200, e.length())));
        }
    }
}
