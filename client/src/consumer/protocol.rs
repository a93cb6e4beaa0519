//! What consumers of a group tell each other through the coordinator, which does not read it: subscriptions to the leader, assignments
//! back. Format "consumer", versions 0 to 3; later ones are read as far as 3 goes.

use crate::cluster::TopicPartition;
use crate::error::ClientError;
use ottla_protocol::messages::consumer_protocol_assignment::{self, ConsumerProtocolAssignment};
use ottla_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_protocol::{Bytes, DecodeError, Message, Reader, Str, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// The protocol type of consumers in JoinGroup.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";
const VERSION_LAST: i16 = 3;
/// What we write: the last version that says nothing about cooperation, which we do not do.
const VERSION_WRITTEN: i16 = 1;

pub(crate) fn subscription(topics: &BTreeSet<Str>) -> Bytes {
    let message = ConsumerProtocolSubscription {
        topics: topics.iter().cloned().collect(),
        ..Default::default()
    };
    encode(&message)
}

pub(crate) fn read_subscription(bytes: Bytes) -> Result<BTreeSet<Str>, ClientError> {
    let message: ConsumerProtocolSubscription = decode(bytes)?;
    Ok(message.topics.into_iter().collect())
}

pub(crate) fn assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
    partitions
        .iter()
        .for_each(|(topic, partition)| topics.entry(topic.clone()).or_default().push(*partition));
    let topic =
        |(topic, partitions)| consumer_protocol_assignment::TopicPartition { topic, partitions };
    let message = ConsumerProtocolAssignment {
        assigned_partitions: topics.into_iter().map(topic).collect(),
        user_data: None,
    };
    encode(&message)
}

/// A member that was left out gets no bytes, which is an assignment of nothing.
pub(crate) fn read_assignment(bytes: Bytes) -> Result<Vec<TopicPartition>, ClientError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let message: ConsumerProtocolAssignment = decode(bytes)?;
    let partitions = message.assigned_partitions.into_iter().flat_map(|topic| {
        let name = topic.topic;
        topic
            .partitions
            .into_iter()
            .map(move |partition| (name.clone(), partition))
    });
    Ok(partitions.collect())
}

fn encode(message: &impl Message) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(VERSION_WRITTEN);
    message
        .encode(&mut writer, VERSION_WRITTEN)
        .expect("topic names fit: the broker has given or accepted them");
    writer.finish().into_bytes()
}

fn decode<M: Message>(bytes: Bytes) -> Result<M, ClientError> {
    let read = || {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        M::decode(&mut reader, version.clamp(0, VERSION_LAST))
    };
    read().map_err(|error: DecodeError| {
        ClientError::Closed(format!("a member's metadata cannot be read: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{assignment, read_assignment, read_subscription, subscription};
    use ottla_protocol::Bytes;

    #[test]
    fn what_is_written_is_read() {
        let topics = ["b".into(), "a".into()].into();
        assert_eq!(read_subscription(subscription(&topics)).unwrap(), topics);
        let partitions = vec![("a".into(), 0), ("a".into(), 2), ("b".into(), 1)];
        assert_eq!(
            read_assignment(assignment(&partitions)).unwrap(),
            partitions
        );
        assert_eq!(read_assignment(Bytes::new()).unwrap(), []);
        assert!(read_subscription(Bytes::from_static(&[0, 0, 0, 0, 0, 9])).is_err());
        // A later version with more behind it.
        let later = Bytes::from_static(&[
            0, 9, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 1, 2, 3,
        ]);
        assert_eq!(read_subscription(later).unwrap(), [].into());
    }
}
