//! Keys of a group, with the broker keys that stand in when the group says nothing.

use crate::table::rows;

rows! { Group:
    Accepted Int     "consumer.assignment.interval.ms"    "1000"             [0..]                Own Medium Ms    ["group.consumer.assignment.interval.ms"] since "4.3" "Least time between two new assignments of this consumer group.";
    Accepted Int     "consumer.heartbeat.interval.ms"     "5000"             [1..]                Own Medium Ms    ["group.consumer.heartbeat.interval.ms"] since "4.0" "How often a member of this consumer group reports.";
    Accepted Int     "consumer.session.timeout.ms"        "45000"            [1..]                Own Medium Ms    ["group.consumer.session.timeout.ms"] since "4.0" "A member of this consumer group that is silent for this long is removed.";
    Accepted Int     "share.assignment.interval.ms"       "1000"             [0..]                Own Medium Ms    ["group.share.assignment.interval.ms"] since "4.3" "Least time between two new assignments of this share group.";
    Accepted String  "share.auto.offset.reset"            "latest"           [offset reset]       Own Medium Plain since "4.0" "Where a share partition starts that has no state: latest, earliest, or by_duration:P… back in time.";
    Accepted Int     "share.delivery.count.limit"         "5"                [2..]                Own Medium Plain ["group.share.delivery.count.limit"] since "4.3" "How often a record is handed out before it is given up.";
    Accepted Int     "share.heartbeat.interval.ms"        "5000"             [1..]                Own Medium Ms    ["group.share.heartbeat.interval.ms"] since "4.0" "How often a member of this share group reports.";
    Accepted String  "share.isolation.level"              "read_uncommitted" [of "read_committed" "read_uncommitted"] Own Medium Plain since "4.1" "Whether records of open and aborted transactions are handed out.";
    Accepted Int     "share.partition.max.record.locks"   "2000"             [100..]              Own Medium Plain ["group.share.partition.max.record.locks"] since "4.3" "Records of a partition that may be handed out at a time.";
    Accepted Int     "share.record.lock.duration.ms"      "30000"            [1000..]             Own Medium Ms    ["group.share.record.lock.duration.ms"] since "4.0" "How long a record belongs to the member it was handed to.";
    Accepted Boolean "share.renew.acknowledge.enable"     "true"             []                   Own Medium Plain since "4.3" "A member may prolong the lock of a record.";
    Accepted Int     "share.session.timeout.ms"           "45000"            [1..]                Own Medium Ms    ["group.share.session.timeout.ms"] since "4.0" "A member of this share group that is silent for this long is removed.";
    Accepted Int     "streams.assignment.interval.ms"     "1000"             [0..]                Own Medium Ms    ["group.streams.assignment.interval.ms"] since "4.3" "Least time between two new assignments of this streams group.";
    Accepted Int     "streams.heartbeat.interval.ms"      "5000"             [1..]                Own Medium Ms    ["group.streams.heartbeat.interval.ms"] since "4.1" "How often a member of this streams group reports.";
    Accepted Int     "streams.initial.rebalance.delay.ms" "3000"             [0..]                Own Medium Ms    ["group.streams.initial.rebalance.delay.ms"] since "4.2" "How long the empty group waits for more members.";
    Accepted Int     "streams.num.standby.replicas"       "0"                [0..]                Own Medium Plain ["group.streams.num.standby.replicas"] since "4.1" "Standby copies of each task.";
    Accepted Int     "streams.session.timeout.ms"         "45000"            [1..]                Own Medium Ms    ["group.streams.session.timeout.ms"] since "4.1" "A member of this streams group that is silent for this long is removed.";
}
