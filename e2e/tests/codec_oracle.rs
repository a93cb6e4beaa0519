//! Every message against the classes of the published Kafka jars. Goal: for each message and
//! version, what we write is byte for byte what Kafka writes, and we refuse what Kafka refuses.
//! Method: random instances, seeded, three ways. Ours: bytes from the fact tables (made by code that
//! shares nothing with the codec), read and written again by both sides. Theirs: objects filled
//! through the setters of Kafka's classes, their bytes read and written again by us. Across: bytes
//! of one version written in another by both, which tries defaults and dropped fields.
//! `OTTLA_KAFKA_CLASSPATH` names the class path; without it `cargo xtask peers` finds it.
//! Needs: jvm.

#[allow(dead_code, reason = "the fuzzer it is shared with uses the rest")]
#[path = "../../protocol/tests/instances/mod.rs"]
mod instances;

use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use instances::{Message, Random, instance, parse};
use ottla_protocol::catalogue::{Entry, entries};
use ottla_protocol::{Bytes, Reader};

/// Per message and version.
const OURS: usize = 200;
const THEIRS: usize = 200;
const ACROSS: usize = 40;
const SEED: u64 = 20_431;

const TABLES: [(&str, &str); 6] = [
    (
        "messages",
        include_str!("../../protocol/schemas/messages.txt"),
    ),
    (
        "metadata_records",
        include_str!("../../protocol/schemas/metadata_records.txt"),
    ),
    (
        "group_records",
        include_str!("../../protocol/schemas/group_records.txt"),
    ),
    (
        "transaction_records",
        include_str!("../../protocol/schemas/transaction_records.txt"),
    ),
    (
        "share_records",
        include_str!("../../protocol/schemas/share_records.txt"),
    ),
    (
        "remote_log_records",
        include_str!("../../protocol/schemas/remote_log_records.txt"),
    ),
];

/// What Kafka's classes made of some bytes: others, or a refusal with its reason.
type Answer = Result<Vec<u8>, String>;

#[test]
fn every_message_in_every_version() {
    let mut oracle = Oracle::start();
    let mut tally = Tally::default();
    for (family, table) in TABLES {
        for message in parse(table) {
            let entry = entries()
                .iter()
                .find(|entry| entry.family == family && entry.name == message.name)
                .unwrap_or_else(|| panic!("the codec lacks {}", message.name));
            assert_eq!(
                (*entry.versions.start(), *entry.versions.end()),
                (message.versions.first, message.versions.last)
            );
            tally.messages += 1;
            for version in entry.versions.clone() {
                tally.versions += 1;
                same_version(&mut oracle, &mut tally, entry, &message, version);
                across_versions(&mut oracle, &mut tally, entry, &message, version);
            }
        }
    }
    assert_eq!(
        tally.messages,
        entries().len(),
        "every message of the codec has facts"
    );
    println!("{tally:?}");
    assert!(
        tally.failures.is_empty(),
        "{} differences, the first ones:\n{}",
        tally.failures.len(),
        tally.shown()
    );
}

fn same_version(
    oracle: &mut Oracle,
    tally: &mut Tally,
    entry: &Entry,
    message: &Message,
    version: i16,
) {
    let mut random = Random::named(SEED, entry.name, version);
    let ours: Vec<Vec<u8>> = (0..OURS)
        .map(|_| instance(message, version, &mut random))
        .collect();
    let (answers, theirs) = oracle.ask(entry.name, version, version, &ours, random.next(), THEIRS);
    for (bytes, answer) in ours.iter().zip(answers) {
        tally.ours += 1;
        tally.unchanged += usize::from(answer.as_ref() == Ok(bytes));
        if let Err(reason) = &answer {
            tally.failures.push(format!(
                "{} v{version}: Kafka refuses an instance: {reason}",
                entry.name
            ));
        }
        tally.compare(entry, version, version, bytes, answer);
    }
    for bytes in theirs {
        tally.theirs += 1;
        tally.compare(entry, version, version, &bytes, Ok(bytes.clone()));
    }
}

