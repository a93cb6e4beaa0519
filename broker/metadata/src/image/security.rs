//! ACLs, SCRAM credentials, delegation tokens and client quotas, held as their records say, so that
//! nothing is lost while the issues that serve them are still ahead, and snapshots keep them.
//! Not here: authorization, authentication and quota enforcement (broker/src/auth, broker/src/quota).

use crate::shared_map::SharedMap;
use ottla_protocol::{Bytes, Str, Uuid};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// ACLs by their id.
pub type Acls = SharedMap<Uuid, Arc<Acl>>;

/// SCRAM credentials by mechanism number and user.
pub type ScramCredentials = SharedMap<(i8, Str), Arc<ScramCredential>>;

/// Delegation tokens by token id.
pub type DelegationTokens = SharedMap<Str, Arc<DelegationToken>>;

/// Quota values by entity, then by key.
pub type ClientQuotas = SharedMap<QuotaEntity, Arc<BTreeMap<Str, f64>>>;

/// One access control entry; enumerations are numbers as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
    pub resource_type: i8,
    /// Name or prefix.
    pub resource_name: Str,
    /// 3 literal, 4 prefixed.
    pub pattern_type: i8,
    /// `Type:name`.
    pub principal: Str,
    /// Client address or `*`.
    pub host: Str,
    /// AclOperation.
    pub operation: i8,
    /// 2 deny, 3 allow.
    pub permission_type: i8,
}

/// Secrets that let a server check a SCRAM client; `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Random salt of the client.
    pub salt: Bytes,
    /// Authenticates the client.
    pub stored_key: Bytes,
    /// Proves the server.
    pub server_key: Bytes,
    /// Rounds of the key derivation.
    pub iterations: i32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// A delegation token without its secret, which every node derives from the token id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationToken {
    /// `Type:name`.
    pub owner: Str,
    /// `Type:name`.
    pub requester: Str,
    /// Principals that may renew it.
    pub renewers: Vec<Str>,
    /// Wall clock, ms.
    pub issue_timestamp: i64,
    /// Wall clock, ms.
    pub max_timestamp: i64,
    /// Wall clock, ms.
    pub expiration_timestamp: i64,
}

/// What a quota applies to: pairs of entity type (`user`, `client-id`, `ip`) and name, `None` being the
/// default, sorted by type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity(pub Vec<(Str, Option<Str>)>);
