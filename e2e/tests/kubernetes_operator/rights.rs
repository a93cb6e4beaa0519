//! Who did what, by the API server's audit log.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use ottla_e2e::Namespace;
use serde_json::Value;

const OPERATOR: &str = "system:serviceaccount:ottla-system:ottla-operator";

/// What the operator asked of the server, oldest first.
pub fn requests(apps: &Namespace<'_>) -> Result<Vec<Value>> {
    let log = fs::read_to_string(apps.lab.folder()?.join("control/audit.log"))?;
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events
        .filter(|event| event["user"]["username"] == OPERATOR)
        .collect())
}

/// What requests wrote, as resource and name; leases and events are the operator's own.
pub fn written(requests: &[Value]) -> BTreeSet<String> {
    requests
        .iter()
        .filter(|event| !matches!(event["verb"].as_str(), Some("get" | "list" | "watch")))
        .map(|event| {
            let object = &event["objectRef"];
            format!("{} {}", text(&object["resource"]), text(&object["name"]))
        })
        .filter(|what| !what.starts_with("leases ") && !what.starts_with("events "))
        .collect()
}

/// Each right that the operator was given was used, in this story so far.
pub fn rights_are_those_that_are_used(apps: &Namespace<'_>) -> Result<()> {
    let granted: BTreeSet<String> = ["clusterrole", "role"]
        .into_iter()
        .map(|kind| {
            apps.lab
                .get(&["--namespace=ottla-system", kind, "ottla-operator"])
        })
        .collect::<Result<Vec<_>>>()?
        .iter()
        .flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default())
        .flat_map(|rule| {
            let words = |field: &str| -> Vec<String> {
                rule[field]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect()
            };
            let (resources, verbs) = (words("resources"), words("verbs"));
            resources
                .into_iter()
                .flat_map(move |resource| {
                    let verbs = verbs.clone().into_iter();
                    verbs.map(move |verb| format!("{verb} {resource}"))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let mut used = BTreeSet::new();
    for event in requests(apps)? {
        let object = &event["objectRef"];
        let below = object["subresource"].as_str();
        let below = below.map(|below| format!("/{below}")).unwrap_or_default();
        let resource = format!("{}{below}", text(&object["resource"]));
        used.insert(format!("{} {resource}", text(&event["verb"])));
        // The server asks for both rights when an apply makes an object.
        if event["responseStatus"]["code"] == 201 {
            used.insert(format!("create {resource}"));
        }
    }
    let unused: Vec<_> = granted.difference(&used).collect();
    ensure!(unused.is_empty(), "granted and never used: {unused:?}");
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
