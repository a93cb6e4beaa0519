//! Stores read into certificates and a key. PEM as Kafka takes it (KIP-651): sections in any order, text between them, a whole
//! section on one line as properties files have it; keys are PKCS#8 and not encrypted.
//!
//! Invariant: a store yields what it must hold or an error that names it and the next step; texts of stores never show.

use ottla_settings::{KeyStore, TlsSettings, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// What the stores hold.
#[derive(Debug)]
pub struct Material {
    /// Out of the key store.
    pub identity: Option<Identity>,
    /// Out of the trust store; `None` without one.
    trusted: Option<Trusted>,
}

/// A certificate chain, leaf first, and its private key.
#[derive(Debug)]
pub struct Identity {
    /// At least one.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's. Its `Debug` shows nothing of it.
    pub key: PrivateKeyDer<'static>,
}

#[derive(Debug)]
struct Trusted {
    store: String,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why TLS cannot be spoken with the stores as they are.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of a store.
    #[error("cannot read the store {}: {source}; is it mounted, and may this user read it?", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A store without something that it must hold.
    #[error("{store} holds no {what}; {next}")]
    Missing {
        /// The file or the key.
        store: String,
        /// What is missing.
        what: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// A section of a store that is not what it says.
    #[error("{store} holds a {label} that cannot be read: {reason}")]
    Unreadable {
        /// The file or the key.
        store: String,
        /// Between BEGIN and END.
        label: String,
        /// Why.
        reason: String,
    },
    /// A key in a form that Kafka does not read either, or encrypted.
    #[error(
        "{store} holds {found}; only PKCS#8 without encryption is served. Convert it by `openssl pkcs8 -topk8 -nocrypt -in key.pem -out plain.pem`"
    )]
    KeyFormat {
        /// The file or the key.
        store: String,
        /// What it is.
        found: String,
    },
    /// There is nobody to trust.
    #[error(
        "there is no trust store, and the system's authorities are not asked; set ssl.truststore.type=PEM and ssl.truststore.location to the file with the cluster's CA certificate"
    )]
    NoTrustStore,
    /// There is no certificate to show.
    #[error("there is no key store; set ssl.keystore.type=PEM and ssl.keystore.location")]
    NoKeyStore,
    /// A new key store for somebody else, while that is not allowed.
    #[error(
        "the certificate is for {found}, not for {expected}; set {key}=true if that is right, or start again"
    )]
    OtherName {
        /// The key that would allow it.
        key: &'static str,
        /// In the new store.
        found: String,
        /// In the store so far.
        expected: String,
    },
    /// Certificate and key do not go together, or are not usable for TLS.
    #[error("certificate and key cannot be used: {0}")]
    Rejected(#[from] rustls::Error),
}

impl Material {
    /// Reads the stores.
    pub fn read(settings: &TlsSettings) -> Result<Material, TlsError> {
        let identity = settings.key_store.as_ref().map(read_identity).transpose()?;
        let trusted = settings
            .trust_store
            .as_ref()
            .map(read_trusted)
            .transpose()?;
        Ok(Material { identity, trusted })
    }

    /// Whom to trust, if there is a trust store. Errors: a certificate that cannot stand for an authority.
    pub fn roots(&self) -> Result<Option<Arc<RootCertStore>>, TlsError> {
        let Some(trusted) = &self.trusted else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for certificate in &trusted.certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| TlsError::Unreadable {
                    store: trusted.store.clone(),
                    label: "CERTIFICATE".to_owned(),
                    reason: error.to_string(),
                })?;
        }
        Ok(Some(Arc::new(roots)))
    }
}

fn read_identity(store: &KeyStore) -> Result<Identity, TlsError> {
    match store {
        KeyStore::File(path) => {
            let text = read_file(path)?;
            identity((path, &text), (path, &text))
        }
        KeyStore::Inline { chain, key } => identity(
            ("ssl.keystore.certificate.chain", chain),
            ("ssl.keystore.key", key),
        ),
    }
}

/// Each a name and a text.
fn identity(chain: (&str, &str), key: (&str, &str)) -> Result<Identity, TlsError> {
    let certificates = certificates(chain.0, chain.1)?;
    if certificates.is_empty() {
        return Err(TlsError::Missing {
            store: chain.0.to_owned(),
            what: "CERTIFICATE",
            next: "a key store holds the certificate, those of the authorities between it and the root, and the key",
        });
    }
    Ok(Identity {
        chain: certificates,
        key: private_key(key.0, key.1)?,
    })
}

