//! What the lab has started, written before the next thing is started: a half-started lab can be
//! brought down. Invariant: a room is in the file before a process of Kubernetes is in the room.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::room::Room;

const FILE: &str = "state.json";

/// The rooms of a lab, in the order in which they were opened.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    pub rooms: Vec<Room>,
    is_complete: bool,
    #[serde(skip)]
    file: PathBuf,
}

impl State {
    /// The state of a lab in `dir`; empty when none was started.
    pub fn read(dir: &Path) -> Result<State> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Ok(State::default());
        }
        let text = fs::read_to_string(&file)?;
        let mut state: State = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", file.display()))?;
        state.file = file;
        Ok(state)
    }

    /// A lab that is about to be started.
    pub fn begin(dir: &Path) -> Result<State> {
        let state = State {
            file: dir.join(FILE),
            ..State::default()
        };
        state.write()?;
        Ok(state)
    }

    /// Remembers a room.
    pub fn add(&mut self, room: Room) -> Result<()> {
        self.rooms.push(room);
        self.write()
    }

    /// Remembers that everything was started.
    pub fn complete(&mut self) -> Result<()> {
        self.is_complete = true;
        self.write()
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Under its name only when it is whole.
    fn write(&self) -> Result<()> {
        let scratch = self.file.with_extension("new");
        fs::write(&scratch, serde_json::to_string_pretty(self)?)?;
        fs::rename(&scratch, &self.file)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}
