//! A controller with a log that is only an offset, commands as text, and a trace as text.

use crate::control::index::Index;
use crate::control::{
    ConfigCatalogue, ConfigRules, Controller, ControllerOptions, EffectiveConfig,
};
use crate::image::{Image, Overrides, Provenance, Resource, ResourceKind};
use crate::record::VersionedRecord;
use crate::replay::Replayer;
use crate::{Decision, format_records};
use ottla_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_protocol::messages::alter_configs_request as replace;
use ottla_protocol::messages::alter_partition_request as alter;
use ottla_protocol::messages::assign_replicas_to_dirs_request as dirs;
use ottla_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_protocol::messages::broker_registration_request::{
    BrokerRegistrationRequest, Feature, Listener,
};
use ottla_protocol::messages::create_partitions_request as grow;
use ottla_protocol::messages::create_topics_request as create;
use ottla_protocol::messages::delete_topics_request as delete;
use ottla_protocol::messages::elect_leaders_request as elect;
use ottla_protocol::messages::incremental_alter_configs_request as set;
use ottla_protocol::messages::list_partition_reassignments_request as list;
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use ottla_protocol::metadata_records::{MetadataRecord, PartitionChangeRecord};
use ottla_protocol::{ErrorCode, Str, Uuid};
use std::fmt::{Debug, Write};
use std::sync::Arc;

pub(super) struct Harness {
    controller: Controller,
    options: ControllerOptions,
    log_end: i64,
    now_ms: i64,
    next_topic: u8,
    quiet: bool,
    pub(super) trace: String,
}

/// `key=value` words after the command.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn value(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.value(key).map(|value| value.parse().unwrap())
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
}

impl Harness {
    pub(super) fn new() -> Self {
        let options = ControllerOptions {
            cluster_id: "cluster".into(),
            node_id: 1,
            default_partitions: 1,
            default_replication_factor: 1,
            replication_factor_max: 1,
            topic_deletion_enabled: true,
            session_timeout_ms: 9000,
            configs: ConfigRules(Arc::new(FewKeys)),
        };
        let controller = Controller::activate(options.clone(), Replayer::default(), 0, 0);
        Self {
            controller,
            options,
            log_end: 0,
            now_ms: 0,
            next_topic: 0,
            quiet: false,
            trace: String::new(),
        }
    }

    pub(super) fn run(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let mut command = words.next().unwrap();
        self.quiet = command == "quiet";
        if self.quiet {
            command = words.next().unwrap();
        } else {
            writeln!(self.trace, "> {line}").unwrap();
        }
        self.dispatch(command, &Words(words.collect()));
        self.check_invariants();
    }

