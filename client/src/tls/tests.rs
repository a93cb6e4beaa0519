//! Tests of handshakes and of stores that change, and an authority that issues what they need.

use super::*;
use crate::net::Stream;
use ottla_settings::{ClientAuth, KeyStore, TrustStore};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsAcceptor;

/// An authority of a test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// What it issued.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) ders: Vec<CertificateDer<'static>>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = common_name(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub(crate) fn issue(&self, name: &str, alternatives: &[&str]) -> Issued {
        self.issue_to(common_name(name), alternatives)
    }

    pub(crate) fn issue_to(&self, name: DistinguishedName, alternatives: &[&str]) -> Issued {
        let alternatives: Vec<String> = alternatives.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(alternatives).unwrap();
        params.distinguished_name = name;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            ders: vec![certificate.der().clone()],
        }
    }

    fn trust(&self) -> TrustStore {
        TrustStore::Inline(self.certificate.pem())
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

impl Issued {
    fn inline(&self) -> KeyStore {
        KeyStore::Inline {
            chain: self.chain.clone(),
            key: self.key.clone(),
        }
    }

    fn write(&self, path: &Path) {
        std::fs::write(path, format!("{}{}", self.chain, self.key)).unwrap();
    }
}

fn settings(key_store: Option<KeyStore>, trust_store: Option<TrustStore>) -> TlsSettings {
    TlsSettings {
        key_store,
        trust_store,
        client_auth: ClientAuth::None,
        tls12: true,
        tls13: true,
        checks_host: true,
        allows_dn_changes: false,
        allows_san_changes: false,
    }
}

/// A server that sends back what it gets, and yields the subject of the client's certificate.
async fn serve_once(
    own: &Issued,
    trust: Option<&Authority>,
    stream: Box<dyn Stream>,
) -> io::Result<Option<String>> {
    let config = settings(Some(own.inline()), trust.map(Authority::trust));
    let material = Material::read(&config).unwrap();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(&config))
        .unwrap();
    let builder = match material.roots().unwrap() {
        Some(roots) => {
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let identity = material.identity.unwrap();
    let config = builder
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let subject = shown.map(|chain| Certificate::parse(&chain[0]).unwrap().subject);
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await?;
    Ok(subject)
}

/// What a client with `settings` and a server get out of one connection.
fn meet(
    client: TlsSettings,
    host: &str,
    server: &Issued,
    trust: Option<&Authority>,
) -> (io::Result<[u8; 4]>, io::Result<Option<String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (ours, theirs) = duplex(64 * 1024);
        let tls = Tls::new(client, "a test").unwrap();
        let talk = async {
            let mut stream = tls.connect(Duration::ZERO, host, Box::new(ours)).await?;
            stream.write_all(b"ping").await?;
            stream.flush().await?;
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await?;
            Ok(bytes)
        };
        tokio::join!(talk, serve_once(server, trust, Box::new(theirs)))
    })
}

#[test]
fn both_sides_show_who_they_are() {
    let authority = Authority::new("ca");
    let server = authority.issue("broker-1", &["broker-1.example", "127.0.0.1"]);
    let client = authority.issue("operator", &[]);
    for host in ["broker-1.example", "127.0.0.1"] {
        let own = settings(Some(client.inline()), Some(authority.trust()));
        let (got, shown) = meet(own, host, &server, Some(&authority));
        assert_eq!(got.unwrap(), *b"ping");
        assert_eq!(shown.unwrap().as_deref(), Some("CN=operator"));
    }
    let own = settings(None, Some(authority.trust()));
    let (got, shown) = meet(own, "broker-1.example", &server, None);
    assert_eq!((got.unwrap(), shown.unwrap()), (*b"ping", None));
}

#[test]
fn who_cannot_be_trusted_is_refused() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let server = authority.issue("broker-1", &["broker-1.example"]);
    let objection = |settings, host: &str, trust| {
        let (got, _) = meet(settings, host, &server, trust);
        let error = got.unwrap_err();
        let refused = refusal(&error).map(ToString::to_string);
        refused.unwrap_or_else(|| panic!("{error} is no refusal"))
    };
    let by_name = objection(
        settings(None, Some(authority.trust())),
        "elsewhere.example",
        None,
    );
    assert!(by_name.contains("not valid for name"), "{by_name}");
    let by_issuer = objection(
        settings(None, Some(other.trust())),
        "broker-1.example",
        None,
    );
    assert!(by_issuer.contains("UnknownIssuer"), "{by_issuer}");
    // In TLSv1.3 the client has finished by then: it hears of it with its first read.
    let without = settings(None, Some(authority.trust()));
    let missing = objection(without, "broker-1.example", Some(&authority));
    assert!(missing.contains("CertificateRequired"), "{missing}");
    let strange = other.issue("operator", &[]);
    let strange = settings(Some(strange.inline()), Some(authority.trust()));
    let strange = objection(strange, "broker-1.example", Some(&authority));
    assert!(
        strange.contains("UnknownCA") || strange.contains("DecryptError"),
        "{strange}"
    );
}

