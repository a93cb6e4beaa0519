//! Record batches against Kafka's own classes. Goal: what we write they read equal, what they write we read equal
//! (and rebuild byte for byte), and a leader of ours accepts, changes and refuses what theirs does.
//! Method: `jvm/RecordsOracle.java` answers frames on a pipe; random batches come from seeds on both sides.
//! Needs: jvm.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use ottla_protocol::Bytes;
use ottla_protocol::records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchView, Codec, Compression, ControlRecord,
    ControlType, EndTxnMarker, Producer, RecordIter, Rules, TimestampRule, TimestampType,
    ValidateError, batches, validate,
};

const SEEDS: u64 = 100;
const BUDGET: usize = 64 << 20;
const NOW: i64 = 1_700_000_000_000;

struct Oracle {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Oracle {
    fn start() -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/jvm/RecordsOracle.java");
        let classpath =
            ottla_e2e::kafka_classpath().expect("the test runner provides Kafka's classes");
        let mut process = ottla_e2e::java(&classpath)
            .arg(source)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java is installed");
        let input = process.stdin.take().expect("piped");
        let output = process.stdout.take().expect("piped");
        Self {
            process,
            input,
            output,
        }
    }

    fn ask(&mut self, operation: u8, parts: &[&[u8]]) -> Vec<u8> {
        let len = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
        let frame = [
            &(len as u32).to_be_bytes()[..],
            &[operation],
            &parts.concat(),
        ]
        .concat();
        self.input.write_all(&frame).expect("the oracle listens");
        self.input.flush().expect("the oracle listens");
        let mut len = [0; 4];
        self.output
            .read_exact(&mut len)
            .expect("the oracle answers");
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        self.output
            .read_exact(&mut answer)
            .expect("the oracle answers");
        answer
    }

    fn dump(&mut self, batch: &[u8]) -> String {
        text(self.ask(1, &[batch]))
    }

    fn make(&mut self, seed: u64, codec: Codec) -> Bytes {
        self.ask(2, &[&seed.to_be_bytes(), &[codec.id()]]).into()
    }

    /// What Kafka's leader does with a batch under these rules, as Produce 9.
    fn validate(&mut self, batch: &[u8], rules: &Rules) -> String {
        let target = rules
            .compression
            .map_or(-1i8, |target| target.codec.id() as i8);
        let (append, now, before, after) = match rules.timestamps {
            TimestampRule::CreateTime {
                now_ms,
                before_max_ms,
                after_max_ms,
            } => (0, now_ms, before_max_ms, after_max_ms),
            TimestampRule::LogAppendTime { now_ms } => (1, now_ms, 0, 0),
        };
        let flags = [target as u8, rules.compacted as u8, append];
        let times = [now, before, after].map(i64::to_be_bytes).concat();
        text(self.ask(3, &[&9i16.to_be_bytes(), &flags, &times, batch]))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the oracle answers in UTF-8")
}

/// The same lines as the oracle's DUMP.
fn dump(bytes: &Bytes) -> String {
    let mut out = String::new();
    for batch in batches(bytes.clone()) {
        let batch = batch.expect("a batch");
        batch.check_crc().expect("a right checksum");
        let h = batch.header();
        let timestamp_type = match h.attributes.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        let flag = |on: bool, name: &'static str| if on { name } else { "" };
        writeln!(
            out,
            "batch {}..{} leader {} codec {} {timestamp_type} max {} producer {}/{}/{}..{}{}{}{} size {} count {}",
            h.base_offset,
            h.last_offset(),
            h.partition_leader_epoch,
            h.codec().name(),
            h.max_timestamp,
            h.producer_id,
            h.producer_epoch,
            h.base_sequence,
            h.last_sequence(),
            flag(h.attributes.is_transactional(), " transactional"),
            flag(h.attributes.is_control(), " control"),
            h.delete_horizon_ms().map(|ms| format!(" horizon {ms}")).unwrap_or_default(),
            batch.size(),
            h.record_count
        )
        .expect("strings take all");
        for record in &batch.records(BUDGET).expect("readable") {
            let r = record.expect("a record");
            write!(
                out,
                "  {} @{} #{} {}={}",
                r.offset,
                r.timestamp,
                r.sequence,
                hex(r.key),
                hex(r.value)
            )
            .expect("strings take all");
            for (key, value) in r.headers.iter() {
                write!(out, " {}:{}", hex(Some(key)), hex(value)).expect("strings take all");
            }
            out.push('\n');
        }
    }
    out
}

fn hex(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some(bytes) => bytes.iter().fold(String::new(), |mut out, b| {
            write!(out, "{b:02x}").expect("strings take all");
            out
        }),
    }
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn field(&mut self) -> Option<Vec<u8>> {
        if self.one_in(5) {
            return None;
        }
        let len = if self.one_in(200) {
            self.below(100_000)
        } else {
            self.below(60)
        };
        Some(
            (0..len)
                .map(|i| if i < len / 2 { b'y' } else { self.next() as u8 })
                .collect(),
        )
    }
}

