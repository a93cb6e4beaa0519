//! The one table: every key of Apache Kafka 4.3.1's broker, topic and group configuration, and our own.
//!
//! One row per key; parsing, DescribeConfigs, AlterConfigs, the reference page and the operator's check all read it.
//! Names, types, defaults, valid values, importance and update modes are facts of Kafka's published definitions, held
//! equal by `e2e/tests/settings_oracle.rs`. `status` is ours: what this broker does with the key today. To serve a
//! key, change the first word of its row.
//!
//! Columns: status, type, name, default, valid values, update mode, importance, unit, [synonyms], [restart], [since],
//! [internal], doc. `restart` is ours, too: Kafka takes a change while it runs, this broker does not, for that reason.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::valid::Valid;

mod broker_groups;
mod broker_logs;
mod broker_process;
mod broker_quorum;
mod broker_quotas;
mod broker_remote;
mod broker_security;
mod broker_transactions;
mod group;
mod reason;
mod topic;

/// What a key configures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A node: `server.properties`, and config resources of type BROKER.
    Broker,
    /// A topic.
    Topic,
    /// A consumer, share or streams group.
    Group,
}

/// Kafka's type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// true or false.
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// Floating point.
    Double,
    /// Texts, separated by commas.
    List,
    /// Name of a JVM class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The number in a DescribeConfigs response (`config_type`).
    pub fn wire_code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// As Kafka's reference writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Things, or no number at all.
    Plain,
    /// Milliseconds.
    Ms,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A share of one.
    Share,
}

impl Unit {
    /// Milliseconds in one of it; `None` for what is no time.
    pub fn ms(self) -> Option<i64> {
        match self {
            Self::Ms => Some(1),
            Self::Seconds => Some(1000),
            Self::Minutes => Some(60_000),
            Self::Hours => Some(3_600_000),
            Self::Plain | Self::Bytes | Self::BytesPerSecond | Self::Share => None,
        }
    }
}

/// What holds when nothing is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefaultValue {
    /// Must be set.
    Required,
    /// Nothing.
    Null,
    /// This, as Kafka writes it.
    Text(&'static str),
}

impl DefaultValue {
    /// The text, if there is one.
    pub fn text(self) -> Option<&'static str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Required | Self::Null => None,
        }
    }
}

/// How a value may change while the cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Update {
    /// Only in `server.properties`, by a restart.
    Static,
    /// For one broker.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
    /// As `ClusterWide`, and not in `server.properties`.
    DynamicOnly,
    /// With the topic or group that it belongs to.
    Own,
}

impl Update {
    /// As Kafka's reference writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide | Self::DynamicOnly | Self::Own => "cluster-wide",
        }
    }
}

/// Kafka's judgement of how much a key matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Importance {
    /// High.
    High,
    /// Medium.
    Medium,
    /// Low.
    Low,
}

/// What this broker does with a key today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// What it says.
    Served,
    /// What it says, except for what the reason names. Setting it is warned of.
    Partly(&'static str),
    /// Nothing, and nothing is lost by that but what the key promises. Setting it is warned of.
    Accepted,
    /// Refused when set to anything but its default, for this reason: ignoring it would be dangerous.
    Refused(&'static str),
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What it configures.
    pub scope: Scope,
    /// Type.
    pub kind: Kind,
    /// What its number counts.
    pub unit: Unit,
    /// What holds when nothing is set.
    pub default: DefaultValue,
    /// Which values may be.
    pub valid: Valid,
    /// How it may change.
    pub update: Update,
    /// How much it matters.
    pub importance: Importance,
    /// Broker keys that stand in when this topic or group key is not set, the first that is set wins; numbers are
    /// converted by the units of the rows (hours to ms). For broker keys: the coarser keys that stand in.
    pub synonyms: &'static [&'static str],
    /// Kafka's release that brought the key, when after 3.9; `ottla` for our own.
    pub since: Option<&'static str>,
    /// Why this broker needs a restart for a change that Kafka takes while it runs.
    pub restart: Option<&'static str>,
    /// For tests and developers; not in the reference.
    pub internal: bool,
    /// What we do with it.
    pub status: Status,
    /// One line.
    pub doc: &'static str,
}

impl Setting {
    /// Never shown.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Not to be changed by AlterConfigs.
    pub fn is_read_only(&self) -> bool {
        self.update == Update::Static || self.restart.is_some()
    }
}

