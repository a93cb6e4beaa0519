//! What Apache Kafka 4.3.1 wrote to `__consumer_offsets`: it is read, and written again byte for byte.
//!
//! `fixtures/consumer-offsets-apache-kafka-4.3.1.log` is the log segment of a one-partition `__consumer_offsets` after a group of three
//! that lost a member, a group of static members that was taken over and emptied, a group that was deleted, and a simple consumer.

use super::Script;
use crate::record::{self, Entry};
use crate::{GroupConfig, Record, Replayed};
use bytes::Bytes;
use expect_test::expect;
use ottla_protocol::records::batches;

const LOG: &[u8] = include_bytes!("../../fixtures/consumer-offsets-apache-kafka-4.3.1.log");

fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for batch in batches(Bytes::from_static(LOG)) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        let decoded = batch.records(1 << 20).unwrap();
        for record in decoded.iter() {
            let record = record.unwrap();
            records.push(Record {
                key: decoded.share(record.key.unwrap()),
                value: record.value.map(|value| decoded.share(value)),
            });
        }
    }
    records
}

#[test]
fn what_apache_kafka_wrote_is_written_the_same() {
    let mut kinds = [0; 4];
    for theirs in records() {
        let (kind, ours) = match record::decode(&theirs.key, theirs.value.as_ref()).unwrap() {
            Entry::Offset(key, Some(value)) => (0, record::offset_commit(&key, &value)),
            Entry::Offset(key, None) => (1, record::offset_tombstone(&key)),
            Entry::Group(group, Some(value)) => (2, record::group_metadata(&group, &value)),
            Entry::Group(group, None) => (3, record::group_tombstone(&group)),
            Entry::Other(record_type) => panic!("type {record_type}"),
        };
        kinds[kind] += 1;
        assert_eq!(ours, theirs);
    }
    expect![[r#"
        [
            86,
            2,
            12,
            1,
        ]
    "#]]
    .assert_debug_eq(&kinds);
}

#[test]
fn a_log_of_apache_kafka_is_loaded() {
    let mut script = Script::new(GroupConfig::default());
    for (offset, record) in records().into_iter().enumerate() {
        let replayed =
            script
                .coordinator
                .replay(offset as i64, None, &record.key, record.value.as_ref());
        assert_eq!(replayed.unwrap(), Replayed::Applied);
        script.log.push(record);
    }
    script.run(
        "reload
         list
         fetch a group=three all
         fetch a group=simple all
         describe group=fixed",
    );
    expect![[r#"
        reload
        1 list
          1 -> list fixed(Empty, classic, consumer) simple(Empty, classic, ) three(Empty, classic, consumer)
        2 fetch a group=three all
          2 -> fetch NONE shared-0=1016 shared-1=992 shared-2=999 shared-3=1006 shared-4=1054 shared-5=933
        3 fetch a group=simple all
          3 -> fetch NONE offsets-0=5/simple
        4 describe group=fixed
          4 -> fixed NONE Empty type="consumer" protocol=""
    "#]].assert_eq(&script.transcript);
}
