//! Group commit: what all logs queued becomes one write and one fdatasync, and then flushed offsets.
//!
//! Adaptive: a group is written at once when the disk is idle; what arrives meanwhile is the next group. One group is
//! under way at a time, which is what lets recovery tell a torn tail from damage.

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;

use super::flight::Flight;
use super::log::Log;
use super::{Limits, LogSet};
use crate::commit::{AppendFrame, Chunk, Frame, GroupBuilder, GroupPlace};
use crate::disk::{DiskOp, File, OpenMode};
use crate::entry::LogId;
use crate::names::commit_chunk;
use crate::tally::Tally;

/// A log is as durable as promised up to `end_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Which log.
    pub log: LogId,
    /// Offset after the last durable record.
    pub end_offset: i64,
}

/// The end of a log that was truncated since.
const STRUCK: i64 = -1;

/// What the commit log has done since the start, and how large it is.
#[derive(Clone, Copy, Debug)]
pub struct CommitFigures {
    /// Bytes of each group that was written, and so the number of groups.
    pub group_bytes: Tally<6>,
    /// Logs that each group made durable together.
    pub group_logs: Tally<6>,
    /// Bytes of the commit log's files.
    pub log_bytes: u64,
    /// Bytes in them that no checkpoint has released yet.
    pub used_bytes: u64,
}

/// What is done once a group is durable.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Renames a log's directory.
    Rename { from: PathBuf, to: PathBuf },
}

struct Group {
    sequence: u64,
    builder: GroupBuilder,
    ends: Vec<Flushed>,
    /// A checkpoint's state ends with it.
    is_closed: bool,
}

/// A group on its way to the disk; kept until it is there, so that it can be written again after ENOSPC.
struct UnderWay {
    sequence: u64,
    file: File,
    at: u64,
    slices: Vec<Bytes>,
    ends: Vec<Flushed>,
}

pub(super) struct Queue {
    groups: VecDeque<Group>,
    next_sequence: u64,
    under_way: Option<UnderWay>,
    /// The write of the group under way failed for lack of space and waits.
    is_waiting_for_space: bool,
    durable: u64,
    thens: VecDeque<(u64, Then)>,
    chunk_file: Option<(Chunk, File)>,
    group_bytes: Tally<6>,
    group_logs: Tally<6>,
}

impl Queue {
    pub(super) fn new(next_sequence: u64) -> Self {
        Self {
            groups: VecDeque::new(),
            next_sequence,
            under_way: None,
            is_waiting_for_space: false,
            durable: next_sequence - 1,
            thens: VecDeque::new(),
            chunk_file: None,
            group_bytes: Tally::new([4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20]),
            group_logs: Tally::new([1, 2, 4, 16, 64, 256]),
        }
    }

    /// Sequence number of the group that the next frame goes into.
    pub(super) fn open_group(&mut self, limits: &Limits) -> u64 {
        self.open(limits.group_bytes_max).sequence
    }

    fn open(&mut self, bytes_max: usize) -> &mut Group {
        if self
            .groups
            .back()
            .is_none_or(|group| group.is_closed || group.builder.len_on_disk() >= bytes_max)
        {
            let (sequence, builder) = (self.next_sequence, GroupBuilder::default());
            self.groups.push_back(Group {
                sequence,
                builder,
                ends: Vec::new(),
                is_closed: false,
            });
            self.next_sequence += 1;
        }
        self.groups
            .back_mut()
            .expect("one was pushed if there was none")
    }

