//! The wire and record format of Apache Kafka 4.3.1: pure, no I/O.
