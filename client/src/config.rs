//! What all of a client's parts share: where the cluster is, who we say we are, how patient we are.

use crate::connection::ConnectionOptions;
use crate::error::ClientError;
use crate::tls::Tls;
use ottla_protocol::Str;
use std::time::Duration;

/// Settings of a client. Defaults are those of Kafka's own clients; the key that means the same there is named.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `bootstrap.servers`: host and port of some brokers.
    pub bootstrap_servers: Vec<(String, u16)>,
    /// `client.id`.
    pub client_id: Str,
    /// `request.timeout.ms`: one request on one connection.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: one call with all its attempts.
    pub api_timeout: Duration,
    /// `retry.backoff.ms`: pause before the second attempt; doubles.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`.
    pub metadata_age_max: Duration,
    /// `allow.auto.create.topics`: whether asking for a topic may create it.
    pub auto_create_topics: bool,
    /// `security.protocol=SSL` with its `ssl.*`; `None` is PLAINTEXT.
    pub tls: Option<Tls>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            bootstrap_servers: Vec::new(),
            client_id: "ottla".into(),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1000),
            metadata_age_max: Duration::from_secs(300),
            auto_create_topics: false,
            tls: None,
        }
    }
}

impl ClientConfig {
    /// Defaults for the cluster at `host:port[,host:port…]`. Errors: `Address`.
    pub fn for_servers(servers: &str) -> Result<ClientConfig, ClientError> {
        let servers = servers
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty());
        let bootstrap_servers = servers.map(parse_address).collect::<Result<Vec<_>, _>>()?;
        if bootstrap_servers.is_empty() {
            return Err(ClientError::Address(String::new()));
        }
        Ok(ClientConfig {
            bootstrap_servers,
            ..ClientConfig::default()
        })
    }

    pub(crate) fn connection_options(&self) -> ConnectionOptions {
        ConnectionOptions {
            client_id: self.client_id.clone(),
            request_timeout: self.request_timeout,
            tls: self.tls.clone(),
            ..ConnectionOptions::default()
        }
    }
}

/// `host:port`, or `[v6]:port`.
fn parse_address(text: &str) -> Result<(String, u16), ClientError> {
    let wrong = || ClientError::Address(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() {
        Err(wrong())
    } else {
        Ok((host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::ClientConfig;

    #[test]
    fn addresses() {
        let servers =
            |text: &str| ClientConfig::for_servers(text).map(|config| config.bootstrap_servers);
        let pair = |host: &str, port| (host.to_owned(), port);
        assert_eq!(servers("a:1, b:2,").unwrap(), [pair("a", 1), pair("b", 2)]);
        assert_eq!(servers("[::1]:9092").unwrap(), [pair("::1", 9092)]);
        for wrong in ["", "a", "a:", ":1", "a:99999"] {
            assert!(servers(wrong).is_err(), "{wrong}");
        }
    }
}
