//! `ottla consume`: records to standard output.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ottla_client::Admin;
use ottla_client::admin::CommittedOffset;
use ottla_client::cluster::{Isolation, TopicPartition};
use ottla_client::consumer::{Consumer, ConsumerConfig, ConsumerRecord, Reset, StartAt};
use ottla_protocol::Str;

use super::connect::{Connect, outcome_of};
use super::offsets::{Position, position};
use super::template::{self, Template};
use crate::failure::{Failure, NOT_FOUND, Outcome, USAGE};
use crate::output;

/// How long one poll waits; a signal interrupts it.
const POLL: Duration = Duration::from_millis(500);

/// How often a group's progress is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(2);

/// `ottla consume`
#[derive(Debug, Args)]
#[command(after_help = format!("Template signs: {}\n\nExamples:\n  ottla consume orders --from-beginning --until-end\n  \
                  ottla consume orders -f '%k -> %v\\n'\n  ottla consume orders --group billing -o json", template::HELP))]
pub struct ConsumeArgs {
    /// Topics
    #[arg(required = true)]
    pub topics: Vec<String>,
    /// Begin with the first record there is (in a group: where the group has committed nothing)
    #[arg(short = 'b', long, conflicts_with = "from")]
    pub from_beginning: bool,
    /// Where to begin: earliest, latest, an offset, or @ and milliseconds since 1970
    #[arg(long, value_name = "POSITION", value_parser = position, conflicts_with = "group")]
    pub from: Option<Position>,
    /// Read as a member of a group, which shares partitions and remembers how far it read
    #[arg(short, long)]
    pub group: Option<String>,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Vec<i32>,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub max: Option<usize>,
    /// End where the partitions end now
    #[arg(short = 'e', long, conflicts_with = "group")]
    pub until_end: bool,
    /// Only what no open or aborted transaction has written
    #[arg(long)]
    pub read_committed: bool,
    /// Template of a line; left out, the value
    #[arg(short, long, value_name = "TEMPLATE", value_parser = Template::parse, conflicts_with = "output")]
    pub format: Option<Template>,
    /// Print records as JSON, one a line
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<RecordFormat>,
    #[command(flatten)]
    pub connect: Connect,
}

/// How to print records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordFormat {
    /// The value, a line each.
    Text,
    /// One JSON object a line.
    Json,
}

/// Prints until told to end: by a number, by the end of the partitions, or by Ctrl-C.
pub fn consume(args: ConsumeArgs) -> Outcome {
    crate::logging::begin("error");
    crate::local::run(async |net| {
        let client = args.connect.config()?;
        let admin = Admin::new(net.clone(), client.clone());
        let found = partitions(&admin, &args).await?;
        let mut consumer = Consumer::new(net, client, config(&args));
        let mut ends = BTreeMap::new();
        if args.group.is_some() {
            consumer.subscribe(args.topics.iter().map(|topic| Str::from(topic.as_str())))?;
        } else {
            let start = start(&args);
            if args.until_end && matches!(start, StartAt::Latest) {
                let cause = "--until-end without a beginning would read nothing";
                return Err(
                    Failure::new(USAGE, cause).next("Add --from-beginning or --from POSITION.")
                );
            }
            consumer.assign(
                found
                    .into_iter()
                    .map(|partition| (partition, start))
                    .collect(),
            );
            if args.until_end {
                ends = consumer.ends().await?;
            }
        }
        let mut read = Read::default();
        let printed = print(&mut consumer, &args, ends, &mut read).await;
        let committed = read.commit(&mut consumer, &args).await;
        consumer.close().await;
        let count = printed?;
        committed?;
        if count == 0 && args.until_end {
            eprintln!("No records.");
        }
        Ok(())
    })
}

fn config(args: &ConsumeArgs) -> ConsumerConfig {
    ConsumerConfig {
        group_id: args.group.as_deref().map(Str::from),
        reset: Some(if args.from_beginning {
            Reset::Earliest
        } else {
            Reset::Latest
        }),
        isolation: isolation(args),
        // Committed here: a record counts as read when it was printed.
        auto_commit: None,
        ..ConsumerConfig::default()
    }
}

fn isolation(args: &ConsumeArgs) -> Isolation {
    if args.read_committed {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    }
}

