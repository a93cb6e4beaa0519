// The JVM's side of e2e/tests/codec_oracle.rs: reads and writes messages with the classes of the
// published Kafka jars, and makes random instances of its own through their setters.
//
// Both directions are big-endian binary. A request is: name, version to read, version to write, count, that many
// byte strings, then a seed and the number of own instances wanted. The answer is: for each byte
// string what it became after read and write (or why not), then the own instances. A byte string is
// an int32 length and the bytes; a refusal is the length -1 and a UTF string.

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.ArrayOf;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.CompactArrayOf;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class CodecOracle {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.",
        "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
        "org.apache.kafka.raft.generated.",
        "org.apache.kafka.storage.internals.log.",
        "org.apache.kafka.storage.internals.log.generated.",
    };
    private static final String[] LETTERS = {"a", "Q", "_", "\0", "é", "語", "\uffff", "🦀"};

    private final Random random;

    private CodecOracle(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        while (true) {
            String name;
            try {
                name = in.readUTF();
            } catch (EOFException end) {
                return;
            }
            Class<?> type = find(name);
            short readVersion = in.readShort();
            short writeVersion = in.readShort();
            List<byte[]> given = new ArrayList<>();
            for (int left = in.readInt(); left > 0; left--) {
                given.add(in.readNBytes(in.readInt()));
            }
            CodecOracle oracle = new CodecOracle(in.readLong());
            int wanted = in.readInt();
            for (byte[] bytes : given) {
                recode(type, bytes, readVersion, writeVersion, out);
            }
            Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[writeVersion];
            for (; wanted > 0; wanted--) {
                Message message = (Message) type.getConstructor().newInstance();
                oracle.fill(message, schema);
                send(out, write(message, writeVersion));
            }
            out.flush();
        }
    }

    private static Class<?> find(String name) throws ClassNotFoundException {
        for (String prefix : PACKAGES) {
            for (String suffix : new String[] {"", "Data"}) {
                try {
                    Class<?> type = Class.forName(prefix + name + suffix);
                    if (Message.class.isAssignableFrom(type)) return type;
                } catch (ClassNotFoundException next) {
                    // The next package.
                }
            }
        }
        throw new ClassNotFoundException(name);
    }

    private static void recode(Class<?> type, byte[] bytes, short readVersion, short writeVersion, DataOutputStream out)
            throws Exception {
        byte[] written;
        try {
            Message message = (Message) type.getConstructor().newInstance();
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            message.read(new ByteBufferAccessor(buffer), readVersion);
            if (buffer.hasRemaining()) throw new RuntimeException(buffer.remaining() + " bytes left");
            written = write(message, writeVersion);
        } catch (RuntimeException refusal) {
            out.writeInt(-1);
            out.writeUTF(String.valueOf(refusal));
            return;
        }
        send(out, written);
    }

    private static byte[] write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) throw new RuntimeException("size() promised " + buffer.remaining() + " more bytes");
        return buffer.array();
    }

    private static void send(DataOutputStream out, byte[] bytes) throws Exception {
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    /** Gives every field that the schema of the version has a random value. */
    private void fill(Message message, Schema schema) throws Exception {
        for (BoundField field : schema.fields()) {
            if (field.def.type instanceof TaggedFields tagged) {
                for (Field known : tagged.fields().values()) {
                    if (random.nextBoolean()) set(message, known);
                }
                int tag = 100;
                while (random.nextInt(8) == 0) {
                    tag += 1 + random.nextInt(20_000);
                    message.unknownTaggedFields().add(new RawTaggedField(tag, bytes(random.nextInt(20))));
                }
            } else {
                set(message, field.def);
            }
        }
    }

    private void set(Message message, Field field) throws Exception {
        Method setter = setters(message.getClass()).get(field.name.replace("_", ""));
        if (setter == null) throw new NoSuchMethodException(message.getClass() + " has no setter for " + field.name);
        setter.invoke(message, value(field.type, setter.getGenericParameterTypes()[0]));
    }

    private static final Map<Class<?>, Map<String, Method>> SETTERS = new HashMap<>();

    /** Setters by the field's name, without capitals and underscores. */
    private static Map<String, Method> setters(Class<?> type) {
        return SETTERS.computeIfAbsent(type, key -> {
            Map<String, Method> found = new HashMap<>();
            for (Method method : key.getMethods()) {
                if (method.getName().startsWith("set") && method.getParameterCount() == 1) {
                    found.put(method.getName().substring(3).toLowerCase(Locale.ROOT), method);
                }
            }
            return found;
        });
    }

    private Object value(org.apache.kafka.common.protocol.types.Type type, Type java) throws Exception {
        if (type.isNullable() && random.nextInt(4) == 0) return null;
        if (type instanceof ArrayOf || type instanceof CompactArrayOf) {
            return collection(type.arrayElementType().orElseThrow(), java);
        }
        if (type instanceof Schema schema) {
            Message message = (Message) ((Class<?>) java).getConstructor().newInstance();
            fill(message, schema);
            return message;
        }
        Class<?> plain = (Class<?>) java;
        if (plain == boolean.class || plain == Boolean.class) return random.nextBoolean();
        if (plain == byte.class || plain == Byte.class) return (byte) integer();
        if (plain == short.class || plain == Short.class) return (short) integer();
        if (plain == int.class || plain == Integer.class) {
            // An unsigned int16 is an int in Java.
            return type.toString().equals("UINT16") ? (int) integer() & 0xffff : (int) integer();
        }
        if (plain == long.class || plain == Long.class) {
            return type.toString().equals("UINT32") ? integer() & 0xffff_ffffL : integer();
        }
        if (plain == double.class || plain == Double.class) return random.nextGaussian();
        if (plain == Uuid.class) return random.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        if (plain == String.class) return text();
        byte[] bytes = bytes(random.nextInt(60) == 0 ? 5000 : random.nextInt(40));
        if (plain == byte[].class) return bytes;
        if (plain == ByteBuffer.class) return ByteBuffer.wrap(bytes);
        if (plain == BaseRecords.class) return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        throw new IllegalArgumentException("no idea how to make a " + java + " for " + type);
    }

    private Object collection(org.apache.kafka.common.protocol.types.Type element, Type java) throws Exception {
        Collection<Object> collection;
        Type elements;
        if (java instanceof ParameterizedType list) {
            collection = new ArrayList<>();
            elements = list.getActualTypeArguments()[0];
        } else {
            // A keyed collection: a class of its own that extends the generic one.
            Class<?> keyed = (Class<?>) java;
            @SuppressWarnings("unchecked")
            Collection<Object> made = (Collection<Object>) keyed.getConstructor().newInstance();
            collection = made;
            elements = ((ParameterizedType) keyed.getGenericSuperclass()).getActualTypeArguments()[0];
        }
        for (int left = random.nextInt(50) == 0 ? random.nextInt(40) : random.nextInt(3); left > 0; left--) {
            collection.add(value(element, elements));
        }
        return collection;
    }

    private long integer() {
        return switch (random.nextInt(4)) {
            case 0 -> 0;
            case 1 -> -1;
            case 2 -> random.nextInt(300);
            default -> random.nextLong();
        };
    }

    private String text() {
        StringBuilder text = new StringBuilder();
        for (int left = random.nextInt(20) == 0 ? random.nextInt(200) : random.nextInt(12); left > 0; left--) {
            text.append(LETTERS[random.nextInt(LETTERS.length)]);
        }
        return text.toString();
    }

    private byte[] bytes(int size) {
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        return bytes;
    }
}
