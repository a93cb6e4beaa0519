//! A cluster as a client sees it: connections to its brokers, opened when needed and shared; metadata and coordinators, asked when
//! needed and remembered; attempts repeated while that can help.
//!
//! Invariant: nothing here decides what a request means; a call either gives the broker's answer or says why there is none.

mod coordinator;
pub(crate) mod leaders;
mod metadata;
mod offsets;

pub use leaders::{ByPartition, TopicPartition};
pub use metadata::{Broker, Metadata, Partition, Topic};
pub use offsets::{Isolation, ListedOffset, OffsetSpec};

use crate::config::ClientConfig;
use crate::connection::{Connection, ConnectionError};
use crate::error::ClientError;
use crate::net::NetRef;
use metadata::TopicAnswer;
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::{ApiKey, ErrorCode, Str};
use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What a connection is for. Requests that a broker holds back would make others on the same connection wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Requests that are answered at once, and Produce.
    Data,
    /// Long polls.
    Fetch,
    /// Joins and syncs, which wait for other members.
    Group,
    /// Heartbeats and commits beside a join that waits.
    Coordinator,
}

/// A handle on a cluster; clones share connections and knowledge.
#[derive(Clone)]
pub struct Cluster {
    inner: Rc<Inner>,
}

struct Inner {
    net: NetRef,
    config: ClientConfig,
    metadata: RefCell<Metadata>,
    /// When each topic was last asked for.
    asked: RefCell<BTreeMap<Str, Duration>>,
    links: RefCell<BTreeMap<(i32, Lane), Link>>,
    /// Group id → node id.
    coordinators: RefCell<BTreeMap<Str, i32>>,
    /// Connections to bootstrap servers, whose node ids are not known.
    bootstrap: Link,
}

/// A place for a connection. Locked while it is opened, so that all who need it wait for one attempt.
type Link = Rc<tokio::sync::Mutex<Option<Connection>>>;

impl Cluster {
    /// A cluster that is known by its bootstrap servers only; nothing is connected yet.
    pub fn new(net: NetRef, config: ClientConfig) -> Cluster {
        Cluster {
            inner: Rc::new(Inner {
                net,
                config,
                metadata: RefCell::default(),
                asked: RefCell::default(),
                links: RefCell::default(),
                coordinators: RefCell::default(),
                bootstrap: Link::default(),
            }),
        }
    }

