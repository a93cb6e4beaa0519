//! Tells clients what is served, so that both sides speak the highest version that both know.

use ottla_broker_metadata::levels;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::server::{ListenerKind, RequestContext, dispatch};

/// ApiVersions, versions 0–4. Its response header never has tagged fields, so that a client can read it
/// before anything is agreed (KIP-511).
///
/// Behaviour: the rows of the listener's dispatch table, supported and finalized feature levels. Java
/// clients choose protocols from the finalized levels, so a wrong list would change what they do.
/// Version notes: v3 flexible, client name and version · v4 minimum level 0 may be told (KIP-1022).
pub async fn api_versions(ctx: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if ctx.version >= 3
        && !(is_client_word(&request.client_software_name)
            && is_client_word(&request.client_software_version))
    {
        return ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..Default::default()
        };
    }
    let image = ctx.services.image.load();
    let mut response = ApiVersionsResponse {
        api_keys: rows(ctx.connection.listener_kind),
        ..Default::default()
    };
    if ctx.version < 3 {
        return response;
    }
    response.supported_features = levels::SUPPORTED
        .iter()
        // Clients before version 4 cannot read a range that begins at 0 (KIP-1022).
        .filter(|(_, range)| ctx.version >= 4 || range.min > 0)
        .map(|(name, range)| SupportedFeatureKey {
            name: (*name).into(),
            min_version: range.min,
            max_version: range.max,
            ..Default::default()
        })
        .collect();
    response.finalized_features_epoch = image.features_epoch();
    response.finalized_features = image
        .features
        .iter()
        .map(|(name, level)| FinalizedFeatureKey {
            name,
            max_version_level: level,
            min_version_level: level,
            ..Default::default()
        })
        .collect();
    response
}

/// The answer to a version that this broker does not know: version 0, with all ranges.
pub fn unsupported_version(kind: ListenerKind) -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: rows(kind),
        ..Default::default()
    }
}

fn rows(kind: ListenerKind) -> Vec<ApiVersion> {
    dispatch::table(kind)
        .iter()
        .map(|row| ApiVersion {
            api_key: row.key as i16,
            min_version: row.advertised_min,
            max_version: row.max,
            ..Default::default()
        })
        .collect()
}

/// KIP-511: letters, digits, dots and dashes, beginning and ending with a letter or digit.
fn is_client_word(word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    outer(word.chars().next()) && outer(word.chars().last()) && word.chars().all(inner)
}
