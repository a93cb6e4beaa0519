//! `--name value` flags of the bench verbs: few enough that a parser of our own is shorter than a
//! derive, strict enough that a typo is an error.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// The flags of one verb, as given.
pub struct Flags {
    given: Vec<(String, String)>,
}

impl Flags {
    /// Reads `--name value` pairs; refuses names that `known` does not list.
    pub fn parse(args: &[String], known: &[&str]) -> Result<Self> {
        let mut given = Vec::new();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let Some(name) = arg.strip_prefix("--") else {
                bail!(
                    "unexpected argument {arg:?}; flags are: {}",
                    known.join(", ")
                );
            };
            if !known.contains(&name) {
                bail!("unknown flag --{name}; flags are: {}", known.join(", "));
            }
            let value = rest
                .next()
                .with_context(|| format!("--{name} needs a value"))?;
            given.push((name.to_owned(), value.clone()));
        }
        Ok(Self { given })
    }

    /// The text of a flag, if it was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given
            .iter()
            .rev()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// A flag parsed as `T`, or `default`.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(value) => Ok(value),
                Err(_) => bail!("--{name}: {text:?} is not a valid value"),
            },
        }
    }

    /// A comma-separated list, or `default`.
    pub fn list<T: FromStr + Clone>(&self, name: &str, default: &[T]) -> Result<Vec<T>> {
        let Some(text) = self.text(name) else {
            return Ok(default.to_vec());
        };
        text.split(',')
            .map(|item| match item.parse() {
                Ok(value) => Ok(value),
                Err(_) => bail!("--{name}: {item:?} is not a valid value"),
            })
            .collect()
    }
}
