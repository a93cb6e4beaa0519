//! Reading a lane's commit log after a crash: group after group, and what the end looks like.
//!
//! Only one group is ever under way, so a bad group with nothing behind it is a torn tail that nobody was told of, and a bad group
//! with another behind it was durable and is damage. Everything is synced before it is read, and the last group, which nothing says
//! was ever durable, is written again: what follows from it is durable, too.

use bytes::Bytes;

use super::open::Opening;
use super::{DirError, LaneStart};
use crate::commit::{BLOCK, Chunk, GroupHeader, ReadGroup, read_group};
use crate::disk::{DirEntry, DiskOp, File, Lane, OpenMode};
use crate::names::{commit_chunk, parse_commit_chunk};

/// Bytes read at a time.
const PIECE: u64 = 1 << 20;

/// What comes next in a commit log.
pub(super) enum Step {
    /// A whole group.
    Group(ReadGroup),
    /// A durable group is damaged; what can still be told of it.
    Lost {
        /// Its sequence number.
        sequence: u64,
        /// Its frames, if those at least are whole.
        group: Option<ReadGroup>,
    },
}

/// What was found, and where it lies.
struct Ahead {
    step: Step,
    chunk: Chunk,
    position: u64,
    bytes: Bytes,
}

/// One lane's commit log.
pub(super) struct Groups<'a> {
    opening: &'a Opening<'a>,
    pub(super) lane: u16,
    tag: u64,
    /// By generation; chunks that never held a group come first.
    chunks: Vec<(Chunk, u64)>,
    at: usize,
    position: u64,
    expected: u64,
    piece: Bytes,
    piece_at: u64,
    /// Found already: whether a group is the last one has to be known when it is told.
    ahead: Option<Ahead>,
}

/// All lanes that left a commit log. `released` tells the last group of each that is needed no more.
pub(super) async fn lanes<'a>(
    opening: &'a Opening<'a>,
    names: &[DirEntry],
    tag: u64,
    released: impl Fn(u16) -> u64,
) -> Result<Vec<Groups<'a>>, DirError> {
    let mut lanes: Vec<Groups<'a>> = Vec::new();
    let mut chunks: Vec<(u32, Chunk)> = names
        .iter()
        .filter_map(|entry| {
            parse_commit_chunk(&entry.name).map(|(lane, number)| {
                (
                    lane,
                    Chunk {
                        number,
                        len: entry.stat.len,
                    },
                )
            })
        })
        .collect();
    chunks.sort_by_key(|(lane, chunk)| (*lane, chunk.number));
    for (lane, chunk) in chunks {
        let Ok(lane) = u16::try_from(lane) else {
            continue;
        };
        if lanes.last().is_none_or(|last| last.lane != lane) {
            lanes.push(Groups {
                opening,
                lane,
                tag,
                chunks: Vec::new(),
                at: 0,
                position: 0,
                expected: released(lane) + 1,
                piece: Bytes::new(),
                piece_at: 0,
                ahead: None,
            });
        }
        lanes
            .last_mut()
            .expect("one was just pushed")
            .chunks
            .push((chunk, 0));
    }
    sync(opening, &lanes).await?;
    for groups in &mut lanes {
        groups.find_generations().await?;
    }
    Ok(lanes)
}

/// A process that was killed may have written a group and not synced it. It is read here all the same, and what is done because of it,
/// such as cutting files, is durable: the group has to be so first, or a power cut would leave the cut without its reason.
async fn sync(opening: &Opening<'_>, lanes: &[Groups<'_>]) -> Result<(), DirError> {
    let chunks = lanes.iter().flat_map(|groups| {
        let numbers = groups.chunks.iter().map(|(chunk, _)| chunk.number);
        numbers.map(|number| commit_chunk(u32::from(groups.lane), number))
    });
    let steps = chunks
        .map(|name| DiskOp::SyncData(File::new(opening.path.join(name), OpenMode::Write)))
        .collect();
    opening.run_all("syncing the commit log of", steps).await
}