    fn dispatch(&mut self, command: &str, words: &Words<'_>) {
        match command {
            "bootstrap" => {
                let records = self.controller.activation_records(&format_records(), 1);
                self.append(Decision {
                    records,
                    atomic: true,
                    reply: (),
                });
            }
            "half-bootstrap" => {
                let mut records = self.controller.activation_records(&format_records(), 1);
                records.pop();
                self.append(Decision {
                    records,
                    atomic: true,
                    reply: (),
                });
            }
            "failover" => {
                let replayer = std::mem::take(&mut self.controller.replayer);
                self.controller =
                    Controller::activate(self.options.clone(), replayer, self.log_end, self.now_ms);
            }
            "limit" => {
                self.options.replication_factor_max = words.0[0].parse().unwrap();
                self.dispatch("failover", words);
            }
            "wait" => self.now_ms += words.0[0].parse::<i64>().unwrap(),
            "deadline" => {
                let deadline = self.controller.next_deadline();
                self.say(&deadline);
            }
            "expire" => match self.controller.expire(self.now_ms) {
                Some(decision) => self.append(decision),
                None => self.say(&"nothing"),
            },
            "start" => {
                self.register(words);
                let offset = format!("offset={}", self.log_end);
                let heartbeat = Words(vec![words.0[0], &offset]);
                self.heartbeat(&heartbeat);
            }
            "register" => self.register(words),
            "heartbeat" => self.heartbeat(words),
            "fence" => {
                let id = words.0[0].parse().unwrap();
                let mut records = Vec::new();
                self.controller
                    .fence(self.controller.image().broker(id).unwrap(), &mut records);
                self.append(Decision {
                    records,
                    atomic: false,
                    reply: (),
                });
            }
            "unregister" => {
                let request = UnregisterBrokerRequest {
                    broker_id: words.0[0].parse().unwrap(),
                    ..Default::default()
                };
                let decision = self.controller.unregister_broker(&request);
                self.append_as(decision, |reply| {
                    error(reply.error_code, &reply.error_message)
                });
            }
            "create" => self.create(words),
            "delete" => {
                let topics = words.0.iter().map(|name| delete::DeleteTopicState {
                    name: Some((*name).into()),
                    ..Default::default()
                });
                let request = delete::DeleteTopicsRequest {
                    topics: topics.collect(),
                    ..Default::default()
                };
                let decision = self.controller.delete_topics(&request);
                self.append_as(decision, |reply| {
                    each(&reply.responses, |topic| {
                        error(topic.error_code, &topic.error_message)
                    })
                });
            }
            "grow" => {
                let assignments = words.value("assign").map(|lists| {
                    lists
                        .split('|')
                        .map(|list| grow::CreatePartitionsAssignment {
                            broker_ids: ids(list),
                            ..Default::default()
                        })
                        .collect()
                });
                let topic = grow::CreatePartitionsTopic {
                    name: words.0[0].into(),
                    count: words.0[1].parse().unwrap(),
                    assignments,
                    ..Default::default()
                };
                let request = grow::CreatePartitionsRequest {
                    topics: vec![topic],
                    ..Default::default()
                };
                let decision = self.controller.create_partitions(&request);
                self.append_as(decision, |reply| {
                    each(&reply.results, |topic| {
                        error(topic.error_code, &topic.error_message)
                    })
                });
            }
            "alter" => self.alter(words),
            "reassign" => self.reassign(words),
            "reassignments" => self.reassignments(words),
            "dirs" => self.assign_dirs(words),
            "elect" => self.elect(words),
            "set" => self.set(words),
            "replace" => self.replace(words),
            "configs" => {
                let configs: Vec<String> = self
                    .controller
                    .image()
                    .configs
                    .iter()
                    .map(|(resource, overrides)| {
                        format!("{:?} {:?} {overrides:?}", resource.kind, resource.name)
                    })
                    .collect();
                self.say(&configs);
            }
            "pids" => {
                let broker_id = words.0[0].parse().unwrap();
                let request = AllocateProducerIdsRequest {
                    broker_id,
                    broker_epoch: self.epoch(broker_id),
                    ..Default::default()
                };
                let decision = self.controller.allocate_producer_ids(&request);
                self.append_as(decision, |reply| {
                    format!(
                        "{} {}+{}",
                        reply.error_code, reply.producer_id_start, reply.producer_id_len
                    )
                });
            }
            "feature" => {
                let upgrade_type = if words.has("safe") { 2 } else { 1 };
                let update = FeatureUpdateKey {
                    feature: words.0[0].into(),
                    max_version_level: words.0[1].parse().unwrap(),
                    upgrade_type,
                    ..Default::default()
                };
                let request = UpdateFeaturesRequest {
                    feature_updates: vec![update],
                    ..Default::default()
                };
                let decision = self.controller.update_features(&request, 2);
                self.append_as(decision, |reply| {
                    error(reply.error_code, &reply.error_message)
                });
            }
            other => panic!("unknown command {other}"),
        }
    }

