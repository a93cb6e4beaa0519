//! A client for any Kafka: topics, records, groups. Without `--bootstrap-server` it talks to the
//! cluster that runs on this machine.

mod check;
mod connect;
mod consume;
mod group;
mod offsets;
mod produce;
mod template;
mod topic;

pub use check::{CheckArgs, check};
pub use consume::{ConsumeArgs, consume};
pub use group::{GroupCommand, group};
pub use produce::{ProduceArgs, produce};
pub use topic::{TopicCommand, topic};
