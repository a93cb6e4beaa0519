//! Every record type is applied, wrong ones are refused, transactions are all or nothing, and an image's
//! own records give the image back.

use super::{ReplayError, Replayer};
use crate::delta::Delta;
use crate::image::{Image, Provenance, Resource, ResourceKind};
use crate::record::VersionedRecord;
use crate::snapshot::{SnapshotError, SnapshotHead, decode_snapshot, encode_snapshot};
use ottla_protocol::metadata_records::client_quota_record::EntityData;
use ottla_protocol::metadata_records::register_broker_record::{BrokerEndpoint, BrokerFeature};
use ottla_protocol::metadata_records::*;
use ottla_protocol::{Bytes, Str, Uuid};

fn id(number: u64) -> Uuid {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Uuid(bytes)
}

fn replayed(records: impl IntoIterator<Item = MetadataRecord>) -> Replayer {
    let mut replayer = Replayer::default();
    for (offset, record) in (0..).zip(records) {
        replayer.replay(offset, &record).unwrap();
    }
    replayer
}

fn refused(records: Vec<MetadataRecord>) -> ReplayError {
    let mut replayer = Replayer::default();
    let mut results = (0..)
        .zip(&records)
        .map(|(offset, record)| replayer.replay(offset, record));
    let last = results.by_ref().nth(records.len() - 1).unwrap();
    last.unwrap_err()
}

fn published(replayer: &mut Replayer, offset: i64) -> (Image, Delta) {
    replayer
        .publish(Provenance {
            offset,
            epoch: 1,
            timestamp_ms: 5,
        })
        .unwrap()
}

fn broker(broker_id: i32, epoch: i64) -> MetadataRecord {
    RegisterBrokerRecord {
        broker_id,
        incarnation_id: id(broker_id as u64),
        broker_epoch: epoch,
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "h".into(),
            port: 65000,
            security_protocol: 0,
            ..Default::default()
        }],
        features: vec![BrokerFeature {
            name: "metadata.version".into(),
            min_supported_version: 1,
            max_supported_version: 30,
            ..Default::default()
        }],
        rack: (broker_id % 2 == 0).then(|| "r".into()),
        fenced: true,
        log_dirs: vec![id(900 + broker_id as u64)],
        ..Default::default()
    }
    .into()
}

fn topic(name: &str, number: u64) -> MetadataRecord {
    TopicRecord {
        name: name.into(),
        topic_id: id(number),
        ..Default::default()
    }
    .into()
}

fn partition(number: u64, index: i32) -> MetadataRecord {
    PartitionRecord {
        partition_id: index,
        topic_id: id(number),
        replicas: vec![1, 2],
        isr: vec![1],
        leader: 1,
        directories: vec![id(901), id(902)],
        ..Default::default()
    }
    .into()
}

fn config(kind: ResourceKind, name: &str, key: &str, value: Option<&str>) -> MetadataRecord {
    ConfigRecord {
        resource_type: kind as i8,
        resource_name: name.into(),
        name: key.into(),
        value: value.map(Into::into),
        ..Default::default()
    }
    .into()
}

fn feature(name: &str, level: i16) -> MetadataRecord {
    FeatureLevelRecord {
        name: name.into(),
        feature_level: level,
        ..Default::default()
    }
    .into()
}