    fn register(&mut self, words: &Words<'_>) {
        let id: i32 = words.0[0].parse().unwrap();
        let features = words.value("features").unwrap_or(
            "metadata.version:21-30,kraft.version:0-1,eligible.leader.replicas.version:0-1",
        );
        let features = features.split(',').map(|feature| {
            let (name, range) = feature.split_once(':').unwrap();
            let (min, max) = range.split_once('-').unwrap();
            Feature {
                name: name.into(),
                min_supported_version: min.parse().unwrap(),
                max_supported_version: max.parse().unwrap(),
                ..Default::default()
            }
        });
        let default_dir = (id * 10 + 1).to_string();
        let log_dirs = words
            .value("dirs")
            .unwrap_or(&default_dir)
            .split(',')
            .filter(|dir| !dir.is_empty())
            .map(dir);
        let request = BrokerRegistrationRequest {
            broker_id: id,
            cluster_id: words.value("cluster").unwrap_or("cluster").into(),
            incarnation_id: uuid(200, words.number("incarnation").unwrap_or(1) as u8),
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: "localhost".into(),
                port: 9092,
                ..Default::default()
            }],
            features: features.collect(),
            rack: words.value("rack").map(Into::into),
            log_dirs: log_dirs.collect(),
            previous_broker_epoch: words.number("previous").unwrap_or(-1),
            ..Default::default()
        };
        let decision = self
            .controller
            .register_broker(&request, self.log_end, 1, self.now_ms);
        self.append_as(decision, |reply| {
            format!("{} epoch {}", reply.error_code, reply.broker_epoch)
        });
    }

    fn heartbeat(&mut self, words: &Words<'_>) {
        let broker_id = words.0[0].parse().unwrap();
        let request = BrokerHeartbeatRequest {
            broker_id,
            broker_epoch: words
                .number("epoch")
                .unwrap_or_else(|| self.epoch(broker_id)),
            current_metadata_offset: words.number("offset").unwrap(),
            want_fence: words.has("fence"),
            want_shut_down: words.has("shutdown"),
            offline_log_dirs: words
                .value("offline")
                .map(|dirs| dirs.split(',').map(dir).collect())
                .unwrap_or_default(),
            cordoned_log_dirs: words
                .value("cordoned")
                .map(|dirs| dirs.split(',').map(dir).collect()),
            ..Default::default()
        };
        self.controller.sessions_mut().heard(
            broker_id,
            request.broker_epoch,
            request.current_metadata_offset,
            self.now_ms,
        );
        let decision = self.controller.broker_heartbeat(&request);
        self.append_as(decision, |reply| {
            let mut said = reply.error_code.to_string();
            for (flag, name) in [
                (reply.is_caught_up, "caught up"),
                (reply.is_fenced, "fenced"),
                (reply.should_shut_down, "may stop"),
            ] {
                if flag {
                    write!(said, ", {name}").unwrap();
                }
            }
            said
        });
    }

    fn create(&mut self, words: &Words<'_>) {
        let assignments: Vec<_> = words.value("assign").map_or_else(Vec::new, |lists| {
            (0..)
                .zip(lists.split('|'))
                .map(
                    |(partition_index, list)| create::CreatableReplicaAssignment {
                        partition_index,
                        broker_ids: ids(list),
                        ..Default::default()
                    },
                )
                .collect()
        });
        let configs = words
            .0
            .iter()
            .filter_map(|word| word.strip_prefix("config:"))
            .map(|config| {
                let (name, value) = config.split_once('=').unwrap();
                create::CreatableTopicConfig {
                    name: name.into(),
                    value: Some(value.into()),
                    ..Default::default()
                }
            });
        let default = if assignments.is_empty() { 1 } else { -1 };
        let topics = words
            .0
            .iter()
            .filter(|word| !word.contains(['=', ':']) && **word != "validate")
            .map(|name| create::CreatableTopic {
                name: (*name).into(),
                num_partitions: words.number("partitions").unwrap_or(default) as i32,
                replication_factor: words.number("rf").unwrap_or(default) as i16,
                assignments: assignments.clone(),
                configs: configs.clone().collect(),
                ..Default::default()
            });
        let request = create::CreateTopicsRequest {
            topics: topics.collect(),
            validate_only: words.has("validate"),
            ..Default::default()
        };
        let mut next = self.next_topic;
        let decision = self.controller.create_topics(
            &request,
            &mut || {
                next += 1;
                uuid(100, next)
            },
            &|_| true,
        );
        self.next_topic = next;
        self.append_as(decision, |reply| {
            each(&reply.topics, |topic| {
                error(topic.error_code, &topic.error_message)
            })
        });
    }

    fn alter(&mut self, words: &Words<'_>) {
        let broker_id: i32 = words.0[0].parse().unwrap();
        let (topic, index) = self.partition(words.0[1]);
        let current = self.controller.image().partition_by_id(&topic, index);
        let isr = ids(words.value("isr").unwrap());
        let partition = alter::PartitionData {
            partition_index: index,
            leader_epoch: words
                .number("leader_epoch")
                .map_or(current.map_or(0, |p| p.leader_epoch), |epoch| epoch as i32),
            partition_epoch: words
                .number("partition_epoch")
                .map_or(current.map_or(0, |p| p.partition_epoch), |epoch| {
                    epoch as i32
                }),
            new_isr_with_epochs: isr
                .iter()
                .map(|id| alter::BrokerState {
                    broker_id: *id,
                    broker_epoch: self.epoch(*id),
                    ..Default::default()
                })
                .collect(),
            leader_recovery_state: i8::from(words.has("recovering")),
            ..Default::default()
        };
        let topics = vec![alter::TopicData {
            topic_id: topic,
            partitions: vec![partition],
            ..Default::default()
        }];
        let request = alter::AlterPartitionRequest {
            broker_id,
            broker_epoch: self.epoch(broker_id),
            topics,
            ..Default::default()
        };
        let decision = self.controller.alter_partition(&request);
        self.append_as(decision, |reply| {
            each(&reply.topics[0].partitions, |p| {
                format!(
                    "{} isr {:?} leader {}/{} epoch {}",
                    p.error_code, p.isr, p.leader_id, p.leader_epoch, p.partition_epoch
                )
            })
        });
    }

    fn assign_dirs(&mut self, words: &Words<'_>) {
        let broker_id: i32 = words.0[0].parse().unwrap();
        let directories = words.0[1..].iter().map(|word| {
            let (id, partition) = word.split_once('=').unwrap();
            let (topic_id, partition_index) = self.partition(partition);
            let partitions = vec![dirs::PartitionData {
                partition_index,
                ..Default::default()
            }];
            dirs::DirectoryData {
                id: dir(id),
                topics: vec![dirs::TopicData {
                    topic_id,
                    partitions,
                    ..Default::default()
                }],
                ..Default::default()
            }
        });
        let request = dirs::AssignReplicasToDirsRequest {
            broker_id,
            broker_epoch: self.epoch(broker_id),
            directories: directories.collect(),
            ..Default::default()
        };
        let decision = self.controller.assign_replicas_to_dirs(&request);
        self.append_as(decision, |reply| {
            each(&reply.directories, |dir| {
                dir.topics[0].partitions[0].error_code.to_string()
            })
        });
    }

    /// The record with which a controller of Apache Kafka starts a reassignment: ours only inherits them.
    fn reassign(&mut self, words: &Words<'_>) {
        let (topic_id, partition_id) = self.partition(words.0[0]);
        let list = |key| words.value(key).map(ids);
        let record = PartitionChangeRecord {
            topic_id,
            partition_id,
            replicas: list("replicas"),
            directories: list("replicas").map(|replicas| vec![Uuid([0; 16]); replicas.len()]),
            adding_replicas: list("adding"),
            removing_replicas: list("removing"),
            ..Default::default()
        };
        self.append(Decision {
            records: vec![VersionedRecord::new(record, 2)],
            atomic: true,
            reply: (),
        });
    }

    /// `NAME:PARTITION,PARTITION` each; all without one.
    fn reassignments(&mut self, words: &Words<'_>) {
        let named = words.0.iter().map(|word| {
            let (name, partitions) = word.split_once(':').unwrap();
            list::ListPartitionReassignmentsTopics {
                name: name.into(),
                partition_indexes: ids(partitions),
                ..Default::default()
            }
        });
        let request = list::ListPartitionReassignmentsRequest {
            topics: (!words.0.is_empty()).then(|| named.collect()),
            ..Default::default()
        };
        let response = self.controller.list_partition_reassignments(&request);
        let listed: Vec<String> = response
            .topics
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    format!(
                        "{}-{} {:?} adding {:?} removing {:?}",
                        topic.name,
                        partition.partition_index,
                        partition.replicas,
                        partition.adding_replicas,
                        partition.removing_replicas
                    )
                })
            })
            .collect();
        self.say(&listed);
    }

    fn elect(&mut self, words: &Words<'_>) {
        let topics = words.0[1..].iter().map(|word| {
            let (topic, index) = word.rsplit_once('-').unwrap();
            elect::TopicPartitions {
                topic: topic.into(),
                partitions: vec![index.parse().unwrap()],
                ..Default::default()
            }
        });
        let election_type = i8::from(words.0[0] == "unclean");
        let request = elect::ElectLeadersRequest {
            election_type,
            topic_partitions: Some(topics.collect()),
            ..Default::default()
        };
        let decision = self.controller.elect_leaders(&request);
        self.append_as(decision, |reply| {
            each(&reply.replica_election_results, |topic| {
                error(
                    topic.partition_result[0].error_code,
                    &topic.partition_result[0].error_message,
                )
            })
        });
    }

    fn set(&mut self, words: &Words<'_>) {
        let configs = words.0[2..].iter().map(|word| {
            let (operation, change) = match word.as_bytes()[0] {
                b'+' => (2, &word[1..]),
                b'-' if word.contains('=') => (3, &word[1..]),
                b'-' => (1, &word[1..]),
                _ => (0, *word),
            };
            let (name, value) = change
                .split_once('=')
                .map_or((change, None), |(name, value)| (name, Some(value.into())));
            set::AlterableConfig {
                name: name.into(),
                config_operation: operation,
                value,
                ..Default::default()
            }
        });
        let resource = set::AlterConfigsResource {
            resource_type: kind(words.0[0]),
            resource_name: resource_name(words.0[1]),
            configs: configs.collect(),
            ..Default::default()
        };
        let request = set::IncrementalAlterConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        };
        let decision = self.controller.incremental_alter_configs(&request);
        self.append_as(decision, |reply| {
            each(&reply.responses, |resource| {
                error(resource.error_code, &resource.error_message)
            })
        });
    }

    fn replace(&mut self, words: &Words<'_>) {
        let configs = words.0[2..].iter().map(|word| {
            let (name, value) = word.split_once('=').unwrap();
            replace::AlterableConfig {
                name: name.into(),
                value: Some(value.into()),
                ..Default::default()
            }
        });
        let resource = replace::AlterConfigsResource {
            resource_type: kind(words.0[0]),
            resource_name: resource_name(words.0[1]),
            configs: configs.collect(),
            ..Default::default()
        };
        let request = replace::AlterConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        };
        let decision = self.controller.alter_configs(&request);
        self.append_as(decision, |reply| {
            each(&reply.responses, |resource| {
                error(resource.error_code, &resource.error_message)
            })
        });
    }

    fn epoch(&self, broker: i32) -> i64 {
        self.controller
            .image()
            .broker(broker)
            .map_or(-1, |broker| broker.epoch)
    }

    fn partition(&self, name: &str) -> (Uuid, i32) {
        let (topic, index) = name.rsplit_once('-').unwrap();
        (
            self.controller
                .image()
                .topics
                .id_of(topic)
                .unwrap_or(uuid(100, 255)),
            index.parse().unwrap(),
        )
    }

    fn say(&mut self, what: &dyn Debug) {
        if !self.quiet {
            writeln!(self.trace, "  {what:?}").unwrap();
        }
    }

    fn append<R>(&mut self, decision: Decision<R>) {
        self.append_as(decision, |_| String::new());
    }

    fn append_as<R>(&mut self, decision: Decision<R>, show_reply: impl Fn(&R) -> String) {
        for (offset, VersionedRecord { record, version }) in (self.log_end..).zip(&decision.records)
        {
            assert_eq!(
                MetadataRecord::decode(record.encode(*version).unwrap()).unwrap(),
                *record,
                "a record must survive its version"
            );
            if !self.quiet {
                writeln!(self.trace, "  {offset}: {} v{version}", self.show(record)).unwrap();
            }
        }
        let reply = show_reply(&decision.reply);
        if !self.quiet && !reply.is_empty() {
            writeln!(self.trace, "  {reply}").unwrap();
        }
        self.controller
            .replay(
                self.log_end,
                decision.records.iter().map(|record| &record.record),
            )
            .unwrap();
        self.log_end += decision.records.len() as i64;
    }

    fn check_invariants(&mut self) {
        let image = self.controller.image();
        assert_eq!(self.controller.index, Index::of(image));
        let mut again = Replayer::new(Image {
            provenance: image.provenance,
            ..Image::default()
        });
        for record in image.to_records(image.metadata_version()) {
            again.replay(0, &record.record).unwrap();
        }
        if self.controller.open_transaction().is_none() {
            assert_eq!(again.image(), image);
        }
        self.controller.publish(Provenance {
            offset: self.log_end - 1,
            epoch: 1,
            timestamp_ms: self.now_ms,
        });
    }

    fn topic_name(&self, id: Uuid) -> String {
        self.controller.image().topic_by_id(&id).map_or_else(
            || format!("new{}", id.0[15]),
            |topic| topic.name.to_string(),
        )
    }

    /// The fields that matter, in few words.
    fn show(&self, record: &MetadataRecord) -> String {
        match record {
            MetadataRecord::RegisterBroker(r) => {
                let dirs: Vec<_> = r.log_dirs.iter().map(|dir| dir.0[15]).collect();
                format!(
                    "RegisterBroker {} epoch {} fenced {} rack {:?} dirs {dirs:?}",
                    r.broker_id,
                    r.broker_epoch,
                    r.fenced,
                    r.rack.as_deref()
                )
            }
            MetadataRecord::UnregisterBroker(r) => {
                format!("UnregisterBroker {} epoch {}", r.broker_id, r.broker_epoch)
            }
            MetadataRecord::BrokerRegistrationChange(r) => {
                let mut said = format!("BrokerRegistrationChange {}", r.broker_id);
                match r.fenced {
                    1 => said.push_str(" fenced"),
                    -1 => said.push_str(" unfenced"),
                    _ => {}
                }
                if r.in_controlled_shutdown == 1 {
                    said.push_str(" in controlled shutdown");
                }
                if !r.log_dirs.is_empty() {
                    write!(said, " dirs {:?}", numbers(&r.log_dirs)).unwrap();
                }
                if let Some(cordoned) = &r.cordoned_log_dirs {
                    write!(said, " cordoned {:?}", numbers(cordoned)).unwrap();
                }
                said
            }
            MetadataRecord::Topic(r) => format!("Topic {}", r.name),
            MetadataRecord::RemoveTopic(r) => {
                format!("RemoveTopic {}", self.topic_name(r.topic_id))
            }
            MetadataRecord::Partition(r) => {
                format!(
                    "Partition {}-{} replicas {:?} isr {:?} leader {} dirs {:?}",
                    self.topic_name(r.topic_id),
                    r.partition_id,
                    r.replicas,
                    r.isr,
                    r.leader,
                    numbers(&r.directories)
                )
            }
            MetadataRecord::PartitionChange(r) => {
                let mut said = format!(
                    "PartitionChange {}-{}",
                    self.topic_name(r.topic_id),
                    r.partition_id
                );
                if r.leader != -2 {
                    write!(said, " leader {}", r.leader).unwrap();
                }
                let lists = [
                    ("isr", &r.isr),
                    ("elr", &r.eligible_leader_replicas),
                    ("last_known", &r.last_known_elr),
                    ("replicas", &r.replicas),
                    ("removing", &r.removing_replicas),
                    ("adding", &r.adding_replicas),
                ];
                for (name, list) in lists {
                    if let Some(list) = list {
                        write!(said, " {name} {list:?}").unwrap();
                    }
                }
                if r.leader_recovery_state != -1 {
                    write!(said, " recovering {}", r.leader_recovery_state == 1).unwrap();
                }
                if let Some(dirs) = &r.directories {
                    write!(said, " dirs {:?}", numbers(dirs)).unwrap();
                }
                said
            }
            MetadataRecord::Config(r) => format!(
                "Config {}:{} {}={:?}",
                r.resource_type,
                r.resource_name,
                r.name,
                r.value.as_deref()
            ),
            MetadataRecord::FeatureLevel(r) => {
                format!("FeatureLevel {} {}", r.name, r.feature_level)
            }
            MetadataRecord::ProducerIds(r) => {
                format!("ProducerIds {} for {}", r.next_producer_id, r.broker_id)
            }
            MetadataRecord::ClearElr(r) => format!("ClearElr '{}'", r.topic_name),
            other => other.name().to_owned(),
        }
    }
}

