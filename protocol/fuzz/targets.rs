//! What to do with arbitrary bytes, one function per family of decoders. Shared by the cargo-fuzz
//! binaries in `fuzz_targets/` and by the mutation fuzzer in ../tests/mutation_fuzz, which is the
//! one that CI runs: it needs nothing but stable Rust.
//!
//! Properties: nothing panics; a decode stays within its memory (the caller of a target watches
//! every decode); what was decoded can be encoded, and encoding it again changes nothing.

use ottla_protocol::catalogue::{self, Entry};
use ottla_protocol::coordinator_records::{GroupRecord, ShareRecord, TransactionRecord};
use ottla_protocol::metadata_records::MetadataRecord;
use ottla_protocol::records::{
    BATCH_OVERHEAD, BatchView, Codec, ControlRecord, HEADER_LEN, Rules, TimestampRule, batches,
    first_at_or_after, offset_of_max_timestamp, validate,
};
use ottla_protocol::remote_log_records::RemoteLogRecord;
use ottla_protocol::{ApiKey, Bytes, Reader, frame};

/// Runs one decode of a frame of that many bytes, and may look at what it does meanwhile.
pub type Watch<'a> = &'a dyn Fn(usize, &mut dyn FnMut());

/// A target: arbitrary bytes, watched.
pub type Target = fn(&[u8], Watch<'_>);

/// All targets by name; their corpora are in `corpus/NAME`.
pub const TARGETS: [(&str, Target); 6] = [
    ("requests", requests),
    ("responses", responses),
    ("data", data),
    ("keyed_records", keyed_records),
    ("coordinator_records", coordinator_records),
    ("record_batches", record_batches),
];

/// A request frame as a broker takes it off the socket: prefix, header, body.
pub fn requests(bytes: &[u8], watch: Watch<'_>) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok((key, version, _)) = frame::request_prefix(&bytes) else {
        return;
    };
    let Some(key) = ApiKey::from_i16(key).filter(|key| key.valid_versions().contains(&version))
    else {
        return;
    };
    let mut reader = Reader::new(bytes.clone());
    let mut header = None;
    watch(bytes.len(), &mut || {
        header = frame::decode_request_header(&mut reader, key, version).ok()
    });
    if header.is_some() {
        message(
            &format!("{key}Request"),
            version,
            bytes.slice(bytes.len() - reader.remaining()..),
            watch,
        );
    }
}

/// Key and version, then a response frame as a client takes it off the socket.
pub fn responses(bytes: &[u8], watch: Watch<'_>) {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let (Ok(key), Ok(version)) = (reader.i16(), reader.i16()) else {
        return;
    };
    let Some(key) = ApiKey::from_i16(key).filter(|key| key.valid_versions().contains(&version))
    else {
        return;
    };
    let frame = Bytes::copy_from_slice(&bytes[4..]);
    let mut reader = Reader::new(frame.clone());
    let header = catalogue::find("ResponseHeader").expect("the catalogue has the headers");
    let mut read = false;
    watch(frame.len(), &mut || {
        read = header
            .decode(&mut reader, key.response_header_version(version))
            .is_ok()
    });
    if read {
        message(
            &format!("{key}Response"),
            version,
            frame.slice(frame.len() - reader.remaining()..),
            watch,
        );
    }
}

/// A number of a message in the catalogue and a version, then its bytes: reaches headers, the data
/// inside byte fields, unreleased versions, and records without their frame.
pub fn data(bytes: &[u8], watch: Watch<'_>) {
    let [high, low, version, body @ ..] = bytes else {
        return;
    };
    let Some(entry) = catalogue::entries().get(usize::from(u16::from_be_bytes([*high, *low])))
    else {
        return;
    };
    whole(
        entry,
        i16::from(*version),
        Bytes::copy_from_slice(body),
        watch,
    );
}

fn message(name: &str, version: i16, body: Bytes, watch: Watch<'_>) {
    let entry = catalogue::find(name).expect("the catalogue has every request and response");
    whole(entry, version, body, watch);
}

fn whole(entry: &Entry, version: i16, body: Bytes, watch: Watch<'_>) {
    let mut decoded = Ok(());
    watch(body.len(), &mut || {
        decoded = entry.decode(&mut Reader::new(body.clone()), version)
    });
    if decoded.is_ok() {
        let recode = |bytes: Bytes| {
            let frame = entry.recode(&mut Reader::new(bytes), version, version);
            frame.expect("what was decoded can be encoded").into_bytes()
        };
        let once = recode(body);
        assert_eq!(
            recode(once.clone()),
            once,
            "{} v{version} changes when written again",
            entry.name
        );
    }
}

