//! Which peer a word in a `Needs:` line means, fetched at most once per run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, anyhow, bail};

use crate::peers;

/// Peers asked for so far and how that went.
#[derive(Default)]
pub struct Peers {
    fetched: RefCell<BTreeMap<String, Result<(), String>>>,
}

impl Peers {
    /// Makes sure that a peer is there. Errors: the reason why it is not, the same on every call.
    pub fn fetch(&self, need: &str) -> Result<()> {
        let known = self.fetched.borrow().get(need).cloned();
        let answer = known.unwrap_or_else(|| {
            let answer = fetch(need).map_err(|error| format!("{error:#}"));
            self.fetched
                .borrow_mut()
                .insert(need.to_owned(), answer.clone());
            answer
        });
        answer.map_err(|reason| anyhow!(reason))
    }

    /// Tells a test program where the peers are.
    pub fn describe(&self, command: &mut Command) {
        if let Ok(classpath) = peers::kafka_classpath(peers::KAFKA_VERSION) {
            command.env("OTTLA_KAFKA_CLASSPATH", classpath);
        }
    }
}

fn fetch(need: &str) -> Result<()> {
    match peers::PEERS.iter().find(|peer| peer.name == need) {
        Some(peer) => (peer.fetch)(),
        None => bail!("no peer is called {need} (see xtask/src/peers.rs)"),
    }
}
