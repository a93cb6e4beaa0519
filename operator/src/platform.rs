//! Where plans are carried out. Each platform renders a plan into things of its own and makes them.

#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod local;
mod properties;
