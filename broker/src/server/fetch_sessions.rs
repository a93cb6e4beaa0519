//! Incremental fetch sessions (KIP-227): what a fetcher asked for before, so that it only sends
//! what changed and only receives what changed. Pure: the handler brings requests, time and ids.
//!
//! ```text
//!   epoch 0 ──▶ new session ──▶ epoch 1, 2, … (incremental) ──▶ epoch -1 or eviction
//! ```
//! Invariant: partitions are served in an order in which those that just returned records go to
//! the back, so that a byte limit starves nobody. Not here: reading, waiting, topic resolution.

use std::collections::BTreeMap;

use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use ottla_protocol::{ErrorCode, Str, Uuid};

/// A session may be evicted for a new one after being unused this long
/// (`min.incremental.fetch.session.eviction.ms`).
const EVICTION_IDLE_MS: i64 = 120_000;
/// The epoch that asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a fetch without a session.
const FINAL_EPOCH: i32 = -1;

/// How a fetch request names a topic: by id since version 13, by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// Versions 13 and up.
    Id(Uuid),
    /// Versions up to 12.
    Name(Str),
}

/// One partition that is to be fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its topic.
    pub topic: TopicRef,
    /// Position, epochs and limit as the fetcher last gave them; `partition` is the index.
    pub request: FetchPartition,
}

/// What a fetch request comes to once its session is known.
#[derive(Debug)]
pub struct SessionFetch {
    /// Session to name in the response; 0 is none.
    pub session_id: i32,
    /// What to read, in this order.
    pub wanted: Vec<Wanted>,
    /// Whether the response leaves out what has not changed.
    pub incremental: bool,
}

/// What a response would say of one partition, as far as the session cares.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// High watermark in the response.
    pub high_watermark: i64,
    /// Log start offset in the response.
    pub log_start: i64,
    /// Whether it carries records.
    pub has_records: bool,
    /// Whether it must be told whatever the session knows: an error, a diverging epoch.
    pub must_tell: bool,
}

/// All sessions of one shard.
#[derive(Debug)]
pub struct FetchSessions {
    slots_max: usize,
    by_id: BTreeMap<i32, Session>,
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    uses_topic_ids: bool,
    last_used_ms: i64,
    order: BTreeMap<u64, PartitionKey>,
    partitions: BTreeMap<PartitionKey, Tracked>,
    next_position: u64,
}

type PartitionKey = (TopicRef, i32);

#[derive(Debug)]
struct Tracked {
    position: u64,
    request: FetchPartition,
    sent: Option<(i64, i64)>,
}

impl FetchSessions {
    /// An empty cache of at most `slots_max` sessions
    /// (`max.incremental.fetch.session.cache.slots`).
    pub fn new(slots_max: usize) -> Self {
        Self {
            slots_max,
            by_id: BTreeMap::new(),
        }
    }

    /// Finds, makes or ends the session of `request`. `new_id` is a random id for a new session.
    /// Errors: `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH`,
    /// `FETCH_SESSION_TOPIC_ID_ERROR`, all of which make the fetcher start a new session.
    pub fn begin(
        &mut self,
        request: &FetchRequest,
        version: i16,
        new_id: i32,
        now_ms: i64,
    ) -> Result<SessionFetch, ErrorCode> {
        let uses_topic_ids = version >= 13;
        if version < 7 || request.session_epoch == FINAL_EPOCH {
            self.by_id.remove(&request.session_id);
            return Ok(SessionFetch {
                session_id: 0,
                wanted: wanted_of(request, uses_topic_ids),
                incremental: false,
            });
        }
        if request.session_epoch == INITIAL_EPOCH {
            self.by_id.remove(&request.session_id);
            let wanted = wanted_of(request, uses_topic_ids);
            let session_id = self.open(&wanted, uses_topic_ids, new_id, now_ms);
            return Ok(SessionFetch {
                session_id,
                wanted,
                incremental: false,
            });
        }
        let session = self
            .by_id
            .get_mut(&request.session_id)
            .ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.apply(request, uses_topic_ids);
        session.last_used_ms = now_ms;
        session.next_epoch = if session.next_epoch == i32::MAX {
            1
        } else {
            session.next_epoch + 1
        };
        Ok(SessionFetch {
            session_id: request.session_id,
            wanted: session.wanted(),
            incremental: true,
        })
    }

