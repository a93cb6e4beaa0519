//! What manifests would lead to from how their cluster stands, and whether they can be had at all.
//! `plan` prints it; `up` asks it of every cluster before it makes the first folder or process.
//!
//! Invariant: nothing is made, started or changed here.

use ottla_operator::platform::local::{Link, LinkError, observe_folder};
use ottla_operator_plan::{Observed, Plan, Step, rehearse};

use super::declare::Declaration;
use crate::failure::Failure;

/// The steps to what is declared, and the plan that is left after them. Errors: what is refused, with
/// its place in the files.
pub fn foresee(
    declaration: &Declaration,
    observed: &Observed,
) -> Result<(Vec<Step>, Plan), Failure> {
    let declared = declaration.declared.clone();
    let declared = declared.after(declaration.before.as_ref(), "1970-01-01T00:00:00Z");
    let (steps, left) = rehearse(&declared.desired(), observed, 0);
    let blocked = left.blocked();
    if left.refused.is_empty() && blocked.is_empty() {
        Ok((steps, left))
    } else {
        Err(declaration.refusal(&left.refused, &blocked))
    }
}

/// The cluster as its supervisor sees it; from the folder when none runs.
pub async fn observe(declaration: &Declaration) -> Result<Observed, Failure> {
    match Link::observed(&declaration.folder).await {
        Ok(observed) => Ok(observed),
        Err(LinkError::None(_) | LinkError::Broke(_)) => Ok(observe_folder(&declaration.folder)?.1),
        Err(error) => Err(error.into()),
    }
}
