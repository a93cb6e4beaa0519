//! `ottla produce`: lines of standard input become records.

use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal};

use clap::{Args, ValueEnum};
use ottla_client::Admin;
use ottla_client::producer::{Acks, Delivery, Producer, ProducerConfig, ProducerRecord};
use ottla_protocol::Bytes;
use ottla_protocol::records::{Codec, Compression};
use tokio::sync::mpsc;

use super::connect::Connect;
use crate::args::pair;
use crate::failure::{Failure, NOT_FOUND, OTHER, Outcome, PARTIAL, USAGE};
use crate::output;

/// Lines that may wait between the reader and the producer.
const LINES_AHEAD: usize = 4096;
/// Records whose answer may be outstanding; the producer bounds their bytes by itself.
const ANSWERS_AHEAD: usize = 100_000;

/// `ottla produce`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  echo hello | ottla produce greetings\n  printf 'k1=one\\nk2=two\\n' | ottla produce pairs -k =\n  \
                  ottla produce logs --compression zstd < /var/log/syslog"
)]
pub struct ProduceArgs {
    /// Topic; created when the cluster allows it
    pub topic: String,
    /// What separates key and value in a line; left out, a line is a value without a key
    #[arg(short, long, value_name = "SEPARATOR")]
    pub key_separator: Option<String>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub headers: Vec<(String, String)>,
    /// Partition; left out, the key's hash decides
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// An empty value is a tombstone: it deletes the key from a compacted topic
    #[arg(long, requires = "key_separator")]
    pub tombstones: bool,
    /// When a record counts as written
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    pub acks: AcksArg,
    /// Compression of batches
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    pub compression: Codec,
    /// Say nothing when all is well
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub connect: Connect,
}

/// When a record counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcksArg {
    /// When it is sent
    #[value(name = "0")]
    None,
    /// When the leader has it on disk
    #[value(name = "1")]
    Leader,
    /// When all in-sync replicas have it on disk
    All,
}

fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| "use none, gzip, snappy, lz4 or zstd".to_owned())
}

/// Writes until the input ends, and waits for all answers.
pub fn produce(args: ProduceArgs) -> Outcome {
    crate::logging::begin("error");
    if args.key_separator.as_deref() == Some("") {
        return Err(Failure::new(USAGE, "the key separator is empty"));
    }
    crate::local::run(async |net| {
        let mut client = args.connect.config()?;
        client.auto_create_topics = true;
        let config = ProducerConfig {
            acks: match args.acks {
                AcksArg::None => Acks::None,
                AcksArg::Leader => Acks::Leader,
                AcksArg::All => Acks::All,
            },
            compression: Compression::from(args.compression),
            delivery_timeout: args
                .connect
                .timeout
                .max(ProducerConfig::default().delivery_timeout),
            ..ProducerConfig::default()
        };
        if let Some(partition) = args.partition {
            exists(
                &Admin::new(net.clone(), client.clone()),
                &args.topic,
                partition,
            )
            .await?;
        }
        if std::io::stdin().is_terminal() && !args.quiet {
            eprintln!("One record a line; Ctrl-D ends.");
        }
        let producer = Producer::new(net, client, config);
        let mut lines = lines();
        let mut answers = VecDeque::new();
        let mut tally = Tally::default();
        while let Some(line) = lines.recv().await {
            let record = record(&args, line?, tally.read + 1)?;
            tally.read += 1;
            match producer.send(record).await {
                Ok(delivery) => answers.push_back(delivery),
                Err(error) => {
                    tally.failed(error);
                    // What one record cannot have, the next cannot either.
                    break;
                }
            }
            if answers.len() >= ANSWERS_AHEAD
                && let Some(delivery) = answers.pop_front()
            {
                tally.wait(delivery).await;
            }
        }
        producer.flush().await;
        for delivery in answers {
            tally.wait(delivery).await;
        }
        tally.outcome(&args)
    })
}

/// Whether a topic that exists has the partition; asking beforehand beats waiting for one to come.
async fn exists(admin: &Admin, topic: &str, partition: i32) -> Outcome {
    for (_, answer) in admin.describe_topics(&[topic.into()]).await? {
        let Ok(found) = answer else { continue };
        if found.partition(partition).is_none() {
            let partitions = output::count(found.partitions.len(), "partition");
            return Err(Failure::new(
                NOT_FOUND,
                format!("{topic} has {partitions}: there is no partition {partition}"),
            ));
        }
    }
    Ok(())
}

/// Lines of standard input, read by a thread of their own: reading them must not stop the client.
fn lines() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.read_until(b'\n', &mut line);
            if matches!(read, Ok(0)) {
                return;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            let is_over = read.is_err();
            let line = read.map(|_| line);
            if sender.blocking_send(line).is_err() || is_over {
                return;
            }
        }
    });
    receiver
}

fn record(args: &ProduceArgs, line: Vec<u8>, number: usize) -> Result<ProducerRecord, Failure> {
    let (key, value) = match &args.key_separator {
        None => (None, Bytes::from(line)),
        Some(separator) => split(line, separator.as_bytes()).ok_or_else(|| {
            Failure::new(
                USAGE,
                format!("line {number} has no key: \"{separator}\" does not stand in it"),
            )
        })?,
    };
    let is_tombstone = args.tombstones && value.is_empty();
    Ok(ProducerRecord {
        topic: args.topic.as_str().into(),
        partition: args.partition,
        key,
        value: (!is_tombstone).then_some(value),
        headers: args
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().into(), Some(Bytes::from(value.clone()))))
            .collect(),
        timestamp_ms: None,
    })
}

/// Key and value of a line, at the first separator.
fn split(line: Vec<u8>, separator: &[u8]) -> Option<(Option<Bytes>, Bytes)> {
    let at = line
        .windows(separator.len())
        .position(|window| window == separator)?;
    let line = Bytes::from(line);
    Some((Some(line.slice(..at)), line.slice(at + separator.len()..)))
}

/// What became of the records.
#[derive(Default)]
struct Tally {
    read: usize,
    written: usize,
    refused: usize,
    first_error: Option<Failure>,
}

impl Tally {
    async fn wait(&mut self, delivery: Delivery) {
        match delivery.wait().await {
            Ok(_) => self.written += 1,
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: ottla_client::ClientError) {
        self.refused += 1;
        self.first_error.get_or_insert_with(|| Failure::from(error));
    }

    fn outcome(self, args: &ProduceArgs) -> Outcome {
        let records = output::count(self.written, "record");
        let Some(mut failure) = self.first_error else {
            if !args.quiet {
                eprintln!("{records} written to {}.", args.topic);
            }
            return Ok(());
        };
        if self.written > 0 {
            failure.code = PARTIAL;
            failure.causes.push(format!(
                "{records} written to {}, {} not",
                args.topic,
                output::count(self.refused, "record")
            ));
        } else if failure.causes.is_empty() {
            failure.code = OTHER;
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_line_is_split_at_its_first_separator() {
        let told = |line: &str, separator: &str| {
            split(line.as_bytes().to_vec(), separator.as_bytes()).map(|(key, value)| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(&key.unwrap_or_default()), text(&value))
            })
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(told("a=b=c", "="), pair("a", "b=c"));
        assert_eq!(told("a::b", "::"), pair("a", "b"));
        assert_eq!(told("=b", "="), pair("", "b"));
        assert_eq!(told("a=", "="), pair("a", ""));
        assert_eq!(told("ab", "="), None);
        assert_eq!(told("", "="), None);
    }
}
