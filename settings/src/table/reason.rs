//! Why a key is refused, or not served in full. Each says what would happen if it were ignored.

pub(super) const TLS: &str =
    "only PLAINTEXT is served so far; a listener would be open that was meant to be encrypted";
pub(super) const SASL: &str =
    "SASL is not served so far; a listener would be open that was meant to ask who connects";
pub(super) const AUTHORIZER: &str =
    "authorization is not served so far; everybody could do everything";
pub(super) const POLICY: &str =
    "JVM plugins cannot run here; what the plugin was meant to decide would not be decided";
pub(super) const PROVIDERS: &str =
    "config providers are not served; values would be taken as they are written";
pub(super) const TIERED: &str =
    "remote storage is not served so far; records would stay on local disks only";
pub(super) const TWO_PHASE: &str =
    "transactions are not served so far; prepared ones would not be held";
pub(super) const UNSTABLE: &str = "only released versions are spoken";
pub(super) const COMPACTION: &str =
    "compact asks for keys, as in Kafka, but nothing is compacted so far";
pub(super) const SOCKETS: &str = "its sockets are opened when a broker starts";
