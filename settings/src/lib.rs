//! Every broker, topic and group key as one table row: pure.
