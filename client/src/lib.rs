//! A Kafka client: connection, metadata, admin, producer, consumer.