    pub(super) fn append<'a>(
        &mut self,
        frame: AppendFrame,
        batches: impl IntoIterator<Item = &'a [Bytes]>,
        limits: &Limits,
    ) -> u64 {
        let group = self.open(limits.group_bytes_max);
        group.builder.append(frame, batches);
        group.sequence
    }

    pub(super) fn frame(&mut self, frame: &Frame) -> u64 {
        let group = self.open(usize::MAX);
        group.builder.frame(frame);
        group.sequence
    }

    /// The group makes the log durable up to `end_offset`.
    pub(super) fn note_end(&mut self, log: &mut Log, sequence: u64, end_offset: i64) {
        let group = self
            .groups
            .back_mut()
            .expect("the frame was just put into it");
        debug_assert_eq!(group.sequence, sequence);
        match log.queued_at {
            Some((queued, at)) if queued == sequence => group.ends[at].end_offset = end_offset,
            _ => {
                log.queued_at = Some((sequence, group.ends.len()));
                group.ends.push(Flushed {
                    log: log.id(),
                    end_offset,
                });
            }
        }
    }

    /// Groups collected or under way say nothing about this log's end any more: it was truncated.
    pub(super) fn strike_ends(&mut self, log: &mut Log) {
        log.queued_at = None;
        let ends = self.groups.iter_mut().map(|group| &mut group.ends);
        let ends = ends.chain(self.under_way.iter_mut().map(|group| &mut group.ends));
        for end in ends.flatten().filter(|end| end.log == log.id()) {
            // Struck out in place: logs remember where in this list their own end stands.
            end.end_offset = STRUCK;
        }
    }

    pub(super) fn after(&mut self, sequence: u64, then: Then) {
        self.thens.push_back((sequence, then));
    }

    /// Last group that is on disk.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Nothing more goes into the last group; returns its sequence number.
    pub(super) fn close_group(&mut self) -> u64 {
        if let Some(group) = self.groups.back_mut() {
            group.is_closed = true;
        }
        self.next_sequence - 1
    }

    /// Nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.under_way.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.groups
            .iter()
            .map(|group| group.builder.len_on_disk())
            .sum()
    }
}

impl LogSet {
    /// Sends what is queued on its way, if the last group has arrived. Call it after each round of appends.
    pub fn submit(&mut self, now_ms: i64) {
        if self.dir.health().is_dead() {
            return;
        }
        self.submit_group();
        self.write_out(now_ms);
    }

    fn submit_group(&mut self) {
        if self.queue.under_way.is_some() {
            return;
        }
        let Some(group) = self.queue.groups.front() else {
            return;
        };
        let len = group.builder.len_on_disk() as u64;
        let Some(place) = self.ring.place(len, group.sequence) else {
            // A checkpoint that waits for this very group will not give it room.
            if self.checkpoint.waits_for(group.sequence) {
                self.make_chunk_of(len.next_power_of_two());
            } else {
                self.make_chunk(len);
                self.checkpoint.hurry();
            }
            return;
        };
        let group = self.queue.groups.pop_front().expect("it was looked at");
        let slices = group.builder.seal(GroupPlace {
            directory: self.dir.tag(),
            lane: self.lane,
            generation: place.generation,
            sequence: group.sequence,
        });
        let file = self.chunk_file(place.chunk);
        self.queue.group_bytes.add(len);
        self.queue.group_logs.add(group.ends.len() as u64);
        self.queue.under_way = Some(UnderWay {
            sequence: group.sequence,
            file,
            at: place.at,
            slices,
            ends: group.ends,
        });
        self.write_group();
        if self.ring.room() < self.limits.chunk_bytes_first.max(2 * len) {
            self.make_chunk(len);
        }
    }

    /// What the commit log has done so far.
    pub fn commit_figures(&self) -> CommitFigures {
        CommitFigures {
            group_bytes: self.queue.group_bytes,
            group_logs: self.queue.group_logs,
            log_bytes: self.ring.bytes(),
            used_bytes: self.ring.used_bytes(),
        }
    }

    fn write_group(&mut self) {
        let Some(group) = &self.queue.under_way else {
            return;
        };
        let write = DiskOp::Write {
            file: group.file.clone(),
            at: group.at,
            slices: group.slices.clone(),
        };
        let steps = DiskOp::Sequence(vec![write, DiskOp::SyncData(group.file.clone())]);
        self.queue.is_waiting_for_space = false;
        self.flights.start(
            Flight::Commit,
            self.dir.disk().submit(self.commit_lane(), steps),
        );
    }

    /// The group under way is durable.
    pub(super) fn group_is_durable(&mut self, flushed: &mut Vec<Flushed>) {
        let group = self
            .queue
            .under_way
            .take()
            .expect("only a group under way is answered");
        self.queue.durable = group.sequence;
        for end in group
            .ends
            .into_iter()
            .filter(|end| end.end_offset != STRUCK)
        {
            if let Some(log) = self.logs.get_mut(&end.log) {
                // A truncation may have come in between.
                log.flushed_end = end.end_offset.min(log.end());
                flushed.push(Flushed {
                    log: end.log,
                    end_offset: log.flushed_end,
                });
            }
        }
        self.run_thens();
    }

