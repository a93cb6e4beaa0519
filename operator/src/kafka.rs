//! What the operator asks of Kafka, and what it does through Kafka's own admin protocol. The same
//! on every platform.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_client::admin::{ConfigChange, ConfigOperation, ConfigResource, NewTopic};
use ottla_client::net::NetRef;
use ottla_client::{Admin, ClientConfig, ClientError, Failure};
use ottla_operator_plan::{Action, Address, PlannedTopic, TopicSeen};

/// One attempt; whoever plans decides about others.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a question that is asked again soon.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// Where a value in DescribeConfigs comes from when it is set on the topic itself.
const SOURCE_TOPIC: i8 = 1;

/// Why Kafka did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// No answer, or none that helps.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It said no.
    #[error("{0}")]
    Refused(Failure),
    /// The answer does not mention what was asked about.
    #[error("the answer does not mention {0}")]
    Silent(String),
}

/// A cluster, by the addresses of its brokers.
pub struct Kafka {
    admin: Admin,
}

impl Kafka {
    /// A cluster; nothing is connected yet.
    pub fn new(net: NetRef, addresses: impl IntoIterator<Item = Address>) -> Kafka {
        let config = ClientConfig {
            bootstrap_servers: addresses.into_iter().map(|a| (a.host, a.port)).collect(),
            client_id: "ottla-operator".into(),
            request_timeout: PATIENCE,
            api_timeout: PATIENCE,
            ..ClientConfig::default()
        };
        Kafka {
            admin: Admin::new(net, config),
        }
    }

