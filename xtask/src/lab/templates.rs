//! The configuration files of e2e/lab with their @NAMES@ filled in. Invariant: a name that is left
//! over is an error, not a value. Not here: what the values are.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Writes e2e/lab/config/`name` to `to` with every `@KEY@` replaced by its value.
pub fn write(name: &str, to: &Path, values: &[(&str, &str)]) -> Result<()> {
    let from = workspace::root().join("e2e/lab/config").join(name);
    let text =
        fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, fill(&text, values).with_context(|| name.to_owned())?)
        .with_context(|| format!("cannot write {}", to.display()))
}

fn fill(text: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut filled = text.to_owned();
    for (key, value) in values {
        filled = filled.replace(&format!("@{key}@"), value);
    }
    let is_comment = |line: &&str| line.trim_start().starts_with('#');
    match filled
        .lines()
        .find(|line| line.contains('@') && !is_comment(line))
    {
        Some(line) => bail!("no value for `{}`", line.trim()),
        None => Ok(filled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gets_a_value() {
        let text = "# for @…@\nnode: @NODE@\ndns: @DNS@\n";
        let filled = fill(text, &[("NODE", "a"), ("DNS", "b")]).expect("both are given");
        assert_eq!(filled, "# for @…@\nnode: a\ndns: b\n");
        assert!(fill(text, &[("NODE", "a")]).is_err());
    }
}
