//! `ottla check`: whether a cluster keeps what it is given. Records are written to a topic of their
//! own, read back and compared; the topic is deleted, whatever came of it.
//!
//! Not here: whether brokers are well (`ottla status`, their probes), and how fast they are (bench/).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use ottla_client::admin::NewTopic;
use ottla_client::cluster::TopicPartition;
use ottla_client::consumer::{Consumer, ConsumerConfig, StartAt};
use ottla_client::net::NetRef;
use ottla_client::producer::{Producer, ProducerConfig, ProducerRecord};
use ottla_client::{Admin, ClientConfig};
use ottla_protocol::{Bytes, Str};
use tokio::time::Instant;

use super::connect::{Connect, outcome_of};
use crate::failure::{Failure, OTHER, Outcome, TIMEOUT};
use crate::output;

/// How often it is tried whether a broker answers yet.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether a broker knows the topic yet.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(500);

/// `ottla check`
#[derive(Debug, Args)]
#[command(
    after_help = "Waits up to --timeout for a broker to answer, and as long for the records to be written and to be read. \
                  The topic is called ottla-check-... and is deleted at the end.\n\n\
                  Example:\n  ottla check --bootstrap-server my-kafka-bootstrap:9092"
)]
pub struct CheckArgs {
    /// Records to write and read back
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub records: u32,
    #[command(flatten)]
    pub connect: Connect,
}

/// What partitions hold, in the order of offsets: the producer's order too, since it is idempotent.
type Values = BTreeMap<i32, Vec<Bytes>>;