    fn run_thens(&mut self) {
        while let Some((sequence, then)) = self.queue.thens.front()
            && *sequence <= self.queue.durable
        {
            let (sequence, Then::Rename { from, to }) = (*sequence, then.clone());
            self.queue.thens.pop_front();
            let steps = vec![
                DiskOp::Rename { from, to },
                DiskOp::SyncDir(self.dir.path().to_owned()),
            ];
            let renamed = self
                .dir
                .disk()
                .submit(self.behind_lane(), DiskOp::Sequence(steps));
            self.flights.start(Flight::Retiring(sequence), renamed);
        }
    }

    /// An operation whose failure matters to nobody, behind the writes that were queued before it.
    pub(super) fn tidy(&mut self, op: DiskOp) {
        self.flights.start(
            Flight::Tidying,
            self.dir.disk().submit(self.behind_lane(), op),
        );
    }

    pub(super) fn wait_for_space(&mut self) {
        self.queue.is_waiting_for_space = true;
    }

    /// There is room again: what failed for lack of it is written again.
    pub(super) fn write_again(&mut self) {
        if self.queue.is_waiting_for_space {
            self.write_group();
        }
    }

    fn chunk_file(&mut self, chunk: Chunk) -> File {
        if let Some((known, file)) = &self.queue.chunk_file
            && *known == chunk
        {
            return file.clone();
        }
        let file = File::new(self.chunk_path(chunk), OpenMode::CreateDirect);
        self.queue.chunk_file = Some((chunk, file.clone()));
        file
    }

    fn chunk_path(&self, chunk: Chunk) -> PathBuf {
        self.dir
            .path()
            .join(commit_chunk(u32::from(self.lane), chunk.number))
    }

    /// Takes away what was made of a chunk before the disk was full.
    pub(super) fn remove_failed_chunk(&mut self, chunk: Chunk) {
        let op = DiskOp::RemoveFile(self.chunk_path(chunk));
        let removed = self.dir.disk().submit(crate::disk::Lane::Any, op);
        self.flights.start(Flight::FailedChunk, removed);
    }

    /// Has another chunk made, if one may be: zeroed, so that its commits need no journal of the file system.
    fn make_chunk(&mut self, group_len: u64) {
        let next = (self.ring.bytes() + self.limits.chunk_bytes_first).next_power_of_two() / 2;
        let usual = next.clamp(self.limits.chunk_bytes_first, self.limits.chunk_bytes_max);
        let needed = group_len.next_power_of_two();
        let left = self.space_left.unwrap_or(u64::MAX);
        let len = if usual.max(needed) > left {
            needed
        } else {
            usual.max(needed)
        };
        // A group that no chunk could ever hold gets one of its own, over the limit.
        let allowed = self.ring.bytes() + len <= self.commit_log_bytes_max
            || group_len > self.limits.chunk_bytes_max;
        if !allowed {
            return;
        }
        if len > left {
            if self.ring.room() < group_len {
                self.dir.set_full();
            }
            return;
        }
        self.make_chunk_of(len);
    }

    fn make_chunk_of(&mut self, len: u64) {
        let is_being_made = self
            .flights
            .count(|flight| matches!(flight, Flight::Chunk(_) | Flight::FailedChunk))
            > 0;
        if is_being_made || self.has_no_space {
            return;
        }
        self.space_left = self.space_left.map(|left| left.saturating_sub(len));
        let chunk = Chunk {
            number: self.ring.next_number(),
            len,
        };
        let file = File::new(self.chunk_path(chunk), OpenMode::CreateDirect);
        let steps = vec![
            DiskOp::Zero {
                file: file.clone(),
                at: 0,
                len,
            },
            DiskOp::SyncData(file),
            DiskOp::SyncDir(self.dir.path().to_owned()),
        ];
        self.flights.start(
            Flight::Chunk(chunk),
            self.dir
                .disk()
                .submit(crate::disk::Lane::Any, DiskOp::Sequence(steps)),
        );
    }
}