fn random_batch(random: &mut Random, codec: Codec) -> Bytes {
    let producer = (!random.one_in(2)).then(|| Producer {
        id: (random.next() >> 1) as i64,
        epoch: random.below(32_000) as i16,
        base_sequence: if random.one_in(2) {
            i32::MAX - 1
        } else {
            random.below(1 << 31) as i32
        },
    });
    let level = match codec {
        Codec::Gzip => random.below(9) as i32 + 1,
        Codec::Zstd => random.below(12) as i32 - 3,
        codec => codec.level_default(),
    };
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: random.below(1 << 40) as i64,
        partition_leader_epoch: random.below(1 << 20) as i32,
        compression: Compression { codec, level },
        append_time_ms: random.one_in(4).then_some(NOW),
        transactional: producer.is_some() && random.one_in(2),
        producer,
        control: false,
    });
    let count = if random.one_in(10) {
        2000
    } else {
        1 + random.below(20)
    };
    for _ in 0..count {
        let count = if random.one_in(4) { random.below(5) } else { 0 };
        let headers: Vec<_> = (0..count)
            .map(|_| (["", "ключ", "a"][random.below(3) as usize], random.field()))
            .collect();
        let headers = headers
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.as_deref()));
        let timestamp = NOW + random.below(1 << 32) as i64 - (1 << 31);
        builder
            .append(
                timestamp,
                random.field().as_deref(),
                random.field().as_deref(),
                headers,
            )
            .expect("small");
    }
    builder.build().expect("small")
}

#[test]
fn kafka_reads_our_batches_equal() {
    let mut oracle = Oracle::start();
    for codec in Codec::ALL {
        for seed in 0..SEEDS {
            let batch = random_batch(&mut Random(seed), codec);
            assert!(oracle.dump(&batch) == dump(&batch), "seed {seed} {codec:?}");
        }
    }
}

#[test]
fn we_read_kafkas_batches_equal_and_rebuild_them() {
    let mut oracle = Oracle::start();
    for codec in Codec::ALL {
        for seed in 0..SEEDS {
            let batch = oracle.make(seed, codec);
            assert!(oracle.dump(&batch) == dump(&batch), "seed {seed} {codec:?}");
            let view = BatchView::new(batch.clone()).expect("one batch");
            let rebuilt = rebuild(&view);
            if codec == Codec::None {
                assert!(
                    rebuilt == batch,
                    "seed {seed} {:?} {:?}",
                    view.header(),
                    BatchHeader::parse(&rebuilt)
                );
            } else {
                let again = BatchView::new(rebuilt).expect("one batch");
                let data =
                    |view: &BatchView| view.records(BUDGET).expect("readable").data().clone();
                assert!(data(&again) == data(&view), "seed {seed} {codec:?}");
            }
        }
    }
}

