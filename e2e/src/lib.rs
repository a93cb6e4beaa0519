//! Scenarios with real processes: JVM Kafka, clients in other languages, our brokers.
