//! The same manifest under `ottla up`: one plan, one status.

use anyhow::{Result, ensure};
use ottla_e2e::{User, repository_file, until};
use serde_json::Value;

use crate::LIMIT;

/// Holds a KafkaCluster's status on Kubernetes beside that of `ottla up` with the same manifest: equal but for names,
/// addresses and times.
pub fn says_the_same(there: &Value) -> Result<()> {
    let user = User::new()?;
    user.writes(&repository_file("examples/three-brokers.yaml")?)?;
    user.brings_up()?.well("ottla up")?;
    until("the same on this machine", LIMIT, || {
        Ok(user.sees_ready()?.then_some(()))
    })?;
    let status = user.types(&["status", "-o", "json"])?.well("status")?;
    let here: Value = serde_json::from_str(&status.output)?;
    let (here, there) = (comparable(&here["status"]), comparable(there));
    ensure!(
        here == there,
        "on this machine: {here:#}\non Kubernetes: {there:#}"
    );
    Ok(())
}

/// A status without what differs from place to place.
fn comparable(status: &Value) -> Value {
    match status {
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::Object(fields) => {
            let is_of_a_place = |field: &str| {
                let of_a_place = [
                    "addresses",
                    "bootstrapServers",
                    "clusterId",
                    "lastTransitionTime",
                ];
                of_a_place.contains(&field)
            };
            let kept = fields.iter().filter(|(field, _)| !is_of_a_place(field));
            kept.map(|(field, value)| (field.clone(), comparable(value)))
                .collect()
        }
        plain => plain.clone(),
    }
}
