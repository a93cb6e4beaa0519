//! Reading a log front to back, batch by batch: how coordinators and the metadata image are loaded.

use ottla_protocol::records::{BatchView, batches};

use super::{FetchedData, LogBounds, PartitionError, PartitionId, PartitionsHandle, Request, Scan};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// Why a log cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The owner refuses.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The disk or the log refuses.
    #[error("at offset {offset}: {reason}")]
    Read {
        /// Where.
        offset: i64,
        /// Why.
        reason: String,
    },
}

/// Hands every batch within `bounds` to `apply`, in order. Errors: of reading, and those of `apply`,
/// which end the scan.
pub async fn scan<E: From<ScanError>>(
    partitions: &PartitionsHandle,
    partition: PartitionId,
    bounds: LogBounds,
    mut apply: impl FnMut(BatchView) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = bounds.log_start;
    while next < bounds.log_end {
        let chunks = read(partitions, partition, next).await?;
        let before = next;
        let failed = |reason: String| ScanError::Read {
            offset: before,
            reason,
        };
        for batch in chunks.into_iter().flat_map(batches) {
            let batch = batch.map_err(|error| failed(error.to_string()))?;
            next = batch.header().next_offset();
            apply(batch)?;
        }
        if next == before {
            let reason = format!("nothing found; the log ends at {}", bounds.log_end);
            return Err(ScanError::Read {
                offset: next,
                reason,
            }
            .into());
        }
    }
    Ok(())
}

async fn read(
    partitions: &PartitionsHandle,
    partition: PartitionId,
    from: i64,
) -> Result<Vec<bytes::Bytes>, ScanError> {
    let asked = partitions.ask(|reply| {
        Request::Scan(Scan {
            partition,
            from,
            max_bytes: READ_BYTES,
            reply,
        })
    });
    match asked.await?? {
        FetchedData::Hot(chunks) => Ok(chunks),
        FetchedData::Cold(read) => {
            let fetched = read.run().await.map_err(|error| ScanError::Read {
                offset: from,
                reason: error.to_string(),
            })?;
            Ok(fetched.parts)
        }
    }
}
