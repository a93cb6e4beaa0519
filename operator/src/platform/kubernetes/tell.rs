//! Events of Kubernetes: what `kubectl describe` shows below a KafkaCluster.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use ottla_operator_plan::{Action, Step};
use serde_json::Value;

use super::cache::Cache;
use super::names::{MANAGER, Names};
use super::part::Kind;

/// The most that an event can hold.
const NOTE_BYTES_MAX: usize = 1000;

/// Something to tell.
pub struct Word {
    type_: EventType,
    reason: String,
    note: String,
}

impl Word {
    /// A step begins.
    pub fn begins(step: &Step) -> Word {
        Word {
            type_: EventType::Normal,
            reason: step.action.name().to_owned(),
            note: format!("{}: {}", step.action.target(), step.reason),
        }
    }

    /// An action in Kafka is done.
    pub fn done(action: &Action) -> Word {
        Word {
            type_: EventType::Normal,
            reason: action.name().to_owned(),
            note: format!("{}: done", action.target()),
        }
    }

    /// Something failed and will be tried again.
    pub fn failed(target: &str, message: &str) -> Word {
        Word {
            type_: EventType::Warning,
            reason: "Failed".to_owned(),
            note: format!("{target}: {message}"),
        }
    }
}

/// Who tells.
pub struct Teller {
    recorder: std::rc::Rc<Recorder>,
}

impl Teller {
    /// Tells as the operator.
    pub fn new(client: Client) -> Teller {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: None,
        };
        Teller {
            recorder: Recorder::new(client, reporter).into(),
        }
    }

    /// Tells of a cluster, in the background. A word that cannot be told is lost: the status says
    /// what holds.
    pub fn tell(&self, cache: &Cache, names: &Names, mut word: Word) {
        let there = cache.get(Kind::KafkaCluster, &names.namespace, &names.cluster);
        let Some(reference) = there.map(reference) else {
            return;
        };
        let end = word.note.floor_char_boundary(NOTE_BYTES_MAX);
        word.note.truncate(end);
        let recorder = self.recorder.clone();
        tokio::task::spawn_local(async move {
            let event = Event {
                type_: word.type_,
                action: word.reason.clone(),
                reason: word.reason,
                note: Some(word.note),
                secondary: None,
            };
            if let Err(error) = recorder.publish(&event, &reference).await {
                tracing::debug!(%error, "an event was not told");
            }
        });
    }
}

fn reference(object: &Value) -> ObjectReference {
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    ObjectReference {
        api_version: Some(Kind::KafkaCluster.api_version()),
        kind: Some("KafkaCluster".to_owned()),
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        ..ObjectReference::default()
    }
}
