//! The log: segments, indexes, epochs, producer state, recovery and group commit, on a Disk seam.

pub mod commit;
pub mod disk;
pub mod entry;
pub mod epochs;
pub mod index;
pub mod layout;
pub mod manifest;
pub mod names;
pub mod producers;
pub mod segment;
pub mod state;
