//! Which topics the members of a group read, as far as the coordinator must know: an offset of a topic that nobody reads any more
//! expires although the group is alive (KIP-211), one that is read must not be deleted (KIP-496).
//! Member metadata is opaque otherwise; only the `consumer` protocol type has this shape, and what does not parse is "unknown".

use crate::classic::ClassicGroup;
use bytes::Bytes;
use ottla_protocol::{DecodeError, Reader, Str};
use std::collections::BTreeSet;

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

impl ClassicGroup {
    /// The topics of all members; `None` when the group does not speak the consumer protocol or one member cannot be read.
    pub(crate) fn topics_of_members(&self) -> Option<BTreeSet<Str>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_ref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.iter() {
            topics.extend(subscribed_topics(member.metadata(protocol)).ok()?);
        }
        Some(topics)
    }

    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }
}

/// The head of a consumer's subscription: version, topics; what follows (user data, owned partitions, rack) is not needed.
fn subscribed_topics(metadata: Bytes) -> Result<Vec<Str>, DecodeError> {
    let mut reader = Reader::new(metadata);
    let _version = reader.i16()?;
    reader.list::<Str>(false)
}
