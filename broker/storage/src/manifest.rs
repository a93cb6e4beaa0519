//! The manifest: every log of a log directory as of the last checkpoint, in one file.
//!
//! It tells an empty log from a missing one, holds each segment's end and length, and says up to which group each
//! commit log was released. Written whole (temporary file, fsync, rename, fsync of the directory), so it is always one
//! checkpoint's truth. Entries stay encoded: they are copied, not understood, until recovery.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};
use ottla_protocol::Uuid;

use crate::entry::{Entry, LogId, Undecodable};

const MAGIC: u32 = 0x4f54_4d46;
const VERSION: u16 = 1;
const PREFIX_LEN: usize = 10;

/// All that the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Whose it is: a manifest copied from elsewhere is refused.
    pub directory_id: Uuid,
    /// Next number for a log.
    pub next_log: u32,
    /// The broker epoch of the clean stop that it describes; `None` from the first checkpoint of the next use on.
    pub clean_stop: Option<i64>,
    /// For each lane the last group that is needed no more.
    pub released: BTreeMap<u16, u64>,
    /// Encoded entries.
    pub entries: BTreeMap<LogId, Bytes>,
}

impl Manifest {
    /// A directory without logs.
    pub fn new(directory_id: Uuid) -> Self {
        Self {
            directory_id,
            next_log: 0,
            clean_stop: None,
            released: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    /// Puts a log in, or replaces it.
    pub fn put(&mut self, entry: &Entry) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        self.entries.insert(entry.id, bytes.into());
    }

    /// The file's bytes.
    pub fn encode(&self) -> Bytes {
        let len: usize = self.entries.values().map(Bytes::len).sum();
        let mut out = Vec::with_capacity(len + 128);
        out.put_u32(MAGIC);
        out.put_u16(VERSION);
        out.put_u32(0);
        out.put_slice(&self.directory_id.0);
        out.put_u32(self.next_log);
        out.put_u8(u8::from(self.clean_stop.is_some()));
        out.put_i64(self.clean_stop.unwrap_or_default());
        out.put_u16(self.released.len() as u16);
        for (&lane, &sequence) in &self.released {
            out.put_u16(lane);
            out.put_u64(sequence);
        }
        out.put_u32(self.entries.len() as u32);
        for entry in self.entries.values() {
            out.put_slice(entry);
        }
        let crc = crc32c::crc32c(&out[PREFIX_LEN..]);
        out[6..PREFIX_LEN].copy_from_slice(&crc.to_be_bytes());
        out.into()
    }

    /// Reads the file, entries included.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Vec<Entry>), Undecodable> {
        let mut rest = bytes;
        if rest.try_get_u32()? != MAGIC || rest.try_get_u16()? != VERSION {
            return Err(Undecodable("it does not begin like a manifest"));
        }
        if rest.try_get_u32()? != crc32c::crc32c(rest) {
            return Err(Undecodable("the checksum does not fit"));
        }
        let mut directory_id = [0; 16];
        rest.try_copy_to_slice(&mut directory_id)?;
        let mut manifest = Self::new(Uuid(directory_id));
        manifest.next_log = rest.try_get_u32()?;
        let (clean, broker_epoch) = (rest.try_get_u8()? == 1, rest.try_get_i64()?);
        manifest.clean_stop = clean.then_some(broker_epoch);
        for _ in 0..rest.try_get_u16()? {
            manifest
                .released
                .insert(rest.try_get_u16()?, rest.try_get_u64()?);
        }
        let mut entries = Vec::new();
        for _ in 0..rest.try_get_u32()? {
            let before = rest;
            let entry = Entry::decode(&mut rest)?;
            manifest.entries.insert(
                entry.id,
                Bytes::copy_from_slice(&before[..before.len() - rest.len()]),
            );
            entries.push(entry);
        }
        Ok((manifest, entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_read_back_and_damage_is_noticed() {
        let mut manifest = Manifest::new(Uuid([9; 16]));
        let entry = crate::entry::tests::sample();
        manifest.put(&entry);
        manifest.next_log = 10;
        manifest.released.insert(1, 77);
        manifest.clean_stop = Some(-1);
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok((manifest, vec![entry])));
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 4;
            assert!(Manifest::decode(&bad).is_err(), "flipped at {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
