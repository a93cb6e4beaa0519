//! Group keys come in families: a value, and broker keys that say how low and how high a group may set it.
//! `group.share.session.timeout.ms` lies between `group.share.min.session.timeout.ms` and `….max.…`.
//!
//! The families are found by their names in the table, so that a new key is bounded by being there.

use crate::layers::{Layers, Overrides};
use crate::table::{Scope, Setting, find, of};

const KINDS: &[&str] = &["consumer", "share", "streams"];

/// Rules that the broker's own values break.
pub(crate) fn broken(layers: &Layers) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    for setting in of(Scope::Broker) {
        let Some(name) = setting.name.strip_prefix("group.") else {
            continue;
        };
        if let Some(number) = broker_number(layers, setting) {
            broken.extend(beyond(layers, setting, name, number));
        }
    }
    broken.extend(short_sessions(|name| {
        let setting = find(Scope::Broker, &format!("group.{name}"))?;
        Some((setting.name, broker_number(layers, setting)?))
    }));
    broken
}

/// The first rule that what a group sets itself breaks.
pub(crate) fn broken_by_group(layers: &Layers, own: &Overrides) -> Option<(&'static str, String)> {
    let number = |setting| {
        layers
            .own_value(setting, own)
            .and_then(|found| found.value.as_i64())
    };
    let settings = own.keys().filter_map(|name| find(Scope::Group, name));
    settings
        .filter_map(|setting| beyond(layers, setting, setting.name, number(setting)?))
        .chain(short_sessions(|name| {
            let setting = find(Scope::Group, name)?;
            Some((setting.name, number(setting)?))
        }))
        .next()
}

fn beyond(
    layers: &Layers,
    setting: &'static Setting,
    name: &str,
    number: i64,
) -> Option<(&'static str, String)> {
    let (kind, what) = name
        .split_once('.')
        .filter(|(kind, _)| KINDS.contains(kind))?;
    let what = what.strip_prefix("num.").unwrap_or(what);
    let limit = |bound: &str| find(Scope::Broker, &format!("group.{kind}.{bound}.{what}"));
    for (limit, fits) in [
        (limit("min"), i64::le as fn(&i64, &i64) -> bool),
        (limit("max"), i64::ge),
    ] {
        let Some(limit) = limit else { continue };
        if let Some(bound) = broker_number(layers, limit)
            && !fits(&bound, &number)
        {
            return Some((
                setting.name,
                format!("{number} is beyond {} ({bound})", limit.name),
            ));
        }
    }
    // The limits themselves: the lowest is not above the highest.
    let low = what
        .strip_prefix("min.")
        .and_then(|what| find(Scope::Broker, &format!("group.{kind}.max.{what}")))?;
    let high = broker_number(layers, low)?;
    (number > high).then(|| {
        (
            setting.name,
            format!("{number} is beyond {} ({high})", low.name),
        )
    })
}

/// A member must be able to report before it is given up.
fn short_sessions(
    number: impl Fn(&str) -> Option<(&'static str, i64)>,
) -> impl Iterator<Item = (&'static str, String)> {
    KINDS.iter().filter_map(move |kind| {
        let (_, heartbeat) = number(&format!("{kind}.heartbeat.interval.ms"))?;
        let (name, session) = number(&format!("{kind}.session.timeout.ms"))?;
        (session <= heartbeat).then(|| {
            (
                name,
                format!("{session} must be greater than the heartbeat interval ({heartbeat})"),
            )
        })
    })
}

fn broker_number(layers: &Layers, setting: &'static Setting) -> Option<i64> {
    layers.broker_value(setting)?.value.as_i64()
}
