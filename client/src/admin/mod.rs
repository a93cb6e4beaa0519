//! Administration: topics, configs, groups, the cluster itself. Each call asks whoever must be asked (any broker, a leader, a
//! coordinator, every broker), repeats what can be repeated, and gives the broker's answers item by item.

mod cluster;
mod configs;
mod groups;
mod topics;

pub use cluster::{ClusterDescription, FeatureUpdate, Features, LogDirsOf};
pub use configs::{ConfigChange, ConfigOperation, ConfigResource};
pub use groups::{CommittedOffset, GroupOffsets, ListedGroups};
pub use topics::{CreatedTopic, NewTopic};

use crate::cluster::Cluster;
use crate::config::ClientConfig;
use crate::error::{ClientError, Failure};
use crate::net::NetRef;
use ottla_protocol::{ApiKey, ErrorCode, Request, Str};

/// Answers by name, in the order of the request.
pub type ByName<T> = Vec<(Str, Result<T, Failure>)>;

/// A handle for administration.
#[derive(Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Of a cluster that is known by its bootstrap servers.
    pub fn new(net: NetRef, config: ClientConfig) -> Admin {
        Admin::of(Cluster::new(net, config))
    }

    /// Sharing connections with others.
    pub fn of(cluster: Cluster) -> Admin {
        Admin { cluster }
    }

    /// The cluster this handle works on.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Sends to any broker. `codes` gives the error codes of the answer: one that says "not now, not here" repeats the whole request.
    async fn ask<R: Request>(
        &self,
        request: &R,
        codes: impl Fn(&R::Response) -> Vec<ErrorCode>,
    ) -> Result<R::Response, ClientError> {
        self.cluster
            .retry(async || {
                let connection = self.cluster.any_broker().await?;
                let response = connection.call(request).await?;
                repeat_if_moved(R::KEY, codes(&response))?;
                Ok(response)
            })
            .await
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Only errors which say that nothing was done may repeat a request that changes something.
fn repeat_if_moved(api: ApiKey, codes: Vec<ErrorCode>) -> Result<(), ClientError> {
    let moved = [
        ErrorCode::NOT_CONTROLLER,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ];
    match codes.into_iter().find(|code| moved.contains(code)) {
        Some(code) => Err(ClientError::refused(api, code)),
        None => Ok(()),
    }
}
