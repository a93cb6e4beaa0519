//! `ottla topic`: create, list, describe, alter, delete.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ottla_client::Admin;
use ottla_client::admin::{ConfigChange, ConfigOperation, ConfigResource, NewTopic};
use ottla_client::cluster::Topic;
use ottla_protocol::Str;
use serde_json::{Value, json};

use super::connect::{Connect, outcome_of};
use crate::args::{Output, pair};
use crate::failure::{Failure, Outcome, USAGE, refused_code, told};
use crate::output;

/// Where DescribeConfigs says that a value is set on the topic itself.
const SET_ON_TOPIC: i8 = 1;

/// `ottla topic`
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create topics
    Create(CreateArgs),
    /// List topics
    List(ListArgs),
    /// Show partitions and settings
    Describe(DescribeArgs),
    /// Add partitions, change settings
    Alter(AlterArgs),
    /// Delete topics with their records
    Delete(DeleteArgs),
}

/// `ottla topic create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Topics
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Number of partitions; left out, the cluster's num.partitions
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Copies of each partition; left out, the cluster's default.replication.factor
    #[arg(short, long, value_parser = clap::value_parser!(i16).range(1..))]
    pub replicas: Option<i16>,
    /// A setting of the topic; may be repeated
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    pub configs: Vec<(String, String)>,
    /// Only ask whether it could be done
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// `ottla topic list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also Kafka's own topics
    #[arg(long)]
    pub internal: bool,
    #[command(flatten)]
    pub connect: Connect,
    #[command(flatten)]
    pub output: Output,
}

/// `ottla topic describe`
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Topics
    #[arg(required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub connect: Connect,
    #[command(flatten)]
    pub output: Output,
}

/// `ottla topic alter`
#[derive(Debug, Args)]
pub struct AlterArgs {
    /// Topic
    pub name: String,
    /// The new number of partitions
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// A setting; may be repeated
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    pub configs: Vec<(String, String)>,
    /// A setting to take back; may be repeated
    #[arg(long = "delete-config", value_name = "KEY")]
    pub delete_configs: Vec<String>,
    /// Only ask whether it could be done
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// `ottla topic delete`
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Topics
    #[arg(required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub connect: Connect,
}

/// Does it.
pub fn topic(command: TopicCommand) -> Outcome {
    crate::logging::begin("error");
    crate::local::run(async |net| match command {
        TopicCommand::Create(args) => create(args.connect.admin(net)?, args).await,
        TopicCommand::List(args) => list(args.connect.admin(net)?, args).await,
        TopicCommand::Describe(args) => describe(args.connect.admin(net)?, args).await,
        TopicCommand::Alter(args) => alter(args.connect.admin(net)?, args).await,
        TopicCommand::Delete(args) => delete(args.connect.admin(net)?, args).await,
    })
}

async fn create(admin: Admin, args: CreateArgs) -> Outcome {
    let configs: BTreeMap<Str, Str> = args
        .configs
        .iter()
        .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
        .collect();
    let new = |name: &String| NewTopic {
        name: name.as_str().into(),
        partitions: args.partitions,
        replication_factor: args.replicas,
        assignments: Vec::new(),
        configs: configs.clone(),
    };
    let topics = args.names.iter().map(new).collect();
    let mut failed = Vec::new();
    for (name, answer) in admin.create_topics(topics, args.dry_run).await? {
        match answer {
            Err(refused) => failed.push((name.to_string(), refused)),
            Ok(_) if args.dry_run => println!("{name} could be created."),
            Ok(created) if created.partitions > 0 => println!(
                "{name} is created with {}.",
                output::count(created.partitions as usize, "partition")
            ),
            Ok(_) => println!("{name} is created."),
        }
    }
    outcome_of(&failed, args.names.len())
}

async fn list(admin: Admin, args: ListArgs) -> Outcome {
    let mut topics = admin.list_topics().await?;
    topics.retain(|topic| args.internal || !topic.is_internal);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let value = Value::from(topics.iter().map(summary).collect::<Vec<_>>());
    output::show(args.output.output, &value, || {
        if topics.is_empty() {
            return "No topics. `ottla topic create NAME` makes one.\n".to_owned();
        }
        let rows = topics.iter().map(|topic| {
            vec![
                topic.name.to_string(),
                topic.partitions.len().to_string(),
                copies(topic).to_string(),
            ]
        });
        output::table(&["topic", "partitions", "replicas"], rows)
    })
}

fn copies(topic: &Topic) -> usize {
    topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replicas.len())
}

fn summary(topic: &Topic) -> Value {
    json!({
        "name": &*topic.name,
        "id": topic.id.to_string(),
        "internal": topic.is_internal,
        "partitions": topic.partitions.len(),
        "replicas": copies(topic),
    })
}

