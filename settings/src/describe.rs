//! What DescribeConfigs answers: every key of a resource with its value, where that comes from, and what would hold
//! otherwise. Secrets have no value.

use crate::layers::{Found, Layers, Overrides, Source};
use crate::table::{Kind, Scope, Setting, Status, Update, find, of};

/// One key of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigEntry {
    /// The key.
    pub name: &'static str,
    /// `None` when not set, or secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Not to be changed while the broker runs.
    pub read_only: bool,
    /// The value is not shown.
    pub secret: bool,
    /// Type of the value.
    pub kind: Kind,
    /// One line; says what is not served.
    pub doc: String,
    /// What is set in any layer and the default, best first; the first is what holds.
    pub synonyms: Vec<ConfigSynonym>,
}

/// What one layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: &'static str,
    /// As set there; `None` when secret.
    pub value: Option<String>,
    /// The layer.
    pub source: Source,
}

impl Layers {
    /// All keys of a topic that sets `own` itself.
    pub fn describe_topic(&self, own: &Overrides) -> Vec<ConfigEntry> {
        self.describe_own(Scope::Topic, own)
    }

    /// All keys of a group that sets `own` itself.
    pub fn describe_group(&self, own: &Overrides) -> Vec<ConfigEntry> {
        self.describe_own(Scope::Group, own)
    }

    /// All keys of this broker.
    pub fn describe_broker(&self) -> Vec<ConfigEntry> {
        public(Scope::Broker)
            .map(|setting| entry(setting, self.chain(setting).collect()))
            .collect()
    }

    /// The keys that are set for all brokers (the broker resource without a name), and nothing that stands under them:
    /// each broker has a file of its own.
    pub fn describe_cluster(&self) -> Vec<ConfigEntry> {
        let set = self
            .cluster
            .keys()
            .filter_map(|name| find(Scope::Broker, name));
        set.map(|setting| {
            entry(
                setting,
                self.chain(setting)
                    .filter(|found| found.source == Source::Cluster)
                    .collect(),
            )
        })
        .collect()
    }

    fn describe_own(&self, scope: Scope, own: &Overrides) -> Vec<ConfigEntry> {
        public(scope)
            .map(|setting| entry(setting, self.own_chain(setting, own).collect()))
            .collect()
    }
}

fn public(scope: Scope) -> impl Iterator<Item = &'static Setting> {
    of(scope).filter(|setting| !setting.internal && setting.update != Update::DynamicOnly)
}

fn entry(setting: &'static Setting, chain: Vec<Found>) -> ConfigEntry {
    let secret = setting.is_secret();
    let best = chain.first();
    ConfigEntry {
        name: setting.name,
        value: best
            .filter(|_| !secret)
            .map(|found| found.value.to_string()),
        source: best.map_or(Source::Default, |found| found.source),
        read_only: setting.is_read_only(),
        secret,
        kind: setting.kind,
        doc: documentation(setting),
        synonyms: chain
            .into_iter()
            .map(|found| ConfigSynonym {
                name: found.name,
                value: (!secret).then_some(found.text),
                source: found.source,
            })
            .collect(),
    }
}

/// The line of the table, and what this broker does not do of it.
pub(crate) fn documentation(setting: &Setting) -> String {
    match setting.status {
        Status::Served => setting.doc.to_owned(),
        Status::Partly(reason) => format!("{} ({reason}.)", setting.doc),
        Status::Accepted => format!("{} (Without effect here.)", setting.doc),
        Status::Refused(reason) => format!("{} (Refused: {reason}.)", setting.doc),
    }
}
