//! TLS of one listener: the accepting side's handshake over any stream, and who the peer has proved to be.
//!
//! Invariants: a handshake ends within [`HANDSHAKE_MAX`], whatever the peer does; a peer that is refused is told why
//! (TLS's alert) before its socket closes. Connections keep what they were accepted with; new ones take the newest
//! stores. Not here: who may do what, stores themselves (`ottla_client::tls`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ottla_client::tls::{
    Certificate, CertificateError, Material, Reloading, TlsError, provider, refusal, versions,
};
use ottla_settings::{ClientAuth, TlsSettings};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{AlertDescription, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::{Rt, Stream, sleep};

/// A handshake may take this long: Kafka's clients give up on theirs after it, too
/// (`socket.connection.setup.timeout.ms`). Kafka's brokers leave it to `connections.max.idle.ms`, ten minutes of a
/// descriptor for one packet.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A peer that was refused may take this long to read why. A socket that is closed while the peer still writes
/// takes the alert back.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// More than this is not waited through.
const LAST_WORDS_BYTES_MAX: usize = 64 * 1024;

/// Accepts TLS for one listener.
pub struct Acceptor {
    config: Reloading<ServerConfig>,
}

/// A connection behind its handshake.
pub struct Secured {
    /// What the peer says, and is told.
    pub stream: Box<dyn Stream>,
    /// Whom its certificate names (RFC 2253); `None` if it showed none.
    pub subject: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer went away.
    #[error("socket: {0}")]
    Io(io::Error),
    /// It took too long.
    #[error("no TLS handshake within {0:?}")]
    TimedOut(Duration),
    /// What came is not TLS.
    #[error(
        "what the peer sends is not TLS ({0}); this listener speaks SSL: is security.protocol=SSL set in the client?"
    )]
    NotTls(rustls::Error),
    /// `ssl.client.auth=required`
    #[error("the client shows no certificate, and ssl.client.auth=required asks for one")]
    NoCertificate,
    /// A certificate that is not trusted.
    #[error(
        "the client's certificate is refused: {0}; its authority must be in ssl.truststore of this listener, and its dates must hold"
    )]
    Untrusted(rustls::Error),
    /// The peer's turn to refuse.
    #[error(
        "the client refuses this broker's certificate ({0:?}): does it trust the authority, and does the certificate name the host?"
    )]
    RefusedByPeer(AlertDescription),
    /// Anything else that TLS objects to.
    #[error("TLS: {0}")]
    Protocol(rustls::Error),
    /// A verified certificate without a readable subject.
    #[error("the client's certificate: {0}")]
    Certificate(#[from] CertificateError),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match refusal(&error) {
            None => Self::Io(error),
            Some(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(refused @ rustls::Error::InvalidCertificate(_)) => {
                Self::Untrusted(refused.clone())
            }
            Some(odd @ rustls::Error::InvalidMessage(_)) => Self::NotTls(odd.clone()),
            Some(rustls::Error::AlertReceived(alert)) => Self::RefusedByPeer(*alert),
            Some(other) => Self::Protocol(other.clone()),
        }
    }
}

impl Acceptor {
    /// Reads the stores. Errors: they cannot be used.
    pub fn new(listener: &str, settings: TlsSettings) -> Result<Self, TlsError> {
        let whose = format!("listener {listener}");
        Ok(Self {
            config: Reloading::new(&whose, settings, server_config)?,
        })
    }

    /// Makes the handshake, in the task that calls; others go on meanwhile.
    pub async fn accept(
        &self,
        rt: &Rt,
        stream: Box<dyn Stream>,
    ) -> Result<Secured, HandshakeError> {
        let now = Duration::from_nanos(rt.now().nanos());
        let handshake = TlsAcceptor::from(self.config.current(now)).accept(stream);
        let limit = sleep(rt, HANDSHAKE_MAX);
        let ended = tokio::select! {
            biased;
            ended = handshake.into_fallible() => ended,
            () = limit => return Err(HandshakeError::TimedOut(HANDSHAKE_MAX)),
        };
        match ended {
            Ok(stream) => {
                let chain = stream.get_ref().1.peer_certificates();
                let leaf = chain.and_then(<[_]>::first);
                let certificate = leaf.map(|leaf| Certificate::parse(leaf)).transpose()?;
                Ok(Secured {
                    stream: Box::new(stream),
                    subject: certificate.map(|certificate| certificate.subject),
                })
            }
            Err((error, stream)) => {
                let error = HandshakeError::from(error);
                if !matches!(error, HandshakeError::Io(_)) {
                    let limit = sleep(rt, LAST_WORDS_MAX);
                    tokio::select! {
                        biased;
                        () = hear_out(stream) => {}
                        () = limit => {}
                    }
                }
                Err(error)
            }
        }
    }
}

/// Closes our side and reads what the peer has still sent, until it closes its own.
async fn hear_out(mut stream: Box<dyn Stream>) {
    let mut bytes = [0; 1024];
    let mut heard = 0;
    // Whether the peer still listens changes nothing.
    let _ = stream.shutdown().await;
    while heard < LAST_WORDS_BYTES_MAX {
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(count) => heard += count,
        }
    }
}

fn server_config(settings: &TlsSettings, material: &Material) -> Result<ServerConfig, TlsError> {
    let identity = material.identity.as_ref().ok_or(TlsError::NoKeyStore)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(settings))?;
    let builder = match settings.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Requested | ClientAuth::Required => {
            builder.with_client_cert_verifier(client_verifier(settings, material)?)
        }
    };
    Ok(builder.with_single_cert(identity.chain.clone(), identity.key.clone_key())?)
}

fn client_verifier(
    settings: &TlsSettings,
    material: &Material,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = material.roots()?.ok_or(TlsError::NoTrustStore)?;
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if settings.client_auth == ClientAuth::Requested {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map_err(|_| TlsError::NoTrustStore)
}

#[cfg(test)]
mod tests;
