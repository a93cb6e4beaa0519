//! Which broker coordinates a group. Remembered until a broker says that it does not.

use crate::cluster::{Cluster, Lane};
use crate::connection::Connection;
use crate::error::ClientError;
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use ottla_protocol::{ApiKey, ErrorCode, Str};

const KEY_TYPE_GROUP: i8 = 0;
/// From this version on a request names many keys.
const MANY_KEYS_FROM: i16 = 4;

impl Cluster {
    /// A connection to the coordinator of a group.
    pub(crate) async fn coordinator(
        &self,
        group: &Str,
        lane: Lane,
    ) -> Result<Connection, ClientError> {
        let known = self.inner.coordinators.borrow().get(group).copied();
        let id = match known {
            Some(id) => id,
            None => self.find_coordinator(group).await?,
        };
        let connection = self.broker(id, lane).await;
        if connection.is_err() {
            self.doubt_coordinator(group);
        }
        connection
    }

    async fn find_coordinator(&self, group: &Str) -> Result<i32, ClientError> {
        let connection = self.any_broker().await?;
        let request = if connection.version::<FindCoordinatorRequest>()? >= MANY_KEYS_FROM {
            FindCoordinatorRequest {
                key_type: KEY_TYPE_GROUP,
                coordinator_keys: vec![group.clone()],
                ..Default::default()
            }
        } else {
            FindCoordinatorRequest {
                key: group.clone(),
                ..Default::default()
            }
        };
        let id = node_of(connection.call(&request).await?)?;
        self.inner
            .coordinators
            .borrow_mut()
            .insert(group.clone(), id);
        Ok(id)
    }

    /// Makes the next `coordinator` ask again.
    pub(crate) fn doubt_coordinator(&self, group: &Str) {
        self.inner.coordinators.borrow_mut().remove(group);
    }

    /// Looks at an error of a group request: if the coordinator has moved, it will be looked for again.
    pub(crate) fn heed_group_error(&self, group: &Str, error: &ClientError) {
        let moved = match error {
            ClientError::Refused { failure, .. } => matches!(
                failure.error,
                ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE
            ),
            ClientError::Connection(_) | ClientError::UnknownBroker(_) => true,
            _ => false,
        };
        if moved {
            self.doubt_coordinator(group);
        }
    }
}

fn node_of(response: FindCoordinatorResponse) -> Result<i32, ClientError> {
    let api = ApiKey::FindCoordinator;
    match response.coordinators.into_iter().next() {
        Some(found) => {
            ClientError::check(api, found.error_code, found.error_message)?;
            Ok(found.node_id)
        }
        None => {
            ClientError::check(api, response.error_code, response.error_message)?;
            Ok(response.node_id)
        }
    }
}
