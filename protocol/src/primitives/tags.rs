//! Tagged fields of a version newer than ours (KIP-482): kept as they came and written back in
//! their place, so that what passes through us loses nothing.

use bytes::Bytes;

/// One tagged field that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTag {
    /// The tag.
    pub tag: u32,
    /// The content, without tag and size.
    pub data: Bytes,
}

/// The unknown tagged fields of one struct, ascending by tag. Nearly always empty: one word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::box_collection,
    reason = "every struct of the protocol carries this: one word, not three"
)]
pub struct UnknownTags(Option<Box<Vec<UnknownTag>>>);

impl UnknownTags {
    /// None.
    pub const NONE: Self = Self(None);

    /// What one `UnknownTags` with `count` fields asks from the allocator.
    pub(crate) const fn allocation(count: usize) -> usize {
        size_of::<Vec<UnknownTag>>() + count * size_of::<UnknownTag>()
    }

    /// The fields, ascending by tag.
    #[must_use]
    pub fn as_slice(&self) -> &[UnknownTag] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds a field. The caller keeps the order; encoding refuses any other.
    pub fn push(&mut self, tag: u32, data: Bytes) {
        self.0
            .get_or_insert_default()
            .push(UnknownTag { tag, data });
    }

    /// Makes room for exactly `count` fields.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.0.get_or_insert_default().reserve_exact(count);
    }
}
