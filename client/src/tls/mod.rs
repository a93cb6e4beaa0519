//! TLS: stores of PEM files, kept fresh, and the connecting side's handshake. The accepting side (broker) uses the same stores.
//!
//! Invariants: one cryptographic provider, ring, named with every configuration and never installed for the process; no key or
//! certificate of ours shows in a message or log but by its distinguished name. Files are small and read where they stand, at most
//! [`CHECK_EVERY`]; together with `tcp` this is the only room of the crate that reaches outside.
//! Not here: which keys say all this (`ottla_settings::tls`), what a principal may do.

mod certificate;
mod material;
mod reloading;
mod verifier;

pub use certificate::{Certificate, CertificateError};
pub use material::{Identity, Material, TlsError};
pub use reloading::{CHECK_EVERY, Reloading};

use crate::net::Stream;
use ottla_settings::TlsSettings;
use rustls::ClientConfig;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// The one provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// `ssl.enabled.protocols`, newest first.
pub fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let tls13 = settings.tls13.then_some(&rustls::version::TLS13);
    let tls12 = settings.tls12.then_some(&rustls::version::TLS12);
    tls13.into_iter().chain(tls12).collect()
}

/// The connecting side: whom to trust, and which certificate to show. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<Reloading<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the stores. `whose` says in logs what it is for ("controllers"). Errors: a store cannot be read or holds nothing to use.
    pub fn new(settings: TlsSettings, whose: &str) -> Result<Tls, TlsError> {
        let config = Reloading::new(whose, settings, client_config)?;
        Ok(Tls {
            config: Arc::new(config),
        })
    }

    /// Makes the handshake over `stream` with the server that was reached as `host`. `now` is any monotonic time.
    /// Errors: those of the stream, and what either side refuses (see [`refusal`]).
    pub async fn connect(
        &self,
        now: Duration,
        host: &str,
        stream: Box<dyn Stream>,
    ) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let text = format!("{host:?} is no name that a certificate can have");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let connector = TlsConnector::from(self.config.current(now));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

/// What TLS objected to, if that is what ended a stream: the other side's certificate, or an alert from the other side.
pub fn refusal(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn client_config(settings: &TlsSettings, material: &Material) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let roots = material.roots()?.ok_or(TlsError::NoTrustStore)?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(settings))?;
    let builder = if settings.checks_host {
        builder.with_root_certificates(roots)
    } else {
        let verifier = verifier::ChainOnly::new(roots, &provider);
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    };
    Ok(match &material.identity {
        Some(identity) => {
            builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?
        }
        None => builder.with_no_client_auth(),
    })
}

#[cfg(test)]
pub(crate) mod tests;
