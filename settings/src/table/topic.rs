//! Keys of a topic, with the broker keys that stand in when the topic says nothing.

use crate::table::rows;

rows! { Topic:
    Partly(COMPACTION) List    "cleanup.policy"                          "delete"              [list of "compact" "delete"] Own Medium Plain ["log.cleanup.policy"] "What happens to old records: delete, compact, or both.";
    Served             Int     "compression.gzip.level"                  "-1"                  [-1 or 1..=9]        Own Medium Plain ["compression.gzip.level"] "Level when the broker compresses with gzip; -1 is the codec's own.";
    Accepted           Int     "compression.lz4.level"                   "9"                   [1..=17]             Own Medium Plain ["compression.lz4.level"] "Level when the broker compresses with lz4. Ottla has one level.";
    Served             String  "compression.type"                        "producer"            [of "uncompressed" "zstd" "lz4" "snappy" "gzip" "producer"] Own Medium Plain ["compression.type"] "Codec of batches at rest; producer keeps what was sent.";
    Served             Int     "compression.zstd.level"                  "3"                   [-131072..=22]       Own Medium Plain ["compression.zstd.level"] "Level when the broker compresses with zstd.";
    Accepted           Long    "delete.retention.ms"                     "86400000"            [0..]                Own Medium Ms    ["log.cleaner.delete.retention.ms"] "How long compaction keeps deletion markers.";
    Served             Long    "file.delete.delay.ms"                    "60000"               [0..]                Own Medium Ms    ["log.segment.delete.delay.ms"] "How long a deleted segment stays on disk under another name.";
    Served             Long    "flush.messages"                          "9223372036854775807" [1..]                Own Medium Plain ["log.flush.interval.messages"] "Records after which a log with page-cache durability is synced; with fsync every write is.";
    Served             Long    "flush.ms"                                "9223372036854775807" [0..]                Own Medium Ms    ["log.flush.interval.ms" "log.flush.scheduler.interval.ms"] "Time after which a log with page-cache durability is synced; with fsync every write is.";
    Accepted           List    "follower.replication.throttled.replicas" ""                    [replicas]           Own Medium Plain "Replicas that follow at a throttled rate, as partition:broker, or * for all.";
    Served             Int     "index.interval.bytes"                    "4096"                [0..]                Own Medium Bytes ["log.index.interval.bytes"] "Bytes of log between two index entries.";
    Served             Int     "internal.segment.bytes"                  null                  []                   Own Medium Bytes since "4.1" internal true "Smaller segments than the public key allows. For tests.";
    Accepted           List    "leader.replication.throttled.replicas"   ""                    [replicas]           Own Medium Plain "Replicas that are served at a throttled rate, as partition:broker, or * for all.";
    Accepted           Long    "local.retention.bytes"                   "-2"                  [-2..]               Own Medium Bytes ["log.local.retention.bytes"] "Size above which a tiered log drops local segments; -2 follows retention.bytes.";
    Accepted           Long    "local.retention.ms"                      "-2"                  [-2..]               Own Medium Ms    ["log.local.retention.ms"] "Age at which a tiered log drops local segments; -2 follows retention.ms.";
    Accepted           Long    "max.compaction.lag.ms"                   "9223372036854775807" [1..]                Own Medium Ms    ["log.cleaner.max.compaction.lag.ms"] "Records older than this are compacted even when the ratio is small.";
    Served             Int     "max.message.bytes"                       "1048588"             [0..]                Own Medium Bytes ["message.max.bytes"] "Largest record batch that is taken, as compressed.";
    Served             Long    "message.timestamp.after.max.ms"          "3600000"             [0..]                Own Medium Ms    ["log.message.timestamp.after.max.ms"] "How far a producer's timestamp may lie in the future.";
    Served             Long    "message.timestamp.before.max.ms"         "9223372036854775807" [0..]                Own Medium Ms    ["log.message.timestamp.before.max.ms"] "How far a producer's timestamp may lie in the past.";
    Served             String  "message.timestamp.type"                  "CreateTime"          [of "CreateTime" "LogAppendTime"] Own Medium Plain ["log.message.timestamp.type"] "Whose time a record carries: its producer's or the leader's at append.";
    Accepted           Double  "min.cleanable.dirty.ratio"               "0.5"                 [0..=1]              Own Medium Share ["log.cleaner.min.cleanable.ratio"] "Share of the log that must be uncompacted before it is compacted.";
    Accepted           Long    "min.compaction.lag.ms"                   "0"                   [0..]                Own Medium Ms    ["log.cleaner.min.compaction.lag.ms"] "Records younger than this are not compacted.";
    Served             Int     "min.insync.replicas"                     "1"                   [1..]                Own Medium Plain ["min.insync.replicas"] "Replicas in sync that a write with acks=all needs.";
    Served             String  "ottla.durability"                        "fsync"               [of "fsync" "page-cache"] Own Medium Plain ["ottla.durability"] since "ottla" "When a write is durable: fsync (before it is acknowledged) or page-cache (Kafka's way: the system writes it later).";
    Accepted           Boolean "preallocate"                             "false"               []                   Own Medium Plain ["log.preallocate"] "Segments take their full size on disk from the start.";
    Accepted           Boolean "remote.log.copy.disable"                 "false"               []                   Own Medium Plain "A tiered topic copies no more segments.";
    Accepted           Boolean "remote.log.delete.on.disable"            "false"               []                   Own Medium Plain "Remote segments are deleted when tiering of the topic is turned off.";
    Refused(TIERED)    Boolean "remote.storage.enable"                   "false"               []                   Own Medium Plain "Old segments of the topic move to remote storage.";
    Served             Long    "retention.bytes"                         "-1"                  []                   Own Medium Bytes ["log.retention.bytes"] "Size of a partition above which its oldest segments are deleted; -1 for no limit.";
    Served             Long    "retention.ms"                            "604800000"           [-1..]               Own Medium Ms    ["log.retention.ms" "log.retention.minutes" "log.retention.hours"] "Age at which segments are deleted; -1 for never.";
    Served             Int     "segment.bytes"                           "1073741824"          [1048576..]          Own Medium Bytes ["log.segment.bytes"] "Size at which a log starts a new segment.";
    Served             Int     "segment.index.bytes"                     "10485760"            [4..]                Own Medium Bytes ["log.index.size.max.bytes"] "Largest index of a segment; a full index ends the segment.";
    Accepted           Long    "segment.jitter.ms"                       "0"                   [0..]                Own Medium Ms    ["log.roll.jitter.ms" "log.roll.jitter.hours"] "Random part taken off the age, so that segments do not end together.";
    Served             Long    "segment.ms"                              "604800000"           [1..]                Own Medium Ms    ["log.roll.ms" "log.roll.hours"] "Age at which a log starts a new segment.";
    Accepted           Boolean "unclean.leader.election.enable"          "false"               []                   Own Medium Plain ["unclean.leader.election.enable"] "A replica that is not in sync may lead when no other can; acknowledged records may be lost.";
}
