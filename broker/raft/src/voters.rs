//! Who votes: the voter set as the last VotersRecord in the log has it (KIP-853).

use std::collections::BTreeMap;

use ottla_protocol::messages::voters_record::{self, VotersRecord};
use ottla_protocol::{Str, Uuid};

/// A replica of the metadata log: a wiped disk has another directory id, so it can never vote as its
/// old self.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// `node.id`
    pub id: i32,
    /// Id of the metadata log directory.
    pub directory_id: Uuid,
}

/// Where a voter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// Listener name.
    pub name: Str,
    /// Host.
    pub host: Str,
    /// Port.
    pub port: u16,
}

/// One voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its directory.
    pub directory_id: Uuid,
    /// Its endpoints.
    pub endpoints: Vec<VoterEndpoint>,
    /// Lowest kraft.version that it supports.
    pub kraft_version_min: i16,
    /// Highest kraft.version that it supports.
    pub kraft_version_max: i16,
}

/// The voters by id. Ids are unique in a set: replacing a disk is removing the old key, then adding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    by_id: BTreeMap<i32, Voter>,
}

impl VoterSet {
    /// A set with one voter.
    pub fn of_one(id: i32, voter: Voter) -> Self {
        Self {
            by_id: BTreeMap::from([(id, voter)]),
        }
    }

    /// From a record of the log or a snapshot.
    pub fn from_record(record: &VotersRecord) -> Self {
        let voters = record.voters.iter().map(|voter| {
            let endpoints = voter.endpoints.iter().map(|endpoint| VoterEndpoint {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
            });
            let value = Voter {
                directory_id: voter.voter_directory_id,
                endpoints: endpoints.collect(),
                kraft_version_min: voter.kraft_version_feature.min_supported_version,
                kraft_version_max: voter.kraft_version_feature.max_supported_version,
            };
            (voter.voter_id, value)
        });
        Self {
            by_id: voters.collect(),
        }
    }

    /// As a record for the log or a snapshot.
    pub fn to_record(&self) -> VotersRecord {
        let voters = self.by_id.iter().map(|(id, voter)| voters_record::Voter {
            voter_id: *id,
            voter_directory_id: voter.directory_id,
            endpoints: voter
                .endpoints
                .iter()
                .map(|endpoint| voters_record::Endpoint {
                    name: endpoint.name.clone(),
                    host: endpoint.host.clone(),
                    port: endpoint.port,
                    ..Default::default()
                })
                .collect(),
            kraft_version_feature: voters_record::KRaftVersionFeature {
                min_supported_version: voter.kraft_version_min,
                max_supported_version: voter.kraft_version_max,
                ..Default::default()
            },
            ..Default::default()
        });
        VotersRecord {
            version: 0,
            voters: voters.collect(),
            ..Default::default()
        }
    }

    /// Number of voters.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody votes, as far as this node knows.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether `key` votes: id and directory must both match.
    pub fn contains(&self, key: ReplicaKey) -> bool {
        self.by_id
            .get(&key.id)
            .is_some_and(|voter| voter.directory_id == key.directory_id)
    }

    /// A set of these voters by id.
    pub fn new(voters: impl IntoIterator<Item = (i32, Voter)>) -> Self {
        Self {
            by_id: voters.into_iter().collect(),
        }
    }

    /// All voters as replicas, in id order.
    pub fn keys(&self) -> impl Iterator<Item = ReplicaKey> {
        self.by_id.iter().map(|(id, voter)| ReplicaKey {
            id: *id,
            directory_id: voter.directory_id,
        })
    }

    /// The voter with this id.
    pub fn get(&self, id: i32) -> Option<&Voter> {
        self.by_id.get(&id)
    }

    /// All voters in id order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Voter)> {
        self.by_id.iter().map(|(id, voter)| (*id, voter))
    }
}
