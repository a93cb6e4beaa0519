//! Configuration by Kafka's names: every broker, topic and group key of Apache Kafka 4.3.1 as one table row, and all
//! that reads the table: parsing, layers, DescribeConfigs, AlterConfigs, the reference page.
//!
//! The way in: `Properties::parse` and `environment::overlay` → `BrokerConfig::from_properties` → `Layers`, from which
//! brokers read `key`s and `TopicConfig`s; `change` and `describe` are the two sides of the admin requests.
//!
//! Invariant: no key is ignored silently; each is served, without effect and warned of, or refused by name.
//! Pure: no files, no environment, no clock. Not here: storing what was changed (the metadata log does).

pub mod change;
pub mod environment;
pub mod key;
pub mod table;
pub mod tls;
pub mod unit;

mod bounds;
mod broker;
mod check;
mod describe;
mod fault;
mod layers;
mod listeners;
mod live;
mod markdown;
mod nearest;
mod properties;
mod topic;
mod valid;
mod value;

pub use broker::{BrokerConfig, Roles};
pub use check::{check, nearest_key, row};
pub use describe::{ConfigEntry, ConfigSynonym};
pub use fault::{Fault, Faults, Located, Warning};
pub use key::Key;
pub use layers::{Found, Layers, Overrides, Source};
pub use listeners::{Address, Listener, SecurityProtocol, Voter};
pub use live::LiveSettings;
pub use markdown::markdown;
pub use nearest::nearest;
pub use properties::{Entry, Origin, Properties};
pub use table::{Kind, Scope, Setting, Status};
pub use tls::{ClientAuth, KeyStore, TlsSettings, TrustStore};
pub use topic::{CleanupPolicy, CompressionType, Durability, TopicConfig};
pub use valid::{NotValid, Valid};
pub use value::{ParseError, Secret, Value};