    /// Notes what the response says of a partition; false when an incremental response leaves it out.
    pub fn note_sent(
        &mut self,
        fetch: &SessionFetch,
        topic: &TopicRef,
        partition: i32,
        sent: Sent,
    ) -> bool {
        let Some(session) = self.by_id.get_mut(&fetch.session_id) else {
            return true;
        };
        let changed = session.note_sent(&(topic.clone(), partition), sent);
        !fetch.incremental || changed
    }

    /// Number of live sessions.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Opens a session for `wanted`; 0 when every slot is taken by one that is in use.
    fn open(&mut self, wanted: &[Wanted], uses_topic_ids: bool, new_id: i32, now_ms: i64) -> i32 {
        let id = new_id & i32::MAX;
        if wanted.is_empty() || id == 0 || self.by_id.contains_key(&id) || !self.has_slot(now_ms) {
            return 0;
        }
        let mut session = Session {
            next_epoch: 1,
            uses_topic_ids,
            last_used_ms: now_ms,
            order: BTreeMap::new(),
            partitions: BTreeMap::new(),
            next_position: 0,
        };
        for partition in wanted {
            session.add(
                (partition.topic.clone(), partition.request.partition),
                &partition.request,
            );
        }
        self.by_id.insert(id, session);
        id
    }

    /// Makes room by evicting the session that was unused longest, if that was long enough.
    fn has_slot(&mut self, now_ms: i64) -> bool {
        if self.by_id.len() < self.slots_max {
            return true;
        }
        let oldest = self
            .by_id
            .iter()
            .min_by_key(|(_, session)| session.last_used_ms);
        match oldest.map(|(id, session)| (*id, session.last_used_ms)) {
            Some((id, last_used_ms)) if now_ms - last_used_ms > EVICTION_IDLE_MS => {
                self.by_id.remove(&id);
                true
            }
            _ => false,
        }
    }
}

impl Session {
    fn apply(&mut self, request: &FetchRequest, uses_topic_ids: bool) {
        for wanted in wanted_of(request, uses_topic_ids) {
            let key = (wanted.topic, wanted.request.partition);
            match self.partitions.get_mut(&key) {
                Some(tracked) => tracked.request = wanted.request,
                None => self.add(key, &wanted.request),
            }
        }
        for forgotten in &request.forgotten_topics_data {
            let topic = topic_ref(&forgotten.topic, forgotten.topic_id, uses_topic_ids);
            for partition in &forgotten.partitions {
                if let Some(tracked) = self.partitions.remove(&(topic.clone(), *partition)) {
                    self.order.remove(&tracked.position);
                }
            }
        }
    }

    fn add(&mut self, key: PartitionKey, request: &FetchPartition) {
        let position = self.next_position;
        self.next_position += 1;
        self.order.insert(position, key.clone());
        self.partitions.insert(
            key,
            Tracked {
                position,
                request: request.clone(),
                sent: None,
            },
        );
    }

    fn wanted(&self) -> Vec<Wanted> {
        let tracked = self
            .order
            .values()
            .filter_map(|key| Some((key, self.partitions.get(key)?)));
        tracked
            .map(|(key, tracked)| Wanted {
                topic: key.0.clone(),
                request: tracked.request.clone(),
            })
            .collect()
    }

    fn note_sent(&mut self, key: &PartitionKey, sent: Sent) -> bool {
        let Some(tracked) = self.partitions.get_mut(key) else {
            return true;
        };
        let now_known = (sent.high_watermark, sent.log_start);
        let changed = sent.must_tell || sent.has_records || tracked.sent != Some(now_known);
        // After an error the partition is told again, so that the fetcher sees it recover.
        tracked.sent = if sent.must_tell {
            None
        } else {
            Some(now_known)
        };
        if sent.has_records {
            self.order.remove(&tracked.position);
            tracked.position = self.next_position;
            self.next_position += 1;
            self.order.insert(tracked.position, key.clone());
        }
        changed
    }
}

fn wanted_of(request: &FetchRequest, uses_topic_ids: bool) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id, uses_topic_ids);
        wanted.extend(topic.partitions.iter().map(|partition| Wanted {
            topic: topic_ref.clone(),
            request: partition.clone(),
        }));
    }
    wanted
}

fn topic_ref(name: &Str, id: Uuid, uses_topic_ids: bool) -> TopicRef {
    if uses_topic_ids {
        TopicRef::Id(id)
    } else {
        TopicRef::Name(name.clone())
    }
}