/// Every row: broker keys, then topic keys, then group keys; by area, not sorted.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    [
        broker_process::ROWS,
        broker_logs::ROWS,
        broker_quorum::ROWS,
        broker_groups::ROWS,
        broker_transactions::ROWS,
        broker_quotas::ROWS,
        broker_security::ROWS,
        broker_remote::ROWS,
        topic::ROWS,
        group::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// The rows of one scope, sorted by name.
pub fn of(scope: Scope) -> impl Iterator<Item = &'static Setting> {
    INDEX
        .range((scope, "")..)
        .take_while(move |((found, _), _)| *found == scope)
        .map(|(_, setting)| *setting)
}

/// The row of a key.
pub fn find(scope: Scope, name: &str) -> Option<&'static Setting> {
    INDEX.get(&(scope, name)).copied()
}

static INDEX: LazyLock<BTreeMap<(Scope, &'static str), &'static Setting>> = LazyLock::new(|| {
    all()
        .map(|setting| ((setting.scope, setting.name), setting))
        .collect()
});

/// The default column: `null`, `required`, or a text.
macro_rules! default_value {
    (null) => {
        $crate::table::DefaultValue::Null
    };
    (required) => {
        $crate::table::DefaultValue::Required
    };
    ($text:literal) => {
        $crate::table::DefaultValue::Text($text)
    };
}

/// The column of valid values.
macro_rules! valid {
    ([]) => { $crate::valid::Valid::Any };
    ([$min:literal ..]) => { $crate::valid::Valid::number($min as f64, f64::INFINITY) };
    ([$min:literal ..= $max:literal]) => { $crate::valid::Valid::number($min as f64, $max as f64) };
    ([$or:literal or $min:literal ..= $max:literal]) => {
        $crate::valid::Valid::Number { min: $min as f64, max: $max as f64, or: Some($or as f64) }
    };
    ([of $($value:literal)+]) => { $crate::valid::Valid::OneOf(&[$($value),+]) };
    ([of any case $($value:literal)+]) => { $crate::valid::Valid::OneOfAnyCase(&[$($value),+]) };
    ([list]) => { $crate::valid::Valid::List { of: None, empty: true } };
    ([list some]) => { $crate::valid::Valid::List { of: None, empty: false } };
    ([list of $($value:literal)+]) => { $crate::valid::Valid::List { of: Some(&[$($value),+]), empty: true } };
    ([list some of $($value:literal)+]) => { $crate::valid::Valid::List { of: Some(&[$($value),+]), empty: false } };
    ([not empty]) => { $crate::valid::Valid::NotEmpty };
    ([address]) => { $crate::valid::Valid::Address };
    ([addresses]) => { $crate::valid::Valid::Addresses };
    ([voters]) => { $crate::valid::Valid::Voters };
    ([replicas]) => { $crate::valid::Valid::ThrottledReplicas };
    ([offset reset]) => { $crate::valid::Valid::OffsetReset };
}

macro_rules! optional {
    () => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

macro_rules! restart {
    () => {
        None
    };
    ($reason:ident) => {
        Some($crate::table::reason::$reason)
    };
}

/// Turns rows into `ROWS`.
macro_rules! rows {
    ($scope:ident: $(
        $status:ident $(($reason:ident))? $kind:ident $name:literal $default:tt $valid:tt $update:ident $importance:ident
        $unit:ident $([$($synonym:literal)+])? $(restart $restart:ident)? $(since $since:literal)? $(internal $internal:literal)? $doc:literal;
    )*) => {
        pub(super) static ROWS: &[$crate::table::Setting] = &[$($crate::table::Setting {
            name: $name,
            scope: $crate::table::Scope::$scope,
            kind: $crate::table::Kind::$kind,
            unit: $crate::table::Unit::$unit,
            default: $crate::table::default_value!($default),
            valid: $crate::table::valid!($valid),
            update: $crate::table::Update::$update,
            importance: $crate::table::Importance::$importance,
            synonyms: &[$($($synonym),+)?],
            restart: $crate::table::restart!($($restart)?),
            since: $crate::table::optional!($($since)?),
            internal: false $(|| $internal)?,
            status: $crate::table::Status::$status $(($crate::table::reason::$reason))?,
            doc: $doc,
        }),*];
    };
}

use {default_value, optional, restart, rows, valid};

#[cfg(test)]
mod tests;