fn start(args: &ConsumeArgs) -> StartAt {
    match args.from {
        Some(Position::Earliest) => StartAt::Earliest,
        Some(Position::Latest) => StartAt::Latest,
        Some(Position::Offset(offset)) => StartAt::Offset(offset),
        Some(Position::Time(time)) => StartAt::Time(time),
        None if args.from_beginning => StartAt::Earliest,
        None => StartAt::Latest,
    }
}

/// The partitions to read. Topics that do not exist are an error here, not a silent wait.
async fn partitions(admin: &Admin, args: &ConsumeArgs) -> Result<Vec<TopicPartition>, Failure> {
    let names: Vec<Str> = args
        .topics
        .iter()
        .map(|topic| topic.as_str().into())
        .collect();
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for (name, answer) in admin.describe_topics(&names).await? {
        match answer {
            Ok(topic) => found.extend(topic.partitions.iter().map(|p| (name.clone(), p.index))),
            Err(refused) => failed.push((name.to_string(), refused)),
        }
    }
    outcome_of(&failed, failed.len())?;
    if !args.partitions.is_empty() {
        let missing = args
            .partitions
            .iter()
            .find(|p| !found.iter().any(|(_, index)| index == *p));
        if let Some(missing) = missing {
            let cause = format!("{} has no partition {missing}", args.topics.join(", "));
            return Err(Failure::new(NOT_FOUND, cause));
        }
        found.retain(|(_, index)| args.partitions.contains(index));
    }
    Ok(found)
}

/// Prints records; gives their number.
async fn print(
    consumer: &mut Consumer,
    args: &ConsumeArgs,
    ends: BTreeMap<TopicPartition, i64>,
    read: &mut Read,
) -> Result<usize, Failure> {
    let plain = Template::parse("%v\\n").map_err(|error| Failure::new(USAGE, error))?;
    let template = args.format.as_ref().unwrap_or(&plain);
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut printed = 0;
    let mut out = Vec::new();
    while args.max.is_none_or(|max| printed < max) {
        if args.until_end && consumer.has_reached(&ends) {
            break;
        }
        let records = tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            records = consumer.poll(POLL) => records?,
        };
        let room = args.max.map_or(usize::MAX, |max| max - printed);
        for record in records
            .iter()
            .filter(|r| is_before_end(r, &ends))
            .take(room)
        {
            match args.output {
                Some(RecordFormat::Json) => {
                    out.extend_from_slice(template::json_record(record).to_string().as_bytes());
                    out.push(b'\n');
                }
                Some(RecordFormat::Text) | None => template.write(record, &mut out),
            }
            read.note(record);
            printed += 1;
        }
        let mut stdout = std::io::stdout().lock();
        output::finish(stdout.write_all(&out).and_then(|()| stdout.flush()))?;
        out.clear();
        if read.committed_at.elapsed() >= COMMIT_EVERY {
            read.commit(consumer, args).await?;
        }
    }
    Ok(printed)
}

/// How far was printed, and not committed yet.
struct Read {
    next: BTreeMap<TopicPartition, CommittedOffset>,
    committed_at: Instant,
}

impl Default for Read {
    fn default() -> Read {
        Read {
            next: BTreeMap::new(),
            committed_at: Instant::now(),
        }
    }
}

impl Read {
    fn note(&mut self, record: &ConsumerRecord) {
        let next = CommittedOffset {
            offset: record.offset + 1,
            leader_epoch: record.leader_epoch,
            metadata: Str::default(),
        };
        self.next
            .insert((record.topic.clone(), record.partition), next);
    }

    /// Commits for the group; without one there is nothing to do.
    async fn commit(&mut self, consumer: &mut Consumer, args: &ConsumeArgs) -> Outcome {
        self.committed_at = Instant::now();
        let mut next = std::mem::take(&mut self.next);
        if args.group.is_none() {
            return Ok(());
        }
        // What went to another member meanwhile is its business.
        let ours = consumer.assignment();
        next.retain(|partition, _| ours.contains(partition));
        Ok(consumer.commit_offsets(&next).await?)
    }
}

fn is_before_end(record: &ConsumerRecord, ends: &BTreeMap<TopicPartition, i64>) -> bool {
    let end = ends.get(&(record.topic.clone(), record.partition));
    end.is_none_or(|end| record.offset < *end)
}
