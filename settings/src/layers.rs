//! Which value holds: topic (or group) over broker over cluster over file over default.
//!
//! A topic key that a topic does not set is looked for under its broker synonyms in every layer, hours and minutes
//! converted. Invariant: a stored text that is no valid value (a newer peer's, a hand-edited file) is passed over, never
//! believed and never fatal. Not here: what may be stored (`change`), how it is shown (`describe`).

use std::collections::BTreeMap;
use std::fmt;

use crate::key::{FromValue, Key};
use crate::table::{Scope, Setting, find};
use crate::value::Value;

/// Keys that are set, as text.
pub type Overrides = BTreeMap<String, String>;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Set for the topic.
    Topic,
    /// Set for the group.
    Group,
    /// Set for this broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    Cluster,
    /// `server.properties` or the environment.
    File,
    /// Nobody set it.
    Default,
}

impl Source {
    /// The number in a DescribeConfigs response (`config_source`).
    pub fn wire_code(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::Broker => 2,
            Self::Cluster => 3,
            Self::File => 4,
            Self::Default => 5,
            Self::Group => 8,
        }
    }
}

/// The layers of one broker.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// Set for this broker while it runs.
    pub broker: Overrides,
    /// Set for all brokers while they run.
    pub cluster: Overrides,
    /// `server.properties` and the environment.
    pub file: Overrides,
}

/// A value, the key it was found under, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// In the unit of the key that was asked for.
    pub value: Value,
    /// The key or one of its synonyms.
    pub name: &'static str,
    /// The text as it was set, in the unit of `name`.
    pub text: String,
    /// Where.
    pub source: Source,
}

/// A peer may have stored secrets, and keys that we do not know to be none: only names are shown.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut layers = f.debug_struct("Layers");
        for (name, layer) in [
            ("broker", &self.broker),
            ("cluster", &self.cluster),
            ("file", &self.file),
        ] {
            layers.field(name, &layer.keys().collect::<Vec<_>>());
        }
        layers.finish()
    }
}

impl Layers {
    /// Layers of a broker that nobody has changed.
    pub fn of_file(file: Overrides) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// The value of a broker key. `T` is an `Option` where the key has no default.
    pub fn get<T: FromValue>(&self, key: Key<T>) -> T {
        let setting =
            find(Scope::Broker, key.name).expect("every handle names a row, as its test shows");
        T::from_value(self.broker_value(setting).map(|found| found.value))
            .expect("every handle has the type of its row, and an Option where there is no default, as its test shows")
    }

    /// What holds for a broker key; `None` when it is not set and has no default.
    pub fn broker_value(&self, setting: &'static Setting) -> Option<Found> {
        self.chain(setting).next()
    }

    /// What holds for a topic or group key, given what the topic or group sets itself.
    pub fn own_value(&self, setting: &'static Setting, own: &Overrides) -> Option<Found> {
        self.own_chain(setting, own).next()
    }

    /// All that is set for a topic or group key, and its default: the first holds.
    pub(crate) fn own_chain<'a>(
        &'a self,
        setting: &'static Setting,
        own: &'a Overrides,
    ) -> impl Iterator<Item = Found> + use<'a> {
        let source = if setting.scope == Scope::Topic {
            Source::Topic
        } else {
            Source::Group
        };
        let mine = found(own, setting, setting, source);
        let default = match setting.synonyms {
            [] => default(setting, setting),
            _ => None,
        };
        mine.into_iter()
            .chain(self.synonyms_chain(setting))
            .chain(default)
    }

    /// All that is set for a broker key, and its default: the first holds.
    pub(crate) fn chain<'a>(
        &'a self,
        setting: &'static Setting,
    ) -> impl Iterator<Item = Found> + use<'a> {
        self.rows_chain(
            setting,
            std::iter::once(setting).chain(synonyms(setting)).collect(),
        )
    }

    fn synonyms_chain<'a>(
        &'a self,
        setting: &'static Setting,
    ) -> impl Iterator<Item = Found> + use<'a> {
        self.rows_chain(setting, synonyms(setting).collect())
    }

    fn rows_chain<'a>(
        &'a self,
        setting: &'static Setting,
        rows: Vec<&'static Setting>,
    ) -> impl Iterator<Item = Found> + use<'a> {
        let layers = [
            (&self.broker, Source::Broker),
            (&self.cluster, Source::Cluster),
            (&self.file, Source::File),
        ];
        let defaults = rows.clone();
        layers
            .into_iter()
            .flat_map(move |(layer, source)| {
                rows.clone()
                    .into_iter()
                    .filter_map(move |row| found(layer, row, setting, source))
            })
            .chain(
                defaults
                    .into_iter()
                    .filter_map(move |row| default(row, setting)),
            )
    }
}

fn synonyms(setting: &'static Setting) -> impl Iterator<Item = &'static Setting> {
    setting.synonyms.iter().map(|name| {
        find(Scope::Broker, name).expect("synonyms are rows, as the table's test shows")
    })
}

fn found(
    layer: &Overrides,
    row: &'static Setting,
    asked: &'static Setting,
    source: Source,
) -> Option<Found> {
    let text = layer.get(row.name)?;
    let value = crate::check::check(row, text).ok()?;
    Some(Found {
        value: converted(value, row, asked),
        name: row.name,
        text: text.clone(),
        source,
    })
}

fn default(row: &'static Setting, asked: &'static Setting) -> Option<Found> {
    let text = row.default.text()?;
    let value = Value::parse(row.kind, text).ok()?;
    Some(Found {
        value: converted(value, row, asked),
        name: row.name,
        text: text.to_owned(),
        source: Source::Default,
    })
}

fn converted(value: Value, from: &Setting, to: &Setting) -> Value {
    match (value, from.unit.ms(), to.unit.ms()) {
        // Below zero means "no limit" in every unit.
        (Value::Integer(number), Some(from), Some(to)) if from != to => {
            Value::Integer(if number < 0 {
                -1
            } else {
                number.saturating_mul(from / to)
            })
        }
        (value, _, _) => value,
    }
}

#[cfg(test)]
mod tests;