/// The value of a metadata or remote log record.
pub fn keyed_records(bytes: &[u8], watch: Watch<'_>) {
    let value = Bytes::copy_from_slice(bytes);
    let mut record = None;
    watch(value.len(), &mut || {
        record = MetadataRecord::decode(value.clone()).ok()
    });
    if let Some(record) = record {
        let (_, version) = MetadataRecord::type_and_version(&value).expect("it was decoded");
        let written = record
            .encode(version)
            .expect("what was decoded can be encoded");
        let again = MetadataRecord::decode(written.clone()).expect("we wrote it");
        // Not the records: a quota may be NaN, which equals nothing.
        assert_eq!(again.encode(version), Ok(written));
    }
    watch(value.len(), &mut || {
        drop(RemoteLogRecord::decode(value.clone()))
    });
}

/// Length of a key, a key, and a value (or none), for each of the coordinators.
pub fn coordinator_records(bytes: &[u8], watch: Watch<'_>) {
    let [key_len, rest @ ..] = bytes else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*key_len)));
    let key = Bytes::copy_from_slice(key);
    let value = (!value.is_empty()).then(|| Bytes::copy_from_slice(value));
    watch(rest.len(), &mut || {
        if let Ok(record) = GroupRecord::decode(key.clone(), value.clone()) {
            assert_eq!(record.encode_key().as_ref(), Ok(&key));
        }
    });
    watch(rest.len(), &mut || {
        drop(TransactionRecord::decode(key.clone(), value.clone()))
    });
    watch(rest.len(), &mut || {
        drop(ShareRecord::decode(key.clone(), value.clone()))
    });
}

/// Record batches. Bits of the first byte say what is made right in the first of them (length,
/// checksum), without which little of a mutated batch would be read, and which rules it meets.
pub fn record_batches(bytes: &[u8], watch: Watch<'_>) {
    let [bits, batch @ ..] = bytes else { return };
    let mut batch = batch.to_vec();
    mend(&mut batch, bits & 1 != 0, bits & 2 != 0);
    let bytes = Bytes::from(batch);
    for batch in batches(bytes.clone()).map_while(Result::ok) {
        if batch.header().codec() == Codec::None {
            // No buffers of a codec: reading records costs little but their bytes.
            watch(batch.size(), &mut || read(&batch));
        } else {
            read(&batch);
        }
    }
    let (now_ms, far) = (1_700_000_000_000, i64::MAX);
    let rules = Rules {
        batch_bytes_max: BYTES_MAX,
        compacted: bits & 4 != 0,
        timestamps: match bits & 8 {
            0 => TimestampRule::LogAppendTime { now_ms },
            _ => TimestampRule::CreateTime {
                now_ms,
                before_max_ms: far,
                after_max_ms: far,
            },
        },
        compression: Codec::from_id(bits >> 5).map(Into::into),
        zstd_allowed: bits & 16 != 0,
        decompressed_bytes_max: BYTES_MAX,
    };
    if let Ok(batch) = validate(bytes, &rules) {
        batch.check_crc().expect("a leader writes right checksums");
        drop(
            batch
                .records(BYTES_MAX)
                .expect("a leader writes batches that can be read"),
        );
    }
}

/// Bytes that one batch may have, stored and decompressed.
const BYTES_MAX: usize = 1 << 20;

fn mend(batch: &mut [u8], length: bool, checksum: bool) {
    let Some(size) = batch
        .len()
        .checked_sub(BATCH_OVERHEAD)
        .filter(|_| batch.len() >= HEADER_LEN)
    else {
        return;
    };
    if length {
        batch[8..12].copy_from_slice(&(size as i32).to_be_bytes());
    }
    if checksum {
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

fn read(batch: &BatchView) {
    if batch.check_crc().is_err() {
        return;
    }
    if let Ok(mut stream) = batch.stream(BYTES_MAX) {
        while let Ok(Some(record)) = stream.next() {
            std::hint::black_box(record.headers.iter().count());
            if batch.header().attributes.is_control() {
                drop(ControlRecord::parse(&record));
            }
        }
    }
    drop(first_at_or_after(batch, 0, 0, BYTES_MAX));
    drop(offset_of_max_timestamp(batch, BYTES_MAX));
}
