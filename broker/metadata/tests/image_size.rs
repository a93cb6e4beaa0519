//! How much memory a million partitions take, and how long they take to load from records: printed for
//! several shapes of clusters, and held to the promise of 200 bytes a partition (allocated bytes are
//! counted, so the result is the same on every machine; times are only printed).
//!
//! `cargo test --release -p ottla-broker-metadata --test image_size -- --nocapture`

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    unsafe_code,
    reason = "a counting allocator is the only way to know what an image weighs"
)]

use ottla_broker_metadata::{Image, Provenance, Replayer, SnapshotHead, encode_snapshot};
use ottla_protocol::metadata_records::{
    MetadataRecord, PartitionChangeRecord, PartitionRecord, TopicRecord,
};
use ottla_protocol::{Bytes, Uuid};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Fewer in a debug build, where the bytes per partition are the same and the seconds are not.
const PARTITIONS: usize = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};

fn topic_id(number: usize) -> Uuid {
    // Spread as random ids are.
    let mixed = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Uuid(mixed.to_be_bytes())
}

fn encoded(topics: usize, partitions_per_topic: usize, replicas: usize) -> Vec<Bytes> {
    let mut values = Vec::with_capacity(topics * (partitions_per_topic + 1));
    for topic in 0..topics {
        let record = TopicRecord {
            name: format!("some-team.some-topic-{topic}").into(),
            topic_id: topic_id(topic),
            ..Default::default()
        };
        values.push(MetadataRecord::from(record).encode(0).unwrap());
        for index in 0..partitions_per_topic {
            let brokers: Vec<i32> = (0..replicas)
                .map(|replica| ((topic + index + replica) % 100) as i32)
                .collect();
            let record = PartitionRecord {
                partition_id: index as i32,
                topic_id: topic_id(topic),
                leader: brokers[0],
                directories: brokers
                    .iter()
                    .map(|broker| topic_id(*broker as usize))
                    .collect(),
                isr: brokers.clone(),
                replicas: brokers,
                leader_epoch: 3,
                partition_epoch: 7,
                ..Default::default()
            };
            values.push(MetadataRecord::from(record).encode(2).unwrap());
        }
    }
    values
}

fn load(values: &[Bytes]) -> Image {
    let mut replayer = Replayer::default();
    for value in values {
        replayer
            .replay(0, &MetadataRecord::decode(value.clone()).unwrap())
            .unwrap();
    }
    replayer
        .publish(Provenance {
            offset: 0,
            epoch: 0,
            timestamp_ms: 0,
        })
        .unwrap()
        .0
}

#[derive(Default)]
struct Slices {
    bytes: usize,
    bytes_max: usize,
    count: usize,
    took: Duration,
    longest: Duration,
}

/// What whoever writes a snapshot does between two turns of others.
fn snapshot_slices(image: &Image) -> Slices {
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mut slices = Slices::default();
    let head = SnapshotHead::default();
    let mut batches = encode_snapshot(image.to_records(30), &head, 1, 0);
    loop {
        let start = now();
        let Some(batch) = batches.next() else {
            return slices;
        };
        let took = now() - start;
        let bytes = batch.unwrap().len();
        slices.bytes += bytes;
        slices.bytes_max = slices.bytes_max.max(bytes);
        slices.count += 1;
        slices.took += took;
        slices.longest = slices.longest.max(took);
    }
}

#[test]
fn a_million_partitions_fit_and_a_change_costs_what_it_changes() {
    for (topics, partitions_per_topic, replicas, bytes_max) in [
        (PARTITIONS / 1000, 1000, 3, 200),
        (PARTITIONS / 100, 100, 3, 200),
        (PARTITIONS / 10, 10, 3, 200),
        (PARTITIONS / 100, 100, 1, 200),
        (PARTITIONS, 1, 3, 500),
    ] {
        let values = encoded(topics, partitions_per_topic, replicas);
        let before = ALLOCATED.load(Ordering::Relaxed);
        let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let image = load(&values);
        let took = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() - start;
        let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
        println!(
            "{PARTITIONS} partitions in {topics} topics, {replicas} replicas: {} MB, {} bytes a partition, loaded in {} ms",
            bytes / 1_000_000,
            bytes / PARTITIONS,
            took.as_millis()
        );
        assert!(
            bytes / PARTITIONS <= bytes_max,
            "more than {bytes_max} bytes a partition"
        );

        let slices = snapshot_slices(&image);
        println!(
            "  a snapshot is {} MB in {} batches, made in {} ms, the longest batch in {} us",
            slices.bytes / 1_000_000,
            slices.count,
            slices.took.as_millis(),
            slices.longest.as_micros()
        );
        assert!(
            slices.bytes_max <= 512 * 1024,
            "a snapshot is written in slices, not at once"
        );

        let mut replayer = Replayer::new(image.clone());
        let before = ALLOCATED.load(Ordering::Relaxed);
        let change = PartitionChangeRecord {
            topic_id: topic_id(topics / 2),
            partition_id: 0,
            leader: 9,
            ..Default::default()
        };
        replayer.replay(1, &change.into()).unwrap();
        let (changed, delta) = replayer
            .publish(Provenance {
                offset: 1,
                epoch: 0,
                timestamp_ms: 0,
            })
            .unwrap();
        let copied = ALLOCATED.load(Ordering::Relaxed) - before;
        println!("  one change copies {copied} bytes");
        assert!(copied < 64 * 1024, "one change must not copy the image");
        assert_eq!(delta.topics.len(), 1);
        assert_ne!(image, changed);
    }
}