impl Groups<'_> {
    async fn find_generations(&mut self) -> Result<(), DirError> {
        for at in 0..self.chunks.len() {
            self.go_to(at, 0);
            self.chunks[at].1 = self
                .header()
                .await?
                .map_or(0, |header| header.place.generation);
        }
        self.chunks
            .sort_by_key(|(chunk, generation)| (*generation, chunk.number));
        self.go_to(0, 0);
        Ok(())
    }

    /// The next group, or what is left of it; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Step>, DirError> {
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => match self.find().await? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        self.ahead = self.find().await?;
        if self.ahead.is_none() {
            self.write_again(&ahead).await?;
        }
        Ok(Some(ahead.step))
    }

    /// When the sync of a group fails, readers go on seeing it, it may never reach the disk, and later syncs succeed all the
    /// same: only what is written again is covered by the next sync. Groups with another behind them had a sync that succeeded.
    async fn write_again(&self, last: &Ahead) -> Result<(), DirError> {
        if !matches!(last.step, Step::Group(_)) {
            return Ok(());
        }
        let name = commit_chunk(u32::from(self.lane), last.chunk.number);
        let file = File::new(self.opening.path.join(name), OpenMode::Write);
        let steps = vec![
            DiskOp::Write {
                file: file.clone(),
                at: last.position,
                slices: vec![last.bytes.clone()],
            },
            DiskOp::SyncData(file),
        ];
        self.opening
            .run_all("securing the commit log of", steps)
            .await
    }

    /// Looks for the next group.
    async fn find(&mut self) -> Result<Option<Ahead>, DirError> {
        while let Some((_, generation)) = self.chunks.get(self.at).copied() {
            let header = self
                .header()
                .await?
                .filter(|header| generation != 0 && header.place.generation == generation);
            let Some(header) = header else {
                self.find_header(generation).await?;
                continue;
            };
            let (sequence, len) = (header.place.sequence, header.len_on_disk() as u64);
            if sequence < self.expected {
                self.position += len;
                continue;
            }
            if sequence > self.expected {
                // Not even a header is left of those between.
                let lost = std::mem::replace(&mut self.expected, sequence);
                let step = Step::Lost {
                    sequence: lost,
                    group: None,
                };
                return Ok(Some(self.ahead_at(self.position, step, Bytes::new())));
            }
            let (position, bytes) = (self.position, self.bytes(len).await?);
            self.expected += 1;
            match read_group(&bytes) {
                Ok(group) if group.is_whole => {
                    self.position += len;
                    let step = Step::Group(group);
                    return Ok(Some(self.ahead_at(position, step, bytes)));
                }
                broken => {
                    let is_torn = !self.is_followed(sequence).await?;
                    if is_torn {
                        tracing::info!(
                            lane = self.lane,
                            sequence,
                            "the last group of the commit log is torn and was not acknowledged"
                        );
                        self.at = self.chunks.len();
                        return Ok(None);
                    }
                    self.position += len;
                    let step = Step::Lost {
                        sequence,
                        group: broken.ok(),
                    };
                    return Ok(Some(self.ahead_at(position, step, bytes)));
                }
            }
        }
        Ok(None)
    }

    fn ahead_at(&self, position: u64, step: Step, bytes: Bytes) -> Ahead {
        Ahead {
            step,
            chunk: self.chunks[self.at].0,
            position,
            bytes,
        }
    }

    /// Where the lane goes on: all chunks are free, and no number is used twice.
    pub(super) fn into_start(self, released: u64) -> LaneStart {
        LaneStart {
            last_generation: self
                .chunks
                .iter()
                .map(|(_, generation)| *generation)
                .max()
                .unwrap_or(0),
            last_sequence: (self.expected - 1).max(released),
            chunks: self.chunks.into_iter().map(|(chunk, _)| chunk).collect(),
        }
    }

    /// Goes to the next header of this use of the chunk, or to the next chunk.
    async fn find_header(&mut self, generation: u64) -> Result<(), DirError> {
        let len = self.chunks[self.at].0.len;
        while generation != 0 && self.position + (BLOCK as u64) < len {
            self.position += BLOCK as u64;
            if self
                .header()
                .await?
                .is_some_and(|header| header.place.generation == generation)
            {
                return Ok(());
            }
        }
        self.go_to(self.at + 1, 0);
        Ok(())
    }

    /// Whether any group with a later number was written.
    async fn is_followed(&mut self, sequence: u64) -> Result<bool, DirError> {
        let (at, position) = (self.at, self.position);
        let mut is_followed = false;
        while let Some((chunk, generation)) = self.chunks.get(self.at).copied() {
            self.position += BLOCK as u64;
            if self.position >= chunk.len {
                self.go_to(self.at + 1, 0);
                // A chunk's first block is looked at too.
                if self.at == self.chunks.len() {
                    break;
                }
                self.position = 0;
                let generation = self.chunks[self.at].1;
                if self
                    .header()
                    .await?
                    .is_some_and(|header| generation != 0 && header.place.sequence > sequence)
                {
                    is_followed = true;
                    break;
                }
                continue;
            }
            let header = self.header().await?;
            if header.is_some_and(|header| {
                header.place.generation == generation && header.place.sequence > sequence
            }) {
                is_followed = true;
                break;
            }
        }
        self.go_to(at, position);
        Ok(is_followed)
    }

    fn go_to(&mut self, at: usize, position: u64) {
        if at != self.at {
            self.piece = Bytes::new();
        }
        (self.at, self.position) = (at, position);
    }

    async fn header(&mut self) -> Result<Option<GroupHeader>, DirError> {
        let block = self.bytes(BLOCK as u64).await?;
        let header = GroupHeader::parse(&block);
        Ok(header
            .filter(|header| header.place.directory == self.tag && header.place.lane == self.lane))
    }

    /// Bytes at the position; fewer at the end of the chunk.
    async fn bytes(&mut self, len: u64) -> Result<Bytes, DirError> {
        let chunk = self.chunks[self.at].0;
        let len = len.min(chunk.len - self.position);
        let has = self.piece_at <= self.position
            && self.position + len <= self.piece_at + self.piece.len() as u64;
        if !has {
            let path = self
                .opening
                .path
                .join(commit_chunk(u32::from(self.lane), chunk.number));
            let file = File::new(&path, OpenMode::Read);
            let wanted = len.max(PIECE).min(chunk.len - self.position) as usize;
            let read = self
                .opening
                .disk
                .read(Lane::Any, &file, self.position, wanted)
                .await;
            self.piece = read.map_err(|error| DirError::io("reading", path, error))?;
            self.piece_at = self.position;
        }
        let from = (self.position - self.piece_at) as usize;
        let to = (from + len as usize).min(self.piece.len());
        Ok(self.piece.slice(from..to))
    }
}
