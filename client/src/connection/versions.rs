//! What the other side speaks (ApiVersions), and which version of each API is therefore used.

use ottla_protocol::ApiKey;
use ottla_protocol::messages::api_versions_response::ApiVersionsResponse;
use std::collections::BTreeMap;

/// The other side's answer to ApiVersions. Empty when it was not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// API key → first and last version.
    ranges: BTreeMap<i16, (i16, i16)>,
    finalized_features: BTreeMap<String, i16>,
    finalized_features_epoch: i64,
}

impl Versions {
    pub(crate) fn of(response: &ApiVersionsResponse) -> Versions {
        let ranges = response.api_keys.iter();
        let features = response.finalized_features.iter();
        Versions {
            ranges: ranges
                .map(|api| (api.api_key, (api.min_version, api.max_version)))
                .collect(),
            finalized_features: features
                .map(|feature| (feature.name.to_string(), feature.max_version_level))
                .collect(),
            finalized_features_epoch: response.finalized_features_epoch,
        }
    }

    /// Their versions of an API.
    pub fn range(&self, api: ApiKey) -> Option<(i16, i16)> {
        self.ranges.get(&(api as i16)).copied()
    }

    /// The highest version that both sides speak.
    pub fn common(&self, api: ApiKey) -> Option<i16> {
        let (first, last) = self.range(api)?;
        let ours = api.valid_versions();
        let common = last.min(*ours.end());
        (common >= first && common >= *ours.start()).then_some(common)
    }

    /// The level of a finalized feature such as `group.version`; 0 if it is not finalized.
    pub fn finalized_feature(&self, name: &str) -> i16 {
        self.finalized_features.get(name).copied().unwrap_or(0)
    }

    /// Grows with each change of the finalized features; −1 if unknown.
    pub fn finalized_features_epoch(&self) -> i64 {
        self.finalized_features_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::Versions;
    use ottla_protocol::ApiKey;
    use ottla_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

    #[test]
    fn the_highest_common_version_is_used() {
        let api = |api_key, min_version, max_version| ApiVersion {
            api_key,
            min_version,
            max_version,
            ..Default::default()
        };
        let response = ApiVersionsResponse {
            api_keys: vec![api(0, 0, 99), api(1, 4, 11), api(2, 50, 60), api(999, 0, 1)],
            ..Default::default()
        };
        let versions = Versions::of(&response);
        assert_eq!(
            versions.common(ApiKey::Produce),
            Some(*ApiKey::Produce.valid_versions().end())
        );
        assert_eq!(versions.common(ApiKey::Fetch), Some(11));
        assert_eq!(versions.common(ApiKey::ListOffsets), None);
        assert_eq!(versions.common(ApiKey::Metadata), None);
    }
}
