//! `cargo xtask crds`: the custom resource definitions as YAML, as the built command prints them:
//! in crds/ for kubectl and kustomize, and as templates of the operator's chart. Invariant: one file
//! per definition, named by it, and no other file but what lists them.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::generated::{self, Mode};
use crate::workspace;

const PLAIN: &str = "crds";
const TEMPLATES: &str = "charts/ottla-operator/templates/crds";
/// Kustomize takes a folder by this file. kubectl reads a folder's *.yaml, and this is none.
const LIST: &str = "Kustomization";

/// Writes crds/ and the chart's templates, or with `--check` compares them.
pub fn run(args: &[String]) -> Result<()> {
    let mode = Mode::of(args)?;
    let text = generated::ask_ottla(&["docs", "crds"])?;
    let wanted = split(&text)?;
    for (name, text) in &wanted {
        generated::settle(mode, &format!("{PLAIN}/{name}.yaml"), text)?;
        let template = template(text).with_context(|| format!("the template of {name}"))?;
        generated::settle(mode, &format!("{TEMPLATES}/{name}.yaml"), &template)?;
    }
    generated::settle(mode, &format!("{PLAIN}/{LIST}"), &list(&wanted))?;
    for folder in [PLAIN, TEMPLATES] {
        for entry in fs::read_dir(workspace::root().join(folder))? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let is_known = file
                .strip_suffix(".yaml")
                .is_some_and(|name| wanted.contains_key(name));
            if !is_known && (folder, file.as_str()) != (PLAIN, LIST) {
                bail!("{folder}/{file} belongs to no definition: remove it");
            }
        }
    }
    Ok(())
}

/// The definition with what the chart's values decide: whether it is there, and whether it outlives
/// the release. Errors: it holds signs that Helm would take for its own.
fn template(definition: &str) -> Result<String> {
    if definition.contains("{{") {
        bail!("a definition with {{{{ in it cannot be a template");
    }
    let (head, rest) = definition
        .split_once("\nmetadata:\n")
        .context("a definition has metadata")?;
    Ok(format!(
        "{{{{- /* Written by `cargo xtask crds`. */ -}}}}\n\
         {{{{- if .Values.crds.install }}}}\n\
         {head}\nmetadata:\n  \
           labels:\n    \
             {{{{- include \"ottla-operator.labels\" . | nindent 4 }}}}\n  \
           {{{{- if .Values.crds.keep }}}}\n  \
           annotations:\n    \
             helm.sh/resource-policy: keep\n  \
           {{{{- end }}}}\n\
         {rest}\
         {{{{- end }}}}\n"
    ))
}

fn list(wanted: &BTreeMap<String, String>) -> String {
    let files = wanted.keys().map(|name| format!("  - {name}.yaml\n"));
    format!(
        "# Written by `cargo xtask crds`; deploy/kustomization.yaml takes this folder by it.\n\
         apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{}",
        files.collect::<String>()
    )
}

/// The documents of a YAML stream by `metadata.name`.
fn split(text: &str) -> Result<BTreeMap<String, String>> {
    let mut documents = BTreeMap::new();
    for document in text.split("\n---\n") {
        let document = document.trim_start_matches("---\n").trim();
        if document.is_empty() {
            continue;
        }
        let name = document
            .lines()
            .skip_while(|line| *line != "metadata:")
            .find_map(|line| line.strip_prefix("  name: "))
            .context("a definition without metadata.name")?;
        documents.insert(name.to_owned(), format!("{document}\n"));
    }
    if documents.is_empty() {
        bail!("no definition at all");
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_by_name() {
        let text = "---\nkind: X\nmetadata:\n  name: a.b\nspec: 1\n---\nmetadata:\n  name: c.d\n";
        let documents = split(text).expect("two documents");
        assert_eq!(documents.keys().collect::<Vec<_>>(), ["a.b", "c.d"]);
        assert_eq!(documents["c.d"], "metadata:\n  name: c.d\n");
        assert!(split("kind: X\n").is_err());
        assert!(split("").is_err());
    }

    #[test]
    fn a_template_leaves_the_definition_as_it_is() {
        let text = "kind: X\nmetadata:\n  name: a.b\nspec: 1\n";
        let template = template(text).expect("a template");
        let plain: Vec<&str> = template
            .lines()
            .filter(|line| text.lines().any(|kept| kept == *line))
            .collect();
        assert_eq!(plain, text.lines().collect::<Vec<_>>());
        assert!(template.contains("\n  labels:\n    {{- include"));
        assert!(super::template("metadata:\n  name: {{ x }}\n").is_err());
    }
}
