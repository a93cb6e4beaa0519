//! The `quorum-state` file: what a node must remember of elections. Kafka's JSON, version 1
//! (kraft.version 1); version 0 is read as well. Not here: writing it to disk (temp file, fsync,
//! rename, before any answer that depends on it) is the shell's.

use ottla_protocol::Uuid;

use crate::voters::ReplicaKey;

/// What a node remembers of elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumState {
    /// Leader of the epoch, −1 if not known.
    pub leader_id: i32,
    /// The newest epoch that this node has heard of.
    pub leader_epoch: i32,
    /// Whom it voted for in that epoch, −1 for nobody.
    pub voted_id: i32,
    /// Directory of whom it voted for.
    pub voted_directory_id: Uuid,
}

impl Default for QuorumState {
    fn default() -> Self {
        Self {
            leader_id: -1,
            leader_epoch: 0,
            voted_id: -1,
            voted_directory_id: Uuid::ZERO,
        }
    }
}

/// A file that cannot be believed. A node must not start on it: it could vote twice.
#[derive(Debug, thiserror::Error)]
pub enum QuorumStateError {
    /// Not JSON, or not an object of the expected fields.
    #[error(
        "quorum-state is damaged ({0}): restore it from a copy; without one, remove the file if this node is the only controller, else take the node out of the quorum and add it again with an empty directory"
    )]
    Damaged(String),
    /// Written by a newer version.
    #[error(
        "quorum-state has data_version {0}, which this version does not know: start the newer version that wrote it"
    )]
    UnknownVersion(i64),
}

impl QuorumState {
    /// Whom it voted for, if for anybody.
    pub(crate) fn voted(&self) -> Option<ReplicaKey> {
        (self.voted_id >= 0).then_some(ReplicaKey {
            id: self.voted_id,
            directory_id: self.voted_directory_id,
        })
    }

    /// Parses the file.
    pub fn parse(json: &str) -> Result<Self, QuorumStateError> {
        let damaged = |what: &str| QuorumStateError::Damaged(what.to_owned());
        let value: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| QuorumStateError::Damaged(error.to_string()))?;
        let version = value["data_version"]
            .as_i64()
            .ok_or_else(|| damaged("no data_version"))?;
        if !(0..=1).contains(&version) {
            return Err(QuorumStateError::UnknownVersion(version));
        }
        let number = |field: &str| {
            let number = value[field]
                .as_i64()
                .and_then(|number| i32::try_from(number).ok());
            number.ok_or_else(|| QuorumStateError::Damaged(format!("no {field}")))
        };
        let voted_directory_id = match value["votedDirectoryId"].as_str() {
            Some(id) => id
                .parse()
                .map_err(|_| damaged("votedDirectoryId is no uuid"))?,
            None if version == 0 => Uuid::ZERO,
            None => return Err(damaged("no votedDirectoryId")),
        };
        Ok(Self {
            leader_id: number("leaderId")?,
            leader_epoch: number("leaderEpoch")?,
            voted_id: number("votedId")?,
            voted_directory_id,
        })
    }

    /// The file's content, in Kafka's order of fields.
    pub fn to_json(self) -> String {
        format!(
            r#"{{"leaderId":{},"leaderEpoch":{},"votedId":{},"votedDirectoryId":"{}","data_version":1}}"#,
            self.leader_id, self.leader_epoch, self.voted_id, self.voted_directory_id
        )
    }
}