/// Four keys are enough to tell good from bad, lists from others, and topic keys from broker keys.
struct FewKeys;

impl ConfigCatalogue for FewKeys {
    fn check(
        &self,
        _: &Resource,
        _: &Overrides,
        overrides: &Overrides,
        _: &Overrides,
    ) -> Result<(), String> {
        let known = |key: &Str| !key.contains("nonsense");
        overrides
            .keys()
            .find(|key| !known(key))
            .map_or(Ok(()), |key| Err(format!("'{key}' is not known")))
    }

    fn is_list(&self, _: ResourceKind, key: &str) -> bool {
        key == "cleanup.policy"
    }

    fn fallback(&self, _: ResourceKind, key: &str) -> Option<Str> {
        match key {
            "cleanup.policy" => Some("delete".into()),
            "min.insync.replicas" => Some("1".into()),
            _ => None,
        }
    }

    fn effective_topic(
        &self,
        topic: &Overrides,
        _: Option<&Overrides>,
        _: Option<&Overrides>,
    ) -> Vec<EffectiveConfig> {
        topic
            .iter()
            .map(|(name, value)| EffectiveConfig {
                name: name.clone(),
                value: Some(value.clone()),
                read_only: false,
                source: 1,
                sensitive: false,
            })
            .collect()
    }

