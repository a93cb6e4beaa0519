//! IncrementalAlterConfigs and AlterConfigs, and the values in force for a topic.
//!
//! A resource is changed as a whole or not at all: its overrides as they would be afterwards are checked
//! together. AlterConfigs replaces all overrides; whatever it does not name is deleted.
//! Not here: what keys mean and which values they take (ottla-settings, through [`ConfigRules`]).

use super::{Controller, Decision, RECORDS_PER_REQUEST_MAX, Refusal};
use crate::image::{Overrides, Resource, ResourceKind};
use crate::record::VersionedRecord;
use ottla_protocol::messages::alter_configs_request::AlterConfigsRequest;
use ottla_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse as ReplacedResource, AlterConfigsResponse,
};
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use ottla_protocol::metadata_records::{ClearElrRecord, ConfigRecord};
use ottla_protocol::{ErrorCode, Str};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// Longest value: what a string of the wire's first versions can hold.
const VALUE_BYTES_MAX: usize = 32767;

/// One topic key with the value in force, as CreateTopics and DescribeConfigs show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// Key.
    pub name: Str,
    /// Value; `None` for a sensitive one or a key without a value.
    pub value: Option<Str>,
    /// True if the key cannot be altered.
    pub read_only: bool,
    /// Where the value comes from: 1 topic, 2 broker, 3 all brokers, 4 server.properties, 5 default.
    pub source: i8,
    /// True if the value is a secret.
    pub sensitive: bool,
}

/// What the controller has to know of configuration keys.
pub trait ConfigCatalogue: Send + Sync {
    /// Checks what a resource's overrides would become, together; `cluster` are those of all brokers. What
    /// `current` has already is not judged again. The error says what is wrong, for the user.
    fn check(
        &self,
        resource: &Resource,
        current: &Overrides,
        next: &Overrides,
        cluster: &Overrides,
    ) -> Result<(), String>;
    /// True for keys whose value is a list, which APPEND and SUBTRACT need.
    fn is_list(&self, kind: ResourceKind, key: &str) -> bool;
    /// The value in force where no override exists: from server.properties, else the default.
    fn fallback(&self, kind: ResourceKind, key: &str) -> Option<Str>;
    /// All topic keys with the values in force; the overrides are the topic's, this broker's and those of all brokers.
    fn effective_topic(
        &self,
        topic: &Overrides,
        broker: Option<&Overrides>,
        cluster: Option<&Overrides>,
    ) -> Vec<EffectiveConfig>;
    /// The broker key that stands behind a topic key, where they differ (`log.retention.ms` behind `retention.ms`).
    fn broker_key(&self, topic_key: &str) -> Str;
}

/// A shared catalogue.
#[derive(Clone)]
pub struct ConfigRules(pub Arc<dyn ConfigCatalogue>);

impl fmt::Debug for ConfigRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigRules")
    }
}

/// What a request wants of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(Str),
    Delete,
    Append(Str),
    Subtract(Str),
}

