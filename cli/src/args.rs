//! What can be asked of `ottla`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::failure::Outcome;
use crate::output::Format;
use crate::{broker, disk, docs, local, remote};

/// Kafka from a manifest: clusters on this machine, brokers, and a client for any Kafka.
#[derive(Debug, Parser)]
#[command(
    name = "ottla",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(after_help = "Start here:  ottla up examples/quickstart.yaml")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run manifests on this machine, or apply changed ones
    Up(local::UpArgs),
    /// Show how the clusters on this machine stand
    Status(local::StatusArgs),
    /// Stop the clusters on this machine
    Down(local::DownArgs),
    /// Show what manifests would lead to, without doing it
    Plan(local::PlanArgs),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(remote::TopicCommand),
    /// Write lines of standard input as records
    Produce(remote::ProduceArgs),
    /// Read records
    Consume(remote::ConsumeArgs),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(remote::GroupCommand),
    /// Write records, read them back and compare
    Check(remote::CheckArgs),
    /// Run one broker from a Kafka properties file
    Broker(broker::BrokerArgs),
    /// Print what segments, indexes and metadata logs hold
    DumpLog(disk::DumpLogArgs),
    /// Make a broker's directory acceptable to Apache Kafka
    Seal(disk::SealArgs),
    /// Watch over one cluster (started by `up`)
    #[command(hide = true)]
    Supervise(local::SuperviseArgs),
    /// Print generated references
    #[command(hide = true, subcommand)]
    Docs(docs::DocsCommand),
}

/// Does it.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Up(args) => local::up(args),
        Command::Status(args) => local::status(&args),
        Command::Down(args) => local::down(&args),
        Command::Plan(args) => local::plan(&args),
        Command::Supervise(args) => local::supervise(&args),
        Command::Topic(command) => remote::topic(command),
        Command::Produce(args) => remote::produce(args),
        Command::Consume(args) => remote::consume(args),
        Command::Group(command) => remote::group(command),
        Command::Check(args) => remote::check(args),
        Command::Broker(args) => broker::run(&args),
        Command::DumpLog(args) => disk::dump_log(&args),
        Command::Seal(args) => disk::seal(&args),
        Command::Docs(command) => docs::run(&command),
    }
}

/// Where clusters on this machine have their folders unless another place is named.
pub const DEFAULT_DIR: &str = ".ottla";

/// Where clusters on this machine have their folders.
#[derive(Clone, Debug, ClapArgs)]
pub struct Dir {
    /// Folder of the clusters on this machine
    #[arg(
        long,
        value_name = "DIR",
        default_value = DEFAULT_DIR,
        env = "OTTLA_DIR",
        value_parser = folder
    )]
    pub dir: PathBuf,
}

/// How to print.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct Output {
    /// Format of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// `60s`, `500ms`, `2m`, `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit} is no unit of time; use ms, s, m or h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a time such as 60s".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// A folder, which need not be there yet.
pub fn folder(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.exists() && !path.is_dir() {
        return Err("it is no directory; name a folder for clusters, there or not".to_owned());
    }
    Ok(path)
}

/// `name=value`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, found {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "5x", "1e99h", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err());
        assert!(pair("=b").is_err());
    }
}
