//! From a new image to everybody on this shard who lives by it.
//!
//! Invariant: the owner of partitions hears of new partitions before any handler can see them in the
//! image, since both go through its mailbox in this order; coordinators hear of leaderships after the
//! logs are there. Everything costs in proportion to the delta.
//! Not here: where images come from (`controller`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ottla_broker_group::DeletedTopic;
use ottla_broker_metadata::{Delta, Image};
use tokio::sync::watch;

use crate::coordinator::{GroupsHandle, Led, OFFSETS_TOPIC};
use crate::partition::{Hosted, PartitionId, PartitionsHandle, Publication, Request};
use crate::topic_configs::TopicConfigs;

/// The newest published image of a shard; cheap to clone.
#[derive(Clone)]
pub struct ImageCell {
    newest: Rc<RefCell<Arc<Image>>>,
    offset: watch::Receiver<i64>,
}

impl ImageCell {
    /// The newest image. Holders keep what they started with.
    pub fn load(&self) -> Arc<Image> {
        Arc::clone(&self.newest.borrow())
    }

    /// Yields the first image that `wanted` accepts.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&Image) -> bool) -> Arc<Image> {
        let mut offset = self.offset.clone();
        loop {
            let image = self.load();
            if wanted(&image) || offset.changed().await.is_err() {
                return image;
            }
        }
    }
}

/// Hands out images; owned by the loop that makes them.
pub struct Publisher {
    node_id: i32,
    newest: Rc<RefCell<Arc<Image>>>,
    offset: watch::Sender<i64>,
    partitions: PartitionsHandle,
    groups: GroupsHandle,
    topic_configs: Rc<TopicConfigs>,
}

impl Publisher {
    /// A publisher and the cell that it fills.
    pub fn new(
        node_id: i32,
        partitions: PartitionsHandle,
        groups: GroupsHandle,
        topic_configs: Rc<TopicConfigs>,
    ) -> (Self, ImageCell) {
        let newest = Rc::new(RefCell::new(Arc::new(Image::default())));
        let (offset, offset_seen) = watch::channel(-1);
        let cell = ImageCell {
            newest: Rc::clone(&newest),
            offset: offset_seen,
        };
        (
            Self {
                node_id,
                newest,
                offset,
                partitions,
                groups,
                topic_configs,
            },
            cell,
        )
    }

    /// The image that was published last.
    pub fn newest(&self) -> Arc<Image> {
        Arc::clone(&self.newest.borrow())
    }

    /// Publishes `image`, which differs from the one before by `delta`.
    pub fn publish(&self, image: Image, delta: &Delta) {
        let old = Arc::clone(&self.newest.borrow());
        let image = Arc::new(image);
        if !delta.configs.is_empty() || !delta.topics.is_empty() || !delta.deleted_topics.is_empty()
        {
            self.topic_configs.update(&image, delta);
        }
        let publication = self.publication(&old, &image, delta);
        if !publication.hosted.is_empty() || !publication.dropped.is_empty() {
            // The order of the mailbox is enough; nobody waits for it here.
            let (done, _) = tokio::sync::oneshot::channel();
            self.partitions.send(Request::Publish(publication, done));
        }
        self.newest.replace(Arc::clone(&image));
        self.offset.send_replace(image.provenance.offset);
        self.tell_coordinators(&image, delta);
    }

    /// What this broker has to make, lead, drop and reconfigure.
    fn publication(&self, old: &Image, new: &Image, delta: &Delta) -> Publication {
        let changes = delta.local_changes(self.node_id, old, new);
        let mut publication = Publication::default();
        publication
            .dropped
            .extend(changes.deletes.iter().map(|(topic, index)| PartitionId {
                topic: *topic,
                index: *index,
            }));
        for (topic, index) in changes.leaders.iter().chain(&changes.followers) {
            publication.hosted.extend(self.hosted(
                new,
                PartitionId {
                    topic: *topic,
                    index: *index,
                },
            ));
        }
        for topic in self.topic_configs.affected(new, delta) {
            let replicas = topic
                .partitions
                .iter()
                .filter(|(_, partition)| partition.replicas.contains(&self.node_id));
            for (index, _) in replicas {
                publication.hosted.extend(self.hosted(
                    new,
                    PartitionId {
                        topic: topic.id,
                        index,
                    },
                ));
            }
        }
        publication
    }

    fn hosted(&self, image: &Image, partition: PartitionId) -> Option<Hosted> {
        let topic = image.topic_by_id(&partition.topic)?;
        let state = topic.partition(partition.index)?;
        Some(Hosted {
            partition,
            topic_name: topic.name.clone(),
            leads: state.leader == self.node_id,
            leader_epoch: state.leader_epoch,
            config: self.topic_configs.log_config(topic),
        })
    }

    fn tell_coordinators(&self, image: &Image, delta: &Delta) {
        if let Some(topic) = image
            .topic(OFFSETS_TOPIC)
            .filter(|topic| delta.topics.contains_key(&topic.id))
        {
            let led = topic
                .partitions
                .iter()
                .filter(|(_, partition)| partition.leader == self.node_id);
            let led = led.map(|(index, partition)| Led {
                partition: PartitionId {
                    topic: topic.id,
                    index,
                },
                leader_epoch: partition.leader_epoch,
            });
            self.groups.lead(led.collect());
        }
        if !delta.deleted_topics.is_empty() {
            let deleted = delta.deleted_topics.values();
            self.groups.topics_deleted(
                deleted
                    .map(|topic| DeletedTopic {
                        name: topic.name.clone(),
                        id: topic.id,
                    })
                    .collect(),
            );
        }
    }
}
