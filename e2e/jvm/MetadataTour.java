// Changes a cluster's metadata in every way that the admin client has for it, so that its log holds as many
// record types as a plaintext cluster can be made to write. Argument: bootstrap servers.

import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class MetadataTour {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", args[0]));
        try (Admin admin = Admin.create(config)) {
            admin.createTopics(List.of(
                new NewTopic("plain", 3, (short) 1),
                new NewTopic("dots.in.name", 1, (short) 1).configs(Map.of("retention.ms", "1000", "cleanup.policy", "compact")),
                new NewTopic("assigned", Map.of(0, List.of(1), 1, List.of(1))),
                new NewTopic("gone", 2, (short) 1).configs(Map.of("retention.ms", "1")))).all().get(60, TimeUnit.SECONDS);
            admin.createPartitions(Map.of("plain", NewPartitions.increaseTo(70))).all().get(60, TimeUnit.SECONDS);
            alter(admin, new ConfigResource(ConfigResource.Type.TOPIC, "plain"), "retention.bytes", "5", AlterConfigOp.OpType.SET);
            alter(admin, new ConfigResource(ConfigResource.Type.TOPIC, "plain"), "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
            alter(admin, new ConfigResource(ConfigResource.Type.TOPIC, "dots.in.name"), "retention.ms", "", AlterConfigOp.OpType.DELETE);
            alter(admin, new ConfigResource(ConfigResource.Type.TOPIC, "plain"), "min.insync.replicas", "1", AlterConfigOp.OpType.SET);
            alter(admin, new ConfigResource(ConfigResource.Type.BROKER, "1"), "log.cleaner.threads", "1", AlterConfigOp.OpType.SET);
            alter(admin, new ConfigResource(ConfigResource.Type.BROKER, ""), "message.max.bytes", "2000000", AlterConfigOp.OpType.SET);
            alter(admin, new ConfigResource(ConfigResource.Type.GROUP, "some-group"), "consumer.session.timeout.ms", "46000", AlterConfigOp.OpType.SET);
            alter(admin, new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "some-metrics"), "interval.ms", "60000", AlterConfigOp.OpType.SET);
            admin.deleteTopics(List.of("gone")).all().get(60, TimeUnit.SECONDS);
            quota(admin, Map.of("user", "u"), "producer_byte_rate", 1000.0);
            quota(admin, Map.of("user", "u"), "request_percentage", 50.5);
            Map<String, String> defaults = new HashMap<>();
            defaults.put("user", "u");
            defaults.put("client-id", null);
            quota(admin, defaults, "consumer_byte_rate", 2000.0);
            quota(admin, Map.of("ip", "10.0.0.1"), "connection_creation_rate", 3.0);
            quota(admin, Map.of("ip", "10.0.0.1"), "connection_creation_rate", null);
            AclBinding kept = acl(ResourceType.TOPIC, "plain", PatternType.LITERAL, AclOperation.READ, AclPermissionType.ALLOW);
            AclBinding removed = acl(ResourceType.GROUP, "pre", PatternType.PREFIXED, AclOperation.ALL, AclPermissionType.DENY);
            admin.createAcls(List.of(kept, removed)).all().get(60, TimeUnit.SECONDS);
            admin.deleteAcls(List.of(removed.toFilter())).all().get(60, TimeUnit.SECONDS);
            admin.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion("alice", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"),
                new UserScramCredentialUpsertion("bob", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192), "secret"))).all().get(60, TimeUnit.SECONDS);
            admin.alterUserScramCredentials(List.of(new UserScramCredentialDeletion("bob", ScramMechanism.SCRAM_SHA_512))).all().get(60, TimeUnit.SECONDS);
            admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 0, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE)),
                new UpdateFeaturesOptions()).all().get(60, TimeUnit.SECONDS);
        }
        config.put("enable.idempotence", true);
        try (Producer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>("plain", new byte[] {1}, new byte[] {1})).get(60, TimeUnit.SECONDS);
        }
    }

    private static void alter(Admin admin, ConfigResource resource, String key, String value, AlterConfigOp.OpType type) throws Exception {
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), type)))).all().get(60, TimeUnit.SECONDS);
    }

    private static void quota(Admin admin, Map<String, String> entity, String key, Double value) throws Exception {
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(entity), List.of(new ClientQuotaAlteration.Op(key, value))))).all().get(60, TimeUnit.SECONDS);
    }

    private static AclBinding acl(ResourceType type, String name, PatternType pattern, AclOperation operation, AclPermissionType permission) {
        return new AclBinding(new ResourcePattern(type, name, pattern), new AccessControlEntry("User:u", "*", operation, permission));
    }
}
