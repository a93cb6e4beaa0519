//! AllocateProducerIds: blocks of a thousand ids that no other broker will ever get.

use super::{Controller, Decision};
use crate::record::VersionedRecord;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_protocol::messages::allocate_producer_ids_response::AllocateProducerIdsResponse;
use ottla_protocol::metadata_records::ProducerIdsRecord;

/// Ids per block, as in Kafka: a broker asks again about every thousand new producers.
const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

impl Controller {
    /// Gives a broker its next block. Errors in the reply: STALE_BROKER_EPOCH, UNKNOWN_SERVER_ERROR when
    /// 2^63 ids are used up.
    pub fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Decision<AllocateProducerIdsResponse> {
        let refuse = |code| {
            Decision::nothing(AllocateProducerIdsResponse {
                error_code: code,
                ..Default::default()
            })
        };
        if let Err(refusal) = self.check_broker_epoch(request.broker_id, request.broker_epoch) {
            return refuse(refusal.code);
        }
        let start = self
            .image()
            .next_producer_id
            .map_or(0, |allocator| allocator.next);
        let Some(next_producer_id) = start.checked_add(PRODUCER_IDS_PER_BLOCK) else {
            return refuse(ErrorCode::UNKNOWN_SERVER_ERROR);
        };
        let record = ProducerIdsRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id,
            ..Default::default()
        };
        let reply = AllocateProducerIdsResponse {
            producer_id_start: start,
            producer_id_len: PRODUCER_IDS_PER_BLOCK as i32,
            ..Default::default()
        };
        Decision::atomic(vec![VersionedRecord::new(record, 0)], reply)
    }
}