fn rebuild(view: &BatchView) -> Bytes {
    let h = view.header();
    let append_time = h.attributes.timestamp_type() == TimestampType::LogAppendTime;
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: h.base_offset,
        partition_leader_epoch: h.partition_leader_epoch,
        compression: h.codec().into(),
        append_time_ms: append_time.then_some(h.max_timestamp),
        producer: h.has_producer_id().then_some(Producer {
            id: h.producer_id,
            epoch: h.producer_epoch,
            base_sequence: h.base_sequence,
        }),
        transactional: h.attributes.is_transactional(),
        control: h.attributes.is_control(),
    });
    // Under LogAppendTime the producer's times are still there, only not shown.
    let stored = BatchHeader {
        attributes: h.attributes.with_timestamp_type(TimestampType::CreateTime),
        ..*h
    };
    for record in RecordIter::new(&stored, view.records(BUDGET).expect("readable").data()) {
        let r = record.expect("a record");
        builder
            .append(r.timestamp, r.key, r.value, r.headers.iter())
            .expect("it was a batch");
    }
    builder.build().expect("it was a batch")
}

#[test]
fn transaction_markers_are_kafkas() {
    let mut oracle = Oracle::start();
    for commit in [true, false] {
        let theirs = oracle.ask(
            4,
            &[
                &[commit as u8],
                &7i32.to_be_bytes(),
                &42i64.to_be_bytes(),
                &3i16.to_be_bytes(),
                &NOW.to_be_bytes(),
            ],
        );
        assert_eq!(
            EndTxnMarker {
                commit,
                coordinator_epoch: 7
            }
            .batch(42, 3, NOW),
            theirs
        );
    }
}

#[test]
fn kraft_control_records_are_told_apart() {
    let mut oracle = Oracle::start();
    let bytes = Bytes::from(oracle.ask(5, &[&NOW.to_be_bytes(), &4i32.to_be_bytes()]));
    let types: Vec<_> = batches(bytes)
        .map(|batch| {
            let records = batch.expect("a batch").records(BUDGET).expect("readable");
            let record = records
                .iter()
                .next()
                .expect("one record")
                .expect("one record");
            ControlRecord::parse(&record)
                .expect("a control record")
                .control_type
        })
        .collect();
    use ControlType::*;
    assert_eq!(
        types,
        [
            LeaderChange,
            SnapshotHeader,
            SnapshotFooter,
            KRaftVersion,
            KRaftVoters
        ]
    );
}

#[test]
fn a_leader_does_what_kafkas_does() {
    let mut oracle = Oracle::start();
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..3000 {
        let mut random = Random(seed);
        let batch = client_batch(&mut random);
        let rules = random_rules(&mut random);
        let ours = without_size(outcome(validate(batch.clone(), &rules)));
        let theirs = without_size(oracle.validate(&batch, &rules));
        *seen
            .entry(
                ours.split_whitespace()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" "),
            )
            .or_insert(0) += 1;
        assert_eq!(
            ours,
            theirs,
            "seed {seed} {rules:?} {:?}",
            BatchHeader::parse(&batch)
        );
    }
    println!("{seen:#?}");
}

