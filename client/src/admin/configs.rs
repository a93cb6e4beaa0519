//! Configs of topics, brokers and groups: describe them, change single ones.

use super::Admin;
use crate::cluster::Lane;
use crate::connection::Connection;
use crate::error::{ClientError, Failure};
use ottla_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use ottla_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::{ApiKey, Str};

/// What a config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic by name.
    Topic(Str),
    /// One broker, as it is at work.
    Broker(i32),
    /// The defaults of all brokers.
    AllBrokers,
    /// A group by id.
    Group(Str),
}

impl ConfigResource {
    fn wire(&self) -> (i8, Str) {
        match self {
            ConfigResource::Topic(name) => (2, name.clone()),
            ConfigResource::Broker(id) => (4, id.to_string().into()),
            ConfigResource::AllBrokers => (4, Str::default()),
            ConfigResource::Group(id) => (32, id.clone()),
        }
    }
}

/// What to do with a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(Str),
    /// Back to the default.
    Delete,
    /// Add to a list.
    Append(Str),
    /// Take out of a list.
    Subtract(Str),
}

/// A change of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key.
    pub name: Str,
    /// The change.
    pub operation: ConfigOperation,
}

impl Admin {
    /// All configs of a resource, or (with `keys`) some of them.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
        keys: Option<Vec<Str>>,
    ) -> Result<Result<Vec<DescribeConfigsResourceResult>, Failure>, ClientError> {
        let (resource_type, resource_name) = resource.wire();
        let wanted = DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: keys,
            ..Default::default()
        };
        let request = DescribeConfigsRequest {
            resources: vec![wanted],
            include_synonyms: true,
            ..Default::default()
        };
        self.cluster
            .retry(async || {
                let response = self.whom_to_ask(resource).await?.call(&request).await?;
                let missing = || incomplete(ApiKey::DescribeConfigs, resource);
                let result = response.results.into_iter().next().ok_or_else(missing)?;
                Ok(
                    Failure::check(result.error_code, result.error_message)
                        .map(|()| result.configs),
                )
            })
            .await
    }

    /// Changes configs of a resource (all or none of them), or only checks whether they could be changed.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<Result<(), Failure>, ClientError> {
        let (resource_type, resource_name) = resource.wire();
        let configs = changes.iter().map(alterable).collect();
        let resources = vec![AlterConfigsResource {
            resource_type,
            resource_name,
            configs,
            ..Default::default()
        }];
        let request = IncrementalAlterConfigsRequest {
            resources,
            validate_only,
            ..Default::default()
        };
        self.cluster
            .retry(async || {
                let response = self.whom_to_ask(resource).await?.call(&request).await?;
                let codes = response
                    .responses
                    .iter()
                    .map(|result| result.error_code)
                    .collect();
                super::repeat_if_moved(ApiKey::IncrementalAlterConfigs, codes)?;
                let missing = || incomplete(ApiKey::IncrementalAlterConfigs, resource);
                let result = response.responses.into_iter().next().ok_or_else(missing)?;
                Ok(Failure::check(result.error_code, result.error_message))
            })
            .await
    }

    /// A broker speaks for itself only.
    async fn whom_to_ask(&self, resource: &ConfigResource) -> Result<Connection, ClientError> {
        match resource {
            ConfigResource::Broker(id) => self.cluster.broker(*id, Lane::Data).await,
            ConfigResource::Topic(_) | ConfigResource::AllBrokers | ConfigResource::Group(_) => {
                self.cluster.any_broker().await
            }
        }
    }
}

fn alterable(change: &ConfigChange) -> AlterableConfig {
    let (config_operation, value) = match &change.operation {
        ConfigOperation::Set(value) => (0, Some(value.clone())),
        ConfigOperation::Delete => (1, None),
        ConfigOperation::Append(value) => (2, Some(value.clone())),
        ConfigOperation::Subtract(value) => (3, Some(value.clone())),
    };
    AlterableConfig {
        name: change.name.clone(),
        config_operation,
        value,
        ..Default::default()
    }
}

fn incomplete(api: ApiKey, resource: &ConfigResource) -> ClientError {
    ClientError::Incomplete {
        api,
        what: format!("{resource:?}"),
    }
}
