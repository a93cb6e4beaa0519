//! TLS of one listener or link, read from Kafka's `ssl.*` keys.
//!
//! Invariant: what comes out says everything that the keys say; a store of another format, an encrypted key, a version or a
//! check that is not served is a fault that names the key and the next step.
//! Pure: stores are named or quoted here, never read. Not here: certificates and handshakes (the client crate), who
//! needs which store (`broker`).

use std::fmt;

use crate::check::check;
use crate::fault::Fault;
use crate::table::{Scope, Setting, Status, find};
use crate::value::Value;

/// What a side needs to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `ssl.keystore.type`, `ssl.keystore.location`, `ssl.keystore.certificate.chain`, `ssl.keystore.key`: who this side is.
    pub key_store: Option<KeyStore>,
    /// `ssl.truststore.type`, `ssl.truststore.location`, `ssl.truststore.certificates`: whom to trust.
    pub trust_store: Option<TrustStore>,
    /// `ssl.client.auth`; of listeners only.
    pub client_auth: ClientAuth,
    /// `ssl.enabled.protocols` has TLSv1.2.
    pub tls12: bool,
    /// `ssl.enabled.protocols` has TLSv1.3.
    pub tls13: bool,
    /// `ssl.endpoint.identification.algorithm` is https: a server must be certified for the name it is reached by. Of links only.
    pub checks_host: bool,
    /// `ssl.allow.dn.changes`
    pub allows_dn_changes: bool,
    /// `ssl.allow.san.changes`
    pub allows_san_changes: bool,
}

/// Own certificate chain, leaf first, and private key (PKCS#8, not encrypted), as PEM.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyStore {
    /// Path of a file that holds both.
    File(String),
    /// Their texts.
    Inline {
        /// Certificates.
        chain: String,
        /// The key.
        key: String,
    },
}

/// Certificates of authorities, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub enum TrustStore {
    /// Path of a file.
    File(String),
    /// Their text.
    Inline(String),
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// Those that show one must show a good one.
    Requested,
    /// Nobody connects without.
    Required,
}

/// The key is a secret, and the length of what is quoted helps nobody.
impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline { .. } => f.write_str("Inline"),
        }
    }
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline"),
        }
    }
}

