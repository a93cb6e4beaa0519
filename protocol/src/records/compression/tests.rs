//! Tests of `compression`: five codecs there and back, torn and hostile streams, budgets, snappy's framing.

use expect_test::expect;
use proptest::prelude::*;

use super::*;

const BUDGET: usize = 1 << 20;

fn compressed(codec: Codec, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, data, &mut out);
    out
}

#[test]
fn names_and_ids() {
    let names: Vec<_> = Codec::ALL
        .map(|c| format!("{}={} level {}", c.id(), c.name(), c.level_default()))
        .into();
    expect!["0=none level 0, 1=gzip level -1, 2=snappy level 0, 3=lz4 level 9, 4=zstd level 3"]
        .assert_eq(&names.join(", "));
    assert!(
        Codec::ALL
            .iter()
            .all(|c| Codec::from_name(c.name()) == Some(*c) && Codec::from_id(c.id()) == Some(*c))
    );
    assert_eq!(
        (Codec::from_id(5), Codec::from_name("brotli")),
        (None, None)
    );
    assert_eq!(Codec::from_name("uncompressed"), Some(Codec::None));
}

#[test]
fn levels_beyond_the_codec_are_clamped() {
    let data = vec![7; 10_000];
    for codec in Codec::ALL {
        for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
            let mut out = Vec::new();
            // The ultra levels of zstd take their time and memory; once is enough.
            if codec == Codec::Zstd && level == i32::MAX {
                continue;
            }
            compress(Compression { codec, level }, &data, &mut out);
            assert_eq!(
                decompress(codec, &out, BUDGET).unwrap(),
                data,
                "{codec:?} {level}"
            );
        }
    }
}

#[test]
fn bombs_cost_their_budget() {
    let zeros = vec![0; 8 << 20];
    for codec in Codec::ALL {
        let bomb = compressed(codec, &zeros);
        assert_eq!(
            decompress(codec, &bomb, BUDGET),
            Err(DecompressError::OverBudget { bytes_max: BUDGET }),
            "{codec:?}"
        );
        assert_eq!(
            decompress(codec, &bomb, zeros.len()).map(|d| d.len()),
            Ok(zeros.len()),
            "{codec:?}"
        );
        assert!(
            decompress(codec, &bomb, zeros.len() - 1).is_err(),
            "{codec:?}"
        );
        assert!(decompress(codec, &bomb, 0).is_err(), "{codec:?}");
    }
}

#[test]
fn torn_streams_are_corrupt() {
    let data: Vec<u8> = (0..50_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
    for codec in &Codec::ALL[1..] {
        let whole = compressed(*codec, &data);
        for len in [1, 5, 17, whole.len() / 2, whole.len() - 1] {
            // lz4 and snappy may end between blocks without noticing; records would be missing, and that is noticed.
            if let Ok(short) = decompress(*codec, &whole[..len], BUDGET) {
                assert!(data.starts_with(&short), "{codec:?} {len}");
            }
        }
    }
}

#[test]
fn snappy_is_framed_as_java_does() {
    let data = [b'a'; 40_000];
    let framed = compressed(Codec::Snappy, &data);
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let first = u32::from_be_bytes(framed[16..20].try_into().unwrap()) as usize;
    assert_eq!(
        snap::raw::decompress_len(&framed[20..20 + first]),
        Ok(32 * 1024)
    );
    assert_eq!(
        snap::raw::decompress_len(&framed[24 + first..]),
        Ok(40_000 - 32 * 1024)
    );
    // Concatenated streams, and nothing at all.
    let twice = [framed.clone(), framed].concat();
    assert_eq!(
        decompress(Codec::Snappy, &twice, BUDGET).unwrap().len(),
        80_000
    );
    assert_eq!(
        decompress(Codec::Snappy, &compressed(Codec::Snappy, b""), BUDGET),
        Ok(vec![])
    );
}

#[test]
fn raw_snappy_is_read() {
    let raw = snap::raw::Encoder::new()
        .compress_vec(b"from librdkafka")
        .unwrap();
    assert_eq!(
        decompress(Codec::Snappy, &raw, BUDGET).unwrap(),
        b"from librdkafka"
    );
}

#[test]
fn snappy_lengths_are_not_believed() {
    let check = |data: &[u8], bytes_max: usize, expect: expect_test::Expect| {
        expect.assert_eq(
            &decompress(Codec::Snappy, data, bytes_max)
                .unwrap_err()
                .to_string(),
        );
    };
    let header = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    check(
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        BUDGET,
        expect![[
            r#"snappy records cannot be decompressed: snappy block declares an impossible length"#
        ]],
    );
    check(
        &[&header[..], &[0x7f, 0xff, 0xff, 0xff, 0]].concat(),
        BUDGET,
        expect!["snappy records cannot be decompressed: torn snappy block"],
    );
    check(
        &[&header[..], &[0, 0]].concat(),
        BUDGET,
        expect!["snappy records cannot be decompressed: torn snappy block length"],
    );
    check(
        &header[..12],
        BUDGET,
        expect!["snappy records cannot be decompressed: torn snappy header"],
    );
    check(
        &compressed(Codec::Snappy, &[0; 20_000]),
        10_000,
        expect!["decompressed records exceed the budget of 10000 bytes"],
    );
}

#[test]
fn gzip_members_are_joined() {
    let twice = [
        compressed(Codec::Gzip, b"one "),
        compressed(Codec::Gzip, b"two"),
    ]
    .concat();
    assert_eq!(decompress(Codec::Gzip, &twice, BUDGET).unwrap(), b"one two");
}

#[test]
fn lz4_frames_are_as_java_writes_them() {
    let frame = compressed(Codec::Lz4, b"hello hello hello hello");
    // Magic; flags: version 1, independent blocks, no checksums, no size; block size 64 KiB.
    assert_eq!(frame[..6], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40]);
}

proptest! {
    #[test]
    fn round_trip(data in proptest::collection::vec(0u8..4, 0..100_000), codec in 0u8..5) {
        let codec = Codec::from_id(codec).unwrap();
        prop_assert_eq!(decompress(codec, &compressed(codec, &data), data.len()).unwrap(), data);
    }

    #[test]
    fn garbage_is_survived(data in proptest::collection::vec(any::<u8>(), 0..300), codec in 0u8..5, cut in 0usize..40) {
        let codec = Codec::from_id(codec).unwrap();
        let _ = decompress(codec, &data, BUDGET);
        // A right start, then garbage.
        let mut started = compressed(codec, &[1; 500]);
        started.truncate(cut);
        started.extend_from_slice(&data);
        let _ = decompress(codec, &started, BUDGET);
    }
}
