//! KafkaCluster and KafkaTopic: types only.
