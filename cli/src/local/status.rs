//! `ottla status`: how clusters on this machine stand.

use clap::Args;
use ottla_client::net::NetRef;
use ottla_operator::platform::local::{ClusterFolder, Link, LinkError, View, look};
use ottla_operator_api::{ConditionStatus, KafkaTopic, condition_type};
use serde_json::{Value, json};

use crate::args::{Dir, Output};
use crate::failure::{Failure, NOT_FOUND, Outcome};
use crate::output;

/// `ottla status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// One cluster; all when left out
    pub name: Option<String>,
    #[command(flatten)]
    pub dir: Dir,
    #[command(flatten)]
    pub output: Output,
}

/// Prints; json and yaml are the KafkaCluster with its status, as on Kubernetes.
pub fn status(args: &StatusArgs) -> Outcome {
    crate::logging::begin("error");
    let folders = super::folders(&args.dir.dir, args.name.as_deref())?;
    let views = super::run(async |net| {
        let mut views = Vec::new();
        for folder in &folders {
            views.extend(view(folder, &net).await?);
        }
        Ok(views)
    })?;
    if views.is_empty() {
        return Err(Failure::new(
            NOT_FOUND,
            format!("nothing was ever declared in {}", args.dir.dir.display()),
        ));
    }
    output::show(args.output.output, &value(&views), || {
        views.iter().map(text).collect::<Vec<_>>().join("\n")
    })
}

/// Asks the supervisor; without one, looks at folder and processes.
async fn view(folder: &ClusterFolder, net: &NetRef) -> Result<Option<View>, Failure> {
    match Link::status(folder).await {
        Ok(view) => Ok(Some(view)),
        Err(LinkError::None(_) | LinkError::Broke(_)) => Ok(look(folder, net).await?),
        Err(error) => Err(error.into()),
    }
}

fn value(views: &[View]) -> Value {
    match views {
        [view] => json!(view.cluster),
        views => json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": views.iter().map(|view| &view.cluster).collect::<Vec<_>>(),
        }),
    }
}

fn text(view: &View) -> String {
    let status = view.cluster.status.clone().unwrap_or_default();
    let phase = status
        .phase
        .map_or_else(String::new, |phase| format!("{phase:?}"));
    let mut text = format!(
        "{}: {phase}, {} of {} brokers serve\n",
        view.name(),
        status.ready_replicas,
        view.cluster.spec.replicas,
    );
    let is_stopped = status.phase == Some(ottla_operator_api::ClusterPhase::Stopped);
    if let Some(reason) = view.reason().filter(|_| !is_stopped) {
        text.push_str(&format!("{reason}\n"));
    }
    text.push('\n');
    text.push_str(&broker_table(view));
    let steps = status.plan.map(|plan| plan.steps).unwrap_or_default();
    if !steps.is_empty() {
        let rows = steps.into_iter().map(|step| {
            vec![
                step.id.to_string(),
                step.action,
                step.target,
                step.reason,
                step.state,
            ]
        });
        text.push('\n');
        text.push_str(&output::table(
            &["step", "action", "target", "reason", "state"],
            rows,
        ));
    }
    if !view.topics.is_empty() {
        text.push('\n');
        text.push_str(&topic_table(&view.topics));
    }
    for note in &view.notes {
        text.push_str(&format!("\nNote: {note}\n"));
    }
    if !view.is_supervised && !is_stopped {
        text.push_str("\nNote: no supervisor watches over these brokers; `ottla up FILE` starts one, and they go on meanwhile.\n");
    }
    text
}

/// Where each broker is.
pub(super) fn broker_table(view: &View) -> String {
    let status = view.cluster.status.clone().unwrap_or_default();
    let rows = view.brokers.iter().map(|broker| {
        let phase = status.brokers.iter().find(|b| b.id == broker.id);
        let addresses: Vec<&str> = view
            .cluster
            .spec
            .listeners
            .iter()
            .filter_map(|listener| broker.addresses.get(&listener.name).map(String::as_str))
            .collect();
        vec![
            broker.id.to_string(),
            phase.map(|b| b.phase.clone()).unwrap_or_default(),
            addresses.join(" "),
            broker.metrics.clone().unwrap_or_else(|| "-".into()),
            broker.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            output::short(&broker.data),
        ]
    });
    output::table(
        &["broker", "phase", "bootstrap", "metrics", "pid", "data"],
        rows,
    )
}

fn topic_table(topics: &[KafkaTopic]) -> String {
    let rows = topics.iter().map(|topic| {
        let status = topic.status.clone().unwrap_or_default();
        let ready = status
            .conditions
            .iter()
            .find(|c| c.type_ == condition_type::READY);
        let is_ready = ready.is_some_and(|c| c.status == ConditionStatus::True);
        vec![
            topic.kafka_name().to_owned(),
            status
                .partitions
                .map_or_else(|| "-".into(), |n| n.to_string()),
            if is_ready { "yes".into() } else { "no".into() },
            ready
                .filter(|_| !is_ready)
                .map(|c| c.message.clone())
                .unwrap_or_default(),
        ]
    });
    output::table(&["topic", "partitions", "ready", ""], rows)
}
