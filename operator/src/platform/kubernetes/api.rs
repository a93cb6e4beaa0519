//! Requests to the API server: reads that go on for ever, and writes.

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::names::MANAGER;
use super::part::Kind;
use super::work::Write;

/// The objects of a kind in a namespace, or everywhere.
pub fn api(client: &Client, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version, name, plural) = kind.names();
    let kind = GroupVersionKind::gvk(group, version, name);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Carries out a write. Returns the object as it is now; None when it is gone, or not told. What was
/// to be deleted and is gone or another one is as wanted.
pub async fn write(
    client: &Client,
    namespace: &str,
    write: &Write,
) -> Result<Option<Value>, kube::Error> {
    match write {
        Write::Apply(part) => {
            let objects = api(client, part.kind, Some(namespace));
            let params = params().validation_strict();
            let patch = Patch::Apply(&part.value);
            objects.patch(&part.name, &params, &patch).await.map(plain)
        }
        Write::Status { kind, name, status } => {
            let objects = api(client, *kind, Some(namespace));
            let value = json!({
                "apiVersion": kind.api_version(),
                "kind": kind.names().2,
                "metadata": { "name": name },
                "status": status,
            });
            let patch = Patch::Apply(&value);
            objects
                .patch_status(name, &params(), &patch)
                .await
                .map(plain)
        }
        Write::Delete { kind, name, uid } => {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(uid.clone()),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            match api(client, *kind, Some(namespace))
                .delete(name, &params)
                .await
            {
                // What has time to end is there for a while, and marked.
                Ok(answer) => Ok(answer.left().and_then(plain)),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }
}

/// One field manager, whose word holds.
fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

fn plain(object: DynamicObject) -> Option<Value> {
    serde_json::to_value(object).ok()
}
