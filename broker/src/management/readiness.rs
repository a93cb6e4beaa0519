//! When a node is ready: it may be sent clients, and the next one may be restarted.
//!
//! Invariant: readiness is sticky. A broker becomes ready once, when it is registered and unfenced and each of
//! the replicas that it had then has been in its ISR at least once since the start; from then on only its stop
//! ends it. A replica that falls behind later is the business of metrics, not of a probe that would take the
//! broker's address away and so make it worse. A controller without the broker's role is ready when it knows
//! who leads the quorum. Not here: liveness (`desk.rs`).

use std::collections::BTreeSet;

use ottla_broker_metadata::{Image, Topic};

use super::desk::{Look, NodeLook, Stage};
use crate::partition::PartitionId;

/// What has been seen of a node since its start.
#[derive(Debug, Default)]
pub struct Readiness {
    was_ready: bool,
    /// Replicas here that have not been seen in their ISR; `None` before the first look at them.
    awaited: Option<BTreeSet<PartitionId>>,
}

impl Readiness {
    /// Takes one look. Errors: why the node is not ready, in words.
    pub fn judge(&mut self, look: &Look) -> Result<(), String> {
        match look.stage {
            Stage::Stopping => return Err("the broker is stopping".to_owned()),
            Stage::Starting(doing) => return Err(format!("the broker is {doing}")),
            Stage::Serving if self.was_ready => return Ok(()),
            Stage::Serving => {}
        }
        let Some(node) = &look.node else {
            return Err("the broker is starting".to_owned());
        };
        if node.roles.broker {
            self.judge_replicas(node)?;
        } else if node.leader_id < 0 {
            return Err("the controller knows no leader of the quorum".to_owned());
        }
        self.was_ready = true;
        Ok(())
    }

    fn judge_replicas(&mut self, node: &NodeLook) -> Result<(), String> {
        let awaited = self
            .awaited
            .get_or_insert_with(|| replicas_out_of_sync(&node.image, node.id));
        // What was deleted or moved away is waited for no more.
        awaited.retain(|partition| is_out_of_sync(&node.image, node.id, partition));
        match awaited.first() {
            None => Ok(()),
            Some(first) => {
                let topic = node.image.topic_by_id(&first.topic);
                let name = topic.map_or("?", |topic| &topic.name);
                Err(format!(
                    "the broker is not in the ISR of {} of its partitions yet, the first is {name}-{}",
                    awaited.len(),
                    first.index
                ))
            }
        }
    }
}

fn replicas_out_of_sync(image: &Image, id: i32) -> BTreeSet<PartitionId> {
    let of_topic = |topic: &Topic| {
        let partitions = topic.partitions.iter().filter(|(_, partition)| {
            partition.replicas.contains(&id) && !partition.isr.contains(&id)
        });
        partitions
            .map(|(index, _)| PartitionId {
                topic: topic.id,
                index,
            })
            .collect::<Vec<_>>()
    };
    let topics = image.topics.iter_by_id();
    topics.flat_map(|topic| of_topic(topic)).collect()
}

fn is_out_of_sync(image: &Image, id: i32, partition: &PartitionId) -> bool {
    image
        .partition_by_id(&partition.topic, partition.index)
        .is_some_and(|state| state.replicas.contains(&id) && !state.isr.contains(&id))
}

#[cfg(test)]
mod tests;
