//! Shows configuration: what holds, where it comes from, and what would hold otherwise.

use ottla_broker_metadata::{Resource as ConfigResource, ResourceKind};
use ottla_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use ottla_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use ottla_protocol::{ErrorCode, Str};
use ottla_settings::ConfigEntry;

use crate::auth::{Operation, Resource};
use crate::server::RequestContext;
use crate::topic_configs::plain;

/// DescribeConfigs, versions 1–4.
///
/// Behaviour: topics, this broker (by its id), the default of all brokers (empty name) and groups; a
/// broker answers for itself only, since static values are known nowhere else.
/// Version notes: v1 source and synonyms (KIP-226) · v3 type and documentation (KIP-569) · v4 flexible.
pub async fn describe_configs(
    ctx: RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request
        .resources
        .iter()
        .map(|resource| describe(&ctx, &request, resource));
    DescribeConfigsResponse {
        results: results.collect(),
        ..Default::default()
    }
}

fn describe(
    ctx: &RequestContext,
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    };
    match entries(ctx, resource) {
        Ok(entries) => {
            let is_wanted = |entry: &ConfigEntry| {
                resource
                    .configuration_keys
                    .as_ref()
                    .is_none_or(|keys| keys.iter().any(|key| **key == *entry.name))
            };
            let wanted = entries.into_iter().filter(is_wanted);
            DescribeConfigsResult {
                configs: wanted.map(|entry| described(request, entry)).collect(),
                ..result
            }
        }
        Err((error_code, message)) => DescribeConfigsResult {
            error_code,
            error_message: Some(Str::from(message)),
            ..result
        },
    }
}

fn entries(
    ctx: &RequestContext,
    resource: &DescribeConfigsResource,
) -> Result<Vec<ConfigEntry>, (ErrorCode, String)> {
    let image = ctx.services.image.load();
    let layers = ctx.services.topic_configs.layers();
    let name = &resource.resource_name;
    let own = |resource: &ConfigResource| {
        image
            .configs
            .get(resource)
            .map(|own| plain(own))
            .unwrap_or_default()
    };
    match ResourceKind::from_i8(resource.resource_type) {
        Some(ResourceKind::Topic) => {
            if !ctx.services.authorizer.allows(
                &ctx.principal,
                Operation::DescribeConfigs,
                Resource::Topic(name),
            ) {
                return Err((
                    ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                    "not authorised".to_owned(),
                ));
            }
            if image.topic(name).is_none() {
                return Err((
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    format!("there is no topic {name}"),
                ));
            }
            Ok(layers.describe_topic(&own(&ConfigResource::topic(name.clone()))))
        }
        Some(ResourceKind::Broker) if name.is_empty() => Ok(layers.describe_cluster()),
        Some(ResourceKind::Broker) => match name.parse::<i32>() {
            Ok(id) if id == ctx.services.node.id => Ok(layers.describe_broker()),
            _ => Err((
                ErrorCode::INVALID_REQUEST,
                format!(
                    "this is broker {}, which knows nothing of the configuration of broker {name}",
                    ctx.services.node.id
                ),
            )),
        },
        Some(ResourceKind::Group) => {
            let group = ConfigResource {
                kind: ResourceKind::Group,
                name: name.clone(),
            };
            Ok(layers.describe_group(&own(&group)))
        }
        // No logger has a level of its own here: the list is empty, not unknown.
        Some(ResourceKind::BrokerLogger) => Ok(Vec::new()),
        Some(ResourceKind::ClientMetrics) | None => Err((
            ErrorCode::INVALID_REQUEST,
            format!("unknown resource type {}", resource.resource_type),
        )),
    }
}

fn described(
    request: &DescribeConfigsRequest,
    entry: ConfigEntry,
) -> DescribeConfigsResourceResult {
    let synonyms = if request.include_synonyms {
        entry.synonyms
    } else {
        Vec::new()
    };
    DescribeConfigsResourceResult {
        name: entry.name.into(),
        value: entry.value.map(Str::from),
        read_only: entry.read_only,
        config_source: entry.source.wire_code(),
        is_sensitive: entry.secret,
        synonyms: synonyms
            .into_iter()
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name.into(),
                value: synonym.value.map(Str::from),
                source: synonym.source.wire_code(),
                ..Default::default()
            })
            .collect(),
        config_type: entry.kind.wire_code(),
        documentation: request.include_documentation.then(|| Str::from(entry.doc)),
        ..Default::default()
    }
}
