//! `ottla plan`: what manifests would lead to.

use std::path::PathBuf;

use clap::Args;
use ottla_operator_plan::{Observed, Plan, Step, StepState};
use serde_json::json;

use super::declare::{Declaration, declarations};
use super::foresee::{foresee, observe};
use crate::args::{DEFAULT_DIR, Output, folder};
use crate::failure::Outcome;
use crate::output;

/// `ottla plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is done and no cluster is asked, unless --dir names a folder in which one is up: then the steps are \
                  those from there. The rules are those of Kubernetes and of `ottla up`."
)]
pub struct PlanArgs {
    /// Manifests (YAML); `-` is standard input
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Plan from how the clusters in this folder stand, instead of from nothing
    #[arg(long, value_name = "DIR", value_parser = folder)]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

/// Prints the steps of each cluster, played to their end.
pub fn plan(args: &PlanArgs) -> Outcome {
    crate::logging::begin("error");
    let declarations = declarations(&args.file, args.dir.as_deref())?;
    let mut played = Vec::new();
    for declaration in &declarations {
        let observed = match args.dir {
            Some(_) => super::run(async |_| observe(declaration).await)?,
            None => Observed::default(),
        };
        played.push(foresee(declaration, &observed)?);
    }
    let value = json!(
        played
            .iter()
            .zip(&declarations)
            .map(|((steps, left), declaration)| json!({
                "cluster": declaration.name,
                "hash": left.hash,
                "steps": steps,
                "left": left.steps,
                "warnings": left.warnings,
            }))
            .collect::<Vec<_>>()
    );
    output::show(args.output.output, &value, || {
        played
            .iter()
            .zip(&declarations)
            .map(|((steps, left), declaration)| {
                let heading = heading(declaration, args.dir.is_some(), &left.hash);
                heading + &text(steps, left)
            })
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// What is planned, and from where: who has the cluster here may have meant another start.
fn heading(declaration: &Declaration, is_from_dir: bool, hash: &str) -> String {
    let name = &declaration.name;
    if is_from_dir {
        return format!("{name} (plan {hash})\n");
    }
    let here = PathBuf::from(DEFAULT_DIR);
    let hint = match here.join(name).is_dir() {
        true => format!("; --dir {} plans from how it stands here", here.display()),
        false => String::new(),
    };
    format!("{name}, from nothing (plan {hash}{hint})\n")
}

fn text(steps: &[Step], left: &Plan) -> String {
    let mut text = String::new();
    let restarts = steps
        .iter()
        .filter(|step| step.action.name() == "Restart")
        .count();
    if steps.is_empty() {
        text.push_str("Nothing to do: everything is as declared.\n");
    } else {
        let row = |step: &Step| {
            vec![
                step.id.to_string(),
                step.action.name().to_owned(),
                step.action.target(),
                step.reason.clone(),
            ]
        };
        let rows = steps.iter().map(row);
        text.push_str(&output::table(
            &["step", "action", "target", "reason"],
            rows,
        ));
        text.push_str(&format!(
            "{}, {}.\n",
            output::count(steps.len(), "step"),
            output::count(restarts, "restart")
        ));
    }
    for step in &left.steps {
        if let StepState::Waiting(what) = &step.state {
            text.push_str(&format!(
                "{} {} waits for {what}.\n",
                step.action.name(),
                step.action.target()
            ));
        }
    }
    for warning in &left.warnings {
        text.push_str(&format!("Note: {warning}\n"));
    }
    text
}
