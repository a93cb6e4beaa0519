// Kafka's own record classes behind a pipe, for e2e/tests/records_oracle.rs.
// Frames in and out: i32 length, then the content. A request starts with one byte:
//   1 DUMP      batches                                          -> text, one line per batch and per record
//   2 MAKE      i64 seed, i8 codec                               -> a batch with random records
//   3 VALIDATE  i16 version, i8 target codec (-1: producer's), i8 compacted, i8 append time, i64 now, before, after, batch
//                                                                -> text: what a leader would append, or the error's name
//   4 MARKER    i8 commit, i32 coordinator epoch, i64 producer id, i16 producer epoch, i64 timestamp -> a batch
//   5 CONTROL   i64 timestamp, i32 leader epoch                  -> one batch with each KRaft control record
// An exception is answered with text: "error NAME".

import java.io.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.*;
import org.apache.kafka.storage.internals.log.*;

public class RecordsOracle {
    public static void main(String[] args) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        // What loggers print goes elsewhere.
        System.setOut(System.err);
        while (true) {
            byte[] frame;
            try {
                frame = new byte[in.readInt()];
            } catch (EOFException end) {
                return;
            }
            in.readFully(frame);
            byte[] answer;
            try {
                answer = answer(ByteBuffer.wrap(frame));
            } catch (Throwable error) {
                answer = ("error " + nameOf(error)).getBytes(StandardCharsets.UTF_8);
            }
            out.writeInt(answer.length);
            out.write(answer);
            out.flush();
        }
    }

    static String nameOf(Throwable error) {
        if (error instanceof RecordValidationException invalid)
            return Errors.forException(invalid.invalidException()) + " " + invalid.recordErrors().stream().map(e -> e.batchIndex).toList();
        return Errors.forException(error).name();
    }

    static byte[] answer(ByteBuffer request) throws Exception {
        switch (request.get()) {
            case 1: return dump(MemoryRecords.readableRecords(request.slice())).getBytes(StandardCharsets.UTF_8);
            case 2: return make(new Random(request.getLong()), request.get());
            case 3: return validate(request).getBytes(StandardCharsets.UTF_8);
            case 4: return marker(request);
            case 5: return control(request.getLong(), request.getInt());
            default: throw new IllegalArgumentException();
        }
    }

    static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    static String hex(ByteBuffer buffer) {
        return buffer == null ? "null" : HexFormat.of().formatHex(bytes(buffer));
    }

    static String dump(MemoryRecords records) {
        StringBuilder text = new StringBuilder();
        for (MutableRecordBatch b : records.batches()) {
            b.ensureValid();
            text.append(String.format("batch %d..%d leader %d codec %s %s max %d producer %d/%d/%d..%d%s%s%s size %d count %d%n",
                b.baseOffset(), b.lastOffset(), b.partitionLeaderEpoch(), b.compressionType().name, b.timestampType().name,
                b.maxTimestamp(), b.producerId(), b.producerEpoch(), b.baseSequence(), b.lastSequence(),
                b.isTransactional() ? " transactional" : "", b.isControlBatch() ? " control" : "",
                b.deleteHorizonMs().isPresent() ? " horizon " + b.deleteHorizonMs().getAsLong() : "", b.sizeInBytes(), b.countOrNull()));
            try (CloseableIterator<org.apache.kafka.common.record.internal.Record> all = b.streamingIterator(BufferSupplier.create())) {
                while (all.hasNext()) {
                    org.apache.kafka.common.record.internal.Record r = all.next();
                    text.append(String.format("  %d @%d #%d %s=%s", r.offset(), r.timestamp(), r.sequence(), hex(r.key()), hex(r.value())));
                    for (Header h : r.headers())
                        text.append(" " + HexFormat.of().formatHex(h.key().getBytes(StandardCharsets.UTF_8)) + ":"
                            + (h.value() == null ? "null" : HexFormat.of().formatHex(h.value())));
                    text.append(String.format("%n"));
                }
            }
        }
        return text.toString();
    }

    static byte[] field(Random random) {
        if (random.nextInt(5) == 0) return null;
        byte[] bytes = new byte[random.nextInt(200) == 0 ? random.nextInt(100_000) : random.nextInt(60)];
        random.nextBytes(bytes);
        // Something that compresses, so that codecs do more than copy.
        Arrays.fill(bytes, 0, bytes.length / 2, (byte) 'x');
        return bytes;
    }

    static byte[] make(Random random, byte codec) {
        boolean idempotent = random.nextBoolean();
        boolean append = random.nextInt(4) == 0;
        long time = 1_700_000_000_000L + random.nextInt();
        ByteBufferOutputStream out = new ByteBufferOutputStream(1024);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(out, RecordBatch.MAGIC_VALUE_V2,
            Compression.of(CompressionType.forId(codec)).build(), append ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME,
            random.nextInt(3) == 0 ? Math.abs(random.nextLong()) / 2 : 0, append ? time : RecordBatch.NO_TIMESTAMP,
            idempotent ? Math.abs(random.nextLong()) : -1, (short) (idempotent ? random.nextInt(30000) : -1),
            idempotent ? (random.nextBoolean() ? Integer.MAX_VALUE - 2 : random.nextInt(Integer.MAX_VALUE)) : -1,
            idempotent && random.nextBoolean(), false, random.nextInt(), Integer.MAX_VALUE);
        int count = 1 + random.nextInt(random.nextInt(10) == 0 ? 2000 : 20);
        for (int i = 0; i < count; i++) {
            Header[] headers = new Header[random.nextInt(4) == 0 ? random.nextInt(5) : 0];
            for (int h = 0; h < headers.length; h++)
                headers[h] = new RecordHeader(random.nextInt(3) == 0 ? "" : "schlüssel" + random.nextInt(2), field(random));
            builder.append(time + random.nextInt(), field(random), field(random), headers);
        }
        return bytes(builder.build().buffer());
    }

    static String validate(ByteBuffer request) {
        short version = request.getShort();
        byte target = request.get();
        boolean compacted = request.get() != 0;
        TimestampType type = request.get() != 0 ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        long now = request.getLong(), before = request.getLong(), after = request.getLong();
        MemoryRecords records = MemoryRecords.readableRecords(request.slice());
        ProduceRequest.validateRecords(version, records);
        MutableRecordBatch batch = records.batches().iterator().next();
        batch.ensureValid();
        CompressionType source = batch.compressionType();
        Compression goal = target < 0 ? Compression.of(source).build() : Compression.of(CompressionType.forId(target)).build();
        LogValidator validator = new LogValidator(records, new TopicPartition("t", 0), new MockedTime(now), source, goal, compacted,
            RecordBatch.MAGIC_VALUE_V2, type, before, after, 9, AppendOrigin.CLIENT);
        LogValidator.ValidationResult result = validator.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(1000), new NoMetrics(), BufferSupplier.create());
        return dump(result.validatedRecords());
    }

    static byte[] marker(ByteBuffer r) {
        ControlRecordType type = r.get() != 0 ? ControlRecordType.COMMIT : ControlRecordType.ABORT;
        int coordinatorEpoch = r.getInt();
        long producerId = r.getLong();
        short producerEpoch = r.getShort();
        return bytes(MemoryRecords.withEndTransactionMarker(0, r.getLong(), RecordBatch.NO_PARTITION_LEADER_EPOCH, producerId, producerEpoch,
            new EndTransactionMarker(type, coordinatorEpoch)).buffer());
    }

    static byte[] control(long time, int epoch) {
        ByteBuffer all = ByteBuffer.allocate(4096);
        all.put(MemoryRecords.withLeaderChangeMessage(0, time, epoch, ByteBuffer.allocate(512), new LeaderChangeMessage().setLeaderId(1)
            .setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)))).buffer());
        all.put(MemoryRecords.withSnapshotHeaderRecord(1, time, epoch, ByteBuffer.allocate(512), new SnapshotHeaderRecord().setLastContainedLogTimestamp(5)).buffer());
        all.put(MemoryRecords.withSnapshotFooterRecord(2, time, epoch, ByteBuffer.allocate(512), new SnapshotFooterRecord()).buffer());
        all.put(MemoryRecords.withKRaftVersionRecord(3, time, epoch, ByteBuffer.allocate(512), new KRaftVersionRecord().setKRaftVersion((short) 1)).buffer());
        all.put(MemoryRecords.withVotersRecord(4, time, epoch, ByteBuffer.allocate(512), new VotersRecord().setVoters(List.of(
            new VotersRecord.Voter().setVoterId(1).setVoterDirectoryId(new Uuid(3, 4)).setEndpoints(new VotersRecord.EndpointCollection())))).buffer());
        all.flip();
        return bytes(all);
    }

    static class NoMetrics implements LogValidator.MetricsRecorder {
        public void recordInvalidMagic() {}
        public void recordInvalidOffset() {}
        public void recordInvalidSequence() {}
        public void recordInvalidChecksums() {}
        public void recordNoKeyCompactedTopic() {}
    }

    static class MockedTime implements Time {
        final long now;
        MockedTime(long now) { this.now = now; }
        public long milliseconds() { return now; }
        public long nanoseconds() { return now * 1_000_000; }
        public void sleep(long ms) {}
        public void waitObject(Object object, java.util.function.Supplier<Boolean> condition, long deadline) {}
        public <T> T waitForFuture(java.util.concurrent.Future<T> future, long deadline) { throw new UnsupportedOperationException(); }
    }
}