#[test]
fn without_a_check_of_the_name_the_chain_still_counts() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let server = authority.issue("broker-1", &["broker-1.example"]);
    let lenient = |trust: &Authority| TlsSettings {
        checks_host: false,
        ..settings(None, Some(trust.trust()))
    };
    for (tls12, tls13) in [(true, false), (false, true)] {
        let client = TlsSettings {
            tls12,
            tls13,
            ..lenient(&authority)
        };
        let (got, _) = meet(client, "elsewhere.example", &server, None);
        assert_eq!(got.unwrap(), *b"ping");
    }
    let (got, _) = meet(lenient(&other), "elsewhere.example", &server, None);
    assert!(got.is_err());
}

#[test]
fn a_side_without_its_stores_does_not_start() {
    let error = Tls::new(settings(None, None), "x").unwrap_err().to_string();
    assert!(error.contains("ssl.truststore.location"), "{error}");
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let (own, foreign) = (authority.issue("x", &[]), other.issue("y", &[]));
    let mixed = KeyStore::Inline {
        chain: own.chain,
        key: foreign.key,
    };
    let error = Tls::new(settings(Some(mixed), Some(authority.trust())), "x").unwrap_err();
    assert!(matches!(error, TlsError::Rejected(_)), "{error}");
    let nowhere = TrustStore::File("/nowhere/ca.pem".to_owned());
    let error = Tls::new(settings(None, Some(nowhere)), "x").unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

/// The subject in the key store, read again by `Reloading`.
fn subject(_: &TlsSettings, material: &Material) -> Result<Vec<u8>, TlsError> {
    let identity = material.identity.as_ref().ok_or(TlsError::NoKeyStore)?;
    Ok(identity.chain[0].to_vec())
}

#[test]
fn a_changed_store_is_taken_if_it_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let issue = |name, alternatives| authority.issue(name, alternatives);
    // As Kubernetes mounts a Secret: the file is a link through a link to a folder that is swapped.
    let mount = |issued: &Issued, folder: &str| {
        let target = dir.path().join(folder);
        std::fs::create_dir(&target).unwrap();
        issued.write(&target.join("tls.pem"));
        let link = dir.path().join("..data.new");
        std::os::unix::fs::symlink(folder, &link).unwrap();
        std::fs::rename(&link, dir.path().join("..data")).unwrap();
    };
    let first = issue("broker-1", &["a"]);
    mount(&first, "1");
    let file = dir.path().join("tls.pem");
    std::os::unix::fs::symlink("..data/tls.pem", &file).unwrap();
    let store = KeyStore::File(file.to_string_lossy().into_owned());
    let reloading = Reloading::new("x", settings(Some(store), None), subject).unwrap();
    let at = |ms| reloading.current(Duration::from_millis(ms)).to_vec();
    assert_eq!(at(0), first.ders[0].to_vec());

    let second = issue("broker-1", &["a", "b"]);
    mount(&second, "2");
    assert_eq!(at(999), first.ders[0].to_vec(), "looked at too often");
    assert_eq!(at(1000), second.ders[0].to_vec());

    // Half written, for somebody else, with fewer names, gone: the last good one stays, and comes back.
    std::fs::write(dir.path().join("2/tls.pem"), &second.chain).unwrap();
    assert_eq!(at(2000), second.ders[0].to_vec());
    mount(&issue("broker-2", &["a", "b"]), "3");
    assert_eq!(at(3000), second.ders[0].to_vec());
    mount(&issue("broker-1", &["a"]), "4");
    assert_eq!(at(4000), second.ders[0].to_vec());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(at(5000), second.ders[0].to_vec());
    let third = issue("broker-1", &["b", "a"]);
    third.write(&file);
    assert_eq!(at(6000), third.ders[0].to_vec());
}

#[test]
fn a_store_for_somebody_else_is_taken_if_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tls.pem");
    let authority = Authority::new("ca");
    authority.issue("broker-1", &["a"]).write(&file);
    let store = KeyStore::File(file.to_string_lossy().into_owned());
    let allowing = TlsSettings {
        allows_dn_changes: true,
        allows_san_changes: true,
        ..settings(Some(store), None)
    };
    let reloading = Reloading::new("x", allowing, subject).unwrap();
    let other = authority.issue("broker-2", &["b"]);
    other.write(&file);
    let taken = reloading.current(Duration::ZERO).to_vec();
    assert_eq!(taken, other.ders[0].to_vec());
}
