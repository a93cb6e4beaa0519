//! Dynamic configuration: overrides by resource, as the ConfigRecords left them.
//! Not here: defaults, types and the order in which levels override each other (ottla-settings).

use crate::shared_map::SharedMap;
use ottla_protocol::Str;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a configuration belongs to; values as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceKind {
    /// A topic, by name.
    Topic = 2,
    /// A broker by id; with an empty name the default of all brokers.
    Broker = 4,
    /// A broker's loggers; never stored in the metadata log.
    BrokerLogger = 8,
    /// A client metrics subscription (KIP-714).
    ClientMetrics = 16,
    /// A group (KIP-848).
    Group = 32,
}

impl ResourceKind {
    /// The kind with this number on the wire.
    pub fn from_i8(kind: i8) -> Option<Self> {
        [
            Self::Topic,
            Self::Broker,
            Self::BrokerLogger,
            Self::ClientMetrics,
            Self::Group,
        ]
        .into_iter()
        .find(|known| *known as i8 == kind)
    }
}

/// One configured resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Topic name, broker id in decimal or empty, subscription name, group id.
    pub name: Str,
}

impl Resource {
    /// A topic's configuration.
    pub fn topic(name: Str) -> Self {
        Self {
            kind: ResourceKind::Topic,
            name,
        }
    }

    /// One broker's own configuration.
    pub fn broker(id: i32) -> Self {
        Self {
            kind: ResourceKind::Broker,
            name: id.to_string().into(),
        }
    }

    /// The default of all brokers.
    pub fn cluster() -> Self {
        Self {
            kind: ResourceKind::Broker,
            name: "".into(),
        }
    }
}

/// Overrides of one resource in key order.
pub type Overrides = BTreeMap<Str, Str>;

/// All overrides. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configs {
    by_resource: SharedMap<Resource, Arc<Overrides>>,
}

impl Configs {
    /// Overrides of a resource; `None` if it has none.
    pub fn get(&self, resource: &Resource) -> Option<&Arc<Overrides>> {
        self.by_resource.get(resource)
    }

    /// One override.
    pub fn value(&self, resource: &Resource, key: &str) -> Option<&Str> {
        find(self.by_resource.get(resource)?, key)
    }

    /// All resources with overrides.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, &Arc<Overrides>)> {
        self.by_resource.iter()
    }

    /// Resources of one kind that have overrides, in name order.
    pub fn of_kind(
        &self,
        kind: ResourceKind,
    ) -> impl Iterator<Item = (&Resource, &Arc<Overrides>)> {
        let from = Resource {
            kind,
            name: "".into(),
        };
        self.by_resource
            .iter_from(&from)
            .take_while(move |(resource, _)| resource.kind == kind)
    }

    pub(crate) fn set(&mut self, resource: Resource, key: Str, value: Option<Str>) {
        match (self.by_resource.get_mut(&resource), value) {
            (Some(overrides), Some(value)) => {
                Arc::make_mut(overrides).insert(key, value);
            }
            (Some(overrides), None) => {
                let overrides = Arc::make_mut(overrides);
                overrides.remove(&key);
                if overrides.is_empty() {
                    self.by_resource.remove(&resource);
                }
            }
            (None, Some(value)) => {
                self.by_resource
                    .insert(resource, Arc::new(Overrides::from([(key, value)])));
            }
            (None, None) => {}
        }
    }

    pub(crate) fn remove(&mut self, resource: &Resource) -> bool {
        self.by_resource.remove(resource).is_some()
    }
}

/// The value of `key`.
pub(crate) fn find<'a>(overrides: &'a Overrides, key: &str) -> Option<&'a Str> {
    overrides.get(key)
}