impl Controller {
    /// Alters single keys of resources.
    pub fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        let named = count_names(
            request
                .resources
                .iter()
                .map(|resource| (resource.resource_type, &resource.resource_name)),
        );
        let mut records = Vec::new();
        let responses = request.resources.iter().map(|wanted| {
            let outcome = match named[&(wanted.resource_type, &wanted.resource_name)] {
                1 => self.incremental_alter_resource(
                    wanted,
                    RECORDS_PER_REQUEST_MAX - records.len().min(RECORDS_PER_REQUEST_MAX),
                ),
                _ => Err(named_twice()),
            };
            let refusal = outcome.map(|altered| records.extend(altered)).err();
            AlterConfigsResourceResponse {
                error_code: refusal
                    .as_ref()
                    .map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.map(|refusal| refusal.message.into()),
                resource_type: wanted.resource_type,
                resource_name: wanted.resource_name.clone(),
                ..Default::default()
            }
        });
        let reply = IncrementalAlterConfigsResponse {
            responses: responses.collect(),
            ..Default::default()
        };
        self.altered(records, request.validate_only, reply)
    }

    /// Replaces all overrides of resources.
    pub fn alter_configs(&self, request: &AlterConfigsRequest) -> Decision<AlterConfigsResponse> {
        let named = count_names(
            request
                .resources
                .iter()
                .map(|resource| (resource.resource_type, &resource.resource_name)),
        );
        let mut records = Vec::new();
        let responses = request.resources.iter().map(|wanted| {
            let changes = wanted.configs.iter().map(|config| match &config.value {
                Some(value) => Ok((config.name.clone(), Change::Set(value.clone()))),
                None => Err(Refusal::new(
                    ErrorCode::INVALID_REQUEST,
                    format!("'{}' has no value", config.name),
                )),
            });
            let outcome = match named[&(wanted.resource_type, &wanted.resource_name)] {
                1 => changes.collect::<Result<Vec<_>, _>>().and_then(|changes| {
                    self.replace_resource(wanted.resource_type, &wanted.resource_name, changes)
                }),
                _ => Err(named_twice()),
            };
            let refusal = outcome.map(|altered| records.extend(altered)).err();
            ReplacedResource {
                error_code: refusal
                    .as_ref()
                    .map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.map(|refusal| refusal.message.into()),
                resource_type: wanted.resource_type,
                resource_name: wanted.resource_name.clone(),
                ..Default::default()
            }
        });
        let reply = AlterConfigsResponse {
            responses: responses.collect(),
            ..Default::default()
        };
        self.altered(records, request.validate_only, reply)
    }

    fn altered<R>(
        &self,
        mut records: Vec<VersionedRecord>,
        validate_only: bool,
        reply: R,
    ) -> Decision<R> {
        if validate_only {
            records.clear();
        }
        let clear_elr = self.clear_elr_records(&records);
        records.extend(clear_elr);
        Decision::atomic(records, reply)
    }

    /// Another minimum of in-sync replicas makes what is known of eligible leaders worthless (KIP-966).
    fn clear_elr_records(&self, records: &[VersionedRecord]) -> Vec<VersionedRecord> {
        if !self.image().features.elr_enabled() {
            return Vec::new();
        }
        let min_isr = records.iter().filter_map(|record| match &record.record {
            ottla_protocol::metadata_records::MetadataRecord::Config(config)
                if &*config.name == MIN_INSYNC_REPLICAS =>
            {
                Some(config)
            }
            _ => None,
        });
        let cleared = min_isr.map(|config| {
            let topic_name = if config.resource_type == ResourceKind::Topic as i8 {
                config.resource_name.clone()
            } else {
                Str::default()
            };
            VersionedRecord::new(
                ClearElrRecord {
                    topic_name,
                    ..Default::default()
                },
                0,
            )
        });
        cleared.collect()
    }

    fn incremental_alter_resource(
        &self,
        wanted: &AlterConfigsResource,
        room: usize,
    ) -> Result<Vec<VersionedRecord>, Refusal> {
        let changes: Vec<(Str, Change)> = wanted
            .configs
            .iter()
            .map(|config| Ok((config.name.clone(), change_of(config)?)))
            .collect::<Result<_, Refusal>>()?;
        if changes.len() > room {
            return Err(Refusal::new(
                ErrorCode::POLICY_VIOLATION,
                format!("one request may alter at most {RECORDS_PER_REQUEST_MAX} keys"),
            ));
        }
        let resource = self.existing_resource(wanted.resource_type, &wanted.resource_name)?;
        let none = Arc::default();
        let current = self.image().configs.get(&resource).unwrap_or(&none);
        let altered = changes.into_iter().map(|(key, change)| {
            let value = match change {
                Change::Set(value) => Some(value),
                Change::Delete => None,
                Change::Append(values) => {
                    Some(self.alter_list(&resource, current, &key, &values, true)?)
                }
                Change::Subtract(values) => {
                    Some(self.alter_list(&resource, current, &key, &values, false)?)
                }
            };
            Ok((key, value))
        });
        self.checked_records(&resource, current, altered.collect::<Result<_, Refusal>>()?)
    }

    fn replace_resource(
        &self,
        kind: i8,
        name: &Str,
        changes: Vec<(Str, Change)>,
    ) -> Result<Vec<VersionedRecord>, Refusal> {
        let resource = self.existing_resource(kind, name)?;
        let none = Arc::default();
        let current = self.image().configs.get(&resource).unwrap_or(&none);
        let mut altered: Vec<(Str, Option<Str>)> = Vec::with_capacity(changes.len());
        for (key, change) in changes {
            if let Change::Set(value) = change {
                altered.push((key, Some(value)));
            }
        }
        let deleted: Vec<Str> = current
            .keys()
            .filter(|key| !altered.iter().any(|(named, _)| named == *key))
            .cloned()
            .collect();
        altered.extend(deleted.into_iter().map(|key| (key, None)));
        self.checked_records(&resource, current, altered)
    }

    /// Records for the keys that change, once all overrides together have been found good.
    fn checked_records(
        &self,
        resource: &Resource,
        current: &Overrides,
        altered: Vec<(Str, Option<Str>)>,
    ) -> Result<Vec<VersionedRecord>, Refusal> {
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = altered.iter().find(|(key, _)| !seen.insert(key)) {
            return Err(Refusal::new(
                ErrorCode::INVALID_REQUEST,
                format!("'{twice}' is altered twice"),
            ));
        }
        let mut after = current.clone();
        let mut records = Vec::new();
        for (key, value) in &altered {
            self.check_value(resource, key, value.as_ref())?;
            match value {
                Some(value) => after.insert(key.clone(), value.clone()),
                None => after.remove(key),
            };
            // A broker reads a file named by an unchanged value again, so its records are written anyway.
            if current.get(key) != value.as_ref() || resource.kind == ResourceKind::Broker {
                let record = ConfigRecord {
                    resource_type: resource.kind as i8,
                    resource_name: resource.name.clone(),
                    name: key.clone(),
                    value: value.clone(),
                    ..Default::default()
                };
                records.push(VersionedRecord::new(record, 0));
            }
        }
        self.check_overrides(resource, current, &after)?;
        Ok(records)
    }

    fn check_value(
        &self,
        resource: &Resource,
        key: &Str,
        value: Option<&Str>,
    ) -> Result<(), Refusal> {
        let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
        if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return invalid("the value is longer than 32767 bytes");
        }
        // With ELR the controller alone decides who is eligible, by one minimum for all brokers.
        if &**key == MIN_INSYNC_REPLICAS
            && resource.kind == ResourceKind::Broker
            && self.image().features.elr_enabled()
        {
            if !resource.name.is_empty() {
                return invalid(
                    "min.insync.replicas cannot be set per broker while eligible leader replicas are on",
                );
            }
            if value.is_none() {
                return invalid(
                    "min.insync.replicas of all brokers cannot be removed while eligible leader replicas are on",
                );
            }
        }
        Ok(())
    }

    pub(super) fn check_overrides(
        &self,
        resource: &Resource,
        current: &Overrides,
        next: &Overrides,
    ) -> Result<(), Refusal> {
        let none = Arc::default();
        let cluster = self.image().configs.get(&Resource::cluster());
        // Kafka's brokers judge their own configuration, and wrap every fault of it in this code.
        let code = match resource.kind {
            ResourceKind::Broker => ErrorCode::INVALID_REQUEST,
            _ => ErrorCode::INVALID_CONFIG,
        };
        self.options
            .configs
            .0
            .check(resource, current, next, cluster.unwrap_or(&none))
            .map_err(|message| Refusal::new(code, message))
    }

    /// The resource, if it exists: configuration of what does not exist would never be cleaned up.
    fn existing_resource(&self, kind: i8, name: &Str) -> Result<Resource, Refusal> {
        let kind = ResourceKind::from_i8(kind).filter(|kind| *kind != ResourceKind::BrokerLogger);
        let kind = kind.ok_or_else(|| {
            Refusal::new(
                ErrorCode::INVALID_REQUEST,
                "the resource type has no stored configuration",
            )
        })?;
        match kind {
            ResourceKind::Topic if self.image().topic(name).is_none() => Err(Refusal::new(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                format!("topic '{name}' does not exist"),
            )),
            ResourceKind::Broker if !name.is_empty() => self.existing_broker(name),
            ResourceKind::Group | ResourceKind::ClientMetrics if name.is_empty() => Err(
                Refusal::new(ErrorCode::INVALID_REQUEST, "the resource has no name"),
            ),
            _ => Ok(()),
        }?;
        Ok(Resource {
            kind,
            name: name.clone(),
        })
    }

    fn existing_broker(&self, name: &Str) -> Result<(), Refusal> {
        let id: i32 = name.parse().map_err(|_| {
            Refusal::new(
                ErrorCode::INVALID_REQUEST,
                format!("'{name}' is not a broker id"),
            )
        })?;
        if self.image().broker(id).is_none()
            && self.image().cluster.controllers.get(&id).is_none()
            && id != self.options.node_id
        {
            return Err(Refusal::new(
                ErrorCode::BROKER_ID_NOT_REGISTERED,
                format!("no broker or controller {id} is registered"),
            ));
        }
        Ok(())
    }

    fn alter_list(
        &self,
        resource: &Resource,
        current: &Overrides,
        key: &Str,
        values: &Str,
        append: bool,
    ) -> Result<Str, Refusal> {
        let rules = &self.options.configs.0;
        if !rules.is_list(resource.kind, key) {
            return Err(Refusal::new(
                ErrorCode::INVALID_CONFIG,
                format!("'{key}' is not a list: nothing can be appended or subtracted"),
            ));
        }
        let value = current
            .get(key)
            .cloned()
            .or_else(|| rules.fallback(resource.kind, key))
            .unwrap_or_default();
        let mut list: Vec<&str> = value.split(',').filter(|item| !item.is_empty()).collect();
        for item in values.split(',') {
            if !append {
                list.retain(|present| *present != item);
            } else if !list.contains(&item) {
                list.push(item);
            }
        }
        Ok(list.join(",").into())
    }

    /// The value in force for a topic key: the topic's, this node's, that of all brokers, server.properties, default.
    pub(super) fn topic_config(&self, topic: &Str, key: &str) -> Option<Str> {
        let image = self.image();
        let own = image
            .topic_overrides(topic)
            .and_then(|overrides| overrides.get(key));
        let dynamic = || {
            image.broker_override(
                self.options.node_id,
                &self.options.configs.0.broker_key(key),
            )
        };
        own.or_else(dynamic)
            .cloned()
            .or_else(|| self.options.configs.0.fallback(ResourceKind::Topic, key))
    }

    pub(super) fn effective_topic_configs(&self, topic: &Overrides) -> Vec<EffectiveConfig> {
        let image = self.image();
        let deref = |overrides: Option<&'_ Arc<Overrides>>| overrides.cloned();
        let (broker, cluster) = (
            deref(image.broker_overrides(self.options.node_id)),
            deref(image.cluster_overrides()),
        );
        self.options
            .configs
            .0
            .effective_topic(topic, broker.as_deref(), cluster.as_deref())
    }
}

fn count_names<'a>(
    resources: impl Iterator<Item = (i8, &'a Str)>,
) -> BTreeMap<(i8, &'a Str), usize> {
    let mut named = BTreeMap::new();
    for resource in resources {
        *named.entry(resource).or_default() += 1;
    }
    named
}

fn named_twice() -> Refusal {
    Refusal::new(
        ErrorCode::INVALID_REQUEST,
        "the request names this resource more than once",
    )
}

fn change_of(config: &AlterableConfig) -> Result<Change, Refusal> {
    let value = config.value.clone().ok_or_else(|| {
        Refusal::new(
            ErrorCode::INVALID_REQUEST,
            format!("'{}' has no value", config.name),
        )
    });
    match config.config_operation {
        0 => value.map(Change::Set),
        1 => Ok(Change::Delete),
        2 => value.map(Change::Append),
        3 => value.map(Change::Subtract),
        other => Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            format!("'{}': operation {other} is not known", config.name),
        )),
    }
}
