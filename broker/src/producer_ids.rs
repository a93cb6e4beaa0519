//! Producer ids, handed out one by one from blocks that the controller allocates (KIP-730).
//!
//! Invariant: an id is handed out once in the life of the cluster; ids left over in a block at a
//! restart are lost, which 63 bits can bear. Not here: allocation of blocks (broker/metadata).

use std::cell::RefCell;
use std::ops::Range;

use ottla_protocol::ErrorCode;
use tokio::sync::Mutex;

use crate::controller::ControllerHandle;

/// Hands out ids; asks the controller for a new block when one is used up.
#[derive(Default)]
pub struct ProducerIds {
    block: RefCell<Range<i64>>,
    // Held while a block is on its way, so that a crowd of new producers asks for one, not many.
    refill: Mutex<()>,
}

impl ProducerIds {
    /// A fresh id. Errors: what the controller answered instead of a block.
    pub async fn next(&self, controller: &ControllerHandle) -> Result<i64, ErrorCode> {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let _asking = self.refill.lock().await;
        loop {
            if let Some(id) = self.take() {
                return Ok(id);
            }
            let block = controller.allocate_producer_ids().await?;
            self.block.replace(block);
        }
    }

    fn take(&self) -> Option<i64> {
        self.block.borrow_mut().next()
    }
}
