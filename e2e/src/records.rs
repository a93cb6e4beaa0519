//! Topics and records over a [`Wire`]: what scenarios that want to see every error code ask most. One
//! request each, partition 0, no retry. Not here: batches with something wrong (tests/bad_wire.rs).

use anyhow::{Result, ensure};
use ottla_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::records::batches;
use ottla_protocol::{Bytes, ErrorCode, Records};

use crate::Wire;

/// Largest batch that is unpacked.
const UNPACKED_BYTES_MAX: usize = 16 << 20;

impl Wire {
    /// Creates a topic of one partition with these configs; the name of the error, `NONE` without.
    pub fn create_topic(&mut self, name: &str, configs: &[(&str, &str)]) -> Result<String> {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
            ..CreatableTopicConfig::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: 1,
                replication_factor: 1,
                configs: configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        Ok(name_of(self.ask(5, &request)?.topics[0].error_code))
    }

    /// Sends one batch with acks=all; the name of the error and the offset it got.
    pub fn produce(&mut self, topic: &str, batch: Bytes) -> Result<(String, i64)> {
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: topic.into(),
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(Records::Bytes(batch)),
                    ..PartitionProduceData::default()
                }],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let response = self.ask(9, &request)?;
        let partition = &response.responses[0].partition_responses[0];
        Ok((name_of(partition.error_code), partition.base_offset))
    }

    /// Offset and value of the records that one Fetch from `offset` gives. Errors: any error code.
    pub fn read(&mut self, topic: &str, offset: i64) -> Result<Vec<(i64, Bytes)>> {
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 100,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic.into(),
                partitions: vec![FetchPartition {
                    fetch_offset: offset,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let response = self.ask(12, &request)?;
        let partition = &response.responses[0].partitions[0];
        let code = partition.error_code;
        ensure!(
            code == ErrorCode::NONE,
            "fetch of {topic} at {offset}: {}",
            name_of(code)
        );
        let stored = partition.records.clone().map(Records::into_bytes);
        let mut found = Vec::new();
        for batch in batches(stored.unwrap_or_default()) {
            let batch = batch?;
            batch.check_crc()?;
            for record in batch.records(UNPACKED_BYTES_MAX)?.iter() {
                let record = record?;
                let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                found.push((record.offset, value));
            }
        }
        found.retain(|(at, _)| *at >= offset);
        Ok(found)
    }

    /// The offset that stands for `timestamp`: −1 the end, −2 the start, else the first record that is
    /// not older. Errors: any error code.
    pub fn offset_at(&mut self, topic: &str, timestamp: i64) -> Result<i64> {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: 0,
                    timestamp,
                    ..ListOffsetsPartition::default()
                }],
                ..ListOffsetsTopic::default()
            }],
            ..ListOffsetsRequest::default()
        };
        let response = self.ask(5, &request)?;
        let partition = &response.topics[0].partitions[0];
        let code = partition.error_code;
        ensure!(
            code == ErrorCode::NONE,
            "offset of {topic} at {timestamp}: {}",
            name_of(code)
        );
        Ok(partition.offset)
    }
}

fn name_of(code: ErrorCode) -> String {
    code.name()
        .map_or_else(|| format!("error {}", code.0), str::to_owned)
}