    fn broker_key(&self, topic_key: &str) -> Str {
        topic_key.into()
    }
}

fn error(code: ErrorCode, message: &Option<Str>) -> String {
    match message {
        Some(message) => format!("{}: {message}", code),
        None => code.to_string(),
    }
}

fn each<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join("\n  ")
}

fn ids(list: &str) -> Vec<i32> {
    list.split(',')
        .filter(|id| !id.is_empty())
        .map(|id| id.parse().unwrap())
        .collect()
}

fn uuid(kind: u8, number: u8) -> Uuid {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[15] = number;
    Uuid(bytes)
}

/// `@n`: a reserved id.
fn dir(number: &str) -> Uuid {
    match number.strip_prefix('@') {
        Some(reserved) => uuid(0, reserved.parse().unwrap()),
        None => uuid(150, number.parse().unwrap()),
    }
}

fn numbers(ids: &[Uuid]) -> Vec<u8> {
    ids.iter().map(|id| id.0[15]).collect()
}

fn kind(name: &str) -> i8 {
    match name {
        "topic" => 2,
        "broker" => 4,
        "logger" => 8,
        "group" => 32,
        other => panic!("unknown kind {other}"),
    }
}

/// `-`: the default of all brokers.
fn resource_name(name: &str) -> Str {
    if name == "-" { "".into() } else { name.into() }
}