/// Writes, reads, compares, and says what it did. Errors: also when a record is not as written.
pub fn check(args: CheckArgs) -> Outcome {
    crate::logging::begin("error");
    crate::local::run(async |net| {
        let began = Instant::now();
        let client = answering(&args.connect).await?;
        let admin = Admin::new(net.clone(), client.clone());
        let topic = name();
        create(&admin, &topic).await?;
        let checked = write_and_read(&args, net, client, &admin, &topic).await;
        let deleted = delete(&admin, &topic).await;
        let partitions = checked?;
        deleted?;
        println!(
            "{} written to {}, read back and found equal, in {:.1} s.",
            output::count(args.records as usize, "record"),
            output::count(partitions, "partition"),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    })
}

/// The client's settings, once a broker answers: a Service may be a moment younger than its brokers.
async fn answering(connect: &Connect) -> Result<ClientConfig, Failure> {
    let deadline = Instant::now() + connect.timeout;
    loop {
        match connect.config() {
            Err(failure) if failure.code == TIMEOUT && Instant::now() < deadline => {
                tokio::time::sleep(TRY_EVERY).await;
            }
            ended => return ended,
        }
    }
}

/// Another one each time, also for processes that have the same id in containers of their own.
fn name() -> Str {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    format!("ottla-check-{now:x}-{}", std::process::id())
        .as_str()
        .into()
}

async fn create(admin: &Admin, topic: &Str) -> Outcome {
    let new = NewTopic {
        name: topic.clone(),
        partitions: None,
        replication_factor: None,
        assignments: Vec::new(),
        configs: BTreeMap::new(),
    };
    let answers = admin.create_topics(vec![new], false).await?.into_iter();
    settled(answers.map(|(name, answer)| (name, answer.map(drop))))
}

async fn delete(admin: &Admin, topic: &Str) -> Outcome {
    settled(admin.delete_topics(std::slice::from_ref(topic)).await?)
}

fn settled(answers: impl IntoIterator<Item = (Str, Result<(), ottla_client::Failure>)>) -> Outcome {
    let refused = |(name, answer): (Str, Result<(), _>)| Some((name.to_string(), answer.err()?));
    let failed: Vec<_> = answers.into_iter().filter_map(refused).collect();
    outcome_of(&failed, failed.len())
}

/// How many partitions the records went to.
async fn write_and_read(
    args: &CheckArgs,
    net: NetRef,
    client: ClientConfig,
    admin: &Admin,
    topic: &Str,
) -> Result<usize, Failure> {
    let partitions = partitions(admin, topic, args.connect.timeout).await?;
    let written = write(args, net.clone(), client.clone(), topic, &partitions).await?;
    let config = ConsumerConfig {
        auto_commit: None,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(net, client, config);
    let assigned = partitions.iter().map(|index| (topic.clone(), *index));
    consumer.assign(assigned.map(|one| (one, StartAt::Earliest)).collect());
    let read = read(&mut consumer, args.connect.timeout).await;
    consumer.close().await;
    compare(&written, &read?)?;
    Ok(partitions.len())
}

/// Its partitions, once the broker that is asked knows it: the controller, which made it, knows it first.
async fn partitions(admin: &Admin, topic: &Str, limit: Duration) -> Result<Vec<i32>, Failure> {
    let deadline = Instant::now() + limit;
    loop {
        let answers = admin.describe_topics(std::slice::from_ref(topic)).await?;
        for (name, answer) in answers {
            match answer {
                Ok(found) if !found.partitions.is_empty() => {
                    return Ok(found.partitions.iter().map(|p| p.index).collect());
                }
                Err(refused) if Instant::now() >= deadline => {
                    outcome_of(&[(name.to_string(), refused)], 1)?;
                }
                _ => {}
            }
        }
        if Instant::now() >= deadline {
            let cause = format!("{topic} was created and has no partitions");
            return Err(Failure::new(TIMEOUT, cause));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Every partition in turn, so that every leader is asked.
async fn write(
    args: &CheckArgs,
    net: NetRef,
    client: ClientConfig,
    topic: &Str,
    partitions: &[i32],
) -> Result<Values, Failure> {
    let config = ProducerConfig {
        delivery_timeout: args.connect.timeout,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(net, client, config);
    let mut sent = Vec::new();
    for (number, partition) in (0..args.records).zip(partitions.iter().cycle()) {
        let value = Bytes::from(format!("record {number} of {topic}"));
        let record = ProducerRecord {
            topic: topic.clone(),
            partition: Some(*partition),
            value: Some(value.clone()),
            ..ProducerRecord::default()
        };
        sent.push((producer.send(record).await?, value));
    }
    producer.flush().await;
    let mut written = Values::new();
    for (delivery, value) in sent {
        let partition = delivery.wait().await?.partition;
        written.entry(partition).or_default().push(value);
    }
    producer.close().await;
    Ok(written)
}

/// All that the partitions hold. Errors: their ends are not reached in time.
async fn read(consumer: &mut Consumer, limit: Duration) -> Result<Values, Failure> {
    let deadline = Instant::now() + limit;
    let ends: BTreeMap<TopicPartition, i64> = consumer.ends().await?;
    let mut read = Values::new();
    while !consumer.has_reached(&ends) {
        if Instant::now() >= deadline {
            let count = read.values().map(Vec::len).sum();
            let cause = format!("{} were read in time", output::count(count, "record"));
            return Err(Failure::new(TIMEOUT, cause).next("--timeout gives it longer."));
        }
        for record in consumer.poll(POLL).await? {
            let value = record.value.unwrap_or_default();
            read.entry(record.partition).or_default().push(value);
        }
    }
    Ok(read)
}

/// Errors: the first place where something else was read than was written there.
fn compare(written: &Values, read: &Values) -> Outcome {
    let none = Vec::new();
    for partition in written.keys().chain(read.keys()) {
        let written = written.get(partition).unwrap_or(&none);
        let read = read.get(partition).unwrap_or(&none);
        let differs = |at: &usize| written.get(*at) != read.get(*at);
        if let Some(at) = (0..written.len().max(read.len())).find(differs) {
            let cause = format!(
                "partition {partition}, record {at}: {} was written, {} was read",
                told(written.get(at)),
                told(read.get(at))
            );
            return Err(Failure::new(OTHER, cause));
        }
    }
    Ok(())
}

fn told(value: Option<&Bytes>) -> String {
    match value {
        Some(value) => format!("\"{}\"", String::from_utf8_lossy(value)),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_held_against_what_was_written() {
        let values = |partitions: &[&[&str]]| -> Values {
            let bytes = |values: &&[&str]| {
                let values = values.iter();
                values.map(|v| Bytes::from((*v).to_owned())).collect()
            };
            (0..).zip(partitions.iter().map(bytes)).collect()
        };
        let written = values(&[&["a", "c"], &["b"]]);
        let told = |read: &[&[&str]]| {
            let failure = compare(&written, &values(read)).err();
            failure.map(|failure| failure.to_string())
        };
        assert_eq!(told(&[&["a", "c"], &["b"]]), None);
        assert_eq!(
            told(&[&["a", "c"]]).as_deref(),
            Some("partition 1, record 0: \"b\" was written, nothing was read")
        );
        assert_eq!(
            told(&[&["c", "a"], &["b"]]).as_deref(),
            Some("partition 0, record 0: \"a\" was written, \"c\" was read")
        );
        assert_eq!(
            told(&[&["a", "c"], &["b", "b"]]).as_deref(),
            Some("partition 1, record 1: nothing was written, \"b\" was read")
        );
    }
}
