//! `ottla group`: consumer groups and how far they have read.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ottla_client::Admin;
use ottla_client::admin::CommittedOffset;
use ottla_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use ottla_protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use ottla_protocol::{Bytes, Message, Reader, Str};
use serde_json::{Value, json};

use super::connect::{Connect, outcome_of};
use super::offsets::{Position, position};
use crate::args::Output;
use crate::failure::{CONFLICT, Failure, NOT_FOUND, Outcome, PARTIAL, USAGE, told};
use crate::output;

/// `ottla group`
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List groups
    List(ListArgs),
    /// Show members, committed offsets and lag
    Describe(DescribeArgs),
    /// Set committed offsets; shows what would change unless --execute is given
    Reset(ResetArgs),
    /// Delete groups that have no members
    Delete(DeleteArgs),
}

/// `ottla group list`
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub connect: Connect,
    #[command(flatten)]
    pub output: Output,
}

/// `ottla group describe`
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Group
    pub name: String,
    #[command(flatten)]
    pub connect: Connect,
    #[command(flatten)]
    pub output: Output,
}

/// `ottla group reset`
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Group; it must have no members
    pub name: String,
    /// Where it shall go on: earliest, latest, an offset, or @ and milliseconds since 1970
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub to: Position,
    /// Only this topic; left out, all topics that the group has committed
    #[arg(long)]
    pub topic: Option<String>,
    /// Only these partitions; may be repeated
    #[arg(long = "partition", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Vec<i32>,
    /// Do it
    #[arg(long)]
    pub execute: bool,
    #[command(flatten)]
    pub connect: Connect,
    #[command(flatten)]
    pub output: Output,
}

/// `ottla group delete`
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Groups
    #[arg(required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub connect: Connect,
}

/// Does it.
pub fn group(command: GroupCommand) -> Outcome {
    crate::logging::begin("error");
    crate::local::run(async |net| match command {
        GroupCommand::List(args) => list(args.connect.admin(net)?, args).await,
        GroupCommand::Describe(args) => describe(args.connect.admin(net)?, args).await,
        GroupCommand::Reset(args) => reset(args.connect.admin(net)?, args).await,
        GroupCommand::Delete(args) => delete(args.connect.admin(net)?, args).await,
    })
}

async fn list(admin: Admin, args: ListArgs) -> Outcome {
    let listed = admin.list_groups(&[], &[]).await?;
    let value: Value = listed
        .groups
        .iter()
        .map(|group| {
            json!({
                "group": &*group.group_id,
                "state": &*group.group_state,
                "type": &*group.group_type,
                "protocolType": &*group.protocol_type,
            })
        })
        .collect();
    output::show(args.output.output, &value, || {
        if listed.groups.is_empty() {
            return "No groups.\n".to_owned();
        }
        let rows = listed.groups.iter().map(|group| {
            vec![
                group.group_id.to_string(),
                group.group_state.to_string(),
                group.group_type.to_string(),
            ]
        });
        output::table(&["group", "state", "type"], rows)
    })?;
    if listed.missing.is_empty() {
        return Ok(());
    }
    let causes = listed
        .missing
        .iter()
        .map(|(id, error)| format!("the groups of broker {id} are missing: {error}"));
    Err(Failure {
        code: PARTIAL,
        causes: causes.collect(),
        next: None,
    })
}

/// How far a group has read one partition.
struct Progress {
    partition: TopicPartition,
    committed: Option<i64>,
    end: Option<i64>,
    member: Option<String>,
}

