//! Quorum, metadata log, broker lifecycle and replication.

use crate::table::rows;

rows! { Broker:
    Served   List    "controller.quorum.bootstrap.servers"             ""                    [addresses] Static      High   Plain          "Controllers to ask for the quorum, as host:port.";
    Served   List    "controller.quorum.voters"                        ""                    [voters]    Static      High   Plain          "The fixed set of controllers, as id@host:port. Newer clusters keep the set in the metadata log.";
    Accepted Boolean "controller.quorum.auto.join.enable"              "false"               []          Static      Low    Plain          since "4.2" "A new controller asks to become a voter by itself.";
    Accepted Int     "controller.quorum.election.timeout.ms"           "1000"                [0..]       Static      High   Ms             "How long a candidate waits for votes.";
    Accepted Int     "controller.quorum.fetch.timeout.ms"              "2000"                [0..]       Static      High   Ms             "A voter that cannot fetch for this long asks for an election; a leader that no majority fetches from resigns.";
    Accepted Int     "controller.quorum.election.backoff.max.ms"       "1000"                [0..]       Static      High   Ms             "Longest random wait between lost elections.";
    Accepted Int     "controller.quorum.append.linger.ms"              "25"                  [0..]       Static      Medium Ms             "How long the leader collects records before it writes them.";
    Accepted Int     "controller.quorum.request.timeout.ms"            "2000"                [0..]       Static      Medium Ms             "How long a quorum request may take.";
    Accepted Int     "controller.quorum.retry.backoff.ms"              "20"                  [0..]       Static      Low    Ms             "Wait before a quorum request is repeated.";
    Accepted Int     "controller.quorum.fetch.max.bytes"               "1048576"             [1..]       Static      Low    Bytes          since "4.3" "Most bytes of metadata in one fetch.";
    Served   Int     "controller.quorum.fetch.snapshot.max.bytes"      "1048576"             [1..]       Static      Low    Bytes          since "4.3" "Most bytes of a snapshot in one fetch.";
    Accepted Int     "controller.socket.timeout.ms"                    "30000"               []          Static      Medium Ms             "How long a request to the controller may take.";
    Accepted Long    "controller.performance.sample.period.ms"         "60000"               [100..]     Static      Medium Ms             since "4.0" internal true "How often the controller reports how long its events took.";
    Accepted Long    "controller.performance.always.log.threshold.ms"  "2000"                [0..]       Static      Medium Ms             since "4.0" internal true "Controller events slower than this are always reported.";
    Served   Int     "broker.heartbeat.interval.ms"                    "2000"                []          Static      Medium Ms             "How often a broker tells the controller that it lives.";
    Served   Int     "broker.session.timeout.ms"                       "9000"                []          Static      Medium Ms             "A broker that is silent for this long is fenced.";
    Accepted Int     "initial.broker.registration.timeout.ms"          "60000"               []          Static      Medium Ms             "A broker that cannot register for this long stops.";
    Accepted Boolean "controlled.shutdown.enable"                      "true"                []          Static      Medium Plain          "A broker hands over leadership before it stops.";
    Served   String  "metadata.log.dir"                                null                  []          Static      High   Plain          "Where the metadata log lies; the first of log.dirs when not set.";
    Served   Int     "metadata.log.segment.bytes"                      "1073741824"          [8388608..] Static      High   Bytes          "Size at which the metadata log starts a new segment.";
    Accepted Long    "metadata.log.segment.ms"                         "604800000"           []          Static      High   Ms             "Age at which the metadata log starts a new segment.";
    Served   Long    "metadata.log.max.record.bytes.between.snapshots" "20971520"            [1..]       Static      High   Bytes          "Bytes of new metadata after which a snapshot is made.";
    Served   Long    "metadata.log.max.snapshot.interval.ms"           "3600000"             [0..]       Static      High   Ms             "Time after which a snapshot is made when there is new metadata; 0 for never by time.";
    Accepted Int     "metadata.max.idle.interval.ms"                   "500"                 [0..]       Static      Low    Ms             "How often an idle controller writes an empty record, so that liveness shows; 0 for never.";
    Served   Long    "metadata.max.retention.bytes"                    "104857600"           []          Static      High   Bytes          "Size of metadata log and snapshots above which old ones are deleted.";
    Served   Long    "metadata.max.retention.ms"                       "604800000"           []          Static      High   Ms             "Age at which old metadata segments and snapshots are deleted.";
    Served   Int     "internal.metadata.log.segment.bytes"             null                  []          Static      Low    Bytes          since "4.1" internal true "Smaller metadata segments than the public key allows. For tests.";
    Accepted Int     "internal.metadata.max.batch.size.in.bytes"       "8388608"             []          Static      Low    Bytes          since "4.1" internal true "Largest batch of the metadata log. For tests.";
    Served   Long    "internal.metadata.delete.delay.millis"           "60000"               []          Static      Low    Ms             since "4.1" internal true "How long deleted metadata files stay on disk. For tests.";
    Accepted Boolean "auto.leader.rebalance.enable"                    "true"                []          Static      High   Plain          "Leadership returns to preferred replicas by itself.";
    Accepted Long    "leader.imbalance.check.interval.seconds"         "300"                 [1..]       Static      High   Seconds        "How often the controller looks for leaders that are not preferred.";
    Accepted Int     "num.replica.fetchers"                            "1"                   [1..]       ClusterWide High   Plain          "Fetchers per broker that is followed.";
    Accepted Int     "replica.fetch.max.bytes"                         "1048576"             [0..]       Static      Medium Bytes          "Bytes a follower asks for per partition.";
    Accepted Int     "replica.fetch.response.max.bytes"                "10485760"            [0..]       Static      Medium Bytes          "Bytes a follower asks for per answer.";
    Accepted Int     "replica.fetch.min.bytes"                         "1"                   []          Static      High   Bytes          "Bytes a leader collects before it answers a follower.";
    Accepted Int     "replica.fetch.wait.max.ms"                       "500"                 []          Static      High   Ms             "How long a leader collects before it answers a follower.";
    Accepted Int     "replica.fetch.backoff.ms"                        "1000"                [0..]       Static      Medium Ms             "Wait of a follower after an error.";
    Accepted Long    "replica.high.watermark.checkpoint.interval.ms"   "5000"                []          Static      High   Ms             "How often high watermarks are written to disk.";
    Accepted Long    "replica.lag.time.max.ms"                         "30000"               []          Static      High   Ms             "A follower that has not caught up for this long leaves the ISR.";
    Accepted String  "replica.selector.class"                          null                  []          Static      Medium Plain          "A plugin that sends consumers to replicas near them.";
    Accepted Int     "replica.socket.timeout.ms"                       "30000"               []          Static      High   Ms             "How long a follower's request may take.";
    Accepted Int     "replica.socket.receive.buffer.bytes"             "65536"               []          Static      High   Bytes          "Receive buffer of a follower's sockets.";
    Accepted Long    "leader.replication.throttled.rate"               "9223372036854775807" [0..]       DynamicOnly Medium BytesPerSecond "Most bytes per second that throttled replicas read from this leader.";
    Accepted Long    "follower.replication.throttled.rate"             "9223372036854775807" [0..]       DynamicOnly Medium BytesPerSecond "Most bytes per second that throttled replicas on this broker fetch.";
    Accepted Long    "replica.alter.log.dirs.io.max.bytes.per.second"  "9223372036854775807" [0..]       DynamicOnly Medium BytesPerSecond "Most bytes per second for moving replicas between directories.";
    Accepted Boolean "follower.fetch.last.tiered.offset.enable"        "false"               []          ClusterWide Medium Plain          since "4.3" "An empty follower starts after what is already in remote storage.";
}
