//! What AlterConfigs and IncrementalAlterConfigs may do to the configuration of a resource.
//!
//! Pure: given what a resource sets now and what is asked, the answer is what it sets then, or a fault. All of a
//! request's keys for a resource succeed or fail together. Not here: who may ask, and writing the records.

use std::collections::BTreeSet;

use crate::bounds;
use crate::broker::{asks_for_missing_part, broken_by_numbers};
use crate::check::{check, is_default, row};
use crate::fault::Fault;
use crate::layers::{Layers, Overrides};
use crate::table::{Kind, Scope, Setting, Status, Update};
use crate::topic::TopicConfig;
use crate::value::Value;

/// Whose configuration is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A topic's.
    Topic,
    /// One broker's.
    Broker,
    /// All brokers' (the broker resource without a name).
    Cluster,
    /// A group's.
    Group,
}

impl Target {
    fn scope(self) -> Scope {
        match self {
            Self::Topic => Scope::Topic,
            Self::Broker | Self::Cluster => Scope::Broker,
            Self::Group => Scope::Group,
        }
    }
}

/// What happens to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// It gets this value.
    Set(String),
    /// It is no longer set.
    Delete,
    /// These elements are added to its list, if they are not in it.
    Append(String),
    /// These elements are removed from its list.
    Subtract(String),
}

/// One record to write: the key and its new value, `None` when it is no longer set.
pub type Changed = (String, Option<String>);

/// IncrementalAlterConfigs: applies the operations to what is set. Returns the keys that really change.
///
/// A list that is not set grows and shrinks from its default, as in Kafka.
pub fn alter(
    target: Target,
    layers: &Layers,
    current: &Overrides,
    operations: &[(String, Operation)],
) -> Result<Vec<Changed>, Fault> {
    let mut next = current.clone();
    for (name, operation) in operations {
        match operation {
            // Also what is not known any more can be removed.
            Operation::Delete => {
                next.remove(name);
            }
            Operation::Set(text) => set(target, current, &mut next, name, text.clone())?,
            Operation::Append(text) | Operation::Subtract(text) => {
                let setting = row(target.scope(), name)?;
                let list = combined(
                    setting,
                    next.get(name),
                    text,
                    matches!(operation, Operation::Append(_)),
                )?;
                set(target, current, &mut next, name, list)?;
            }
        }
    }
    finish(target, layers, current, next)
}

/// AlterConfigs: what is given replaces all that is set. Returns the keys that really change.
pub fn replace(
    target: Target,
    layers: &Layers,
    current: &Overrides,
    given: &Overrides,
) -> Result<Vec<Changed>, Fault> {
    let mut next = Overrides::new();
    for (name, text) in given {
        set(target, current, &mut next, name, text.clone())?;
    }
    finish(target, layers, current, next)
}

/// The configuration of a new topic: the same checks, from nothing.
pub fn create_topic(layers: &Layers, given: &Overrides) -> Result<(), Fault> {
    replace(Target::Topic, layers, &Overrides::new(), given).map(drop)
}

fn set(
    target: Target,
    current: &Overrides,
    next: &mut Overrides,
    name: &str,
    text: String,
) -> Result<(), Fault> {
    // What is stored already is not judged again: a controller of Apache Kafka may have taken it, and it must
    // not keep anything else from being changed.
    if current.get(name) != Some(&text) {
        let setting = row(target.scope(), name)?;
        may_change(target, setting)?;
        let value = check(setting, &text)?;
        if matches!(target, Target::Broker | Target::Cluster) {
            takes_effect(setting, &value)?;
        }
    }
    next.insert(name.to_owned(), text);
    Ok(())
}

fn may_change(target: Target, setting: &'static Setting) -> Result<(), Fault> {
    let name = setting.name;
    match (target, setting.update, setting.restart) {
        (Target::Topic | Target::Group, _, _) => Ok(()),
        (_, Update::Static, _) => Err(Fault::ReadOnly { name }),
        (Target::Cluster, Update::PerBroker, _) => Err(Fault::PerBroker { name }),
        (_, _, Some(reason)) => Err(Fault::NeedsRestart { name, reason }),
        _ => Ok(()),
    }
}

