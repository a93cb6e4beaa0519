// Produces the stanzas FROM..TO of a file (separated by an empty line) to a topic, idempotent and
// with acks=all: key = the package name, value = the stanza. Creates the topic if it is missing.
// `java -cp … ProduceStanzas.java BOOTSTRAP TOPIC PARTITIONS FILE FROM TO`; prints `SENT n`.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.StringSerializer;

public class ProduceStanzas {
    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String topic = args[1];
        String[] stanzas = Files.readString(Path.of(args[3]), StandardCharsets.UTF_8).split("\n\n");
        int from = Integer.parseInt(args[4]);
        int to = Math.min(Integer.parseInt(args[5]), stanzas.length);
        create(bootstrap, topic, Integer.parseInt(args[2]));

        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("enable.idempotence", true);
        config.put("acks", "all");
        config.put("compression.type", "lz4");
        config.put("linger.ms", 5);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int n = from; n < to; n++) {
                sent.add(producer.send(new ProducerRecord<>(topic, packageOf(stanzas[n]), stanzas[n])));
            }
        }
        for (var future : sent) {
            if (!future.get().hasOffset()) {
                throw new IllegalStateException("a record without an offset");
            }
        }
        System.out.println("SENT " + sent.size());
    }

    static void create(String bootstrap, String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof TopicExistsException)) {
                throw error;
            }
        }
    }

    static String packageOf(String stanza) {
        int end = stanza.indexOf('\n');
        String first = end < 0 ? stanza : stanza.substring(0, end);
        return first.substring(first.indexOf(':') + 1).trim();
    }
}
