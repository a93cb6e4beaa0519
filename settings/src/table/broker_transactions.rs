//! Producers, transactions, the share coordinator and client telemetry.

use crate::table::rows;

rows! { Broker:
    Served             Int     "producer.id.expiration.ms"                                   "86400000"  [1..]      ClusterWide Low    Ms    "How long a partition remembers an idle producer.";
    Accepted           Int     "producer.id.expiration.check.interval.ms"                    "600000"    [1..]      Static      Low    Ms    internal true "How often idle producers are looked for.";
    Accepted           Int     "transaction.max.timeout.ms"                                  "900000"    [1..]      Static      High   Ms    "Longest transaction timeout a producer may ask for.";
    Accepted           Int     "transactional.id.expiration.ms"                              "604800000" [1..]      Static      High   Ms    "How long an unused transactional id is remembered.";
    Accepted           Int     "transaction.state.log.num.partitions"                        "50"        [1..]      Static      High   Plain "Partitions of __transaction_state; not to be changed later.";
    Accepted           Short   "transaction.state.log.replication.factor"                    "3"         [1..]      Static      High   Plain "Replicas of __transaction_state.";
    Accepted           Int     "transaction.state.log.min.isr"                               "2"         [1..]      Static      High   Plain "Replicas in sync that a write to __transaction_state needs.";
    Accepted           Int     "transaction.state.log.segment.bytes"                         "104857600" [1..]      Static      High   Bytes "Segment size of __transaction_state.";
    Accepted           Int     "transaction.state.log.load.buffer.size"                      "5242880"   [1..]      Static      High   Bytes "Bytes read at a time when a coordinator loads.";
    Accepted           Int     "transaction.abort.timed.out.transaction.cleanup.interval.ms" "10000"     [1..]      Static      Low    Ms    "How often transactions beyond their timeout are aborted.";
    Accepted           Int     "transaction.remove.expired.transaction.cleanup.interval.ms"  "3600000"   [1..]      Static      Low    Ms    "How often expired transactional ids are removed.";
    Accepted           Boolean "transaction.partition.verification.enable"                   "true"      []         ClusterWide Low    Plain "A leader asks the coordinator before it takes the first write of a transaction.";
    Refused(TWO_PHASE) Boolean "transaction.two.phase.commit.enable"                         "false"     []         Static      Low    Plain since "4.1" "Transactions may be prepared and then wait for an outside decision without timeout.";
    Accepted           Int     "add.partitions.to.txn.retry.backoff.ms"                      "20"        [1..]      Static      High   Ms    since "4.0" "Wait before a partition is added to a busy transaction again.";
    Accepted           Int     "add.partitions.to.txn.retry.backoff.max.ms"                  "100"       [0..]      Static      High   Ms    since "4.0" "How long adding a partition to a transaction is tried.";
    Accepted           Int     "share.coordinator.state.topic.num.partitions"                "50"        [1..]      Static      High   Plain since "4.0" "Partitions of __share_group_state; not to be changed later.";
    Accepted           Short   "share.coordinator.state.topic.replication.factor"            "3"         [1..]      Static      High   Plain since "4.0" "Replicas of __share_group_state.";
    Accepted           Short   "share.coordinator.state.topic.min.isr"                       "2"         [1..]      Static      High   Plain since "4.0" "Replicas in sync that a write to __share_group_state needs.";
    Accepted           Int     "share.coordinator.state.topic.segment.bytes"                 "104857600" [1..]      Static      High   Bytes since "4.0" "Segment size of __share_group_state.";
    Accepted           Int     "share.coordinator.state.topic.compression.codec"             "0"         []         Static      High   Plain since "4.0" "Codec of __share_group_state by number, as offsets.topic.compression.codec.";
    Accepted           Int     "share.coordinator.state.topic.prune.interval.ms"             "300000"    [1..]      Static      Low    Ms    since "4.0" internal true "How often superseded share state is deleted.";
    Accepted           Int     "share.coordinator.load.buffer.size"                          "5242880"   [1..]      Static      High   Bytes since "4.0" "Bytes read at a time when a coordinator loads.";
    Accepted           Int     "share.coordinator.snapshot.update.records.per.snapshot"      "500"       [0..=500]  Static      Medium Plain since "4.0" "Updates of share state between two snapshots.";
    Accepted           Int     "share.coordinator.cold.partition.snapshot.interval.ms"       "300000"    [1..]      Static      Low    Ms    since "4.1" internal true "How often share state that does not change is written again.";
    Accepted           Int     "share.coordinator.threads"                                   "1"         [1..]      Static      Medium Plain since "4.0" "Kafka: threads of the share coordinator.";
    Accepted           Int     "share.coordinator.write.timeout.ms"                          "5000"      [1..]      Static      High   Ms    since "4.0" "How long a write of share state may wait for its replicas.";
    Accepted           Int     "share.coordinator.append.linger.ms"                          "-1"        [-1..]     Static      Medium Ms    since "4.0" "How long a coordinator collects records before it writes them; -1 adapts to load.";
    Accepted           Int     "share.coordinator.cached.buffer.max.bytes"                   "1048588"   [524288..] ClusterWide Medium Bytes since "4.3" "Kafka: largest write buffer that a share coordinator keeps for reuse.";
    Accepted           Int     "share.fetch.purgatory.purge.interval.requests"               "1000"      []         Static      Medium Plain since "4.0" "Kafka: how often finished waiting share fetches are swept. Ottla has no purgatory.";
    Accepted           Int     "telemetry.max.bytes"                                         "1048576"   [1..]      Static      Low    Bytes "Most bytes of metrics that a client may push.";
}
