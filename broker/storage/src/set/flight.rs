//! Operations that are under way, and the future that tells when one of them is done.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use crate::commit::Chunk;
use crate::disk::{Completion, DiskOutcome};
use crate::entry::LogId;

/// What an operation was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    /// A group of the commit log.
    Commit,
    /// Page-cache writes into segments.
    WriteOut,
    /// The files of one log for a checkpoint; of the root, when there is no log.
    Sync(Option<LogId>),
    /// The manifest of a checkpoint.
    Manifest,
    /// A new chunk of the commit log.
    Chunk(Chunk),
    /// The removal of one that there was no space for.
    FailedChunk,
    /// Free space.
    Space,
    /// The renaming of a deleted log's directory, which this group tells of.
    Retiring(u64),
    /// A removal: being too late is no failure.
    Tidying,
}

/// The disk's answers to one or more operations; to be given to [`super::LogSet::apply`] by the owner.
#[derive(Debug)]
pub struct Progress(pub(super) Vec<Answer>);

impl Progress {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) flight: Flight,
    pub(super) result: io::Result<DiskOutcome>,
}

#[derive(Default)]
pub(super) struct Flights {
    under_way: Vec<(Flight, Completion)>,
}

impl Flights {
    pub(super) fn start(&mut self, flight: Flight, completion: Completion) {
        self.under_way.push((flight, completion));
    }

    pub(super) fn count(&self, wanted: impl Fn(&Flight) -> bool) -> usize {
        self.under_way
            .iter()
            .filter(|(flight, _)| wanted(flight))
            .count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Resolves when at least one operation is done. Nothing is lost when the future is dropped before.
    pub(super) async fn next(&mut self) -> Progress {
        poll_fn(|cx| {
            let mut answers = Vec::new();
            self.under_way
                .retain_mut(|(flight, completion)| match Pin::new(completion).poll(cx) {
                    Poll::Ready(result) => {
                        answers.push(Answer {
                            flight: *flight,
                            result,
                        });
                        false
                    }
                    Poll::Pending => true,
                });
            if answers.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(Progress(answers))
            }
        })
        .await
    }
}