fn read_trusted(store: &TrustStore) -> Result<Trusted, TlsError> {
    let (store, certificates) = match store {
        TrustStore::File(path) => (path.clone(), certificates(path, &read_file(path)?)?),
        TrustStore::Inline(text) => {
            let store = "ssl.truststore.certificates";
            (store.to_owned(), certificates(store, text)?)
        }
    };
    if certificates.is_empty() {
        return Err(TlsError::Missing {
            store,
            what: "CERTIFICATE",
            next: "a trust store holds the certificates of authorities as PEM",
        });
    }
    Ok(Trusted {
        store,
        certificates,
    })
}

fn read_file(path: &str) -> Result<String, TlsError> {
    let failed = |source| TlsError::Read {
        path: PathBuf::from(path),
        source,
    };
    let bytes = fs::read(path).map_err(failed)?;
    // Text between sections may be in any encoding; sections are ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn certificates(store: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let sections = sections(text).filter(|section| section.label == "CERTIFICATE");
    sections
        .map(|section| {
            let read = CertificateDer::from_pem_slice(section.in_lines().as_bytes());
            read.map_err(|error| unreadable(store, section.label, &error))
        })
        .collect()
}

fn private_key(store: &str, text: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let found = sections(text).find(|section| section.label.ends_with("PRIVATE KEY"));
    let Some(section) = found else {
        return Err(TlsError::Missing {
            store: store.to_owned(),
            what: "PRIVATE KEY",
            next: "append the key in PKCS#8 to it",
        });
    };
    if section.label != "PRIVATE KEY" {
        let found = match section.label {
            "ENCRYPTED PRIVATE KEY" => "an encrypted key".to_owned(),
            label => format!("a key of the form {label}"),
        };
        return Err(TlsError::KeyFormat {
            store: store.to_owned(),
            found,
        });
    }
    PrivatePkcs8KeyDer::from_pem_slice(section.in_lines().as_bytes())
        .map(PrivateKeyDer::Pkcs8)
        .map_err(|error| unreadable(store, section.label, &error))
}

fn unreadable(store: &str, label: &str, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Unreadable {
        store: store.to_owned(),
        label: label.to_owned(),
        reason: format!("{error:?}"),
    }
}

struct Section<'a> {
    label: &'a str,
    base64: &'a str,
}

impl Section<'_> {
    /// Marks and content on lines of their own, whatever stood between them.
    fn in_lines(&self) -> String {
        let content: String = self.base64.split_whitespace().collect();
        format!(
            "-----BEGIN {label}-----\n{content}\n-----END {label}-----\n",
            label = self.label
        )
    }
}

/// The sections of a text, in order. One without its end is none.
fn sections(text: &str) -> impl Iterator<Item = Section<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (base64, after) = after.split_once(&format!("-----END {label}-----"))?;
        rest = after;
        Some(Section { label, base64 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::Authority;

    #[test]
    fn a_key_store_is_read_in_any_shape() {
        let authority = Authority::new("ca");
        let own = authority.issue("broker-1", &["localhost"]);
        let one_line = |text: &str| text.replace('\n', " ");
        for (chain, key) in [
            (own.chain.clone(), own.key.clone()),
            (one_line(&own.chain), one_line(&own.key)),
            (own.chain.replace('\n', "\r\n"), own.key.replace('\n', "")),
        ] {
            let read = identity(("chain", &chain), ("key", &key)).unwrap();
            assert_eq!(read.chain, own.ders, "{chain}");
        }
        let file = format!("Bag Attributes: é\n{}\nsubject=CN\n{}", own.key, own.chain);
        assert_eq!(
            identity(("f", &file), ("f", &file)).unwrap().chain.len(),
            own.ders.len()
        );
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do() {
        let own = Authority::new("ca").issue("broker-1", &[]);
        let relabelled = |label: &str| own.key.replace("PRIVATE KEY", label);
        let fault = |chain: &str, key: &str| {
            let error = identity(("chain.pem", chain), ("key.pem", key)).unwrap_err();
            let text = error.to_string();
            assert!(!text.contains("MI"), "{text} quotes a store");
            text
        };
        for (label, expected) in [
            ("ENCRYPTED PRIVATE KEY", "holds an encrypted key; "),
            ("RSA PRIVATE KEY", "a key of the form RSA PRIVATE KEY"),
        ] {
            let text = fault(&own.chain, &relabelled(label));
            assert!(
                text.contains(expected) && text.contains("openssl pkcs8"),
                "{text}"
            );
        }
        assert!(fault("", &own.key).starts_with("chain.pem holds no CERTIFICATE"));
        assert!(fault(&own.chain, &own.key[..40]).starts_with("key.pem holds no PRIVATE KEY"));
        let broken = "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----";
        assert!(fault(broken, &own.key).contains("CERTIFICATE that cannot be read"));
    }
}
