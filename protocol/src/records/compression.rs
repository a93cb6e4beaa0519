//! The five codecs of record batches, written as Kafka's Java client writes them and read from any client.
//!
//! Only the records region of a batch is compressed; the header says how. Reading is always streamed under a byte
//! budget: a decompression bomb costs its budget and ends as `DecompressError::OverBudget`.
//! snappy is framed (xerial) as Java does; the raw form that some clients send is read too (`snappy_xerial`).
//! lz4 is the frame format with independent 64 KiB blocks. There is one speed of lz4: its level is taken and has
//! no effect (the pure Rust encoder has no high-compression mode).

use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

mod snappy_xerial;

/// Compression of the records in a batch; the discriminant is the wire id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    #[default]
    None = 0,
    /// gzip, concatenated members allowed on read.
    Gzip = 1,
    /// snappy, xerial framing on write.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// Zstandard (since Produce 7 / Fetch 10, KIP-110).
    Zstd = 4,
}

impl Codec {
    /// Every codec, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The id in batch attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// By id; `None` for 5 and above.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// By name, also Kafka's topic value `uncompressed`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "uncompressed" {
            return Some(Self::None);
        }
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The level that Kafka uses when none is set: gzip -1 (zlib's 6), lz4 9, zstd 3.
    pub fn level_default(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }
}

/// A codec with its level (`compression.<codec>.level`: gzip -1 or 1..=9, lz4 1..=17, zstd -131072..=22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compression {
    /// How.
    pub codec: Codec,
    /// How hard; clamped to what the codec knows.
    pub level: i32,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        Self {
            codec,
            level: codec.level_default(),
        }
    }
}

/// Why compressed bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// More bytes come out than the caller allows.
    #[error("decompressed records exceed the budget of {bytes_max} bytes")]
    OverBudget {
        /// The caller's budget.
        bytes_max: usize,
    },
    /// Not what the codec writes, or torn.
    #[error("{} records cannot be decompressed: {reason}", codec.name())]
    Corrupt {
        /// The codec that was tried.
        codec: Codec,
        /// What the decoder said.
        reason: String,
    },
}

/// Appends the compressed form of `data` to `out`.
pub fn compress(compression: impl Into<Compression>, data: &[u8], out: &mut Vec<u8>) {
    const MEMORY: &str = "writing into memory does not fail";
    let Compression { codec, level } = compression.into();
    match codec {
        Codec::None => out.extend_from_slice(data),
        Codec::Gzip => {
            let level = if level < 0 {
                flate2::Compression::default()
            } else {
                flate2::Compression::new(level.min(9) as u32)
            };
            let mut encoder = GzEncoder::new(out, level);
            encoder
                .write_all(data)
                .and_then(|()| encoder.finish().map(drop))
                .expect(MEMORY);
        }
        Codec::Snappy => snappy_xerial::compress(data, out),
        Codec::Lz4 => {
            let frame = FrameInfo::new()
                .block_size(BlockSize::Max64KB)
                .block_mode(BlockMode::Independent);
            let mut encoder = FrameEncoder::with_frame_info(frame, out);
            encoder.write_all(data).expect(MEMORY);
            encoder.finish().expect(MEMORY);
        }
        // One shot, so that the frame tells its content size and readers need no window beyond it.
        Codec::Zstd => {
            let level = level.clamp(
                *zstd::compression_level_range().start(),
                *zstd::compression_level_range().end(),
            );
            out.extend_from_slice(&zstd::bulk::compress(data, level).expect(MEMORY));
        }
    }
}

/// Decompresses all of `data`, at most `bytes_max`; memory grows with what comes out.
pub fn decompress(codec: Codec, data: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecompressError> {
    let mut decompressor = Decompressor::new(codec, data, bytes_max)?;
    // Records compress about fourfold; a wrong guess costs a copy.
    let mut out = vec![
        0;
        (data.len().saturating_mul(4))
            .clamp(1024, 1 << 20)
            .min(bytes_max.max(1))
    ];
    let mut len = 0;
    loop {
        let read = decompressor.read(&mut out[len..])?;
        if read == 0 {
            out.truncate(len);
            return Ok(out);
        }
        len += read;
        if len == out.len() {
            // One byte beyond the budget lets the decompressor notice the excess.
            out.resize(
                out.len()
                    .saturating_mul(2)
                    .min(bytes_max.saturating_add(1))
                    .max(len + 1),
                0,
            );
        }
    }
}

/// Decompresses piece by piece.
pub struct Decompressor<'a> {
    codec: Codec,
    inner: Inner<'a>,
    bytes_max: usize,
    left: usize,
}

enum Inner<'a> {
    None(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy_xerial::Reader<'a>),
    Lz4(Box<FrameDecoder<&'a [u8]>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, &'a [u8]>>),
}

// What zstd itself allows unless told otherwise (128 MiB), and what level 22 writes for streams of unknown size.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl<'a> Decompressor<'a> {
    /// `data` is the whole compressed region.
    pub fn new(codec: Codec, data: &'a [u8], bytes_max: usize) -> Result<Self, DecompressError> {
        let inner = match codec {
            Codec::None => Inner::None(data),
            Codec::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(data))),
            Codec::Snappy => Inner::Snappy(snappy_xerial::Reader::new(data)),
            Codec::Lz4 => Inner::Lz4(Box::new(FrameDecoder::new(data))),
            Codec::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(data)
                    .map_err(|e| corrupt(codec, e))?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .map_err(|e| corrupt(codec, e))?;
                Inner::Zstd(Box::new(decoder))
            }
        };
        Ok(Self {
            codec,
            inner,
            bytes_max,
            left: bytes_max,
        })
    }

    /// Fills the start of `out`; 0 is the end. `out` must not be empty.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, DecompressError> {
        let result = match &mut self.inner {
            Inner::None(data) => data.read(out),
            Inner::Gzip(decoder) => decoder.read(out),
            Inner::Snappy(reader) => reader.read(out, self.left),
            Inner::Lz4(decoder) => decoder.read(out),
            Inner::Zstd(decoder) => decoder.read(out),
        };
        let read = match result {
            Ok(read) => read,
            Err(error) if snappy_xerial::is_over_budget(&error) => return Err(self.over_budget()),
            Err(error) => return Err(corrupt(self.codec, error)),
        };
        self.left = self
            .left
            .checked_sub(read)
            .ok_or_else(|| self.over_budget())?;
        Ok(read)
    }

    /// Bytes that the budget still allows.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    pub(super) fn over_budget(&self) -> DecompressError {
        DecompressError::OverBudget {
            bytes_max: self.bytes_max,
        }
    }
}

fn corrupt(codec: Codec, error: std::io::Error) -> DecompressError {
    DecompressError::Corrupt {
        codec,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
