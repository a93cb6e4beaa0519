// The facts of Kafka's own configuration definitions, for e2e/tests/settings_oracle.rs: one line per key,
// fields separated by tabs:
//   scope (broker, topic, group) | name | type | default ("\0" for none, "\1" for null) | importance | internal | validator | update mode | broker synonym
// With argument "check": reads lines `scope TAB name TAB value` on stdin and prints `ok` or `refused` for each.
// With argument "start": reads properties files, each ended by a line "----", and prints `ok` or `refused` and why.

import java.io.*;
import java.util.*;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.*;
import org.apache.kafka.storage.internals.log.LogConfig;

public class SettingsFacts {
    /** What loggers print goes elsewhere. */
    static final PrintStream OUT = System.out;

    public static void main(String[] args) throws Exception {
        System.setOut(System.err);
        Map<String, ConfigDef> all = new LinkedHashMap<>();
        all.put("broker", AbstractKafkaConfig.CONFIG_DEF);
        all.put("topic", LogConfig.configDefCopy());
        all.put("group", GroupConfig.CONFIG_DEF);
        if (args.length > 0) {
            if (args[0].equals("check")) check(all); else start();
            return;
        }
        Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        all.forEach((scope, def) -> new TreeMap<>(def.configKeys()).forEach((name, key) -> print(scope, name, key, modes)));
        new TreeMap<>(DynamicConfig.Broker.configKeys()).forEach((name, key) -> {
            if (!all.get("broker").configKeys().containsKey(name)) print("broker-dynamic-only", name, key, modes);
        });
    }

    static void print(String scope, String name, ConfigDef.ConfigKey key, Map<String, String> modes) {
        String value = !key.hasDefault() ? "\0" : key.defaultValue == null ? "\1" : ConfigDef.convertToString(key.defaultValue, key.type);
        String validator = key.validator == null ? "" : key.validator.toString();
        String synonym = switch (scope) {
            case "topic" -> String.join(",", ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.getOrDefault(name, List.of()).stream().map(ConfigSynonym::name).toList());
            case "group" -> GroupConfig.ALL_GROUP_CONFIG_SYNONYMS.getOrDefault(name, Optional.empty()).orElse("");
            default -> String.join(",", DynamicBrokerConfig.brokerConfigSynonyms(name, false));
        };
        OUT.println(String.join("\t", scope, name, key.type.name(), value, key.importance.name(), String.valueOf(key.internalConfig),
            validator, scope.startsWith("broker") ? modes.getOrDefault(name, "read-only") : "", synonym));
    }

    static void check(Map<String, ConfigDef> all) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String[] parts = line.split("\t", -1);
            ConfigDef.ConfigKey key = all.get(parts[0]).configKeys().get(parts[1]);
            String answer = "ok";
            try {
                Object value = ConfigDef.parseType(key.name, parts[2], key.type);
                if (key.validator != null) key.validator.ensureValid(key.name, value);
            } catch (RuntimeException refused) {
                answer = "refused";
            }
            OUT.println(answer);
        }
    }

    static void start() throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder file = new StringBuilder();
        for (String line; (line = in.readLine()) != null; ) {
            if (!line.equals("----")) {
                file.append(line).append('\n');
                continue;
            }
            String answer = "ok";
            try {
                Properties properties = new Properties();
                properties.load(new StringReader(file.toString()));
                kafka.server.KafkaConfig.fromProps(properties, false);
            } catch (RuntimeException refused) {
                answer = "refused " + String.valueOf(refused.getMessage()).replaceAll("\\s+", " ");
            }
            OUT.println(answer);
            file.setLength(0);
        }
    }
}
