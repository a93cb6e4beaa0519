//! Groups read back whole, and nothing less than whole reads back.

use super::*;
use crate::entry::LogId;
use ottla_protocol::records::{BatchBuilder, BatchOptions, BatchView};

const PLACE: GroupPlace = GroupPlace {
    directory: 7,
    lane: 2,
    generation: 11,
    sequence: 42,
};

fn batch(base_offset: i64, records: usize, value_len: usize) -> BatchView {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![base_offset as u8; value_len];
    for i in 0..records {
        builder
            .append(1000 + i as i64, Some(b"key"), Some(&value), [])
            .expect("fits");
    }
    let mut view = BatchView::new(builder.build().expect("records")).expect("a batch");
    view.stamp(base_offset, 5);
    view
}

fn sample() -> Bytes {
    let mut group = GroupBuilder::default();
    for log in 0..3u32 {
        let views: Vec<BatchView> = (0..2).map(|i| batch(i * 10, 10, 400)).collect();
        let slices: Vec<[Bytes; 2]> = views
            .iter()
            .map(|view| {
                [
                    Bytes::copy_from_slice(&view.header().encode()),
                    view.body().clone(),
                ]
            })
            .collect();
        let len = views.iter().map(BatchView::size).sum::<usize>() as u32;
        let frame = AppendFrame {
            log: LogId(log),
            segment: 0,
            position: 100,
            base_offset: 0,
            end_offset: 20,
            batches: 2,
            len,
        };
        group.append(frame, slices.iter().map(|slices| &slices[..]));
        group.frame(&Frame::Start {
            log: LogId(log),
            log_start: 3,
            local_start: 4,
        });
    }
    group.frame(&Frame::Put(Box::new(crate::entry::tests::sample())));
    group.frame(&Frame::Remove(LogId(1)));
    let len = group.len_on_disk();
    let bytes: Vec<u8> = group.seal(PLACE).concat();
    assert_eq!(bytes.len(), len);
    bytes.into()
}

#[test]
fn groups_read_back() {
    let bytes = sample();
    let group = read_group(&bytes).expect("a group");
    assert!(group.is_whole);
    assert_eq!(
        (group.header.place, group.header.len_on_disk()),
        (PLACE, bytes.len())
    );
    assert_eq!(group.frames.len(), 8);
    let Frame::Append(append) = &group.frames[2].frame else {
        panic!("{:?}", group.frames[2].frame)
    };
    assert_eq!(
        (append.log, append.len as usize),
        (LogId(1), group.frames[2].payload.len())
    );
}

fn is_whole(bytes: &Bytes) -> bool {
    read_group(bytes).is_ok_and(|group| group.is_whole)
}

#[test]
fn any_flipped_bit_and_any_cut_is_noticed() {
    let bytes = sample();
    let header = GroupHeader::parse(&bytes).expect("whole");
    let body = 64 + header.frames_len as usize + header.payload_len as usize;
    for at in 0..body {
        let mut bad = bytes.to_vec();
        bad[at] ^= 1 << (at % 8);
        assert!(!is_whole(&bad.into()), "bit of byte {at}");
    }
    for cut in (0..body).step_by(512) {
        let mut torn = bytes.to_vec();
        torn[cut..].fill(0);
        assert!(!is_whole(&torn.into()), "torn at {cut}");
        assert!(!is_whole(&bytes.slice(..cut)), "cut at {cut}");
    }
}

#[test]
fn a_bad_batch_is_its_own_logs_trouble() {
    let bytes = sample();
    let header = GroupHeader::parse(&bytes).expect("whole");
    let mut bad = bytes.to_vec();
    bad[64 + header.frames_len as usize + 200] ^= 1;
    let group = read_group(&bad.into()).expect("its frames can be read");
    assert!(!group.is_whole);
    let unsound: Vec<usize> = (0..group.frames.len())
        .filter(|&at| !group.frames[at].is_sound)
        .collect();
    assert_eq!(unsound, [0]);
}
