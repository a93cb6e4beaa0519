//! One test program: what it is called, what it needs, and how it is started.

use std::fs;
use std::path::{Path, PathBuf};

/// A test program and the line of its header that says which peers it needs.
pub struct Suite {
    /// Package, and for an integration test `/` and its name.
    pub name: String,
    pub program: PathBuf,
    /// The package's folder: tests are started there, as cargo does.
    pub folder: PathBuf,
    /// Runs alone, after the light ones: it starts other programs.
    pub is_heavy: bool,
    /// Names of peers, from the header line `//! Needs: jvm, kcat.`
    pub needs: Vec<String>,
}

/// The package whose tests are scenarios with real processes.
const SCENARIOS: &str = "ottla-e2e/";

impl Suite {
    pub fn new(name: String, program: PathBuf, folder: PathBuf, source: &Path) -> Suite {
        let header = fs::read_to_string(source).unwrap_or_default();
        let mut needs = needs(&header);
        let is_scenario = name.starts_with(SCENARIOS);
        if is_scenario && !needs.iter().any(|need| need == "jvm") {
            // Nearly every scenario holds Kafka against us; one that does not loses nothing.
            needs.insert(0, "jvm".to_owned());
        }
        Suite {
            is_heavy: is_scenario || !needs.is_empty(),
            name,
            program,
            folder,
            needs,
        }
    }

    /// Whether it starts the `ottla` command.
    pub fn needs_ottla(&self) -> bool {
        self.name.starts_with(SCENARIOS)
    }
}

/// The peers named in a file's header.
pub fn needs(text: &str) -> Vec<String> {
    text.lines()
        .take_while(|line| line.starts_with("//!"))
        .filter_map(|line| line.strip_prefix("//! Needs:"))
        .flat_map(|list| list.trim().trim_end_matches('.').split(','))
        .map(|need| need.trim().to_owned())
        .filter(|need| !need.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_read_from_the_header_only() {
        let text = "//! A scenario.\n//! Needs: jvm, kcat.\n\n//! Needs: go\n";
        assert_eq!(needs(text), ["jvm", "kcat"]);
        assert!(needs("//! A unit test.\n").is_empty());
    }
}
