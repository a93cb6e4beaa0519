//! Licences and bans of all dependencies, by the lists in deny.toml, from what `cargo metadata`
//! says. The gate runs on machines without cargo-deny; with it, the same file serves both.
//! Not here: advisories (they need a database from outside).

use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Metadata};

/// Checks every outside package. Errors: name and licence of each that is not allowed.
pub fn check() -> Result<()> {
    let text =
        fs::read_to_string(workspace::root().join("deny.toml")).context("deny.toml is missing")?;
    let rules = Rules::parse(&text)?;
    let metadata = Metadata::read()?;
    let faults: Vec<String> = metadata
        .foreign()
        .filter_map(|package| {
            let licence = package.license.as_deref();
            rules
                .fault(&package.name, licence)
                .map(|fault| format!("{} {}: {fault}", package.name, package.version))
        })
        .collect();
    if !faults.is_empty() {
        bail!(
            "dependencies that deny.toml does not allow:\n{}",
            faults.join("\n")
        );
    }
    println!("licences: {} packages allowed", metadata.foreign().count());
    Ok(())
}

/// The two lists of deny.toml that are checked here.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    allow: Vec<String>,
    banned: Vec<String>,
}

impl Rules {
    fn parse(text: &str) -> Result<Rules> {
        let allow = strings(list(text, "licenses", "allow")?);
        let banned = strings(list(text, "bans", "deny")?);
        if allow.is_empty() || banned.is_empty() {
            bail!("deny.toml has an empty list: nothing would be checked");
        }
        Ok(Rules { allow, banned })
    }

    fn fault(&self, name: &str, licence: Option<&str>) -> Option<String> {
        if self.banned.iter().any(|banned| banned == name) {
            return Some("is banned".to_owned());
        }
        match licence {
            None => Some("states no licence".to_owned()),
            Some(expression) if allows(&self.allow, expression) => None,
            Some(expression) => Some(format!("licence {expression}")),
        }
    }
}

/// The text between the brackets of `key = [ … ]` in `[section]`.
fn list<'a>(text: &'a str, section: &str, key: &str) -> Result<&'a str> {
    let missing = || format!("deny.toml has no list `{key}` in [{section}]");
    let (_, rest) = text
        .split_once(&format!("[{section}]"))
        .with_context(missing)?;
    let (_, rest) = rest
        .split_once(&format!("\n{key} = ["))
        .with_context(missing)?;
    let (list, _) = rest.split_once("\n]").with_context(missing)?;
    Ok(list)
}

fn strings(list: &str) -> Vec<String> {
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences: one side of an OR, both of an
/// AND. The slash of old manifests means OR.
fn allows(allow: &[String], expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(allow, &words, &mut at);
    met && at == words.len()
}

fn either(allow: &[String], words: &[&str], at: &mut usize) -> bool {
    let mut met = both(allow, words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(allow, words, at);
    }
    met
}

fn both(allow: &[String], words: &[&str], at: &mut usize) -> bool {
    let mut met = term(allow, words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= term(allow, words, at);
    }
    met
}

fn term(allow: &[String], words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let met = either(allow, words, at);
        *at += 1;
        return met;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!(
            "{name} WITH {}",
            words.get(*at + 1).copied().unwrap_or_default()
        );
        *at += 2;
    }
    allow.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let text = "[licenses]\nallow = [\n    \"MIT\",\n    \"Apache-2.0 WITH LLVM-exception\",\n]\n\n[bans]\ndeny = [\n    { crate = \"ring\" },\n]\n";
        Rules::parse(text).expect("the text is a deny.toml")
    }

    #[test]
    fn expressions_are_met_or_not() {
        let allow = rules().allow;
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(GPL-3.0 OR MIT) AND MIT", true),
            ("(GPL-3.0 OR MIT) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("", false),
        ] {
            assert_eq!(allows(&allow, expression), met, "{expression}");
        }
    }

    #[test]
    fn bans_and_silence_are_faults() {
        assert_eq!(
            rules().fault("ring", Some("MIT")),
            Some("is banned".to_owned())
        );
        assert_eq!(
            rules().fault("quiet", None),
            Some("states no licence".to_owned())
        );
        assert_eq!(rules().fault("fine", Some("MIT")), None);
    }

    #[test]
    fn the_lists_of_the_tree_are_read() {
        let text = fs::read_to_string(workspace::root().join("deny.toml")).expect("in the tree");
        let rules = Rules::parse(&text).expect("a deny.toml");
        assert!(rules.allow.contains(&"MIT".to_owned()));
        assert!(rules.banned.contains(&"openssl-sys".to_owned()));
    }
}