fn quota(value: Option<f64>) -> MetadataRecord {
    let entity = vec![
        EntityData {
            entity_type: "user".into(),
            entity_name: Some("u".into()),
            ..Default::default()
        },
        EntityData {
            entity_type: "client-id".into(),
            entity_name: None,
            ..Default::default()
        },
    ];
    ClientQuotaRecord {
        entity,
        key: "producer_byte_rate".into(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    }
    .into()
}

/// At least one of each type, with the state that each leaves.
fn everything() -> Vec<MetadataRecord> {
    vec![
        BeginTransactionRecord::default().into(),
        feature("metadata.version", 30),
        feature("eligible.leader.replicas.version", 1),
        feature("kraft.version", 1),
        EndTransactionRecord::default().into(),
        NoOpRecord::default().into(),
        ZkMigrationStateRecord::default().into(),
        RegisterControllerRecord {
            controller_id: 1,
            incarnation_id: id(50),
            ..Default::default()
        }
        .into(),
        broker(1, 8),
        broker(2, 9),
        broker(3, 10),
        UnfenceBrokerRecord {
            id: 1,
            epoch: 8,
            ..Default::default()
        }
        .into(),
        FenceBrokerRecord {
            id: 1,
            epoch: 8,
            ..Default::default()
        }
        .into(),
        BrokerRegistrationChangeRecord {
            broker_id: 1,
            broker_epoch: 8,
            fenced: -1,
            cordoned_log_dirs: Some(vec![]),
            ..Default::default()
        }
        .into(),
        UnregisterBrokerRecord {
            broker_id: 3,
            broker_epoch: 10,
            ..Default::default()
        }
        .into(),
        topic("a", 1),
        config(ResourceKind::Topic, "a", "retention.ms", Some("1")),
        partition(1, 1),
        partition(1, 0),
        PartitionChangeRecord {
            topic_id: id(1),
            partition_id: 0,
            leader: -1,
            isr: Some(vec![]),
            eligible_leader_replicas: Some(vec![1]),
            last_known_elr: Some(vec![1]),
            leader_recovery_state: 1,
            ..Default::default()
        }
        .into(),
        topic("b", 2),
        partition(2, 0),
        config(ResourceKind::Topic, "b", "retention.ms", Some("1")),
        RemoveTopicRecord {
            topic_id: id(2),
            ..Default::default()
        }
        .into(),
        config(ResourceKind::Broker, "", "log.retention.ms", Some("5")),
        config(ResourceKind::Broker, "1", "log.retention.ms", Some("6")),
        config(ResourceKind::Broker, "1", "log.retention.ms", None),
        config(ResourceKind::Group, "g", "k", Some("v")),
        config(ResourceKind::ClientMetrics, "m", "k", Some("v")),
        quota(Some(1.5)),
        ProducerIdsRecord {
            broker_id: 1,
            broker_epoch: 8,
            next_producer_id: 1000,
            ..Default::default()
        }
        .into(),
        AccessControlEntryRecord {
            id: id(70),
            principal: "User:u".into(),
            ..Default::default()
        }
        .into(),
        AccessControlEntryRecord {
            id: id(71),
            ..Default::default()
        }
        .into(),
        RemoveAccessControlEntryRecord {
            id: id(71),
            ..Default::default()
        }
        .into(),
        UserScramCredentialRecord {
            name: "u".into(),
            mechanism: 1,
            salt: Bytes::from_static(b"s"),
            iterations: 4096,
            ..Default::default()
        }
        .into(),
        UserScramCredentialRecord {
            name: "u".into(),
            mechanism: 2,
            ..Default::default()
        }
        .into(),
        RemoveUserScramCredentialRecord {
            name: "u".into(),
            mechanism: 2,
            ..Default::default()
        }
        .into(),
        DelegationTokenRecord {
            token_id: "t".into(),
            owner: "User:o".into(),
            renewers: vec!["User:r".into()],
            ..Default::default()
        }
        .into(),
        DelegationTokenRecord {
            token_id: "t2".into(),
            ..Default::default()
        }
        .into(),
        RemoveDelegationTokenRecord {
            token_id: "t2".into(),
            ..Default::default()
        }
        .into(),
        BeginTransactionRecord::default().into(),
        topic("never", 3),
        AbortTransactionRecord::default().into(),
    ]
}

#[test]
fn every_record_type_leaves_its_mark() {
    let mut replayer = replayed(everything());
    let (image, delta) = published(&mut replayer, 42);
    assert_eq!(image.metadata_version(), 30);
    assert!(image.features.elr_enabled() && image.features.level("kraft.version") == 0);
    assert!(
        !image.broker(1).unwrap().fenced
            && image.broker(2).unwrap().fenced
            && image.broker(3).is_none()
    );
    assert_eq!(image.broker(2).unwrap().rack, Some("r".into()));
    assert_eq!(replayer.register_offset(2), 9);
    let a = image.topic("a").unwrap();
    let changed = a.partition(0).unwrap();
    assert_eq!(
        (
            changed.leader,
            changed.leader_epoch,
            changed.partition_epoch,
            changed.leader_recovering
        ),
        (-1, 0, 0, true)
    );
    assert_eq!(
        (changed.isr, changed.elr, changed.last_known_elr),
        (&[][..], &[1][..], &[1][..])
    );
    assert_eq!(
        a.partitions
            .iter()
            .map(|(index, _)| index)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(image.topic("b").is_none() && image.topic("never").is_none());
    assert!(
        image.configs.get(&Resource::topic("b".into())).is_none()
            && image.broker_overrides(1).is_none()
    );
    assert_eq!(image.broker_override(1, "log.retention.ms").unwrap(), "5");
    assert_eq!(image.next_producer_id.unwrap().next, 1000);
    assert_eq!(
        (
            image.acls.len(),
            image.scram_credentials.len(),
            image.delegation_tokens.len(),
            image.client_quotas.len()
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(image.configs.of_kind(ResourceKind::Group).count(), 1);
    assert_eq!(image.features_epoch(), 42);

    assert_eq!(delta.topics.keys().copied().collect::<Vec<_>>(), [id(1)]);
    assert_eq!(
        delta.deleted_topics.keys().copied().collect::<Vec<_>>(),
        [id(2)]
    );
    let local = delta.local_changes(1, &Image::default(), &image);
    assert_eq!(
        (
            local.deletes.len(),
            local.leaders.len(),
            local.followers.len()
        ),
        (0, 1, 1)
    );
    let (_, nothing) = published(&mut replayer, 43);
    assert!(nothing.is_empty());
}

#[test]
fn records_that_do_not_fit_are_refused_by_name() {
    let change = |topic: u64, index| {
        MetadataRecord::from(PartitionChangeRecord {
            topic_id: id(topic),
            partition_id: index,
            ..Default::default()
        })
    };
    let cases = [
        (vec![partition(1, 0)], "PartitionRecord names topic"),
        (vec![change(1, 0)], "PartitionChangeRecord names topic"),
        (
            vec![topic("a", 1), change(1, 0)],
            "PartitionChangeRecord names partition 0",
        ),
        (
            vec![topic("a", 1), partition(1, -1)],
            "its number is negative",
        ),
        (
            vec![topic("a", 1), topic("a", 2)],
            "TopicRecord for 'a', which exists",
        ),
        (
            vec![topic("a", 1), topic("b", 1)],
            "TopicRecord for 'b', which exists",
        ),
        (
            vec![
                RemoveTopicRecord {
                    topic_id: id(1),
                    ..Default::default()
                }
                .into(),
            ],
            "RemoveTopicRecord names topic",
        ),
        (
            vec![
                ClearElrRecord {
                    topic_name: "a".into(),
                    ..Default::default()
                }
                .into(),
            ],
            "ClearElrRecord names topic 'a'",
        ),
        (
            vec![
                broker(1, 5),
                FenceBrokerRecord {
                    id: 1,
                    epoch: 6,
                    ..Default::default()
                }
                .into(),
            ],
            "registered is Some(5)",
        ),
        (
            vec![
                BrokerRegistrationChangeRecord {
                    broker_id: 1,
                    ..Default::default()
                }
                .into(),
            ],
            "registered is None",
        ),
        (
            vec![
                broker(1, 5),
                BrokerRegistrationChangeRecord {
                    broker_id: 1,
                    broker_epoch: 5,
                    fenced: 2,
                    ..Default::default()
                }
                .into(),
            ],
            "value 2 in field Fenced",
        ),
        (
            vec![
                UnregisterBrokerRecord {
                    broker_id: 1,
                    ..Default::default()
                }
                .into(),
            ],
            "UnregisterBrokerRecord names broker 1",
        ),
        (
            vec![feature("metadata.version", 31)],
            "metadata.version 31 is outside",
        ),
        (
            vec![feature("metadata.version", 6)],
            "metadata.version 6 is outside",
        ),
        (
            vec![
                ConfigRecord {
                    resource_type: 3,
                    ..Default::default()
                }
                .into(),
            ],
            "resource type 3",
        ),
        (
            vec![RemoveAccessControlEntryRecord::default().into()],
            "RemoveAccessControlEntryRecord removes",
        ),
        (
            vec![
                RemoveUserScramCredentialRecord {
                    name: "u".into(),
                    ..Default::default()
                }
                .into(),
            ],
            "removes u",
        ),
        (
            vec![
                RemoveDelegationTokenRecord {
                    token_id: "t".into(),
                    ..Default::default()
                }
                .into(),
            ],
            "removes t",
        ),
        (
            vec![EndTransactionRecord::default().into()],
            "EndTransactionRecord at offset 0 without",
        ),
        (
            vec![AbortTransactionRecord::default().into()],
            "AbortTransactionRecord at offset 0 without",
        ),
        (
            vec![
                BeginTransactionRecord::default().into(),
                BeginTransactionRecord::default().into(),
            ],
            "offset 1 inside the transaction that began at 0",
        ),
    ];
    for (records, expected) in cases {
        let message = refused(records).to_string();
        assert!(message.contains(expected), "{message}");
    }
    let ids = |next_producer_id| {
        MetadataRecord::from(ProducerIdsRecord {
            next_producer_id,
            ..Default::default()
        })
    };
    assert_eq!(
        refused(vec![ids(5), ids(5)]),
        ReplayError::ProducerIdsGoBack { from: 5, to: 5 }
    );
}

#[test]
fn nothing_of_a_transaction_is_seen_before_its_end() {
    let mut replayer = replayed([
        topic("a", 1),
        BeginTransactionRecord::default().into(),
        topic("b", 2),
    ]);
    let provenance = Provenance {
        offset: 2,
        epoch: 1,
        timestamp_ms: 5,
    };
    assert_eq!(replayer.publish(provenance), None);
    assert_eq!(replayer.open_transaction(), Some(1));
    assert!(
        replayer.image().topic("b").is_some(),
        "the controller sees its own work"
    );
    replayer
        .replay(3, &EndTransactionRecord::default().into())
        .unwrap();
    let (image, delta) = published(&mut replayer, 3);
    assert_eq!((image.topics.len(), delta.topics.len()), (2, 2));

    for record in [
        BeginTransactionRecord::default().into(),
        topic("c", 3),
        RemoveTopicRecord {
            topic_id: id(1),
            ..Default::default()
        }
        .into(),
        AbortTransactionRecord::default().into(),
    ] {
        replayer.replay(4, &record).unwrap();
    }
    let (image, delta) = published(&mut replayer, 7);
    assert!(delta.is_empty());
    assert_eq!(
        image
            .topics
            .iter()
            .map(|topic| &*topic.name)
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
}

#[test]
fn elr_is_cleared_for_one_topic_or_for_all() {
    let eligible = |topic| {
        let record = PartitionChangeRecord {
            topic_id: id(topic),
            partition_id: 0,
            eligible_leader_replicas: Some(vec![2]),
            ..Default::default()
        };
        MetadataRecord::from(record)
    };
    let mut replayer = replayed([
        topic("a", 1),
        partition(1, 0),
        eligible(1),
        topic("b", 2),
        partition(2, 0),
        eligible(2),
    ]);
    let state = |replayer: &Replayer, topic| {
        let partition = replayer.image().partition(topic, 0).unwrap();
        (partition.elr.to_vec(), partition.partition_epoch)
    };
    replayer
        .replay(
            6,
            &ClearElrRecord {
                topic_name: "a".into(),
                ..Default::default()
            }
            .into(),
        )
        .unwrap();
    assert_eq!(
        (state(&replayer, "a"), state(&replayer, "b")),
        ((vec![], 1), (vec![2], 0))
    );
    replayer
        .replay(7, &ClearElrRecord::default().into())
        .unwrap();
    assert_eq!(
        (state(&replayer, "a"), state(&replayer, "b")),
        ((vec![], 1), (vec![], 1))
    );
}

/// Records that always fit, chosen by a seed.
struct Random {
    state: u64,
    replayer: Replayer,
    offset: i64,
}

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % end
    }

    fn ids(&mut self) -> Vec<i32> {
        let count = self.below(4);
        (0..count).map(|_| self.below(5) as i32).collect()
    }

    fn maybe_ids(&mut self) -> Option<Vec<i32>> {
        (self.below(2) == 0).then(|| self.ids())
    }

    fn record(&mut self) -> Option<MetadataRecord> {
        let number = self.below(6);
        let name = format!("t{number}");
        let exists = self.replayer.image().topic(&name).is_some();
        let broker_id = self.below(4) as i32;
        let epoch = self
            .replayer
            .image()
            .broker(broker_id)
            .map(|broker| broker.epoch);
        let record: MetadataRecord = match self.below(16) {
            0 if !exists => topic(&name, number),
            1 if exists && self.below(4) == 0 => RemoveTopicRecord {
                topic_id: id(number),
                ..Default::default()
            }
            .into(),
            2..=4 if exists => {
                let replicas = self.ids();
                let directories = replicas
                    .iter()
                    .map(|id| Uuid([*id as u8 + 1; 16]))
                    .collect();
                PartitionRecord {
                    partition_id: self.below(200) as i32,
                    topic_id: id(number),
                    directories,
                    replicas,
                    isr: self.ids(),
                    adding_replicas: self.ids(),
                    removing_replicas: self.ids(),
                    leader: self.below(4) as i32 - 1,
                    leader_recovery_state: self.below(2) as i8,
                    leader_epoch: self.below(9) as i32,
                    partition_epoch: self.below(9) as i32,
                    eligible_leader_replicas: self.maybe_ids(),
                    last_known_elr: self.maybe_ids(),
                    ..Default::default()
                }
                .into()
            }
            5..=7 if exists => {
                let index = self
                    .replayer
                    .image()
                    .topic(&name)?
                    .partitions
                    .iter()
                    .map(|(index, _)| index)
                    .last()?;
                PartitionChangeRecord {
                    partition_id: index,
                    topic_id: id(number),
                    isr: self.maybe_ids(),
                    adding_replicas: self.maybe_ids(),
                    eligible_leader_replicas: self.maybe_ids(),
                    last_known_elr: self.maybe_ids(),
                    leader: self.below(4) as i32 - 2,
                    leader_recovery_state: self.below(3) as i8 - 1,
                    ..Default::default()
                }
                .into()
            }
            8 => broker(broker_id, self.offset),
            9 => BrokerRegistrationChangeRecord {
                broker_id,
                broker_epoch: epoch?,
                fenced: self.below(3) as i8 - 1,
                in_controlled_shutdown: self.below(2) as i8,
                log_dirs: vec![id(self.below(9))],
                cordoned_log_dirs: (self.below(2) == 0).then(|| vec![id(3)]),
                ..Default::default()
            }
            .into(),
            10 => UnregisterBrokerRecord {
                broker_id,
                broker_epoch: epoch?,
                ..Default::default()
            }
            .into(),
            11 => {
                let kind = [
                    ResourceKind::Topic,
                    ResourceKind::Broker,
                    ResourceKind::Group,
                    ResourceKind::ClientMetrics,
                ][self.below(4) as usize];
                let key = format!("key{}", self.below(3));
                let value = (self.below(3) > 0).then_some("v");
                config(kind, &name, &key, value)
            }
            12 => feature(
                ["a", "b", "metadata.version"][self.below(3) as usize],
                20 + self.below(10) as i16,
            ),
            13 => quota((self.below(2) == 0).then_some(self.state as f64)),
            14 => UserScramCredentialRecord {
                name: Str::from(name),
                mechanism: 1,
                iterations: self.below(9) as i32,
                ..Default::default()
            }
            .into(),
            _ => NoOpRecord::default().into(),
        };
        Some(record)
    }
}

#[test]
fn an_images_records_give_the_image_back_and_deltas_name_every_change() {
    for seed in 0..25 {
        let mut random = Random {
            state: seed * 77 + 1,
            replayer: Replayer::default(),
            offset: 0,
        };
        random
            .replayer
            .replay(0, &feature("metadata.version", 30))
            .unwrap();
        let mut before = Image::default();
        for round in 0..8 {
            for _ in 0..60 {
                if let Some(record) = random.record() {
                    random.offset += 1;
                    random.replayer.replay(random.offset, &record).unwrap();
                }
            }
            let (image, delta) = published(&mut random.replayer, random.offset);

            let mut again = replayed(
                image
                    .to_records(image.metadata_version())
                    .map(|record| record.record),
            );
            assert_eq!(
                published(&mut again, random.offset).0,
                image,
                "seed {seed} round {round}"
            );

            let differs = Delta::between(&before, &image);
            assert!(
                differs.brokers.is_subset(&delta.brokers)
                    && differs.configs.is_subset(&delta.configs)
                    && differs.features.is_subset(&delta.features)
            );
            assert!(
                differs.client_quotas.is_subset(&delta.client_quotas)
                    && differs
                        .scram_credentials
                        .is_subset(&delta.scram_credentials)
            );
            for (topic, partitions) in &differs.topics {
                // A topic deleted and made again has all its partitions named.
                assert!(
                    partitions.is_subset(&delta.topics[topic])
                        || delta.deleted_topics.contains_key(topic),
                    "seed {seed} round {round}"
                );
            }
            for topic in differs.deleted_topics.keys() {
                assert!(delta.deleted_topics.contains_key(topic));
            }
            for broker in 0..4 {
                assert_eq!(
                    differs.local_changes(broker, &before, &image).leaders,
                    delta.local_changes(broker, &before, &image).leaders
                );
            }
            before = image;
        }
    }
}

#[test]
fn a_snapshot_file_gives_the_image_back_and_a_cut_one_is_refused() {
    let mut replayer = replayed(everything());
    for index in 2..5000 {
        replayer.replay(99, &partition(1, index)).unwrap();
    }
    let (image, _) = published(&mut replayer, 99);
    let head = SnapshotHead {
        last_contained_log_timestamp: 5,
        kraft_version: 1,
        voters: Some(Default::default()),
    };
    let batches: Vec<Bytes> = encode_snapshot(image.to_records(30), &head, 3, 77)
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(batches.len() > 3, "large snapshots are several batches");
    let bytes = batches.concat();
    let (read, records) = decode_snapshot(bytes.clone().into()).unwrap();
    assert_eq!(read, head);
    assert_eq!(published(&mut replayed(records), 99).0, image);

    let footer = batches.last().unwrap().len();
    assert_eq!(
        decode_snapshot(bytes[..bytes.len() - footer].to_vec().into()),
        Err(SnapshotError::NoFooter)
    );
    assert_eq!(
        decode_snapshot(bytes[batches[0].len()..].to_vec().into()),
        Err(SnapshotError::NoHeader)
    );
    assert_eq!(decode_snapshot(Bytes::new()), Err(SnapshotError::NoHeader));
    assert_eq!(
        decode_snapshot([&bytes[..], &batches[1]].concat().into()),
        Err(SnapshotError::AfterFooter)
    );
    for at in (0..bytes.len()).step_by(9973) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        // Offsets and the leader epoch of a batch stand outside its checksum, and a snapshot does not use them.
        if let Ok((_, records)) = decode_snapshot(damaged.into()) {
            assert_eq!(published(&mut replayed(records), 99).0, image);
        }
    }
}

#[test]
fn versions_of_old_clusters_lose_nothing_that_they_had() {
    let mut replayer = replayed([
        feature("metadata.version", 21),
        broker(1, 5),
        topic("a", 1),
        partition(1, 0),
    ]);
    let (image, _) = published(&mut replayer, 3);
    let records: Vec<VersionedRecord> = image.to_records(21).collect();
    let read = records.iter().map(|record| {
        MetadataRecord::decode(record.record.encode(record.version).unwrap()).unwrap()
    });
    assert_eq!(published(&mut replayed(read), 3).0, image);
}
