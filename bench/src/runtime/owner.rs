//! An owner of partitions as the experiment needs it: takes appends, gives offsets, hands groups to
//! the I/O thread, releases the answers. The same loop owns all partitions of a core in the
//! core-bound shapes and a single partition in the work-stealing one.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::produce_frame::check_batch;
use crate::storage::{AlignedBuffer, CommitLog};

/// Bytes of received batches each partition keeps for its tail readers.
const TAIL_BYTES: usize = 256 << 10;
/// What one group carries at most.
const GROUP_BYTES: usize = 4 << 20;

/// The answer to the partitions of one request that an owner has: index and base offset.
pub type Offsets = Vec<(i32, i64)>;

/// What can happen to an owner.
pub enum Event {
    /// Batches of one request, all of partitions this owner has.
    Append {
        batches: Vec<(i32, Bytes)>,
        reply: oneshot::Sender<Offsets>,
    },
    /// The I/O thread has made that many waiting appends durable.
    Flushed { appends: usize },
}

/// One group on its way to the I/O thread.
pub struct Group {
    batches: Vec<Bytes>,
    appends: usize,
    owner: mpsc::UnboundedSender<Event>,
}

struct Partition {
    end: i64,
    tail: VecDeque<Bytes>,
    tail_bytes: usize,
}

/// Appends one request's batches; the CRC is checked by the owner, as it would assign offsets.
struct Partitions(BTreeMap<i32, Partition>);

impl Partitions {
    fn append(&mut self, batches: &[(i32, Bytes)]) -> Offsets {
        batches
            .iter()
            .map(|(index, batch)| (*index, self.append_one(*index, batch)))
            .collect()
    }

    fn append_one(&mut self, index: i32, batch: &Bytes) -> i64 {
        let Some(records) = check_batch(batch) else {
            return -1;
        };
        let partition = self.0.entry(index).or_insert_with(|| Partition {
            end: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
        });
        let base = partition.end;
        partition.end += i64::from(records);
        partition.tail_bytes += batch.len();
        partition.tail.push_back(batch.clone());
        while partition.tail_bytes > TAIL_BYTES {
            match partition.tail.pop_front() {
                Some(oldest) => partition.tail_bytes -= oldest.len(),
                None => break,
            }
        }
        base
    }
}

/// A set of partitions without a loop around it, for the shape in which connections call directly.
pub struct Inline(Partitions);

impl Inline {
    /// No partitions yet; they appear with their first batch.
    pub fn new() -> Self {
        Self(Partitions(BTreeMap::new()))
    }

    /// Appends at once.
    pub fn append(&mut self, batches: &[(i32, Bytes)]) -> Offsets {
        self.0.append(batches)
    }
}

/// The owner loop: one event, then whatever else is already waiting, then one group.
pub async fn own(
    own_address: mpsc::WeakUnboundedSender<Event>,
    mut events: mpsc::UnboundedReceiver<Event>,
    commit: Option<std::sync::mpsc::Sender<Group>>,
) {
    let mut partitions = Partitions(BTreeMap::new());
    let mut unflushed: VecDeque<(oneshot::Sender<Offsets>, Offsets)> = VecDeque::new();
    let mut waiting = Vec::with_capacity(64);
    while events.recv_many(&mut waiting, 64).await > 0 {
        let mut group = Vec::new();
        let mut appends = 0;
        for event in waiting.drain(..) {
            match event {
                Event::Append { batches, reply } => {
                    let offsets = partitions.append(&batches);
                    if commit.is_none() {
                        let _ = reply.send(offsets);
                        continue;
                    }
                    group.extend(batches.into_iter().map(|(_, batch)| batch));
                    appends += 1;
                    unflushed.push_back((reply, offsets));
                }
                Event::Flushed { appends } => {
                    for (reply, offsets) in unflushed.drain(..appends) {
                        let _ = reply.send(offsets);
                    }
                }
            }
        }
        if let (Some(commit), true) = (&commit, appends > 0) {
            let Some(owner) = own_address.upgrade() else {
                return;
            };
            if commit
                .send(Group {
                    batches: group,
                    appends,
                    owner,
                })
                .is_err()
            {
                return;
            }
        }
    }
}

/// The I/O thread: everything that arrived during the last commit is the next group.
pub fn commit_loop(path: &Path, groups: &std::sync::mpsc::Receiver<Group>) -> io::Result<()> {
    let mut log = CommitLog::create(path, 64 << 20)?;
    let mut buffer = AlignedBuffer::with_capacity(2 * GROUP_BYTES);
    while let Ok(first) = groups.recv() {
        let mut together = vec![first];
        let mut bytes = 0;
        while bytes < GROUP_BYTES {
            let Ok(next) = groups.try_recv() else { break };
            bytes += next.batches.iter().map(Bytes::len).sum::<usize>();
            together.push(next);
        }
        buffer.clear();
        for batch in together.iter().flat_map(|group| &group.batches) {
            buffer.extend(batch);
        }
        log.commit(&buffer)?;
        for group in together {
            let _ = group.owner.send(Event::Flushed {
                appends: group.appends,
            });
        }
    }
    Ok(())
}