/// A file's values without effect are warned of when a broker starts. A change has nobody to warn, so it is
/// refused.
fn takes_effect(setting: &'static Setting, value: &Value) -> Result<(), Fault> {
    match setting.status {
        Status::Accepted if !is_default(setting, value) => Err(Fault::NoEffect {
            name: setting.name,
            default: setting.default.text().unwrap_or("not set"),
        }),
        Status::Partly(reason) if asks_for_missing_part(setting, value) => Err(Fault::Refused {
            name: setting.name.to_owned(),
            reason,
        }),
        _ => Ok(()),
    }
}

/// What is stored for a broker or all brokers and does not hold: no such key, no such value, or without effect here.
/// A controller of Apache Kafka takes such, and so did earlier versions. For a log line each.
pub fn passed_over(target: Target, stored: &Overrides) -> Vec<Fault> {
    let none = Overrides::new();
    let judged = stored
        .iter()
        .map(|(name, text)| set(target, &none, &mut Overrides::new(), name, text.clone()));
    judged.filter_map(Result::err).collect()
}

fn combined(
    setting: &'static Setting,
    current: Option<&String>,
    text: &str,
    append: bool,
) -> Result<String, Fault> {
    if setting.kind != Kind::List {
        return Err(Fault::NotAList { name: setting.name });
    }
    let list = |text: &str| match Value::parse(Kind::List, text) {
        Ok(Value::List(list)) => list,
        _ => Vec::new(),
    };
    let mut elements = list(current.map_or_else(
        || setting.default.text().unwrap_or_default(),
        String::as_str,
    ));
    let given = list(text);
    if append {
        for element in given {
            if !elements.contains(&element) {
                elements.push(element);
            }
        }
    } else {
        elements.retain(|element| !given.contains(element));
    }
    Ok(elements.join(","))
}

fn finish(
    target: Target,
    layers: &Layers,
    current: &Overrides,
    next: Overrides,
) -> Result<Vec<Changed>, Fault> {
    match target {
        Target::Topic => topic_rules(&TopicConfig::new(layers, &next))?,
        Target::Group => {
            if let Some((name, rule)) = bounds::broken_by_group(layers, &next) {
                return Err(Fault::Rule { name, rule });
            }
        }
        Target::Broker => {
            let with = |broker: &Overrides| Layers {
                broker: broker.clone(),
                ..layers.clone()
            };
            broker_rules(&with(current), &with(&next))?;
        }
        Target::Cluster => {
            let with = |cluster: &Overrides| Layers {
                cluster: cluster.clone(),
                ..layers.clone()
            };
            broker_rules(&with(current), &with(&next))?;
        }
    }
    let names: BTreeSet<_> = current.keys().chain(next.keys()).collect();
    Ok(names
        .into_iter()
        .filter(|name| current.get(*name) != next.get(*name))
        .map(|name| (name.clone(), next.get(name).cloned()))
        .collect())
}

/// No rule may be broken that held before: what is wrong already must not keep anything else from being changed.
fn broker_rules(before: &Layers, after: &Layers) -> Result<(), Fault> {
    let known = broken_by_numbers(before);
    match broken_by_numbers(after)
        .into_iter()
        .find(|broken| !known.contains(broken))
    {
        Some((name, rule)) => Err(Fault::Rule { name, rule }),
        None => Ok(()),
    }
}

fn topic_rules(topic: &TopicConfig) -> Result<(), Fault> {
    let (min, max) = (topic.min_compaction_lag_ms, topic.max_compaction_lag_ms);
    if min > max {
        let rule = format!("{min} must not be greater than max.compaction.lag.ms ({max})");
        return Err(Fault::Rule {
            name: "min.compaction.lag.ms",
            rule,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
