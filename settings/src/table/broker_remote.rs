//! Remote (tiered) storage.

use crate::table::rows;

rows! { Broker:
    Refused(TIERED) Boolean "remote.log.storage.system.enable"               "false"                  []          Static      Medium Plain          "Old segments may move to remote storage.";
    Refused(TIERED) String  "remote.log.storage.manager.class.name"          null                     [not empty] Static      Medium Plain          "The plugin that reads and writes remote segments.";
    Accepted        String  "remote.log.storage.manager.class.path"          null                     []          Static      Medium Plain          "Remote storage: where that plugin's classes are.";
    Accepted        String  "remote.log.storage.manager.impl.prefix"         "rsm.config."            [not empty] Static      Medium Plain          "Remote storage: prefix of that plugin's own keys.";
    Refused(TIERED) String  "remote.log.metadata.manager.class.name"         "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager" [not empty] Static      Medium Plain          "The plugin that keeps the list of remote segments.";
    Accepted        String  "remote.log.metadata.manager.class.path"         null                     []          Static      Medium Plain          "Remote storage: where the list plugin's classes are.";
    Accepted        String  "remote.log.metadata.manager.impl.prefix"        "rlmm.config."           [not empty] Static      Medium Plain          "Remote storage: prefix of the list plugin's own keys.";
    Accepted        String  "remote.log.metadata.manager.listener.name"      null                     [not empty] Static      Medium Plain          "Remote storage: listener through which the list plugin reaches brokers.";
    Accepted        Int     "remote.log.metadata.custom.metadata.max.bytes"  "128"                    [0..]       Static      Low    Bytes          "Remote storage: most bytes a plugin may store with a segment.";
    Accepted        Long    "remote.log.index.file.cache.total.size.bytes"   "1073741824"             [1..]       ClusterWide Low    Bytes          "Remote storage: disk space for indexes fetched from remote segments.";
    Accepted        Long    "remote.log.index.file.cache.ttl.ms"             "900000"                 [-1..]      Static      Low    Ms             since "4.3" internal true "Remote storage: an index not used for this long leaves the cache.";
    Accepted        Int     "remote.log.manager.thread.pool.size"            "2"                      [1..]       Static      Medium Plain          "Remote storage: older name of the follower pool size.";
    Accepted        Int     "remote.log.manager.follower.thread.pool.size"   "2"                      [1..]       ClusterWide Medium Plain          since "4.2" "Remote storage: threads that follow what leaders have copied.";
    Accepted        Int     "remote.log.manager.copier.thread.pool.size"     "10"                     [1..]       ClusterWide Medium Plain          "Remote storage: threads that copy segments.";
    Accepted        Int     "remote.log.manager.expiration.thread.pool.size" "10"                     [1..]       ClusterWide Medium Plain          "Remote storage: threads that delete expired segments.";
    Accepted        Long    "remote.log.manager.task.interval.ms"            "30000"                  [1..]       Static      Low    Ms             "Remote storage: how often copying and expiry run.";
    Accepted        Long    "remote.log.manager.task.retry.backoff.ms"       "500"                    [1..]       Static      Low    Ms             internal true "Remote storage: first wait before a failed task is repeated.";
    Accepted        Long    "remote.log.manager.task.retry.backoff.max.ms"   "30000"                  [1..]       Static      Low    Ms             internal true "Remote storage: longest wait before a failed task is repeated.";
    Accepted        Double  "remote.log.manager.task.retry.jitter"           "0.2"                    [0..=0.5]   Static      Low    Share          internal true "Remote storage: random share added to that wait.";
    Accepted        Long    "remote.log.manager.copy.max.bytes.per.second"   "9223372036854775807"    [1..]       ClusterWide Medium BytesPerSecond "Remote storage: most bytes per second that are copied out.";
    Accepted        Long    "remote.log.manager.fetch.max.bytes.per.second"  "9223372036854775807"    [1..]       ClusterWide Medium BytesPerSecond "Remote storage: most bytes per second that are read back.";
    Accepted        Int     "remote.log.reader.threads"                      "10"                     [1..]       ClusterWide Medium Plain          "Remote storage: threads that read back.";
    Accepted        Int     "remote.log.reader.max.pending.tasks"            "100"                    [1..]       Static      Medium Plain          "Remote storage: reads that may wait for those threads.";
    Accepted        Int     "remote.fetch.max.wait.ms"                       "500"                    [1..]       ClusterWide Medium Ms             "Remote storage: how long a fetch waits for remote data.";
    Accepted        Long    "remote.list.offsets.request.timeout.ms"         "30000"                  [1..]       ClusterWide Medium Ms             since "4.0" "Remote storage: how long a time lookup waits for remote data.";
}
