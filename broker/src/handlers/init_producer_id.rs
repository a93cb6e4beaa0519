//! Gives producers the id under which their retries are recognised.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_protocol::messages::init_producer_id_response::InitProducerIdResponse;

use crate::server::RequestContext;

/// InitProducerId, versions 0–5, for idempotent producers.
///
/// Behaviour: without a transactional id a fresh id with epoch 0 every time; a producer that asks
/// again with its old id gets a new one too, as in Kafka. With a transactional id the request is
/// refused: transactions are not served yet, and half a transaction would be worse than none.
/// Version notes: v2 flexible · v3 id and epoch of the producer (KIP-360).
pub async fn init_producer_id(
    ctx: RequestContext,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |error_code| InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    if request.transactional_id.is_some() {
        return refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }
    match ctx
        .services
        .producer_ids
        .next(&ctx.services.controller)
        .await
    {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..Default::default()
        },
        Err(code) => refused(code),
    }
}
