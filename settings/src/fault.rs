//! What can be wrong with configuration, and what is only odd. Faults say the key, what it must be, and where it stands.

use std::fmt;

use crate::properties::Origin;
use crate::valid::NotValid;
use crate::value::ParseError;

/// Why configuration is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A bad escape in a properties file.
    #[error("line {line}: \\u must be followed by four hexadecimal digits")]
    Escape {
        /// Where.
        line: usize,
    },
    /// No such key.
    #[error("unknown {what} configuration {name}{}", did_you_mean(*nearest))]
    Unknown {
        /// topic, broker, or group.
        what: &'static str,
        /// The key.
        name: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that must be set is not.
    #[error("{name} must be set")]
    Missing {
        /// The key.
        name: &'static str,
    },
    /// The text is no value of the key's type.
    #[error("{name}={value}: {error}")]
    Parse {
        /// The key.
        name: &'static str,
        /// The text; hidden when the key is a secret.
        value: String,
        /// What it must be.
        error: ParseError,
    },
    /// The value is not allowed.
    #[error("{name}={value}: {error}")]
    NotValid {
        /// The key.
        name: &'static str,
        /// The text.
        value: String,
        /// What it must be.
        error: NotValid,
    },
    /// Values of several keys contradict each other.
    #[error("{name}: {rule}")]
    Rule {
        /// The key to look at first.
        name: &'static str,
        /// What must hold, with the values.
        rule: String,
    },
    /// The key is known and refused: ignoring it would be dangerous.
    #[error("{name} is refused: {reason}")]
    Refused {
        /// The key.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// The key changes by restart only.
    #[error(
        "{name} cannot be changed while the broker runs; set it in server.properties or in the manifest, and restart"
    )]
    ReadOnly {
        /// The key.
        name: &'static str,
    },
    /// Kafka takes the change while it runs, this broker by restart only.
    #[error(
        "{name} cannot be changed while the broker runs, since {reason}; set it in server.properties or in the manifest, and restart"
    )]
    NeedsRestart {
        /// The key.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The key would be stored and do nothing.
    #[error("{name} has no effect in this version, so only its default ({default}) is taken")]
    NoEffect {
        /// The key.
        name: &'static str,
        /// The default, as Kafka writes it.
        default: &'static str,
    },
    /// The key changes for single brokers only.
    #[error("{name} can be changed for single brokers only, not for the cluster")]
    PerBroker {
        /// The key.
        name: &'static str,
    },
    /// Append or subtract on a key that holds no list.
    #[error("{name} is no list: nothing can be appended to it or subtracted from it")]
    NotAList {
        /// The key.
        name: &'static str,
    },
}

/// A fault and where it stands, when it stands in one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub origin: Option<Origin>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(Origin::Line(line)) => write!(f, "line {line}: {}", self.fault),
            Some(Origin::Variable(name)) => write!(f, "{name}: {}", self.fault),
            None => write!(f, "{}", self.fault),
        }
    }
}

/// All faults of a configuration at once.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub Vec<Located>);

fn lines(faults: &[Located]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is odd, and goes on. Logged at start, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A key stands twice in a file.
    Twice {
        /// The key.
        key: String,
        /// Line of the earlier one.
        first: usize,
        /// Line of the one that holds.
        line: usize,
    },
    /// No such key; Kafka ignores it, and so do we.
    Unknown {
        /// The key.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that Kafka had.
    Removed {
        /// The key.
        key: String,
        /// The last release that had it.
        last: &'static str,
    },
    /// A key that is set at run time only, in a file.
    DynamicOnly {
        /// The key.
        key: String,
    },
    /// A key without effect.
    NoEffect {
        /// The key.
        key: String,
    },
    /// A key that is not served in full.
    Partly {
        /// The key.
        key: String,
        /// What is not.
        reason: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { key, first, line } => {
                write!(
                    f,
                    "{key} stands on line {first} and again on line {line}; the last holds"
                )
            }
            Self::Unknown { key, nearest } => {
                write!(f, "{key} is unknown and ignored{}", did_you_mean(*nearest))
            }
            Self::Removed { key, last } => {
                write!(f, "{key} is ignored: Kafka {last} was the last that had it")
            }
            Self::DynamicOnly { key } => {
                write!(f, "{key} is ignored here: it is set while the broker runs")
            }
            Self::NoEffect { key } => write!(f, "{key} has no effect"),
            Self::Partly { key, reason } => write!(f, "{key}: {reason}"),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}
