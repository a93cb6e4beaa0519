//! Tests of the accepting side's handshake, over streams in memory and a clock that is the test's.

use std::cell::Cell;
use std::rc::Rc;

use ottla_broker_storage::disk::Disk;
use ottla_client::tls::Tls;
use ottla_settings::{KeyStore, TrustStore};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tokio::io::duplex;

use super::*;
use crate::rt::{Instant, Listener, LocalFuture, Runtime};

/// A world in which nothing takes time until `is_over` says that all of it has passed.
struct World {
    is_over: Cell<bool>,
}

impl Runtime for World {
    fn spawn(&self, _: LocalFuture<'static, ()>) {
        unreachable!("a handshake starts no task")
    }
    fn now(&self) -> Instant {
        Instant::from_nanos(0)
    }
    fn wall_clock_ms(&self) -> i64 {
        0
    }
    fn sleep_until(&self, _: Instant) -> LocalFuture<'static, ()> {
        if self.is_over.get() {
            Box::pin(std::future::ready(()))
        } else {
            Box::pin(std::future::pending())
        }
    }
    fn listen(&self, _: &str, _: u16) -> LocalFuture<'static, io::Result<Box<dyn Listener>>> {
        unreachable!("streams come from the test")
    }
    fn connect(&self, _: &str, _: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>> {
        unreachable!("streams come from the test")
    }
    fn disk(&self) -> Arc<dyn Disk> {
        unreachable!("a handshake writes nothing")
    }
    fn random(&self) -> u64 {
        0
    }
}

fn world(is_over: bool) -> Rt {
    Rc::new(World {
        is_over: Cell::new(is_over),
    })
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn issue(&self, name: &str) -> KeyStore {
        let mut params = CertificateParams::new(vec!["broker".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Ottla");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        KeyStore::Inline {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn settings(&self, key_store: Option<KeyStore>, client_auth: ClientAuth) -> TlsSettings {
        TlsSettings {
            key_store,
            trust_store: Some(TrustStore::Inline(self.pem.clone())),
            client_auth,
            tls12: true,
            tls13: true,
            checks_host: true,
            allows_dn_changes: false,
            allows_san_changes: false,
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.build().unwrap().block_on(test)
}

/// What the broker makes of a client with `key_store`; and the client's first read.
fn meet(
    authority: &Authority,
    client_auth: ClientAuth,
    key_store: Option<KeyStore>,
) -> (Result<Option<String>, HandshakeError>, io::Result<usize>) {
    let own = authority.settings(Some(authority.issue("broker-1")), client_auth);
    let acceptor = Acceptor::new("TEST", own).unwrap();
    let client = authority.settings(key_store, ClientAuth::None);
    let client = Tls::new(client, "broker").unwrap();
    run(async {
        let (ours, theirs) = duplex(64 * 1024);
        let rt = world(false);
        let accept = async {
            let mut secured = acceptor.accept(&rt, Box::new(ours)).await?;
            secured.stream.write_all(b"x").await?;
            secured.stream.flush().await?;
            Ok(secured.subject)
        };
        let talk = async {
            let mut stream = client
                .connect(Duration::ZERO, "broker", Box::new(theirs))
                .await?;
            stream.read(&mut [0; 8]).await
        };
        tokio::join!(accept, talk)
    })
}

#[test]
fn a_client_is_whom_its_certificate_names() {
    let authority = Authority::new();
    for client_auth in [ClientAuth::Requested, ClientAuth::Required] {
        let shown = Some(authority.issue("Kafka, Franz"));
        let (accepted, read) = meet(&authority, client_auth, shown);
        assert_eq!(
            accepted.unwrap().as_deref(),
            Some(r"CN=Kafka\, Franz,O=Ottla")
        );
        assert_eq!(read.unwrap(), 1);
    }
    // Not asked for: it stays unknown, as in Kafka.
    for (client_auth, shown) in [
        (ClientAuth::None, Some(authority.issue("x"))),
        (ClientAuth::Requested, None),
    ] {
        let (accepted, _) = meet(&authority, client_auth, shown);
        assert_eq!(accepted.unwrap(), None);
    }
}

#[test]
fn a_client_that_is_refused_hears_why() {
    let authority = Authority::new();
    let (accepted, read) = meet(&authority, ClientAuth::Required, None);
    assert!(
        matches!(accepted, Err(HandshakeError::NoCertificate)),
        "{accepted:?}"
    );
    let told = read.unwrap_err();
    assert!(refusal(&told).is_some(), "{told}");
    for client_auth in [ClientAuth::Requested, ClientAuth::Required] {
        let strange = Some(Authority::new().issue("x"));
        let (accepted, read) = meet(&authority, client_auth, strange);
        assert!(
            matches!(accepted, Err(HandshakeError::Untrusted(_))),
            "{accepted:?}"
        );
        assert!(read.is_err());
    }
}

#[test]
fn who_speaks_plain_text_or_nothing_is_let_go() {
    let authority = Authority::new();
    let own = authority.settings(Some(authority.issue("broker-1")), ClientAuth::None);
    let acceptor = Acceptor::new("TEST", own).unwrap();
    run(async {
        let (ours, mut theirs) = duplex(1024);
        // The beginning of an ApiVersions request.
        theirs
            .write_all(&[0, 0, 0, 20, 0, 18, 0, 4, 0, 0, 0, 1])
            .await
            .unwrap();
        theirs.shutdown().await.unwrap();
        let refused = acceptor.accept(&world(false), Box::new(ours)).await;
        assert!(matches!(refused, Err(HandshakeError::NotTls(_))));

        let (ours, theirs) = duplex(1024);
        let late = acceptor.accept(&world(true), Box::new(ours)).await;
        assert!(matches!(late, Err(HandshakeError::TimedOut(HANDSHAKE_MAX))));
        drop(theirs);

        let (ours, theirs) = duplex(1024);
        drop(theirs);
        let gone = acceptor.accept(&world(false), Box::new(ours)).await;
        assert!(matches!(gone, Err(HandshakeError::Io(_))));
    });
}
