//! Scenarios with real processes: Apache Kafka, clients in other languages, our brokers. This
//! library is what scenarios share: starting and ending peers, bounded waiting, the client tour.
//!
//! Invariant: a wait is on a condition and has a deadline; a process is ended by its id, and none
//! outlives the scenario that started it. Not here: what a scenario asserts (tests/), fetching
//! peers (`cargo xtask peers`).

mod cache;
mod cluster;
mod exposition;
mod helm;
mod http;
mod jvm;
mod lab;
mod mount;
mod namespace;
mod ottla;
mod ports;
mod process;
mod properties;
mod records;
mod repository;
mod tour;
mod user;
mod wait;
mod wire;

pub use cache::{
    build_folder, clients_classpath, kafka_classpath, kustomize, node_modules, python,
};
pub use cluster::{Cluster, all_kinds, answers};
pub use exposition::Exposition;
pub use helm::{Helm, HelmSaid};
pub use http::{HttpAnswer, http_get};
pub use jvm::{JAVA_OPTIONS, JvmKafka, java};
pub use lab::Lab;
pub use mount::Mount;
pub use namespace::{Namespace, first_pod, sorted};
pub use ottla::{OttlaBroker, OttlaUp, ottla_binary};
pub use ports::free_ports;
pub use process::{Running, tail_of};
pub use properties::Properties;
pub use repository::{repository, repository_file};
pub use tour::{Tour, TourStep, run_tour};
pub use user::{Said, User, is_alive};
pub use wait::until;
pub use wire::Wire;
