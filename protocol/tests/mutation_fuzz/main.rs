//! Bad bytes for every decoder: none may panic, and none may ask the allocator for more than
//! 64 × frame + 64 KiB, whatever it is given.
//!
//! This is the fuzzer that CI runs: mutations of the corpus in ../../fuzz/corpus and of generated
//! instances, on stable Rust, for `OTTLA_FUZZ_SECONDS` (5 unless set). Each run takes another seed
//! unless `OTTLA_FUZZ_SEED` gives one; a failure prints the seed and the bytes. Put those into the
//! corpus, where they are tried first ever after. The coverage-guided twin is in ../../fuzz.
#![allow(
    clippy::disallowed_methods,
    reason = "a test may look at the clock, files and the environment"
)]

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
mod counting;
#[path = "../instances/mod.rs"]
mod instances;
mod mutate;
mod seeds;
#[path = "../../fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use instances::{Message, Random, instance, overclaiming_instance, parse, wide_instance};
use ottla_protocol::catalogue::{self, Entry};
use ottla_protocol::{Bytes, Reader};
use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const TABLES: [&str; 6] = [
    include_str!("../../schemas/messages.txt"),
    include_str!("../../schemas/metadata_records.txt"),
    include_str!("../../schemas/group_records.txt"),
    include_str!("../../schemas/transaction_records.txt"),
    include_str!("../../schemas/share_records.txt"),
    include_str!("../../schemas/remote_log_records.txt"),
];

fn messages() -> Vec<Message> {
    TABLES.into_iter().flat_map(parse).collect()
}

/// What a frame may cost per byte, and what any frame may cost.
const PER_BYTE: usize = 64;
const FLOOR: usize = 64 * 1024;

fn watch(frame: usize, decode: &mut dyn FnMut()) {
    let requested = counting::requested(decode);
    assert!(
        requested <= PER_BYTE * frame + FLOOR,
        "{requested} bytes requested for a frame of {frame}"
    );
}

/// Decodes under watch; gives what it asked for.
fn decode(entry: &Entry, version: i16, bytes: &[u8], floor: usize) -> usize {
    let frame = Bytes::copy_from_slice(bytes);
    let requested = counting::requested(&mut || {
        // Good or bad: both may cost no more.
        let _ = entry.decode(&mut Reader::new(frame.clone()), version);
    });
    assert!(
        requested <= PER_BYTE * bytes.len() + floor,
        "{} v{version}: {requested} bytes requested for a frame of {}: {}",
        entry.name,
        bytes.len(),
        hex(bytes)
    );
    requested
}

#[test]
fn every_message_survives_hostile_frames() {
    let nasty: Vec<&[u8]> = mutate::nasty().collect();
    let mut costliest = (0.0, String::new());
    for message in messages() {
        let entry = catalogue::find(&message.name).expect("the codec has every message");
        for version in entry.versions.clone() {
            let mut random = Random::named(1, entry.name, version);
            for _ in 0..3 {
                let good = instance(&message, version, &mut random);
                decode(entry, version, &good, FLOOR);
                for at in 0..good.len().min(150) {
                    decode(entry, version, &good[..at], FLOOR);
                    let mut bad = good.clone();
                    mutate::overwrite(
                        &mut bad,
                        at,
                        nasty[random.below(nasty.len() as u64) as usize],
                    );
                    decode(entry, version, &bad, FLOOR);
                }
                let size = random.below(300) as usize;
                decode(entry, version, &random.bytes(size), FLOOR);
            }
            // Every array on the way down promises what the rest of the frame might just hold.
            for _ in 0..8 {
                let mut frame = overclaiming_instance(&message, version, &mut random);
                frame.resize(20_000, 0);
                let ratio = decode(entry, version, &frame, FLOOR) as f64 / frame.len() as f64;
                if ratio > costliest.0 {
                    costliest = (ratio, format!("{} v{version}", entry.name));
                }
            }
            // One byte again and again: as counts, as lengths, as the elements of arrays of arrays.
            for byte in [0, 1, 2, 3, 0x10, 0x40, 0x7f, 0x80, 0xff] {
                decode(entry, version, &[byte; 20_000], FLOOR);
            }
        }
    }
    println!(
        "costliest: {:.1} bytes requested per byte of {}",
        costliest.0, costliest.1
    );
}

#[test]
fn honest_frames_never_meet_the_limit() {
    // Arrays of as many of the smallest elements as a frame holds are the dearest honest frames.
    let mut dearest = (0.0, String::new());
    for message in messages() {
        let entry = catalogue::find(&message.name).expect("the codec has every message");
        for version in entry.versions.clone() {
            for depth in 0..4 {
                let bytes = wide_instance(&message, version, depth, 300);
                let ratio = decode(entry, version, &bytes, 128) as f64 / bytes.len() as f64;
                let read = entry.decode(&mut Reader::new(Bytes::from(bytes)), version);
                assert_eq!(read, Ok(()), "{} v{version}", entry.name);
                if ratio > dearest.0 {
                    dearest = (ratio, format!("{} v{version}", entry.name));
                }
            }
        }
    }
    println!(
        "dearest: {:.1} bytes requested per byte of {}",
        dearest.0, dearest.1
    );
}

#[test]
fn corpus_and_mutations() {
    let seconds = std::env::var("OTTLA_FUZZ_SECONDS")
        .map_or(5, |text| text.parse().expect("a number of seconds"));
    let seed = std::env::var("OTTLA_FUZZ_SEED")
        .map_or_else(|_| clock_seed(), |text| text.parse().expect("a seed"));
    let mut random = Random::named(seed, "mutations", 0);
    let messages = messages();
    let corpora = TARGETS.map(|(name, _)| corpus(name));
    for ((name, target), inputs) in TARGETS.iter().zip(&corpora) {
        inputs
            .iter()
            .for_each(|input| attempt(name, *target, input, seed));
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tried = [0u64; TARGETS.len()];
    while Instant::now() < end {
        let at = random.below(TARGETS.len() as u64) as usize;
        let (name, target) = TARGETS[at];
        let seed_bytes = |random: &mut Random| match random.below(8) {
            0 => corpora[at][random.below(corpora[at].len() as u64) as usize].clone(),
            _ => seeds::good(name, &messages, random),
        };
        let mut input = seed_bytes(&mut random);
        let other = seed_bytes(&mut random);
        for _ in 0..20 {
            let mut bytes = input.clone();
            mutate::mutate(&mut bytes, &other, &mut random);
            attempt(name, target, &bytes, seed);
            tried[at] += 1;
            // Now and then walk on from where we are.
            if random.below(4) == 0 && bytes.len() < 4096 {
                input = bytes;
            }
        }
    }
    for ((name, _), tried) in TARGETS.iter().zip(tried) {
        println!("{name}: {tried} mutations");
    }
}

fn attempt(name: &str, target: Target, bytes: &[u8], seed: u64) {
    let result = catch_unwind(AssertUnwindSafe(|| target(bytes, &watch)));
    if let Err(panic) = result {
        eprintln!(
            "target {name}, OTTLA_FUZZ_SEED={seed}, input {}",
            hex(bytes)
        );
        resume_unwind(panic);
    }
}

/// Known good and once bad inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a readable file"))
        .collect()
}

fn clock_seed() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
