//! Why a key is refused, or not served in full. Each says what would happen if it were ignored.

pub(super) const STORE_PASSWORD: &str = "only PEM stores are served, which have no password; convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem`";
pub(super) const KEY_PASSWORD: &str =
    "encrypted keys are not served; decrypt it by `openssl pkcs8 -in key.pem -out plain.pem`";
pub(super) const CIPHERS: &str =
    "cipher suites are not chosen here; suites would be offered that were meant to be off";
pub(super) const VERSIONS: &str = "TLS versions are named in ssl.enabled.protocols alone";
pub(super) const MAPPING: &str =
    "only DEFAULT is served; principals would have other names than the rules give them";
pub(super) const STORES: &str =
    "TLS is settled when a broker starts (only the stores' files are read again when they change)";
pub(super) const SASL_LISTENERS: &str = "listeners that speak SASL are not served so far";
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
