//! The coordinator as a script: request lines in, replies and records out. `Script::run` plays the shell: it appends, and commits at
//! once unless told to `hold`. Member ids are shown as `client#n`, where n counts the requests.

mod fixture;
mod joining;
mod loading;
mod offsets;
mod request;
mod show;
mod showing;
mod static_members;
mod syncing;

use crate::*;
use ottla_protocol::ErrorCode;
use request::{Line, request, topic_id};
use show::{show_record, show_response};
use std::fmt::Write;

/// Wall clock = monotonic clock + this.
const EPOCH_MS: i64 = 1_000_000;

pub(crate) struct Script {
    pub(crate) coordinator: Coordinator,
    pub(crate) log: Vec<Record>,
    config: GroupConfig,
    now_ms: i64,
    requests: u64,
    hold: bool,
    fail_next: Option<ErrorCode>,
    transcript: String,
}

/// Plays a script on a fresh, started coordinator and gives the transcript.
pub(crate) fn play(script: &str) -> String {
    let mut player = Script::new(GroupConfig::default());
    player.run(script);
    player.transcript
}

pub(crate) fn play_with(config: GroupConfig, script: &str) -> String {
    let mut player = Script::new(config);
    player.run(script);
    player.transcript
}

impl Script {
    pub(crate) fn new(config: GroupConfig) -> Script {
        let mut coordinator = Coordinator::new(config.clone());
        coordinator.start(now(0), &mut Vec::new());
        Script {
            coordinator,
            log: Vec::new(),
            config,
            now_ms: 0,
            requests: 0,
            hold: false,
            fail_next: None,
            transcript: String::new(),
        }
    }

    pub(crate) fn run(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            if line.starts_with('#') {
                writeln!(self.transcript, "{line}").unwrap();
                continue;
            }
            let parsed = Line::parse(line);
            match parsed.words[0] {
                "advance" => {
                    writeln!(self.transcript, "{line}").unwrap();
                    self.advance(parsed.words[1].parse().unwrap());
                }
                "hold" => self.hold = true,
                "release" => {
                    writeln!(self.transcript, "release").unwrap();
                    self.hold = false;
                    self.commit();
                }
                "fail-next" => self.fail_next = Some(ErrorCode::NOT_ENOUGH_REPLICAS),
                "reload" => {
                    writeln!(self.transcript, "reload").unwrap();
                    self.reload();
                }
                "resign" => {
                    writeln!(self.transcript, "resign").unwrap();
                    let coordinator = std::mem::take(&mut self.coordinator);
                    let replies = coordinator.resign(now(self.now_ms));
                    replies.iter().for_each(|reply| self.show_reply(reply));
                }
                "topic-gone" => {
                    writeln!(self.transcript, "{line}").unwrap();
                    let gone = DeletedTopic {
                        name: parsed.words[1].into(),
                        id: topic_id(&parsed),
                    };
                    let mut out = Vec::new();
                    self.coordinator
                        .topics_deleted(&[gone], now(self.now_ms), &mut out);
                    self.carry_out(out);
                }
                verb => {
                    self.requests += 1;
                    writeln!(self.transcript, "{} {line}", self.requests).unwrap();
                    let (version, request) = request(verb, &parsed);
                    self.call(
                        version,
                        parsed.words.get(1).copied().unwrap_or("nobody"),
                        request,
                    );
                }
            }
        }
    }

    fn call(&mut self, version: i16, client: &str, request: Request) {
        let call = Call {
            ticket: Ticket(self.requests),
            version,
            client_id: client.into(),
            client_host: "/h".into(),
            random: u128::from(self.requests),
        };
        let mut out = Vec::new();
        self.coordinator
            .handle(&call, request, now(self.now_ms), &mut out);
        self.carry_out(out);
    }

    fn advance(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(deadline_ms) = self
            .coordinator
            .next_deadline()
            .filter(|deadline_ms| *deadline_ms <= end_ms)
        {
            assert!(deadline_ms >= self.now_ms, "a deadline in the past");
            self.now_ms = deadline_ms;
            let mut out = Vec::new();
            self.coordinator.on_deadline(now(self.now_ms), &mut out);
            if !out.is_empty() {
                writeln!(self.transcript, "  at {}", self.now_ms).unwrap();
            }
            self.carry_out(out);
        }
        self.now_ms = end_ms;
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Reply(reply) => self.show_reply(&reply),
                Output::Append { id, records } => match self.fail_next.take() {
                    Some(error) => {
                        writeln!(self.transcript, "  append fails").unwrap();
                        let mut out = Vec::new();
                        self.coordinator
                            .append_failed(id, error, now(self.now_ms), &mut out);
                        self.carry_out(out);
                    }
                    None => {
                        let base_offset = self.log.len() as i64;
                        records.iter().for_each(|record| {
                            writeln!(self.transcript, "  + {}", show_record(record)).unwrap()
                        });
                        self.log.extend(records);
                        self.coordinator.appended(id, base_offset);
                    }
                },
            }
        }
        if !self.hold {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let mut out = Vec::new();
        self.coordinator
            .committed(self.log.len() as i64, now(self.now_ms), &mut out);
        if !out.is_empty() {
            self.carry_out(out);
        }
    }

    /// A new coordinator from the log alone.
    fn reload(&mut self) {
        let mut coordinator = Coordinator::new(self.config.clone());
        for (offset, record) in self.log.iter().enumerate() {
            coordinator
                .replay(offset as i64, None, &record.key, record.value.as_ref())
                .unwrap();
        }
        let mut out = Vec::new();
        coordinator.start(now(self.now_ms), &mut out);
        self.coordinator = coordinator;
        self.carry_out(out);
    }

    fn show_reply(&mut self, reply: &Reply) {
        writeln!(
            self.transcript,
            "  {} -> {}",
            reply.ticket.0,
            show_response(&reply.response)
        )
        .unwrap();
    }
}

pub(crate) fn now(ms: i64) -> Now {
    Now {
        monotonic_ms: ms,
        wall_ms: EPOCH_MS + ms,
    }
}