async fn describe(admin: Admin, args: DescribeArgs) -> Outcome {
    let name: Str = args.name.as_str().into();
    let described = admin.describe_group(&name).await?;
    let offsets = admin.group_offsets(&name).await?;
    let state = described.group_state.to_string();
    if state == "Dead" && offsets.is_empty() {
        return Err(Failure::new(NOT_FOUND, format!("there is no group {name}"))
            .next("`ottla group list` shows what there is."));
    }
    let mut owners: BTreeMap<TopicPartition, String> = BTreeMap::new();
    for member in &described.members {
        for partition in assigned(&member.member_assignment) {
            owners.insert(partition, member.client_id.to_string());
        }
    }
    let mut partitions: Vec<TopicPartition> =
        offsets.keys().chain(owners.keys()).cloned().collect();
    partitions.sort();
    partitions.dedup();
    let ends = look_up(
        &admin,
        partitions
            .iter()
            .map(|p| (p.clone(), OffsetSpec::Latest))
            .collect(),
    )
    .await?;
    let progress: Vec<Progress> = partitions
        .into_iter()
        .map(|partition| Progress {
            committed: offsets.get(&partition).map(|committed| committed.offset),
            end: ends.get(&partition).copied(),
            member: owners.get(&partition).cloned(),
            partition,
        })
        .collect();
    let members: Vec<Value> = described
        .members
        .iter()
        .map(|m| {
            json!({
                "memberId": &*m.member_id,
                "instanceId": m.group_instance_id.as_deref(),
                "clientId": &*m.client_id,
                "host": &*m.client_host,
            })
        })
        .collect();
    let value = json!({
        "group": &*name,
        "state": state,
        "protocol": &*described.protocol_data,
        "members": members,
        "partitions": progress.iter().map(json_progress).collect::<Vec<_>>(),
    });
    output::show(args.output.output, &value, || {
        let mut text = format!(
            "{name}: {state}, {}\n",
            output::count(described.members.len(), "member")
        );
        let rows = progress.iter().map(|p| {
            vec![
                p.partition.0.to_string(),
                p.partition.1.to_string(),
                shown(p.committed),
                shown(p.end),
                shown(p.lag()),
                p.member.clone().unwrap_or_else(|| "-".into()),
            ]
        });
        if !progress.is_empty() {
            text.push_str(&output::table(
                &["topic", "partition", "committed", "end", "lag", "member"],
                rows,
            ));
        }
        text
    })
}

/// The partitions of a member, when its group's protocol is that of consumers.
fn assigned(bytes: &Bytes) -> Vec<TopicPartition> {
    let mut reader = Reader::new(bytes.clone());
    let assignment = reader
        .i16()
        .and_then(|version| ConsumerProtocolAssignment::decode(&mut reader, version.min(3)));
    let topics = assignment
        .map(|assignment| assignment.assigned_partitions)
        .unwrap_or_default();
    topics
        .into_iter()
        .flat_map(|topic| {
            topic
                .partitions
                .into_iter()
                .map(move |index| (topic.topic.clone(), index))
        })
        .collect()
}