/// Instances of every other version, written in this one.
fn across_versions(
    oracle: &mut Oracle,
    tally: &mut Tally,
    entry: &Entry,
    message: &Message,
    to: i16,
) {
    for from in entry.versions.clone().filter(|from| *from != to) {
        let mut random = Random::named(SEED + 1, entry.name, from);
        let ours: Vec<Vec<u8>> = (0..ACROSS)
            .map(|_| instance(message, from, &mut random))
            .collect();
        let (answers, _) = oracle.ask(entry.name, from, to, &ours, 0, 0);
        for (bytes, answer) in ours.iter().zip(answers) {
            match &answer {
                Ok(_) => tally.carried_across += 1,
                Err(_) => tally.refused_across += 1,
            }
            tally.compare(entry, from, to, bytes, answer);
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    messages: usize,
    versions: usize,
    ours: usize,
    /// Of ours, those that came back as they were: the others had a bool of 7 or a tag at its default.
    unchanged: usize,
    theirs: usize,
    carried_across: usize,
    refused_across: usize,
    failures: Vec<String>,
}

impl Tally {
    fn compare(&mut self, entry: &Entry, from: i16, to: i16, bytes: &[u8], answer: Answer) {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let recoded = entry.recode(&mut reader, from, to).and_then(|frame| {
            reader.expect_end()?;
            Ok(frame.into_bytes().to_vec())
        });
        let same = match (&recoded, &answer) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            (ours, theirs) => ours.is_err() == theirs.is_err(),
        };
        if !same {
            let described = entry.describe(&mut Reader::new(Bytes::copy_from_slice(bytes)), from);
            self.failures.push(format!(
                "{} v{from} to v{to}\n  bytes  {}\n  ours   {}\n  Kafka  {}\n  is     {described:?}",
                entry.name,
                hex(bytes),
                recoded.map_or_else(|error| error.to_string(), |bytes| hex(&bytes)),
                answer.map_or_else(|error| error, |bytes| hex(&bytes)),
            ));
        }
    }

    fn shown(&self) -> String {
        self.failures
            .iter()
            .take(10)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `jvm/CodecOracle.java` at the other end of a pipe.
struct Oracle {
    process: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let classpath = ottla_e2e::kafka_classpath()
            .expect("OTTLA_KAFKA_CLASSPATH is not set and `cargo xtask peers` cannot find it; `cargo xtask test` sets it");
        let mut process = ottla_e2e::java(&classpath)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/jvm/CodecOracle.java"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java is installed");
        let input = Some(BufWriter::new(process.stdin.take().expect("piped")));
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self {
            process,
            input,
            output,
        }
    }

    /// Sends instances to read in one version and write in another; also asks for `wanted` of theirs.
    fn ask(
        &mut self,
        name: &str,
        from: i16,
        to: i16,
        given: &[Vec<u8>],
        seed: u64,
        wanted: usize,
    ) -> (Vec<Answer>, Vec<Vec<u8>>) {
        let mut question = Vec::new();
        question.extend((name.len() as u16).to_be_bytes());
        question.extend(name.bytes());
        question.extend(from.to_be_bytes());
        question.extend(to.to_be_bytes());
        question.extend((given.len() as i32).to_be_bytes());
        for bytes in given {
            question.extend((bytes.len() as i32).to_be_bytes());
            question.extend(bytes);
        }
        question.extend(seed.to_be_bytes());
        question.extend((wanted as i32).to_be_bytes());
        let input = self.input.as_mut().expect("open until drop");
        input
            .write_all(&question)
            .and_then(|()| input.flush())
            .expect("the oracle reads; its error is above");
        let answers = given.iter().map(|_| self.answer()).collect();
        let theirs = (0..wanted)
            .map(|_| self.answer().expect("Kafka writes what it made itself"))
            .collect();
        (answers, theirs)
    }

    fn answer(&mut self) -> Answer {
        match i32::from_be_bytes(self.read()) {
            -1 => {
                let length = u16::from_be_bytes(self.read());
                Err(String::from_utf8_lossy(&self.bytes(length.into())).into_owned())
            }
            length => Ok(self.bytes(length as usize)),
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.output
            .read_exact(&mut bytes)
            .expect("the oracle answers; its error is above");
        bytes
    }

    fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.output
            .read_exact(&mut bytes)
            .expect("the oracle answers; its error is above");
        bytes
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        let _ = self.process.wait();
    }
}
