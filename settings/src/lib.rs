//! Every broker, topic and group key as one table row: pure.
pub mod table;
pub mod unit;
pub mod valid;
pub mod value;
