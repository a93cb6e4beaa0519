//! Which topics there shall be, and which are no longer declared.

use ottla_operator_api::KafkaTopic;

use crate::check::{self, Refusal};
use crate::desired::Desired;
use crate::observed::{Observed, OwnedTopic};
use crate::output::PlannedTopic;

/// Every topic that shall be, by its name in Kafka. A refused one is left as it is.
pub fn desired(desired: &Desired, refused: &[Refusal]) -> Vec<PlannedTopic> {
    let mut topics: Vec<PlannedTopic> = desired
        .topics
        .iter()
        .filter(|topic| !refused.iter().any(|r| r.is_of_topic(object(topic))))
        .map(planned)
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics
}

fn planned(topic: &KafkaTopic) -> PlannedTopic {
    let config = check::config_texts(topic.spec.config.as_ref());
    PlannedTopic {
        name: topic.kafka_name().to_owned(),
        partitions: topic.spec.partitions,
        replicas: topic.spec.replicas,
        owned: OwnedTopic {
            object: object(topic).to_owned(),
            deletion_policy: topic.spec.deletion_policy.unwrap_or_default(),
            config: config.keys().cloned().collect(),
        },
        config,
    }
}

/// The names in Kafka of topics whose objects are gone.
pub fn pruned(desired: &Desired, observed: &Observed) -> Vec<String> {
    observed
        .owned_topics
        .iter()
        .filter(|(name, owned)| {
            !desired
                .topics
                .iter()
                .any(|topic| topic.kafka_name() == *name || object(topic) == owned.object)
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// The name of the object.
pub fn object(topic: &KafkaTopic) -> &str {
    topic.metadata.name.as_deref().unwrap_or_default()
}
