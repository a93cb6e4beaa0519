//! Which values a key allows, beyond its type. Facts of Kafka's validators, held equal by the oracle.
//! Not here: rules between keys (`broker`, `topic`).

use std::fmt;

use crate::value::Value;

/// The rule of one key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Valid {
    /// Everything its type allows.
    Any,
    /// A number in this range, or the one exception.
    Number {
        /// Least.
        min: f64,
        /// Greatest; infinite for no limit.
        max: f64,
        /// Allowed besides.
        or: Option<f64>,
    },
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list without repetition and without empty elements.
    List {
        /// Each element is one of these, if given.
        of: Option<&'static [&'static str]>,
        /// May be empty.
        empty: bool,
    },
    /// A text that is not empty.
    NotEmpty,
    /// One host:port.
    Address,
    /// A list of host:port.
    Addresses,
    /// A list of id@host:port.
    Voters,
    /// A list of partition:broker, or `*` alone.
    ThrottledReplicas,
    /// latest, earliest, or by_duration: with an ISO 8601 duration.
    OffsetReset,
}

/// The rule that a value breaks; `Display` continues a sentence: "… must be …".
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("must be {0}")]
pub struct NotValid(Valid);

impl Valid {
    pub(crate) const fn number(min: f64, max: f64) -> Self {
        Self::Number { min, max, or: None }
    }

    /// Checks a value of the key's type.
    pub fn check(self, value: &Value) -> Result<(), NotValid> {
        if self.allows(value) {
            Ok(())
        } else {
            Err(NotValid(self))
        }
    }

    fn allows(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number { min, max, or }, Value::Integer(number)) => {
                in_range(*number as f64, min, max, or)
            }
            (Self::Number { min, max, or }, Value::Double(number)) => {
                in_range(*number, min, max, or)
            }
            (Self::OneOf(values), Value::Text(text)) => values.contains(&text.as_str()),
            (Self::OneOfAnyCase(values), Value::Text(text)) => {
                values.iter().any(|v| v.eq_ignore_ascii_case(text))
            }
            (Self::NotEmpty, Value::Text(text)) => !text.is_empty(),
            (Self::OffsetReset, Value::Text(text)) => is_offset_reset(text),
            (Self::List { of, empty }, Value::List(list)) => {
                (empty || !list.is_empty())
                    && list.iter().enumerate().all(|(i, element)| {
                        !element.is_empty()
                            && !list[..i].contains(element)
                            && of.is_none_or(|values| values.contains(&element.as_str()))
                    })
            }
            (Self::Address, Value::Text(text)) => is_address(text),
            (Self::Addresses, Value::List(list)) => list.iter().all(|address| is_address(address)),
            (Self::Voters, Value::List(list)) => list.iter().all(|voter| is_voter(voter)),
            (Self::ThrottledReplicas, Value::List(list)) => {
                matches!(list.as_slice(), [star] if star == "*")
                    || list
                        .iter()
                        .all(|replica| replica.is_empty() || is_replica(replica))
            }
            _ => true,
        }
    }
}

fn in_range(number: f64, min: f64, max: f64, or: Option<f64>) -> bool {
    // NaN compares as nothing; Java's comparison lets it pass too.
    !(number < min || number > max) || or == Some(number)
}

/// host:port, the host also an IPv6 address in brackets.
pub(crate) fn is_address(text: &str) -> bool {
    split_address(text).is_some()
}

pub(crate) fn split_address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    if bare.is_empty() || bare.contains(|c: char| c.is_whitespace() || "/@[]".contains(c)) {
        return None;
    }
    Some((bare, port.parse().ok()?))
}

fn is_voter(text: &str) -> bool {
    text.split_once('@').is_some_and(|(id, address)| {
        id.parse::<u32>().is_ok_and(|id| id <= i32::MAX as u32) && is_address(address)
    })
}

fn is_replica(text: &str) -> bool {
    let is_number = |text: &str| text.parse::<i32>().is_ok_and(|n| n >= 0);
    text.split_once(':')
        .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

fn is_offset_reset(text: &str) -> bool {
    matches!(text, "latest" | "earliest")
        || text
            .strip_prefix("by_duration:")
            .is_some_and(|text| crate::unit::iso_duration_ms(text).is_some())
}

impl fmt::Display for Valid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Number { min, max, or } => {
                if let Some(or) = or {
                    write!(f, "{or} or ")?;
                }
                if max.is_infinite() {
                    write!(f, "at least {min}")
                } else {
                    write!(f, "between {min} and {max}")
                }
            }
            Self::OneOf(values) => write!(f, "one of {}", values.join(", ")),
            Self::OneOfAnyCase(values) => write!(f, "one of {} in any case", values.join(", ")),
            Self::List { of, empty } => {
                f.write_str(if *empty {
                    "a list"
                } else {
                    "a list that is not empty,"
                })?;
                if let Some(values) = of {
                    write!(f, " of {}", values.join(", "))?;
                }
                f.write_str(" without repetition or empty elements")
            }
            Self::NotEmpty => f.write_str("a text that is not empty"),
            Self::Address => f.write_str("host:port"),
            Self::Addresses => f.write_str("a list of host:port"),
            Self::Voters => f.write_str("a list of id@host:port"),
            Self::ThrottledReplicas => f.write_str("a list of partition:broker, or * for all"),
            Self::OffsetReset => {
                f.write_str("latest, earliest, or by_duration: with a duration such as PT1H")
            }
        }
    }
}
