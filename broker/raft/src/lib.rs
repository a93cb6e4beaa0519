//! KRaft consensus as a stepping core: pure.