    /// The settings.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    pub(crate) fn net(&self) -> &NetRef {
        &self.inner.net
    }

    /// What is known now. Do not hold it over an await.
    pub fn metadata(&self) -> Ref<'_, Metadata> {
        self.inner.metadata.borrow()
    }

    /// A connection to a broker.
    pub(crate) async fn broker(&self, id: i32, lane: Lane) -> Result<Connection, ClientError> {
        let broker = self.metadata().brokers.get(&id).cloned();
        let broker = match broker {
            Some(broker) => broker,
            None => {
                self.ask_metadata(Some(&[])).await?;
                self.metadata()
                    .brokers
                    .get(&id)
                    .cloned()
                    .ok_or(ClientError::UnknownBroker(id))?
            }
        };
        let link = self
            .inner
            .links
            .borrow_mut()
            .entry((id, lane))
            .or_default()
            .clone();
        self.open(link, &broker.host, broker.port)
            .await
            .map_err(ClientError::from)
    }

    /// A connection to any broker: one that is open, one that is known, or a bootstrap server.
    pub(crate) async fn any_broker(&self) -> Result<Connection, ClientError> {
        let open = |(id, lane): &(i32, Lane), link: &Link| {
            let connection = link.try_lock().ok()?.clone()?;
            let usable = *lane == Lane::Data
                && !connection.is_closed()
                && self.metadata().brokers.contains_key(id);
            usable.then_some(connection)
        };
        let connected = self
            .inner
            .links
            .borrow()
            .iter()
            .find_map(|(key, link)| open(key, link));
        if let Some(connection) = connected {
            return Ok(connection);
        }
        let mut attempts = Vec::new();
        let mut known: Vec<i32> = self.metadata().brokers.keys().copied().collect();
        self.rotate(&mut known);
        for id in known {
            match self.broker(id, Lane::Data).await {
                Ok(connection) => return Ok(connection),
                Err(ClientError::Connection(error)) => attempts.push(error),
                Err(error) => return Err(error),
            }
        }
        let mut servers = self.inner.config.bootstrap_servers.clone();
        self.rotate(&mut servers);
        for (host, port) in servers {
            match self.open(self.inner.bootstrap.clone(), &host, port).await {
                Ok(connection) => return Ok(connection),
                Err(error) => attempts.push(error),
            }
        }
        Err(ClientError::NoBroker { attempts })
    }

    async fn open(&self, link: Link, host: &str, port: u16) -> Result<Connection, ConnectionError> {
        let mut slot = link.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let options = self.inner.config.connection_options();
        let connection = Connection::connect(&self.inner.net, host, port, options).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Asks for all topics, for some, or (`Some(&[])`) for the brokers only.
    pub(crate) async fn ask_metadata(
        &self,
        topics: Option<&[Str]>,
    ) -> Result<Vec<TopicAnswer>, ClientError> {
        let connection = Box::pin(self.any_broker()).await?;
        let named = |name: &Str| MetadataRequestTopic {
            name: Some(name.clone()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: self.inner.config.auto_create_topics,
            ..Default::default()
        };
        let response = connection.call(&request).await?;
        ClientError::check(ApiKey::Metadata, response.error_code, None)?;
        let answers = self
            .inner
            .metadata
            .borrow_mut()
            .apply(response, topics.is_none());
        let now = self.inner.net.now();
        let mut asked = self.inner.asked.borrow_mut();
        asked.extend(answers.iter().map(|(name, _)| (name.clone(), now)));
        Ok(answers)
    }

    /// A topic as it is known, asked for if it is not, or not recently. Errors: also what the broker says of the topic.
    pub async fn topic(&self, name: &Str) -> Result<Topic, ClientError> {
        let known = self.metadata().topics.get(name).cloned();
        let asked = self.inner.asked.borrow().get(name).copied();
        if let (Some(topic), Some(asked)) = (known, asked)
            && self.inner.net.now().saturating_sub(asked) < self.inner.config.metadata_age_max
        {
            return Ok(topic);
        }
        self.refresh_topic(name).await
    }

    /// A topic asked for anew.
    pub async fn refresh_topic(&self, name: &Str) -> Result<Topic, ClientError> {
        let answers = self.ask_metadata(Some(std::slice::from_ref(name))).await?;
        let answer = answers.into_iter().find(|(answered, _)| answered == name);
        let missing = || ClientError::Incomplete {
            api: ApiKey::Metadata,
            what: name.to_string(),
        };
        answer
            .ok_or_else(missing)?
            .1
            .map_err(|error| ClientError::refused(ApiKey::Metadata, error))
    }

    /// Makes the next `topic` ask again: somebody has told us that what we know is stale.
    pub(crate) fn doubt_topic(&self, name: &Str) {
        self.inner.asked.borrow_mut().remove(name);
    }

    /// Whether what is known of a topic has been called stale.
    pub(crate) fn is_doubted(&self, name: &Str) -> bool {
        !self.inner.asked.borrow().contains_key(name)
    }

    /// The leader of a partition, with its epoch. Errors: `NoLeader`, or what the broker says of the topic.
    pub(crate) async fn leader(
        &self,
        topic: &Str,
        partition: i32,
    ) -> Result<(i32, i32), ClientError> {
        let known = self.topic(topic).await?;
        let found = known.partition(partition);
        let found = found.ok_or_else(|| {
            ClientError::refused(ApiKey::Metadata, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        })?;
        match found.leader {
            Some(leader) => Ok((leader, found.leader_epoch)),
            None => {
                self.doubt_topic(topic);
                Err(ClientError::NoLeader {
                    topic: topic.clone(),
                    partition,
                })
            }
        }
    }

    /// Repeats `attempt` while its error may pass, with growing pauses, until the API timeout is over.
    pub(crate) async fn retry<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let started = self.inner.net.now();
        let mut pause = self.inner.config.retry_backoff;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let waited = self.inner.net.now().saturating_sub(started);
            if !error.is_retriable() {
                return Err(error);
            }
            if waited + pause > self.inner.config.api_timeout {
                return Err(ClientError::GaveUp {
                    waited,
                    last: Box::new(error),
                });
            }
            tracing::debug!(%error, "another attempt in {} ms", pause.as_millis());
            self.inner.net.sleep(self.jittered(pause)).await;
            pause = (pause * 2).min(self.inner.config.retry_backoff_max);
        }
    }

    /// Up to a fifth more or less, so that many clients do not come back at once.
    pub(crate) fn jittered(&self, pause: Duration) -> Duration {
        pause * (80 + (self.inner.net.random() % 41) as u32) / 100
    }

    fn rotate<T>(&self, items: &mut [T]) {
        if !items.is_empty() {
            let by = self.inner.net.random() % items.len() as u64;
            items.rotate_left(by as usize);
        }
    }
}
