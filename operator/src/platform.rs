//! Where plans are carried out. Each platform renders a plan into things of its own and makes them.

pub mod local;
