// Kafka's Java client over TLS, as several properties files configure it. What it finds is printed behind "=> ", since logs go to the
// same output, and in UTF-8. Each argument is one of
//   ok:FILE       records go to topic `over-tls` and come back: prints `FILE ok`, or `FILE refused EXCEPTION`
//   name:FILE     prints whom the certificate in FILE names, as Kafka's default principal builder does

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.cert.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class TlsClient {
    // Together more than what TLS and both sockets hold back: writes have to wait for the reader.
    private static final int RECORDS = 40;
    private static final int RECORD_BYTES = 400_000;

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        for (String arg : args) {
            Path file = Path.of(arg.substring(arg.indexOf(':') + 1));
            String name = file.getFileName().toString();
            if (arg.startsWith("name:")) {
                try (InputStream in = Files.newInputStream(file)) {
                    X509Certificate certificate = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
                    out.println("=> " + name + " " + certificate.getSubjectX500Principal().getName());
                }
                continue;
            }
            try {
                roundTrip(file);
                out.println("=> " + name + " ok");
            } catch (Exception e) {
                Throwable cause = e;
                while (cause.getCause() != null && !cause.getClass().getName().startsWith("org.apache.kafka")) {
                    cause = cause.getCause();
                }
                out.println("=> " + name + " refused " + cause.getClass().getSimpleName());
            }
        }
    }

    private static void roundTrip(Path file) throws Exception {
        Properties config = new Properties();
        try (Reader in = Files.newBufferedReader(file)) {
            config.load(in);
        }
        config.put("request.timeout.ms", "10000");
        config.put("default.api.timeout.ms", "20000");
        try (Admin admin = Admin.create(config)) {
            admin.describeCluster().nodes().get(20, TimeUnit.SECONDS);
        }
        config.put("max.request.size", "2000000");
        config.put("fetch.max.bytes", "52428800");
        config.put("max.partition.fetch.bytes", "52428800");
        TopicPartition partition = new TopicPartition("over-tls", 0);
        Random random = new Random(7);
        byte[] value = new byte[RECORD_BYTES];
        random.nextBytes(value);
        long first = -1;
        try (Producer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < RECORDS; i++) {
                byte[] copy = value.clone();
                copy[0] = (byte) i;
                sent.add(producer.send(new ProducerRecord<>(partition.topic(), 0, null, copy)));
            }
            for (java.util.concurrent.Future<RecordMetadata> one : sent) {
                long offset = one.get(20, TimeUnit.SECONDS).offset();
                first = first < 0 ? offset : Math.min(first, offset);
            }
        }
        try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, first);
            long deadline = System.nanoTime() + 20_000_000_000L;
            int got = 0;
            while (got < RECORDS) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(got + " records");
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    value[0] = (byte) got++;
                    if (!Arrays.equals(value, record.value())) {
                        throw new IllegalStateException("record " + got + " is not what was sent");
                    }
                }
            }
        }
    }
}
