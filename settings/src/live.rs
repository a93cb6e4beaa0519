//! Broker keys that change while a broker runs and are no topic's default, typed: what holds in the layers of one image.
//! Topics' defaults are in `TopicConfig`, made from the same layers.
//!
//! Invariant (tested): a key whose change `change` accepts changes a field here or in `TopicConfig`, so that none is
//! stored and does nothing. Not here: keys that a broker reads at its start only.

use crate::key;
use crate::layers::Layers;

/// Made anew when the broker's configuration changes, then read without lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSettings {
    /// `max.connections`
    pub connections_max: usize,
    /// `producer.id.expiration.ms`
    pub producer_expiration_ms: i64,
}

impl LiveSettings {
    /// What holds in these layers.
    pub fn new(layers: &Layers) -> Self {
        Self {
            connections_max: usize::try_from(layers.get(key::MAX_CONNECTIONS)).unwrap_or(0),
            producer_expiration_ms: i64::from(layers.get(key::PRODUCER_ID_EXPIRATION_MS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Operation, Target, alter};
    use crate::layers::Overrides;
    use crate::table::{Kind, Scope, Setting, of};
    use crate::topic::TopicConfig;
    use crate::valid::Valid;
    use std::collections::BTreeMap;

    /// Values that a key may have and that are not its default.
    fn others(setting: &Setting) -> Vec<String> {
        let default = setting.default.text().unwrap_or("5000");
        let values: Vec<String> = match (setting.kind, setting.valid) {
            (Kind::Boolean, _) => vec!["true".into(), "false".into()],
            (_, Valid::OneOf(values)) => values.iter().map(|value| (*value).into()).collect(),
            (Kind::Int | Kind::Short | Kind::Long, _) => {
                let number: i64 = default.parse().unwrap();
                let beside = number.checked_add(1).unwrap_or(number - 1);
                vec![beside.to_string(), "1048576".into()]
            }
            (Kind::Double, _) => vec!["0.25".into()],
            (
                Kind::List,
                Valid::List {
                    of: Some(values), ..
                },
            ) => values
                .iter()
                .map(|value| (*value).into())
                .chain([String::new()])
                .collect(),
            _ => vec!["text".into()],
        };
        values
            .into_iter()
            .filter(|value| Some(&**value) != setting.default.text())
            .collect()
    }

    #[test]
    fn every_change_that_is_accepted_takes_effect() {
        let mut live = Vec::new();
        for setting in of(Scope::Broker) {
            let mut base = Layers::default();
            // A level shows where its codec is in use.
            if let Some(codec) = setting
                .name
                .strip_prefix("compression.")
                .and_then(|name| name.strip_suffix(".level"))
            {
                base.file.insert("compression.type".into(), codec.into());
            }
            for value in others(setting) {
                let set = [(setting.name.to_owned(), Operation::Set(value.clone()))];
                for target in [Target::Broker, Target::Cluster] {
                    if alter(target, &base, &Overrides::new(), &set).is_err() {
                        continue;
                    }
                    let mut changed = base.clone();
                    match target {
                        Target::Broker => &mut changed.broker,
                        _ => &mut changed.cluster,
                    }
                    .insert(setting.name.into(), value.clone());
                    let own = BTreeMap::new();
                    assert!(
                        TopicConfig::new(&changed, &own) != TopicConfig::new(&base, &own)
                            || LiveSettings::new(&changed) != LiveSettings::new(&base),
                        "{}={value} is accepted and does nothing",
                        setting.name
                    );
                    live.push(setting.name);
                }
            }
        }
        live.dedup();
        // What users change most is among them, so that nothing passes by being refused.
        for name in [
            "log.retention.ms",
            "max.connections",
            "message.max.bytes",
            "producer.id.expiration.ms",
        ] {
            assert!(live.contains(&name), "{name} cannot be changed: {live:?}");
        }
        assert!(live.len() > 15, "{live:?}");
    }
}
