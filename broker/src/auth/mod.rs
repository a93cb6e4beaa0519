//! Who asks, and whether they may: a principal for every connection and an authorise step in every
//! handler, from the first handler on.
//!
//! A principal is `User:ANONYMOUS`, or on a TLS connection with a client certificate its distinguished name
//! (Kafka's default principal builder and `ssl.principal.mapping.rules`). In this release the one authorizer
//! allows everything; handlers already ask it, so that ACLs change only this room.

use ottla_protocol::Str;

/// An authenticated identity. Type and name are case-sensitive, as in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// `User` unless a listener maps to something else.
    pub kind: Str,
    /// The name within the type.
    pub name: Str,
}

impl Principal {
    /// Whom a connection without authentication speaks for.
    pub fn anonymous() -> Self {
        Self {
            kind: Str::from("User"),
            name: Str::from("ANONYMOUS"),
        }
    }

    /// Whom a client certificate with this subject (RFC 2253) names.
    pub fn of_certificate(subject: &str) -> Self {
        Self {
            kind: Str::from("User"),
            name: Str::from(subject),
        }
    }
}

/// What a request wants to do; the operations of Kafka's ACLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Fetch, join.
    Read,
    /// Produce.
    Write,
    /// CreateTopics, auto-creation.
    Create,
    /// DeleteTopics, DeleteRecords, DeleteGroups.
    Delete,
    /// CreatePartitions, UpdateFeatures.
    Alter,
    /// Metadata and the describing requests.
    Describe,
    /// Between nodes of the cluster.
    ClusterAction,
    /// DescribeConfigs.
    DescribeConfigs,
    /// AlterConfigs.
    AlterConfigs,
    /// InitProducerId without a transactional id.
    IdempotentWrite,
}

/// What it is to be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A topic by name.
    Topic(&'a str),
    /// A group by id.
    Group(&'a str),
    /// The cluster itself.
    Cluster,
}

/// Decides. This release knows one policy: everybody may do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizer {
    /// No authorizer is configured, as in Kafka without `authorizer.class.name`.
    AllowAll,
}

impl Authorizer {
    /// Whether `principal` may do `operation` to `resource`.
    pub fn allows(
        &self,
        _principal: &Principal,
        _operation: Operation,
        _resource: Resource<'_>,
    ) -> bool {
        match self {
            Self::AllowAll => true,
        }
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}
