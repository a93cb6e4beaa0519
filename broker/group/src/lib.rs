//! The group coordinator as a record core: pure.
