//! Requests in, records and replies out: scripts of requests, one per line, against their expected
//! traces. After every request the index is compared with one built anew, and the image with the one
//! that its own records give.

mod harness;

use expect_test::{Expect, expect};
use harness::Harness;

/// Runs a script and compares the whole trace: the line, the records with their offsets, the reply.
fn check(script: &str, expected: Expect) {
    let mut harness = Harness::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        harness.run(line);
    }
    expected.assert_eq(&harness.trace);
}

#[test]
fn a_cluster_is_born() {
    check(
        "bootstrap
         register 1
         heartbeat 1 offset=3
         heartbeat 1 offset=6",
        expect![[r#"
            > bootstrap
              0: BeginTransactionRecord v0
              1: FeatureLevel metadata.version 30 v0
              2: FeatureLevel eligible.leader.replicas.version 1 v0
              3: Config 4: min.insync.replicas=Some("1") v0
              4: EndTransactionRecord v0
            > register 1
              5: RegisterBroker 1 epoch 5 fenced true rack None dirs [11] v4
              NONE epoch 5
            > heartbeat 1 offset=3
              NONE, fenced
            > heartbeat 1 offset=6
              6: BrokerRegistrationChange 1 unfenced v0
              NONE, caught up
        "#]],
    );
}

#[test]
fn registration_checks() {
    check(
        "quiet bootstrap
         register 1 cluster=other
         register 1 dirs=
         register 1 dirs=11,11
         register 1 dirs=@1
         register 1 features=kraft.version:0-1
         register 1 features=metadata.version:21-29,kraft.version:0-1,eligible.leader.replicas.version:0-1
         register 1 features=metadata.version:21-30,kraft.version:0-1
         register 1 features=metadata.version:21-30,kraft.version:0-1,eligible.leader.replicas.version:0-1,share.version:1-1
         register 1 dirs=11
         register 2 dirs=11
         register 2
         heartbeat 7 epoch=3 offset=10
         heartbeat 1 epoch=3 offset=10",
        expect![[r#"
            > register 1 cluster=other
              INCONSISTENT_CLUSTER_ID epoch -1
            > register 1 dirs=
              INVALID_REGISTRATION epoch -1
            > register 1 dirs=11,11
              INVALID_REGISTRATION epoch -1
            > register 1 dirs=@1
              INVALID_REGISTRATION epoch -1
            > register 1 features=kraft.version:0-1
              INVALID_REGISTRATION epoch -1
            > register 1 features=metadata.version:21-29,kraft.version:0-1,eligible.leader.replicas.version:0-1
              UNSUPPORTED_VERSION epoch -1
            > register 1 features=metadata.version:21-30,kraft.version:0-1
              UNSUPPORTED_VERSION epoch -1
            > register 1 features=metadata.version:21-30,kraft.version:0-1,eligible.leader.replicas.version:0-1,share.version:1-1
              UNSUPPORTED_VERSION epoch -1
            > register 1 dirs=11
              5: RegisterBroker 1 epoch 5 fenced true rack None dirs [11] v4
              NONE epoch 5
            > register 2 dirs=11
              INVALID_REGISTRATION epoch -1
            > register 2
              6: RegisterBroker 2 epoch 6 fenced true rack None dirs [21] v4
              NONE epoch 6
            > heartbeat 7 epoch=3 offset=10
              STALE_BROKER_EPOCH, fenced
            > heartbeat 1 epoch=3 offset=10
              STALE_BROKER_EPOCH, fenced
        "#]],
    );
}

#[test]
fn another_process_waits_for_the_session_but_a_proven_successor_does_not() {
    check(
        "quiet bootstrap
         quiet start 1
         register 1 incarnation=2
         register 1 incarnation=2 previous=5 dirs=99
         register 1 incarnation=2 previous=5
         quiet heartbeat 1 offset=99
         wait 9001
         register 1 incarnation=3",
        expect![[r#"
            > register 1 incarnation=2
              DUPLICATE_BROKER_REGISTRATION epoch -1
            > register 1 incarnation=2 previous=5 dirs=99
              DUPLICATE_BROKER_REGISTRATION epoch -1
            > register 1 incarnation=2 previous=5
              7: RegisterBroker 1 epoch 7 fenced true rack None dirs [11] v4
              NONE epoch 7
            > wait 9001
            > register 1 incarnation=3
              9: RegisterBroker 1 epoch 9 fenced true rack None dirs [11] v4
              NONE epoch 9
        "#]],
    );
}

#[test]
fn the_same_process_registers_again_and_keeps_its_state() {
    check(
        "quiet bootstrap
         quiet start 1
         register 1 rack=b",
        expect![[r#"
            > register 1 rack=b
              7: RegisterBroker 1 epoch 5 fenced false rack Some("b") dirs [11] v4
              NONE epoch 5
        "#]],
    );
}

#[test]
fn topics_are_spread_over_brokers_and_names_are_checked() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet start 2
         quiet start 3
         create a partitions=4
         create b
         create b
         create x partitions=0
         create x rf=0
         create x rf=2
         create a.b
         create a_b
         create a-b
         create c.d c_d
         create e e
         create . .. /bad __cluster_metadata
         create y config:cleanup.policy=compact
         create y2 config:nonsense=1
         create z validate
         create m assign=3|1
         create m2 assign=9
         create m3 assign=1,1
         create m4 assign=1|
         create m5 assign=1 rf=1",
        expect![[r#"
            > create a partitions=4
              11: Topic a v0
              12: Partition new1-0 replicas [1] isr [1] leader 1 dirs [11] v2
              13: Partition new1-1 replicas [2] isr [2] leader 2 dirs [21] v2
              14: Partition new1-2 replicas [3] isr [3] leader 3 dirs [31] v2
              15: Partition new1-3 replicas [1] isr [1] leader 1 dirs [11] v2
              NONE
            > create b
              16: Topic b v0
              17: Partition new2-0 replicas [2] isr [2] leader 2 dirs [21] v2
              NONE
            > create b
              TOPIC_ALREADY_EXISTS: topic 'b' exists
            > create x partitions=0
              INVALID_PARTITIONS: the number of partitions must be above 0, or -1 for the default
            > create x rf=0
              INVALID_REPLICATION_FACTOR: the replication factor must be above 0, or -1 for the default
            > create x rf=2
              INVALID_REPLICATION_FACTOR: replication factor 2 is not served yet, 1 is the highest
            > create a.b
              18: Topic a.b v0
              19: Partition new3-0 replicas [3] isr [3] leader 3 dirs [31] v2
              NONE
            > create a_b
              INVALID_TOPIC_EXCEPTION: topic 'a_b' collides with 'a.b': '.' and '_' are the same in names of metrics
            > create a-b
              20: Topic a-b v0
              21: Partition new4-0 replicas [1] isr [1] leader 1 dirs [11] v2
              NONE
            > create c.d c_d
              22: Topic c.d v0
              23: Partition new5-0 replicas [2] isr [2] leader 2 dirs [21] v2
              NONE
              INVALID_TOPIC_EXCEPTION: topic 'c_d' collides with 'c.d': '.' and '_' are the same in names of metrics
            > create e e
              INVALID_REQUEST: the request names this topic more than once
            > create . .. /bad __cluster_metadata
              INVALID_TOPIC_EXCEPTION: topic name '.' is not valid: it is '.' or '..'
              INVALID_TOPIC_EXCEPTION: topic name '..' is not valid: it is '.' or '..'
              INVALID_TOPIC_EXCEPTION: topic name '/bad' is not valid: it has '/', where only letters, digits, '.', '_' and '-' may be
              INVALID_REQUEST: the metadata log is not a topic that can be created
            > create y config:cleanup.policy=compact
              24: Topic y v0
              25: Config 2:y cleanup.policy=Some("compact") v0
              26: Partition new6-0 replicas [3] isr [3] leader 3 dirs [31] v2
              NONE
            > create y2 config:nonsense=1
              INVALID_CONFIG: 'nonsense' is not known
            > create z validate
              NONE
            > create m assign=3|1
              27: Topic m v0
              28: Partition new8-0 replicas [3] isr [3] leader 3 dirs [31] v2
              29: Partition new8-1 replicas [1] isr [1] leader 1 dirs [11] v2
              NONE
            > create m2 assign=9
              INVALID_REPLICA_ASSIGNMENT: broker 9 is not registered
            > create m3 assign=1,1
              INVALID_REPLICA_ASSIGNMENT: broker 1 is assigned twice
            > create m4 assign=1|
              INVALID_REPLICA_ASSIGNMENT: an assignment has no broker
            > create m5 assign=1 rf=1
              INVALID_REQUEST: with a manual assignment, replication factor and number of partitions must be -1
        "#]],
    );
}

#[test]
fn deletion_takes_configuration_along() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet create a partitions=2 config:retention.ms=5
         quiet create b
         delete nope
         delete b b
         delete a
         configs",
        expect![[r#"
            > delete nope
              UNKNOWN_TOPIC_OR_PARTITION: topic 'nope' does not exist
            > delete b b
              INVALID_REQUEST: the request names this topic more than once
              INVALID_REQUEST: the request names this topic more than once
            > delete a
              13: RemoveTopic a v0
              NONE
            > configs
              ["Broker \"\" {\"min.insync.replicas\": \"1\"}"]
        "#]],
    );
}

#[test]
fn more_partitions() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet start 2
         quiet create a partitions=2
         grow a 2
         grow a 1
         grow nope 3
         grow a 4
         grow a 6 assign=2|1
         grow a 7 assign=2|1
         grow a 7 assign=8",
        expect![[r#"
            > grow a 2
              INVALID_PARTITIONS: topic 'a' has 2 partitions, 2 would not be more
            > grow a 1
              INVALID_PARTITIONS: topic 'a' has 2 partitions, 1 would not be more
            > grow nope 3
              UNKNOWN_TOPIC_OR_PARTITION: topic 'nope' does not exist
            > grow a 4
              12: Partition a-2 replicas [1] isr [1] leader 1 dirs [11] v2
              13: Partition a-3 replicas [2] isr [2] leader 2 dirs [21] v2
              NONE
            > grow a 6 assign=2|1
              14: Partition a-4 replicas [2] isr [2] leader 2 dirs [21] v2
              15: Partition a-5 replicas [1] isr [1] leader 1 dirs [11] v2
              NONE
            > grow a 7 assign=2|1
              INVALID_REPLICA_ASSIGNMENT: 1 partitions are added, 2 are assigned
            > grow a 7 assign=8
              INVALID_REPLICA_ASSIGNMENT: broker 8 is not registered
        "#]],
    );
}

#[test]
fn a_dead_broker_is_fenced_in_one_decision_and_leads_again_when_it_is_back() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet start 2
         quiet create a partitions=4
         deadline
         wait 5000
         quiet heartbeat 2 offset=99
         wait 4000
         expire
         wait 1
         expire
         expire
         create b
         heartbeat 1 offset=99",
        expect![[r#"
            > deadline
              Some(9001)
            > wait 5000
            > wait 4000
            > expire
              "nothing"
            > wait 1
            > expire
              14: PartitionChange a-0 leader -1 isr [] elr [1] last_known [1] v2
              15: PartitionChange a-2 leader -1 isr [] elr [1] last_known [1] v2
              16: BrokerRegistrationChange 1 fenced v0
            > expire
              "nothing"
            > create b
              17: Topic b v0
              18: Partition new2-0 replicas [2] isr [2] leader 2 dirs [21] v2
              NONE
            > heartbeat 1 offset=99
              19: BrokerRegistrationChange 1 unfenced v0
              20: PartitionChange a-0 leader 1 isr [1] elr [] last_known [] v2
              21: PartitionChange a-2 leader 1 isr [1] elr [] last_known [] v2
              NONE, caught up
        "#]],
    );
}

#[test]
fn controlled_shutdown_waits_until_the_others_know() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet start 2
         quiet create a partitions=2
         heartbeat 1 offset=16 shutdown
         heartbeat 1 offset=16 shutdown
         quiet heartbeat 2 offset=99
         heartbeat 1 offset=16 shutdown
         heartbeat 2 offset=99 shutdown fence
         heartbeat 2 offset=99 shutdown",
        expect![[r#"
            > heartbeat 1 offset=16 shutdown
              12: BrokerRegistrationChange 1 in controlled shutdown v1
              13: PartitionChange a-0 leader -1 isr [] elr [1] last_known [1] v2
              NONE, caught up
            > heartbeat 1 offset=16 shutdown
              NONE, caught up
            > heartbeat 1 offset=16 shutdown
              14: BrokerRegistrationChange 1 fenced v0
              NONE, caught up, fenced, may stop
            > heartbeat 2 offset=99 shutdown fence
              15: PartitionChange a-1 leader -1 isr [] elr [2] last_known [2] v2
              16: BrokerRegistrationChange 2 fenced v0
              NONE, caught up, fenced, may stop
            > heartbeat 2 offset=99 shutdown
              NONE, caught up, fenced, may stop
        "#]],
    );
}

#[test]
fn a_broker_without_its_data_leads_only_as_last_known_leader() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet create a
         wait 9001
         register 1 incarnation=2 dirs=77
         heartbeat 1 offset=99
         dirs 1 77=a-0
         alter 1 a-0 isr=1
         wait 9001
         register 1 incarnation=3 dirs=77
         heartbeat 1 offset=99",
        expect![[r#"
            > wait 9001
            > register 1 incarnation=2 dirs=77
              9: PartitionChange a-0 leader -1 isr [] last_known [1] v2
              10: RegisterBroker 1 epoch 9 fenced true rack None dirs [77] v4
              NONE epoch 9
            > heartbeat 1 offset=99
              11: BrokerRegistrationChange 1 unfenced v0
              NONE, caught up
            > dirs 1 77=a-0
              12: PartitionChange a-0 leader 1 isr [1] last_known [] recovering true dirs [77] v2
              NONE
            > alter 1 a-0 isr=1
              13: PartitionChange a-0 recovering false v2
              NONE isr [1] leader 1/2 epoch 3
            > wait 9001
            > register 1 incarnation=3 dirs=77
              14: PartitionChange a-0 leader -1 isr [] last_known [1] v2
              15: RegisterBroker 1 epoch 14 fenced true rack None dirs [77] v4
              NONE epoch 14
            > heartbeat 1 offset=99
              16: BrokerRegistrationChange 1 unfenced v0
              17: PartitionChange a-0 leader 1 isr [1] last_known [] recovering true v2
              NONE, caught up
        "#]],
    );
}

#[test]
fn three_replicas_shrink_into_the_eligible_and_elect_from_them() {
    check(
        "limit 3
         quiet bootstrap
         quiet start 1 rack=a
         quiet start 2 rack=b
         quiet start 3 rack=c
         create t rf=3 config:min.insync.replicas=2
         alter 1 t-0 isr=1,2
         alter 1 t-0 isr=1
         fence 1
         heartbeat 2 offset=99
         heartbeat 1 offset=99
         alter 2 t-0 isr=2,1,3",
        expect![[r#"
            > limit 3
            > create t rf=3 config:min.insync.replicas=2
              11: Topic t v0
              12: Config 2:t min.insync.replicas=Some("2") v0
              13: Partition new1-0 replicas [1, 2, 3] isr [1, 2, 3] leader 1 dirs [11, 21, 31] v2
              NONE
            > alter 1 t-0 isr=1,2
              14: PartitionChange t-0 isr [1, 2] v2
              NONE isr [1, 2] leader 1/0 epoch 1
            > alter 1 t-0 isr=1
              15: PartitionChange t-0 isr [1] elr [2] v2
              NONE isr [1] leader 1/0 epoch 2
            > fence 1
              16: PartitionChange t-0 leader 2 isr [2] elr [1] v2
              17: BrokerRegistrationChange 1 fenced v0
            > heartbeat 2 offset=99
              NONE, caught up
            > heartbeat 1 offset=99
              18: BrokerRegistrationChange 1 unfenced v0
              NONE, caught up
            > alter 2 t-0 isr=2,1,3
              19: PartitionChange t-0 isr [2, 1, 3] elr [] v2
              NONE isr [2, 1, 3] leader 2/1 epoch 4
        "#]],
    );
}

#[test]
fn alter_partition_is_refused_unless_everything_fits() {
    check(
        "limit 3
         quiet bootstrap
         quiet start 1
         quiet start 2
         quiet start 3
         quiet create t rf=3
         alter 1 t-0 isr=1,2 leader_epoch=1
         alter 1 t-0 isr=1,2 partition_epoch=5
         alter 1 t-0 isr=1,2 leader_epoch=-1
         alter 2 t-0 isr=1,2
         alter 1 t-0 isr=2
         alter 1 t-0 isr=1,1
         alter 1 t-0 isr=1,9
         alter 1 t-0 isr=1 recovering
         alter 1 t-9 isr=1
         alter 1 nope-0 isr=1
         quiet fence 3
         alter 1 t-0 isr=1,2,3 partition_epoch=1
         quiet heartbeat 2 offset=99 shutdown
         alter 1 t-0 isr=1,2",
        expect![[r#"
            > limit 3
            > alter 1 t-0 isr=1,2 leader_epoch=1
              NOT_CONTROLLER isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1,2 partition_epoch=5
              NOT_CONTROLLER isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1,2 leader_epoch=-1
              FENCED_LEADER_EPOCH isr [] leader 0/0 epoch 0
            > alter 2 t-0 isr=1,2
              INVALID_REQUEST isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=2
              INVALID_REQUEST isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1,1
              INVALID_REQUEST isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1,9
              INVALID_REQUEST isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1 recovering
              INVALID_REQUEST isr [] leader 0/0 epoch 0
            > alter 1 t-9 isr=1
              UNKNOWN_TOPIC_OR_PARTITION isr [] leader 0/0 epoch 0
            > alter 1 nope-0 isr=1
              UNKNOWN_TOPIC_ID isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1,2,3 partition_epoch=1
              INELIGIBLE_REPLICA isr [] leader 0/0 epoch 0
            > alter 1 t-0 isr=1,2
              INELIGIBLE_REPLICA isr [] leader 0/0 epoch 0
        "#]],
    );
}

#[test]
fn preferred_and_unclean_elections() {
    check(
        "limit 3
         quiet bootstrap
         quiet start 1
         quiet start 2
         quiet create t rf=2
         quiet fence 1
         elect preferred t-0
         heartbeat 1 offset=99
         elect preferred t-0
         alter 2 t-0 isr=2,1
         elect preferred t-0 t-1
         elect preferred t-0
         elect unclean t-0",
        expect![[r#"
            > limit 3
            > elect preferred t-0
              PREFERRED_LEADER_NOT_AVAILABLE: the first replica is not in sync or not alive
            > heartbeat 1 offset=99
              13: BrokerRegistrationChange 1 unfenced v0
              NONE, caught up
            > elect preferred t-0
              PREFERRED_LEADER_NOT_AVAILABLE: the first replica is not in sync or not alive
            > alter 2 t-0 isr=2,1
              14: PartitionChange t-0 isr [2, 1] v2
              NONE isr [2, 1] leader 2/1 epoch 2
            > elect preferred t-0 t-1
              15: PartitionChange t-0 leader 1 v2
              NONE
              UNKNOWN_TOPIC_OR_PARTITION: partition 1 of topic 't' does not exist
            > elect preferred t-0
              ELECTION_NOT_NEEDED: the partition has the leader it should have
            > elect unclean t-0
              ELECTION_NOT_NEEDED: the partition has the leader it should have
        "#]],
    );
}

#[test]
fn configs_change_key_by_key() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet create t
         set topic t retention.ms=5 cleanup.policy=compact
         set topic t retention.ms=5
         set topic t -cleanup.policy
         set topic t +cleanup.policy=compact
         set topic t +cleanup.policy=compact,delete
         set topic t -cleanup.policy=delete
         set topic t +retention.ms=5
         set topic t nonsense=1
         set topic nope retention.ms=5
         set broker 1 log.retention.ms=5
         set broker 1 log.retention.ms=5
         set broker 1 nonsense=1
         set broker 9 log.retention.ms=5
         set broker x log.retention.ms=5
         set broker 1 min.insync.replicas=2
         set broker - -min.insync.replicas
         set broker - min.insync.replicas=2
         set topic t min.insync.replicas=1
         set group g consumer.session.timeout.ms=1
         set logger 1 root=INFO
         set topic t retention.ms=5 retention.ms=6
         replace topic t retention.bytes=7
         configs",
        expect![[r#"
            > set topic t retention.ms=5 cleanup.policy=compact
              9: Config 2:t retention.ms=Some("5") v0
              10: Config 2:t cleanup.policy=Some("compact") v0
              NONE
            > set topic t retention.ms=5
              NONE
            > set topic t -cleanup.policy
              11: Config 2:t cleanup.policy=None v0
              NONE
            > set topic t +cleanup.policy=compact
              12: Config 2:t cleanup.policy=Some("delete,compact") v0
              NONE
            > set topic t +cleanup.policy=compact,delete
              NONE
            > set topic t -cleanup.policy=delete
              13: Config 2:t cleanup.policy=Some("compact") v0
              NONE
            > set topic t +retention.ms=5
              INVALID_CONFIG: 'retention.ms' is not a list: nothing can be appended or subtracted
            > set topic t nonsense=1
              INVALID_CONFIG: 'nonsense' is not known
            > set topic nope retention.ms=5
              UNKNOWN_TOPIC_OR_PARTITION: topic 'nope' does not exist
            > set broker 1 log.retention.ms=5
              14: Config 4:1 log.retention.ms=Some("5") v0
              NONE
            > set broker 1 log.retention.ms=5
              15: Config 4:1 log.retention.ms=Some("5") v0
              NONE
            > set broker 1 nonsense=1
              INVALID_REQUEST: 'nonsense' is not known
            > set broker 9 log.retention.ms=5
              BROKER_ID_NOT_REGISTERED: no broker or controller 9 is registered
            > set broker x log.retention.ms=5
              INVALID_REQUEST: 'x' is not a broker id
            > set broker 1 min.insync.replicas=2
              INVALID_CONFIG: min.insync.replicas cannot be set per broker while eligible leader replicas are on
            > set broker - -min.insync.replicas
              INVALID_CONFIG: min.insync.replicas of all brokers cannot be removed while eligible leader replicas are on
            > set broker - min.insync.replicas=2
              16: Config 4: min.insync.replicas=Some("2") v0
              17: ClearElr '' v0
              NONE
            > set topic t min.insync.replicas=1
              18: Config 2:t min.insync.replicas=Some("1") v0
              19: ClearElr 't' v0
              NONE
            > set group g consumer.session.timeout.ms=1
              20: Config 32:g consumer.session.timeout.ms=Some("1") v0
              NONE
            > set logger 1 root=INFO
              INVALID_REQUEST: the resource type has no stored configuration
            > set topic t retention.ms=5 retention.ms=6
              INVALID_REQUEST: 'retention.ms' is altered twice
            > replace topic t retention.bytes=7
              21: Config 2:t retention.bytes=Some("7") v0
              22: Config 2:t cleanup.policy=None v0
              23: Config 2:t min.insync.replicas=None v0
              24: Config 2:t retention.ms=None v0
              25: ClearElr 't' v0
              NONE
            > configs
              ["Topic \"t\" {\"retention.bytes\": \"7\"}", "Broker \"\" {\"min.insync.replicas\": \"2\"}", "Broker \"1\" {\"log.retention.ms\": \"5\"}", "Group \"g\" {\"consumer.session.timeout.ms\": \"1\"}"]
        "#]],
    );
}

#[test]
fn producer_ids_come_in_blocks() {
    check(
        "quiet bootstrap
         quiet start 1
         pids 1
         pids 1
         pids 2",
        expect![[r#"
            > pids 1
              7: ProducerIds 1000 for 1 v0
              NONE 0+1000
            > pids 1
              8: ProducerIds 2000 for 1 v0
              NONE 1000+1000
            > pids 2
              STALE_BROKER_EPOCH 0+0
        "#]],
    );
}

#[test]
fn features_move_only_where_everybody_can_follow() {
    check(
        "quiet bootstrap
         quiet start 1
         feature eligible.leader.replicas.version 0
         feature eligible.leader.replicas.version 0 safe
         feature eligible.leader.replicas.version 1
         feature eligible.leader.replicas.version 2
         feature metadata.version 29 safe
         feature metadata.version 31
         feature group.version 1
         feature kraft.version 0
         feature transaction.version 0",
        expect![[r#"
            > feature eligible.leader.replicas.version 0
              INVALID_UPDATE_VERSION: eligible.leader.replicas.version cannot become 0: it is at 1, and a downgrade must be asked for as such
            > feature eligible.leader.replicas.version 0 safe
              7: FeatureLevel eligible.leader.replicas.version 0 v0
              NONE
            > feature eligible.leader.replicas.version 1
              8: FeatureLevel eligible.leader.replicas.version 1 v0
              NONE
            > feature eligible.leader.replicas.version 2
              INVALID_UPDATE_VERSION: eligible.leader.replicas.version cannot become 2: this controller serves 0 to 1
            > feature metadata.version 29 safe
              INVALID_UPDATE_VERSION: metadata.version cannot become 29: records have been written that an older level cannot read
            > feature metadata.version 31
              INVALID_UPDATE_VERSION: metadata.version cannot become 31: this controller serves 21 to 30
            > feature group.version 1
              INVALID_UPDATE_VERSION: group.version cannot become 1: this controller serves 0 to 0
            > feature kraft.version 0
              INVALID_UPDATE_VERSION: kraft.version cannot become 0: the quorum changes its version itself
            > feature transaction.version 0
              NONE
        "#]],
    );
}

#[test]
fn brokers_leave_for_good_and_directories_fail() {
    check(
        "limit 3
         quiet bootstrap
         quiet start 1 dirs=11,12
         quiet start 2
         quiet create t partitions=2 rf=2
         dirs 1 11=t-0 12=t-1
         dirs 1 5=t-0
         dirs 2 11=t-9
         heartbeat 1 offset=99 offline=11
         heartbeat 1 offset=99 cordoned=12
         heartbeat 1 offset=99 cordoned=12
         create u
         unregister 2
         unregister 2",
        expect![[r#"
            > limit 3
            > dirs 1 11=t-0 12=t-1
              12: PartitionChange t-0 dirs [11, 21] v2
              13: PartitionChange t-1 dirs [21, 12] v2
              NONE
              NONE
            > dirs 1 5=t-0
              14: PartitionChange t-0 leader 2 dirs [5, 21] v2
              15: PartitionChange t-0 leader 2 isr [2] v2
              NONE
            > dirs 2 11=t-9
              UNKNOWN_TOPIC_OR_PARTITION
            > heartbeat 1 offset=99 offline=11
              16: BrokerRegistrationChange 1 dirs [12] v2
              NONE, caught up
            > heartbeat 1 offset=99 cordoned=12
              17: BrokerRegistrationChange 1 cordoned [12] v3
              NONE, caught up
            > heartbeat 1 offset=99 cordoned=12
              NONE, caught up
            > create u
              18: Topic u v0
              19: Partition new2-0 replicas [2] isr [2] leader 2 dirs [21] v2
              NONE
            > unregister 2
              20: PartitionChange t-0 leader -1 isr [] elr [2] last_known [2] v2
              21: PartitionChange t-1 leader 1 isr [1] v2
              22: PartitionChange u-0 leader -1 isr [] elr [2] last_known [2] v2
              23: UnregisterBroker 2 epoch 7 v0
              NONE
            > unregister 2
              BROKER_ID_NOT_REGISTERED: broker 2 is not registered
        "#]],
    );
}

#[test]
fn an_unfinished_transaction_is_aborted_by_the_next_controller() {
    check(
        "half-bootstrap
         failover
         bootstrap",
        expect![[r#"
            > half-bootstrap
              0: BeginTransactionRecord v0
              1: FeatureLevel metadata.version 30 v0
              2: FeatureLevel eligible.leader.replicas.version 1 v0
              3: Config 4: min.insync.replicas=Some("1") v0
            > failover
            > bootstrap
              4: AbortTransactionRecord v0
              5: BeginTransactionRecord v0
              6: FeatureLevel metadata.version 30 v0
              7: FeatureLevel eligible.leader.replicas.version 1 v0
              8: Config 4: min.insync.replicas=Some("1") v0
              9: EndTransactionRecord v0
        "#]],
    );
}

#[test]
fn only_partitions_on_their_way_are_listed_as_reassigned() {
    check(
        "quiet bootstrap
         quiet start 1
         quiet start 2
         limit 2
         quiet create still assign=1|2
         quiet create moving assign=1|1|2
         reassignments
         reassign moving-1 replicas=1,2 adding=2 removing=1
         reassign moving-2 replicas=2,1 adding=1
         reassignments
         reassignments moving:2,0,7 still:0 none:0
         reassignments still:0,1
         failover
         reassignments moving:1
         alter 1 moving-1 isr=1,2
         reassignments
         delete moving
         reassignments",
        expect![[r#"
            > limit 2
            > reassignments
              []
            > reassign moving-1 replicas=1,2 adding=2 removing=1
              16: PartitionChange moving-1 replicas [1, 2] removing [1] adding [2] dirs [0, 0] v2
            > reassign moving-2 replicas=2,1 adding=1
              17: PartitionChange moving-2 replicas [2, 1] adding [1] dirs [0, 0] v2
            > reassignments
              ["moving-1 [1, 2] adding [2] removing [1]", "moving-2 [2, 1] adding [1] removing []"]
            > reassignments moving:2,0,7 still:0 none:0
              ["moving-2 [2, 1] adding [1] removing []"]
            > reassignments still:0,1
              []
            > failover
            > reassignments moving:1
              ["moving-1 [1, 2] adding [2] removing [1]"]
            > alter 1 moving-1 isr=1,2
              18: PartitionChange moving-1 leader 2 isr [2] replicas [2] removing [] adding [] dirs [0] v2
              NEW_LEADER_ELECTED isr [] leader 0/0 epoch 0
            > reassignments
              ["moving-2 [2, 1] adding [1] removing []"]
            > delete moving
              19: RemoveTopic moving v0
              NONE
            > reassignments
              []
        "#]],
    );
}