    /// Topics by name, with what is set on them; those that do not exist are left out.
    pub async fn topics(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, TopicSeen>, KafkaError> {
        let mut seen = BTreeMap::new();
        if names.is_empty() {
            return Ok(seen);
        }
        let wanted: Vec<_> = names.iter().map(|name| name.as_str().into()).collect();
        for (name, answer) in self.admin.describe_topics(&wanted).await? {
            let topic = match answer {
                Ok(topic) => topic,
                Err(failure) if failure.error.name() == Some("UNKNOWN_TOPIC_OR_PARTITION") => {
                    continue;
                }
                Err(failure) => return Err(KafkaError::Refused(failure)),
            };
            let resource = ConfigResource::Topic(name.clone());
            let configs = self.admin.describe_configs(&resource, None).await?;
            let config = configs
                .map_err(KafkaError::Refused)?
                .into_iter()
                .filter(|entry| entry.config_source == SOURCE_TOPIC)
                .filter_map(|entry| Some((entry.name.to_string(), entry.value?.to_string())))
                .collect();
            let replicas = topic.partitions.first().map_or(0, |p| p.replicas.len());
            seen.insert(
                name.to_string(),
                TopicSeen {
                    id: topic.id.to_string(),
                    partitions: topic.partitions.len() as i32,
                    replicas: replicas as i32,
                    config,
                },
            );
        }
        Ok(seen)
    }

    /// The brokers that are registered and not fenced, by id, as whoever answers knows them.
    #[cfg(feature = "kubernetes")]
    pub async fn alive(&self) -> Result<BTreeSet<i32>, KafkaError> {
        // No topics: the answer names the brokers only.
        self.admin.describe_topics(&[]).await?;
        Ok(self
            .admin
            .cluster()
            .metadata()
            .brokers
            .keys()
            .copied()
            .collect())
    }

    /// The topics that have a replica on each broker.
    pub async fn topics_on(&self) -> Result<BTreeMap<i32, BTreeSet<String>>, KafkaError> {
        let mut on: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
        for topic in self.admin.list_topics().await? {
            for id in topic.partitions.iter().flat_map(|p| &p.replicas) {
                on.entry(*id).or_default().insert(topic.name.to_string());
            }
        }
        Ok(on)
    }

    /// Carries out an action on topics or on all brokers' settings. Others are the platform's.
    pub async fn carry_out(
        &self,
        action: &Action,
        planned: &[PlannedTopic],
    ) -> Result<(), KafkaError> {
        match action {
            Action::CreateTopic { topic } => match planned.iter().find(|p| p.name == *topic) {
                Some(planned) => self.create(planned).await,
                None => Ok(()),
            },
            Action::AddPartitions { topic, partitions } => {
                let answers = self
                    .admin
                    .create_partitions(&[(topic.as_str().into(), *partitions)], false)
                    .await?;
                match only(topic, answers) {
                    // It has as many already: who was asked had not heard of it yet. Whether it has
                    // more than are declared, another look tells.
                    Err(KafkaError::Refused(failure))
                        if failure.error.name() == Some("INVALID_PARTITIONS") =>
                    {
                        Ok(())
                    }
                    answer => answer,
                }
            }
            Action::DeleteTopic { topic } => {
                let answers = self.admin.delete_topics(&[topic.as_str().into()]).await?;
                match only(topic, answers) {
                    Err(KafkaError::Refused(failure))
                        if failure.error.name() == Some("UNKNOWN_TOPIC_OR_PARTITION") =>
                    {
                        Ok(())
                    }
                    result => result,
                }
            }
            Action::ConfigureTopic { topic, set, delete } => {
                let resource = ConfigResource::Topic(topic.as_str().into());
                self.configure(&resource, set, delete).await
            }
            Action::Reconfigure { set, delete } => {
                self.configure(&ConfigResource::AllBrokers, set, delete)
                    .await
            }
            Action::Prepare { .. }
            | Action::Start { .. }
            | Action::Restart { .. }
            | Action::Stop { .. }
            | Action::Remove { .. }
            | Action::AdoptTopic { .. }
            | Action::ReleaseTopic { .. } => Ok(()),
        }
    }

    async fn create(&self, planned: &PlannedTopic) -> Result<(), KafkaError> {
        let topic = NewTopic {
            name: planned.name.as_str().into(),
            partitions: Some(planned.partitions),
            replication_factor: planned.replicas.and_then(|n| i16::try_from(n).ok()),
            assignments: Vec::new(),
            configs: planned
                .config
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
        };
        let answers = self.admin.create_topics(vec![topic], false).await?;
        match only(&planned.name, answers) {
            // Somebody was faster; the next look compares it with what is declared.
            Err(KafkaError::Refused(failure))
                if failure.error.name() == Some("TOPIC_ALREADY_EXISTS") =>
            {
                Ok(())
            }
            result => result,
        }
    }

    async fn configure(
        &self,
        resource: &ConfigResource,
        set: &BTreeMap<String, String>,
        delete: &BTreeSet<String>,
    ) -> Result<(), KafkaError> {
        let set = set.iter().map(|(key, value)| ConfigChange {
            name: key.as_str().into(),
            operation: ConfigOperation::Set(value.as_str().into()),
        });
        let delete = delete.iter().map(|key| ConfigChange {
            name: key.as_str().into(),
            operation: ConfigOperation::Delete,
        });
        let changes: Vec<ConfigChange> = set.chain(delete).collect();
        self.admin
            .alter_configs(resource, &changes, false)
            .await?
            .map_err(KafkaError::Refused)
    }
}

/// The answer about the one thing that was asked about.
fn only<T, N: AsRef<str>>(
    name: &str,
    answers: Vec<(N, Result<T, Failure>)>,
) -> Result<(), KafkaError> {
    answers
        .into_iter()
        .find(|(answered, _)| answered.as_ref() == name)
        .ok_or_else(|| KafkaError::Silent(name.to_owned()))?
        .1
        .map(|_| ())
        .map_err(KafkaError::Refused)
}

/// Whether broker `id` answers at `address` and the cluster knows it: it is registered and not
/// fenced. One attempt over a connection of its own, so that no other broker answers for it.
pub async fn is_serving(net: &NetRef, id: i32, address: &Address) -> bool {
    let once = ClientConfig {
        bootstrap_servers: vec![(address.host.clone(), address.port)],
        client_id: "ottla-operator".into(),
        request_timeout: PROBE_PATIENCE,
        api_timeout: Duration::ZERO,
        ..ClientConfig::default()
    };
    let admin = Admin::new(net.clone(), once);
    // No topics: the answer names the brokers only.
    admin.describe_topics(&[]).await.is_ok() && admin.cluster().metadata().brokers.contains_key(&id)
}
