//! The CRDs as one YAML text, the form in which they are kept in `crds/` and applied.

use ottla_operator_api::crds;

/// Every CRD, one document each, in the order of their names.
pub fn crds_yaml() -> String {
    serde_saphyr::to_string_multiple(&crds()).expect("a CRD is plain data")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_document_is_a_crd() {
        let text = super::crds_yaml();
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        let names: Vec<&str> = documents
            .iter()
            .map(|crd| crd["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["kafkaclusters.ottla.io", "kafkatopics.ottla.io"]);
        assert_eq!(documents, ottla_operator_api::crds());
    }
}
