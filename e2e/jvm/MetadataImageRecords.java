// Replays metadata logs and snapshots with Apache Kafka's own classes and prints the resulting image as records:
// one line per record, the bytes of its value in hexadecimal. Arguments: files in the order in which they are replayed.

import java.io.File;
import java.util.*;
import org.apache.kafka.common.metadata.MetadataRecordType;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.image.*;
import org.apache.kafka.image.writer.*;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.server.common.ApiMessageAndVersion;

public class MetadataImageRecords {
    public static void main(String[] args) throws Exception {
        MetadataRecordSerde serde = new MetadataRecordSerde();
        MetadataImage image = MetadataImage.EMPTY;
        for (String file : args) {
            try (FileRecords records = FileRecords.open(new File(file), false)) {
                for (RecordBatch batch : records.batches()) {
                    batch.ensureValid();
                    if (batch.isControlBatch()) continue;
                    // A delta per batch, as Kafka's loader makes them.
                    MetadataDelta delta = new MetadataDelta.Builder().setImage(image).build();
                    for (org.apache.kafka.common.record.internal.Record record : batch) {
                        ApiMessageAndVersion message = serde.read(new ByteBufferAccessor(record.value()), record.valueSize());
                        MetadataRecordType type = MetadataRecordType.fromId(message.message().apiKey());
                        // A log of a cluster that never failed over has no aborted transactions.
                        if (type == MetadataRecordType.BEGIN_TRANSACTION_RECORD || type == MetadataRecordType.END_TRANSACTION_RECORD) continue;
                        delta.replay(message.message());
                    }
                    image = delta.apply(MetadataProvenance.EMPTY);
                }
            }
        }
        RecordListWriter writer = new RecordListWriter();
        image.write(writer, new ImageWriterOptions.Builder(image).build());
        for (ApiMessageAndVersion message : writer.records()) {
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBufferAccessor out = new ByteBufferAccessor(java.nio.ByteBuffer.allocate(serde.recordSize(message, cache)));
            serde.write(message, cache, out);
            System.out.println(HexFormat.of().formatHex(out.buffer().array()));
        }
    }
}