async fn describe(admin: Admin, args: DescribeArgs) -> Outcome {
    let names: Vec<Str> = args.names.iter().map(|name| name.as_str().into()).collect();
    let mut failed = Vec::new();
    let mut found = Vec::new();
    for (name, answer) in admin.describe_topics(&names).await? {
        match answer {
            Err(refused) => failed.push((name.to_string(), refused)),
            Ok(topic) => {
                let config = own_config(&admin, &name).await?;
                found.push((topic, config));
            }
        }
    }
    let value = match found.as_slice() {
        [one] if args.names.len() == 1 => detail(one),
        all => Value::from(all.iter().map(detail).collect::<Vec<_>>()),
    };
    if !found.is_empty() {
        output::show(args.output.output, &value, || {
            found.iter().map(text).collect::<Vec<_>>().join("\n")
        })?;
    }
    outcome_of(&failed, args.names.len())
}

/// What is set on the topic itself.
async fn own_config(admin: &Admin, name: &Str) -> Result<BTreeMap<String, String>, Failure> {
    let resource = ConfigResource::Topic(name.clone());
    let described = admin.describe_configs(&resource, None).await?;
    let entries = described.map_err(|refused| {
        let code = refused_code(refused.error.name().unwrap_or_default());
        Failure::new(code, format!("{name}: {}", told(&refused)))
    })?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.config_source == SET_ON_TOPIC)
        .map(|entry| {
            (
                entry.name.to_string(),
                entry.value.unwrap_or_default().to_string(),
            )
        })
        .collect())
}

fn detail((topic, config): &(Topic, BTreeMap<String, String>)) -> Value {
    let mut value = summary(topic);
    value["config"] = json!(config);
    value["partitions"] = topic
        .partitions
        .iter()
        .map(|p| {
            json!({
                "partition": p.index,
                "leader": p.leader,
                "leaderEpoch": p.leader_epoch,
                "replicas": p.replicas,
                "isr": p.isr,
                "offline": p.offline,
            })
        })
        .collect();
    value
}

fn text((topic, config): &(Topic, BTreeMap<String, String>)) -> String {
    let mut text = format!("{}  (id {})\n", topic.name, topic.id);
    for (key, value) in config {
        text.push_str(&format!("  {key}={value}\n"));
    }
    let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let rows = topic.partitions.iter().map(|p| {
        vec![
            p.index.to_string(),
            p.leader
                .map_or_else(|| "none".into(), |leader| leader.to_string()),
            ids(&p.replicas),
            ids(&p.isr),
        ]
    });
    text.push_str(&output::table(
        &["partition", "leader", "replicas", "isr"],
        rows,
    ));
    text
}

async fn alter(admin: Admin, args: AlterArgs) -> Outcome {
    let has_config = !args.configs.is_empty() || !args.delete_configs.is_empty();
    if args.partitions.is_none() && !has_config {
        return Err(Failure::new(USAGE, "nothing to change")
            .next("Give --partitions, --config KEY=VALUE or --delete-config KEY."));
    }
    let name: Str = args.name.as_str().into();
    let done = if args.dry_run { "could be" } else { "is" };
    if let Some(partitions) = args.partitions {
        let answers = admin
            .create_partitions(&[(name.clone(), partitions)], args.dry_run)
            .await?;
        for (_, answer) in answers {
            answer.map_err(|refused| refusal(&args.name, &refused))?;
        }
        println!(
            "{name} {done} grown to {}.",
            output::count(partitions as usize, "partition")
        );
    }
    if has_config {
        let set = args.configs.iter().map(|(key, value)| ConfigChange {
            name: key.as_str().into(),
            operation: ConfigOperation::Set(value.as_str().into()),
        });
        let delete = args.delete_configs.iter().map(|key| ConfigChange {
            name: key.as_str().into(),
            operation: ConfigOperation::Delete,
        });
        let changes: Vec<ConfigChange> = set.chain(delete).collect();
        let resource = ConfigResource::Topic(name.clone());
        let answer = admin
            .alter_configs(&resource, &changes, args.dry_run)
            .await?;
        answer.map_err(|refused| refusal(&args.name, &refused))?;
        println!(
            "{} of {name} {done} changed.",
            output::count(changes.len(), "setting")
        );
    }
    Ok(())
}

fn refusal(name: &str, refused: &ottla_client::Failure) -> Failure {
    match outcome_of(&[(name.to_owned(), refused.clone())], 1) {
        Err(failure) => failure,
        Ok(()) => Failure::new(crate::failure::OTHER, name),
    }
}

async fn delete(admin: Admin, args: DeleteArgs) -> Outcome {
    let names: Vec<Str> = args.names.iter().map(|name| name.as_str().into()).collect();
    let mut failed = Vec::new();
    for (name, answer) in admin.delete_topics(&names).await? {
        match answer {
            Ok(()) => println!("{name} is deleted."),
            Err(refused) => failed.push((name.to_string(), refused)),
        }
    }
    outcome_of(&failed, args.names.len())
}
