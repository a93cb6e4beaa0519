//! `cargo xtask crds`: the custom resource definitions as YAML in crds/, as the built command
//! prints them. Invariant: one file per definition, named by it, and no other file.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::generated::{self, Mode};
use crate::workspace;

/// Writes crds/, or with `--check` compares it.
pub fn run(args: &[String]) -> Result<()> {
    let mode = Mode::of(args)?;
    let text = generated::ask_ottla(&["docs", "crds"])?;
    let wanted = split(&text)?;
    let folder = workspace::root().join("crds");
    fs::create_dir_all(&folder)?;
    for (name, text) in &wanted {
        generated::settle(mode, &format!("crds/{name}.yaml"), text)?;
    }
    for entry in fs::read_dir(&folder)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let is_known = file
            .strip_suffix(".yaml")
            .is_some_and(|name| wanted.contains_key(name));
        if !is_known {
            bail!("crds/{file} belongs to no definition: remove it");
        }
    }
    Ok(())
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
}
