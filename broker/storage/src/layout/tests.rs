//! Kafka's text files: what Kafka 4.3.1 wrote is read, and what is written reads back.

use super::*;
use crate::epochs::EpochStart;
use crate::names::LogName;
use ottla_protocol::Uuid;

#[test]
fn offset_checkpoints_read_back_and_lies_are_named() {
    let text = "0\n2\n__consumer_offsets 49 12\norders 0 100\n";
    let offsets = parse_offset_checkpoint(text).expect("well formed");
    assert_eq!(offsets[&LogName::new("orders", 0)], 100);
    assert_eq!(render_offset_checkpoint(&offsets), text);
    for (text, fault) in [
        ("", "line 0: the file is empty"),
        ("1\n0\n", "line 1: version 1 is unknown (0 is known)"),
        (
            "0\n2\norders 0 100\n",
            "line 2: 2 entries announced, 1 found",
        ),
        ("0\n1\norders 0 -5\n", "line 3: offset -5 is negative"),
        (
            "0\n1\norders x 5\n",
            "line 3: \"x\" is not a number in range",
        ),
        ("0\n1\norders 0\n", "line 3: a field is missing"),
    ] {
        assert_eq!(
            parse_offset_checkpoint(text).expect_err(text).to_string(),
            fault
        );
    }
}

#[test]
fn epoch_checkpoints_read_back() {
    let entries = vec![
        EpochStart {
            epoch: 0,
            start_offset: 0,
        },
        EpochStart {
            epoch: 4,
            start_offset: 17,
        },
    ];
    let text = render_epoch_checkpoint(&entries);
    assert_eq!(text, "0\n2\n0 0\n4 17\n");
    assert_eq!(parse_epoch_checkpoint(&text), Ok(entries));
}

#[test]
fn partition_metadata_reads_back() {
    let id = Uuid([7; 16]);
    assert_eq!(
        parse_partition_metadata(&render_partition_metadata(id)),
        Ok(id)
    );
    assert!(parse_partition_metadata("version: 0\n").is_err());
    assert!(parse_partition_metadata("version: 9\ntopic_id: BwcHBwcHBwcHBwcHBwcHBw\n").is_err());
}

#[test]
fn clean_shutdown_reads_kafkas_spelling() {
    assert_eq!(
        parse_clean_shutdown("{\"version\":0,\"brokerEpoch\":10}"),
        10
    );
    assert_eq!(
        parse_clean_shutdown("{ \"brokerEpoch\" : 77 ,\"version\":0}"),
        77
    );
    assert_eq!(parse_clean_shutdown(""), -1);
    assert_eq!(parse_clean_shutdown(&render_clean_shutdown(-1)), -1);
}

#[test]
fn meta_properties_are_javas() {
    let text = "#\n#Sat Nov 07 03:13:00 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\ndirectory.id=BwcHBwcHBwcHBwcHBwcHBw\nnode.id=1\nversion=1\n";
    let meta = MetaProperties::parse(text).expect("well formed");
    assert_eq!(
        (meta.cluster_id.as_str(), meta.node_id, meta.directory_id),
        ("MkU3OEVBNTcwNTJENDM2Qk", 1, Some(Uuid([7; 16])))
    );
    assert_eq!(MetaProperties::parse(&meta.render()), Ok(meta));
    let odd = MetaProperties {
        cluster_id: "a=b c".into(),
        node_id: 3,
        directory_id: None,
        other: vec![("x:y".into(), "1".into())],
    };
    assert_eq!(MetaProperties::parse(&odd.render()), Ok(odd));
    assert_eq!(
        MetaProperties::parse("version=1\nnode.id=1\n")
            .expect_err("no cluster")
            .to_string(),
        "line 0: cluster.id is missing"
    );
}
