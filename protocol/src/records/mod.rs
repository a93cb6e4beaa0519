//! Record batches: Kafka's format v2 (magic 2), the same on the wire, on disk and in memory.
//!
//! The rooms: `header` (the fixed 61 bytes), `batch` (one batch as bytes: splitting, checksum, stamping), `record`
//! (walking records where they lie), `stream` (walking them in constant memory), `builder` (writing batches),
//! `compression` (five codecs, reading under a byte budget), `control` (transaction markers and KRaft control
//! records), `validate` (what a leader checks before it appends what a client sent), `search` (time lookups inside
//! one batch), `varint`.
//!
//! Invariant: nothing here panics or allocates from a declared length; memory follows bytes that were read.
//! Not here: magic 0 and 1 (refused by name), offsets across batches, producer state (broker/storage).

mod batch;
mod builder;
mod compression;
mod control;
mod header;
mod record;
mod search;
mod stream;
mod validate;
mod varint;

pub use batch::{BatchView, Batches, batches, patch_base_offset, patch_leader_epoch};
pub use builder::{BatchBuilder, BatchOptions, BuildError, Producer};
pub use compression::{Codec, Compression, DecompressError, Decompressor, compress, decompress};
pub use control::{ControlError, ControlRecord, ControlType, EndTxnMarker, control_batch};
pub use header::{
    Attributes, BATCH_OVERHEAD, BatchError, BatchHeader, HEADER_LEN, MAGIC,
    NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP,
    TimestampType, sequence_plus,
};
pub use record::{BatchRecords, Headers, Record, RecordError, RecordFault, RecordIter};
pub use search::{OffsetAtTime, first_at_or_after, offset_of_max_timestamp};
pub use stream::RecordStream;
pub use validate::{
    HeaderFault, REJECTIONS_MAX, Rejection, RejectionKind, Rules, TimestampRule, ValidateError,
    validate,
};