/// A key to look at, and what must hold.
pub type Broken = (&'static str, String);

const KEY_STORE_TYPE: &str = "ssl.keystore.type";
const TRUST_STORE_TYPE: &str = "ssl.truststore.type";

impl TlsSettings {
    /// Reads the keys by `lookup`, which gives the text of a key that is set. Errors: every rule that does not hold.
    pub fn read(lookup: impl Fn(&'static str) -> Option<String>) -> Result<Self, Vec<Broken>> {
        let mut reader = Reader {
            lookup,
            broken: Vec::new(),
        };
        let versions = reader.versions();
        let settings = Self {
            key_store: reader.key_store(),
            trust_store: reader.trust_store(),
            client_auth: match reader.text("ssl.client.auth").as_deref() {
                Some("required") => ClientAuth::Required,
                Some("requested") => ClientAuth::Requested,
                _ => ClientAuth::None,
            },
            tls12: versions.0,
            tls13: versions.1,
            checks_host: reader.checks_host(),
            allows_dn_changes: reader.is_true("ssl.allow.dn.changes"),
            allows_san_changes: reader.is_true("ssl.allow.san.changes"),
        };
        if reader.broken.is_empty() {
            Ok(settings)
        } else {
            Err(reader.broken)
        }
    }

    /// The settings of a client's file, whose keys have the same names: the faults of single keys as well. Keys that do
    /// not begin with `ssl.` are not looked at.
    pub fn of_client<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<String>> {
        let entries: Vec<(&str, &str)> = entries
            .into_iter()
            .filter(|(name, _)| name.starts_with("ssl."))
            .collect();
        let faults: Vec<String> = entries
            .iter()
            .filter_map(|(name, text)| client_fault(name, text))
            .map(|fault| fault.to_string())
            .collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let lookup = |name: &'static str| {
            let entry = entries.iter().find(|(entry, _)| *entry == name);
            entry.map(|(_, text)| (*text).to_owned())
        };
        Self::read(lookup).map_err(|broken| {
            let lines = broken.iter().map(|(name, rule)| format!("{name}: {rule}"));
            lines.collect()
        })
    }
}

fn client_fault(name: &str, text: &str) -> Option<Fault> {
    match crate::check::row(Scope::Broker, name) {
        Ok(setting) => check(setting, text).err(),
        Err(fault) => Some(fault),
    }
}

/// Whether a key says something about TLS that is served: then it may stand behind `listener.name.<listener>.` too.
pub(crate) fn is_served(setting: &Setting) -> bool {
    setting.name.starts_with("ssl.") && setting.status == Status::Served
}

struct Reader<F> {
    lookup: F,
    broken: Vec<Broken>,
}

impl<F: Fn(&'static str) -> Option<String>> Reader<F> {
    /// The value of a key as it is set, or its default. An empty text is none.
    fn value(&self, name: &'static str) -> Option<Value> {
        let setting = find(Scope::Broker, name)?;
        let text = (self.lookup)(name).or_else(|| setting.default.text().map(str::to_owned))?;
        // Its own faults are told by who has read the file.
        check(setting, &text).ok()
    }

    fn text(&self, name: &'static str) -> Option<String> {
        let value = self.value(name)?;
        let text = match &value {
            Value::Secret(secret) => secret.reveal(),
            value => value.as_text()?,
        };
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn is_true(&self, name: &'static str) -> bool {
        self.value(name).and_then(|value| value.as_bool()) == Some(true)
    }

    fn check(&mut self, name: &'static str, holds: bool, rule: impl FnOnce() -> String) {
        if !holds {
            self.broken.push((name, rule()));
        }
    }

    /// Whether the store is PEM; asked only when something is in it. The default, JKS, is no answer to that.
    fn is_pem(&mut self, name: &'static str, is_set: bool) -> bool {
        let format = self.text(name).unwrap_or_default();
        let default = find(Scope::Broker, name).and_then(|setting| setting.default.text());
        let is_pem = format == "PEM";
        let is_wrong = !is_pem && (is_set || Some(format.as_str()) != default);
        self.check(name, !is_wrong, || {
            format!(
                "only PEM is served, not {format}. Convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem` \
                 (JKS becomes PKCS12 by `keytool -importkeystore -srckeystore store.jks -destkeystore store.p12 \
                 -deststoretype pkcs12`) and set {name}=PEM"
            )
        });
        is_pem
    }

    fn key_store(&mut self) -> Option<KeyStore> {
        const CHAIN: &str = "ssl.keystore.certificate.chain";
        const KEY: &str = "ssl.keystore.key";
        const LOCATION: &str = "ssl.keystore.location";
        let (file, chain, key) = (self.text(LOCATION), self.text(CHAIN), self.text(KEY));
        let is_set = file.is_some() || chain.is_some() || key.is_some();
        if !self.is_pem(KEY_STORE_TYPE, is_set) {
            return None;
        }
        self.check(CHAIN, chain.is_some() || key.is_none(), || {
            format!("must be set together with {KEY}")
        });
        self.check(KEY, key.is_some() || chain.is_none(), || {
            format!("must be set together with {CHAIN}")
        });
        self.check(LOCATION, file.is_none() || key.is_none(), || {
            format!("only one of it and {KEY} may be set")
        });
        match (file, chain, key) {
            (Some(file), None, None) => Some(KeyStore::File(file)),
            (None, Some(chain), Some(key)) => Some(KeyStore::Inline { chain, key }),
            _ => None,
        }
    }

    fn trust_store(&mut self) -> Option<TrustStore> {
        const CERTIFICATES: &str = "ssl.truststore.certificates";
        const LOCATION: &str = "ssl.truststore.location";
        let (file, certificates) = (self.text(LOCATION), self.text(CERTIFICATES));
        let is_set = file.is_some() || certificates.is_some();
        if !self.is_pem(TRUST_STORE_TYPE, is_set) {
            return None;
        }
        self.check(LOCATION, file.is_none() || certificates.is_none(), || {
            format!("only one of it and {CERTIFICATES} may be set")
        });
        match (file, certificates) {
            (Some(file), None) => Some(TrustStore::File(file)),
            (None, Some(certificates)) => Some(TrustStore::Inline(certificates)),
            _ => None,
        }
    }

    /// Whether TLSv1.2 and TLSv1.3 are enabled.
    fn versions(&mut self) -> (bool, bool) {
        const NAME: &str = "ssl.enabled.protocols";
        let value = self.value(NAME);
        let versions = value.as_ref().and_then(Value::as_list).unwrap_or_default();
        let unserved = versions
            .iter()
            .find(|version| !matches!(version.as_str(), "TLSv1.2" | "TLSv1.3"));
        if let Some(version) = unserved {
            self.check(NAME, false, || {
                format!("{version} is not served, only TLSv1.2 and TLSv1.3")
            });
        }
        self.check(NAME, !versions.is_empty(), || {
            "must name TLSv1.2, TLSv1.3, or both".to_owned()
        });
        let has = |name: &str| versions.iter().any(|version| version == name);
        (has("TLSv1.2"), has("TLSv1.3"))
    }

    fn checks_host(&mut self) -> bool {
        const NAME: &str = "ssl.endpoint.identification.algorithm";
        let algorithm = self.text(NAME).unwrap_or_default();
        let is_https = algorithm.eq_ignore_ascii_case("https");
        self.check(NAME, is_https || algorithm.is_empty(), || {
            format!(
                "must be https, or empty for no check of the host name; {algorithm} is not served"
            )
        });
        is_https
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(entries: &[(&str, &str)], expect: Expect) {
        expect.assert_eq(&match TlsSettings::of_client(entries.iter().copied()) {
            Ok(settings) => format!("{settings:?}"),
            Err(faults) => faults.join("\n"),
        });
    }

    #[test]
    fn stores_are_named_or_quoted() {
        check(
            &[
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.location", "/k"),
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", "/t"),
                ("ssl.client.auth", "required"),
                ("acks", "all"),
            ],
            expect![[
                r#"TlsSettings { key_store: Some(File("/k")), trust_store: Some(File("/t")), client_auth: Required, tls12: true, tls13: true, checks_host: true, allows_dn_changes: false, allows_san_changes: false }"#
            ]],
        );
        check(
            &[
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.certificate.chain", "canary"),
                ("ssl.keystore.key", "canary"),
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.certificates", "canary"),
                ("ssl.enabled.protocols", "TLSv1.3"),
                ("ssl.endpoint.identification.algorithm", ""),
            ],
            expect![[
                r#"TlsSettings { key_store: Some(Inline), trust_store: Some(Inline), client_auth: None, tls12: false, tls13: true, checks_host: false, allows_dn_changes: false, allows_san_changes: false }"#
            ]],
        );
        check(
            &[],
            expect![[
                r#"TlsSettings { key_store: None, trust_store: None, client_auth: None, tls12: true, tls13: true, checks_host: true, allows_dn_changes: false, allows_san_changes: false }"#
            ]],
        );
    }

    #[test]
    fn what_is_not_served_is_refused_with_the_next_step() {
        check(
            &[
                ("ssl.keystore.location", "/k.jks"),
                ("ssl.truststore.type", "PKCS12"),
                ("ssl.enabled.protocols", "TLSv1.1,TLSv1.2"),
                ("ssl.endpoint.identification.algorithm", "LDAPS"),
            ],
            expect![[r#"
                ssl.enabled.protocols: TLSv1.1 is not served, only TLSv1.2 and TLSv1.3
                ssl.keystore.type: only PEM is served, not JKS. Convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem` (JKS becomes PKCS12 by `keytool -importkeystore -srckeystore store.jks -destkeystore store.p12 -deststoretype pkcs12`) and set ssl.keystore.type=PEM
                ssl.truststore.type: only PEM is served, not PKCS12. Convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem` (JKS becomes PKCS12 by `keytool -importkeystore -srckeystore store.jks -destkeystore store.p12 -deststoretype pkcs12`) and set ssl.truststore.type=PEM
                ssl.endpoint.identification.algorithm: must be https, or empty for no check of the host name; LDAPS is not served"#]],
        );
        check(
            &[
                ("ssl.keystore.password", "canary"),
                ("ssl.key.password", "canary"),
                ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256"),
                ("ssl.keystore.locaton", "x"),
                ("ssl.client.auth", "maybe"),
            ],
            expect![[r#"
                ssl.keystore.password is refused: only PEM stores are served, which have no password; convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem`
                ssl.key.password is refused: encrypted keys are not served; decrypt it by `openssl pkcs8 -in key.pem -out plain.pem`
                ssl.cipher.suites is refused: cipher suites are not chosen here; suites would be offered that were meant to be off
                unknown broker configuration ssl.keystore.locaton; did you mean ssl.keystore.location?
                ssl.client.auth=maybe: must be one of required, requested, none"#]],
        );
        check(
            &[
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.location", "/k"),
                ("ssl.keystore.key", "canary"),
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", "/t"),
                ("ssl.truststore.certificates", "x"),
                ("ssl.enabled.protocols", ""),
            ],
            expect![[r#"
                ssl.enabled.protocols: must name TLSv1.2, TLSv1.3, or both
                ssl.keystore.certificate.chain: must be set together with ssl.keystore.key
                ssl.keystore.location: only one of it and ssl.keystore.key may be set
                ssl.truststore.location: only one of it and ssl.truststore.certificates may be set"#]],
        );
    }
}
