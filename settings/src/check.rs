//! One key and its text, checked against its row.

use std::collections::BTreeSet;

use crate::fault::Fault;
use crate::nearest::nearest;
use crate::table::{Scope, Setting, Status, find, of};
use crate::valid::Valid;
use crate::value::Value;

/// Reads `text` as the value of a key: type, valid values, and whether the key is refused. What stands twice in a list
/// counts once.
pub fn check(setting: &'static Setting, text: &str) -> Result<Value, Fault> {
    let name = setting.name;
    let shown = || {
        if setting.is_secret() {
            "[hidden]".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut value = Value::parse(setting.kind, text).map_err(|error| Fault::Parse {
        name,
        value: shown(),
        error,
    })?;
    // As Kafka 4 does; 5 will refuse.
    if let (Valid::List { .. }, Value::List(list)) = (setting.valid, &mut value) {
        let mut seen = BTreeSet::new();
        list.retain(|element| seen.insert(element.clone()));
    }
    setting
        .valid
        .check(&value)
        .map_err(|error| Fault::NotValid {
            name,
            value: shown(),
            error,
        })?;
    match setting.status {
        Status::Refused(reason) if !is_default(setting, &value) => Err(Fault::Refused {
            name: name.to_owned(),
            reason,
        }),
        _ => Ok(value),
    }
}

/// The row of a key, or a fault with the name that was probably meant.
pub fn row(scope: Scope, name: &str) -> Result<&'static Setting, Fault> {
    find(scope, name).ok_or_else(|| Fault::Unknown {
        what: match scope {
            Scope::Broker => "broker",
            Scope::Topic => "topic",
            Scope::Group => "group",
        },
        name: name.to_owned(),
        nearest: nearest_key(scope, name),
    })
}

/// The key of this scope that was probably meant.
pub fn nearest_key(scope: Scope, name: &str) -> Option<&'static str> {
    nearest(name, of(scope).map(|setting| setting.name))
}

/// Whether a value is what holds anyway. An empty text counts as none.
pub(crate) fn is_default(setting: &Setting, value: &Value) -> bool {
    match setting.default.text() {
        Some(text) => Value::parse(setting.kind, text).as_ref() == Ok(value),
        None => match value {
            Value::Text(text) => text.is_empty(),
            Value::List(list) => list.is_empty(),
            Value::Secret(secret) => secret.reveal().is_empty(),
            Value::Boolean(_) | Value::Integer(_) | Value::Double(_) => false,
        },
    }
}