impl Progress {
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

fn json_progress(progress: &Progress) -> Value {
    json!({
        "topic": &*progress.partition.0,
        "partition": progress.partition.1,
        "committed": progress.committed,
        "end": progress.end,
        "lag": progress.lag(),
        "member": progress.member,
    })
}

fn shown(number: Option<i64>) -> String {
    number.map_or_else(|| "-".into(), |number| number.to_string())
}

/// Offsets that could be looked up; partitions that are gone are left out.
async fn look_up(
    admin: &Admin,
    wanted: BTreeMap<TopicPartition, OffsetSpec>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let listed = admin
        .cluster()
        .list_offsets(wanted, Isolation::ReadUncommitted)
        .await?;
    Ok(listed
        .into_iter()
        .filter_map(|(partition, answer)| Some((partition, answer.ok()?.offset)))
        .collect())
}

async fn reset(admin: Admin, args: ResetArgs) -> Outcome {
    let name: Str = args.name.as_str().into();
    let described = admin.describe_group(&name).await?;
    if !described.members.is_empty() {
        let members = output::count(described.members.len(), "member");
        return Err(Failure::new(
            CONFLICT,
            format!("{name} has {members}: a group that reads cannot be reset"),
        )
        .next("Stop its consumers first; `ottla group describe NAME` shows them."));
    }
    let before = admin.group_offsets(&name).await?;
    let partitions = targets(&admin, &args, before.keys()).await?;
    let (first, last) = bounds(&admin, &partitions).await?;
    let mut after = BTreeMap::new();
    let looked_up = match args.to.spec() {
        Some(spec) => {
            look_up(
                &admin,
                partitions.iter().map(|p| (p.clone(), spec)).collect(),
            )
            .await?
        }
        None => BTreeMap::new(),
    };
    for partition in &partitions {
        let (first, last) = (first.get(partition).copied(), last.get(partition).copied());
        let (Some(first), Some(last)) = (first, last) else {
            let (topic, index) = partition;
            return Err(Failure::new(
                NOT_FOUND,
                format!("{topic}-{index} does not answer or does not exist"),
            ));
        };
        let offset = match args.to {
            Position::Offset(offset) => offset.clamp(first, last),
            // No record is as late: the end.
            _ => looked_up
                .get(partition)
                .copied()
                .filter(|o| *o >= 0)
                .unwrap_or(last),
        };
        after.insert(partition.clone(), offset);
    }
    if args.execute {
        commit(&admin, &name, &after).await?;
    }
    let value: Value = after
        .iter()
        .map(|(partition, offset)| {
            json!({
                "topic": &*partition.0,
                "partition": partition.1,
                "before": before.get(partition).map(|committed| committed.offset),
                "after": offset,
                "executed": args.execute,
            })
        })
        .collect();
    output::show(args.output.output, &value, || {
        let rows = after.iter().map(|(partition, offset)| {
            vec![
                partition.0.to_string(),
                partition.1.to_string(),
                shown(before.get(partition).map(|committed| committed.offset)),
                offset.to_string(),
            ]
        });
        let mut text = output::table(&["topic", "partition", "before", "after"], rows);
        if !args.execute {
            text.push_str("Nothing was changed. Add --execute to do it.\n");
        }
        text
    })
}

async fn targets<'a>(
    admin: &Admin,
    args: &ResetArgs,
    committed: impl Iterator<Item = &'a TopicPartition>,
) -> Result<Vec<TopicPartition>, Failure> {
    let Some(topic) = &args.topic else {
        let all: Vec<TopicPartition> = committed.cloned().collect();
        if all.is_empty() {
            return Err(
                Failure::new(NOT_FOUND, format!("{} has committed nothing", args.name))
                    .next("Name a topic with --topic."),
            );
        }
        return Ok(all);
    };
    let name: Str = topic.as_str().into();
    let mut found = Vec::new();
    for (name, answer) in admin.describe_topics(&[name]).await? {
        match answer {
            Ok(topic) => found.extend(topic.partitions.iter().map(|p| (name.clone(), p.index))),
            Err(refused) => outcome_of(&[(name.to_string(), refused)], 1)?,
        }
    }
    if !args.partitions.is_empty() {
        found.retain(|(_, index)| args.partitions.contains(index));
    }
    if found.is_empty() {
        return Err(Failure::new(
            USAGE,
            format!("{topic} has none of these partitions"),
        ));
    }
    Ok(found)
}

type Offsets = BTreeMap<TopicPartition, i64>;

async fn bounds(
    admin: &Admin,
    partitions: &[TopicPartition],
) -> Result<(Offsets, Offsets), Failure> {
    let all = |spec| partitions.iter().map(|p| (p.clone(), spec)).collect();
    let first = look_up(admin, all(OffsetSpec::Earliest)).await?;
    let last = look_up(admin, all(OffsetSpec::Latest)).await?;
    Ok((first, last))
}

async fn commit(admin: &Admin, group: &Str, after: &Offsets) -> Outcome {
    let offsets = after
        .iter()
        .map(|(partition, offset)| {
            let committed = CommittedOffset {
                offset: *offset,
                leader_epoch: -1,
                metadata: Str::default(),
            };
            (partition.clone(), committed)
        })
        .collect();
    let mut failed = Vec::new();
    for ((topic, index), answer) in admin.set_group_offsets(group, &offsets).await? {
        if let Err(refused) = answer {
            failed.push((format!("{topic}-{index}"), refused));
        }
    }
    outcome_of(&failed, after.len())
}

async fn delete(admin: Admin, args: DeleteArgs) -> Outcome {
    let names: Vec<Str> = args.names.iter().map(|name| name.as_str().into()).collect();
    let mut failed = Vec::new();
    for (name, answer) in admin.delete_groups(&names).await? {
        match answer {
            Ok(()) => println!("{name} is deleted."),
            Err(refused) => {
                tracing::debug!(group = &*name, why = told(&refused), "refused");
                failed.push((name.to_string(), refused));
            }
        }
    }
    outcome_of(&failed, args.names.len())
}