/// Two encoders of one codec need not agree to the byte.
fn without_size(dump: String) -> String {
    match dump.split_once(" size ") {
        Some((before, after)) if !before.contains("codec none") => {
            before.to_owned() + after.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => dump,
    }
}

/// What a client might send: mostly right, sometimes forged with a right checksum.
fn client_batch(random: &mut Random) -> Bytes {
    let codec = Codec::from_id(random.below(5) as u8).expect("five codecs");
    let producer = random.one_in(3).then_some(Producer {
        id: 5,
        epoch: 0,
        base_sequence: 0,
    });
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: codec.into(),
        producer,
        ..BatchOptions::default()
    });
    for _ in 0..=random.below(4) {
        let timestamp = match random.below(8) {
            0 => -1,
            1 => NOW - 5000,
            2 => NOW + 5000,
            _ => NOW + random.below(500) as i64,
        };
        let key = (!random.one_in(8)).then_some(&b"key"[..]);
        builder
            .append(timestamp, key, Some(b"value"), [])
            .expect("small");
    }
    let view = BatchView::new(builder.build().expect("small")).expect("one batch");
    let mut header = *view.header();
    match random.below(20) {
        0 => header.record_count += 1,
        1 => header.last_offset_delta += 1,
        2 => {
            (header.record_count, header.last_offset_delta) =
                (header.record_count + 1, header.last_offset_delta + 1)
        }
        3 => {
            (header.record_count, header.last_offset_delta) =
                (header.record_count - 1, header.last_offset_delta - 1)
        }
        4 => header.attributes = header.attributes.with_control(true),
        5 => header.producer_id = 8,
        6 => header.max_timestamp = random.next() as i64,
        8 => {
            header.attributes = header
                .attributes
                .with_transactional(header.has_producer_id())
        }
        _ => {}
    }
    header.seal(view.body());
    [&header.encode()[..], view.body()].concat().into()
}

fn random_rules(random: &mut Random) -> Rules {
    let timestamps = match random.below(3) {
        0 => TimestampRule::LogAppendTime { now_ms: NOW },
        1 => TimestampRule::CreateTime {
            now_ms: NOW,
            before_max_ms: i64::MAX,
            after_max_ms: 1000,
        },
        _ => TimestampRule::CreateTime {
            now_ms: NOW,
            before_max_ms: 1000,
            after_max_ms: i64::MAX,
        },
    };
    Rules {
        compacted: random.one_in(3),
        timestamps,
        compression: random.one_in(3).then(|| {
            Codec::from_id(random.below(5) as u8)
                .expect("five codecs")
                .into()
        }),
        ..rules()
    }
}

fn rules() -> Rules {
    Rules {
        batch_bytes_max: 1 << 20,
        compacted: false,
        timestamps: TimestampRule::CreateTime {
            now_ms: NOW,
            before_max_ms: i64::MAX,
            after_max_ms: i64::MAX,
        },
        compression: None,
        zstd_allowed: true,
        decompressed_bytes_max: 1 << 20,
    }
}

/// The oracle's words for what we did.
fn outcome(result: Result<BatchView, ValidateError>) -> String {
    match result {
        Ok(mut batch) => {
            batch.stamp(1000, 9);
            dump(&batch.to_bytes())
        }
        Err(error) => {
            let code = error.error_code().name().expect("a code of Kafka's");
            match error {
                ValidateError::Rejected(all) => {
                    format!(
                        "error {code} {:?}",
                        all.iter().map(|r| r.batch_index).collect::<Vec<_>>()
                    )
                }
                _ => format!("error {code}"),
            }
        }
    }
}

#[test]
fn broken_bytes_get_kafkas_codes() {
    let mut oracle = Oracle::start();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder
        .append(NOW, Some(b"key"), Some(b"value"), [])
        .expect("small");
    let batch = builder.build().expect("small");
    let with = |at: usize, byte: u8| {
        let mut bytes = batch.to_vec();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes) in [
        ("nothing", vec![]),
        ("two batches", [&batch[..], &batch[..]].concat()),
        ("magic 0", with(16, 0)),
        ("magic 1", with(16, 1)),
        ("magic 3", with(16, 3)),
        ("length below a header", with(11, 20)),
        ("length negative", with(8, 0xff)),
        ("length beyond the bytes", with(11, 250)),
        ("torn in the header", batch[..30].to_vec()),
        ("torn in the records", batch[..batch.len() - 1].to_vec()),
        ("a flipped bit", with(70, batch[70] ^ 1)),
        ("an unknown codec", with(22, 7)),
    ] {
        let ours = outcome(validate(bytes.clone().into(), &rules()));
        assert_eq!(ours, oracle.validate(&bytes, &rules()), "{what}");
        assert!(ours.starts_with("error"), "{what}: {ours}");
    }
}
