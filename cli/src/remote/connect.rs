//! Which cluster to talk to, how securely, and how patiently.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ottla_client::net::NetRef;
use ottla_client::{Admin, ClientConfig, Failure as Refused, Tls};
use ottla_settings::{Properties, TlsSettings};

use crate::args::{Dir, duration};
use crate::failure::{Failure, PARTIAL, TIMEOUT, USAGE, next_step, refused_code, told};

/// How long one bootstrap server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub struct Connect {
    /// Brokers to ask first, as HOST:PORT[,HOST:PORT...]; left out, the cluster that runs in --dir
    #[arg(long, value_name = "HOST:PORT", env = "OTTLA_BOOTSTRAP_SERVER")]
    pub bootstrap_server: Option<String>,
    #[command(flatten)]
    pub dir: Dir,
    /// Properties of a Kafka client: security.protocol (PLAINTEXT, SSL) and ssl.* with PEM stores
    #[arg(long, value_name = "FILE", env = "OTTLA_COMMAND_CONFIG")]
    pub command_config: Option<PathBuf>,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub timeout: Duration,
}

impl Connect {
    /// The client's settings. Fails at once when nobody listens there: trying for the whole
    /// timeout would only hide a wrong address.
    pub fn config(&self) -> Result<ClientConfig, Failure> {
        let file = match &self.command_config {
            Some(path) => ClientFile::read(path)?,
            None => ClientFile::default(),
        };
        let named = self.bootstrap_server.clone().or(file.servers);
        let is_own = named.is_none();
        let servers = match named {
            Some(servers) => servers,
            None => crate::local::bootstrap(&self.dir.dir)?,
        };
        let mut config = ClientConfig::for_servers(&servers)?;
        config.tls = file.tls;
        config.api_timeout = self.timeout;
        config.request_timeout = self.timeout.min(config.request_timeout);
        reach(&servers, &config.bootstrap_servers, is_own)?;
        Ok(config)
    }

    /// For administration.
    pub fn admin(&self, net: NetRef) -> Result<Admin, Failure> {
        Ok(Admin::new(net, self.config()?))
    }
}

/// What a client's properties file says that matters here.
#[derive(Debug, Default)]
struct ClientFile {
    /// `bootstrap.servers`
    servers: Option<String>,
    /// `security.protocol` and `ssl.*`
    tls: Option<Tls>,
}

impl ClientFile {
    fn read(path: &Path) -> Result<ClientFile, Failure> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let cause = format!("{shown}: {}", without_number(&error.to_string()));
            let code = Failure::from(error).code;
            Failure::new(code, cause)
        })?;
        Self::parse(&text, &shown)
    }

    /// `shown` is the file's name in what is told. What such a file may hold for other programs is warned of.
    fn parse(text: &str, shown: &str) -> Result<ClientFile, Failure> {
        let wrong =
            |cause: &dyn std::fmt::Display| Failure::new(USAGE, format!("{shown}: {cause}"));
        let properties = Properties::parse(text).map_err(|fault| wrong(&fault))?;
        let entries: Vec<(&str, &str)> = properties
            .iter()
            .map(|(name, entry)| (name, entry.value.trim()))
            .collect();
        let value = |name: &str| {
            let entry = entries.iter().find(|(entry, _)| *entry == name);
            entry
                .map(|(_, value)| *value)
                .filter(|value| !value.is_empty())
        };
        let speaks_tls = match value("security.protocol") {
            Some("SSL") => true,
            None | Some("PLAINTEXT") => false,
            Some(other) => {
                return Err(wrong(&format!("security.protocol={other} is not served"))
                    .next("PLAINTEXT and SSL are."));
            }
        };
        for (name, _) in &entries {
            match *name {
                "security.protocol" | "bootstrap.servers" => {}
                name if name.starts_with("ssl.") && speaks_tls => {}
                name if name.starts_with("ssl.") => {
                    eprintln!("warning: {name} has no effect without security.protocol=SSL");
                }
                name => eprintln!("warning: {name} has no effect on this command"),
            }
        }
        let mut tls = None;
        if speaks_tls {
            let settings =
                TlsSettings::of_client(entries.iter().copied()).map_err(|causes| Failure {
                    code: USAGE,
                    causes: causes
                        .iter()
                        .map(|cause| format!("{shown}: {cause}"))
                        .collect(),
                    next: None,
                })?;
            tls = Some(Tls::new(settings, "this command").map_err(|error| wrong(&error))?);
        }
        Ok(ClientFile {
            servers: value("bootstrap.servers").map(str::to_owned),
            tls,
        })
    }
}

/// Whether anyone listens at one of the servers.
fn reach(shown: &str, servers: &[(String, u16)], is_own: bool) -> Result<(), Failure> {
    let mut why = String::new();
    for (host, port) in servers {
        let addresses = match (host.as_str(), *port).to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(error) => {
                why = format!("{host}: {}", without_number(&error.to_string()));
                continue;
            }
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(_) => return Ok(()),
                Err(error) => why = format!("{address}: {}", without_number(&error.to_string())),
            }
        }
    }
    let failure = Failure::new(TIMEOUT, format!("no broker answers at {shown} ({why})"));
    Err(failure.next(if is_own {
        "`ottla status` tells how the cluster stands, `ottla up FILE` brings it back."
    } else {
        "Is the address right, and does the broker run?"
    }))
}

/// An error of the system without its number, which says nothing more.
fn without_number(text: &str) -> &str {
    text.split(" (os error ").next().unwrap_or(text)
}

/// Several items of one request, some of which failed: told one by one; `PARTIAL` when others
/// succeeded.
pub fn outcome_of(failed: &[(String, Refused)], total: usize) -> Result<(), Failure> {
    let Some((_, first)) = failed.first() else {
        return Ok(());
    };
    let code = if failed.len() < total {
        PARTIAL
    } else {
        refused_code(first.error.name().unwrap_or_default())
    };
    let causes = failed
        .iter()
        .map(|(name, refused)| format!("{name}: {}", told(refused)));
    Err(Failure {
        code,
        causes: causes.collect(),
        next: next_step(first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_file_says_where_and_how() {
        let file = ClientFile::parse("bootstrap.servers = h:1\nacks=all\n", "f").unwrap();
        assert_eq!(file.servers.as_deref(), Some("h:1"));
        assert!(file.tls.is_none());
        let wrong = |text: &str| {
            let failure = ClientFile::parse(text, "client.properties").unwrap_err();
            assert_eq!(failure.code, USAGE, "{failure}");
            failure.to_string()
        };
        assert_eq!(
            wrong("security.protocol=SASL_SSL"),
            "client.properties: security.protocol=SASL_SSL is not served"
        );
        let jks = wrong("security.protocol=SSL\nssl.truststore.location=/t.jks");
        assert!(
            jks.contains("client.properties: ssl.truststore.type: only PEM"),
            "{jks}"
        );
        let alone = wrong("security.protocol=SSL");
        assert!(alone.contains("ssl.truststore.location"), "{alone}");
        let nowhere = ClientFile::read(Path::new("/nowhere/client.properties")).unwrap_err();
        assert!(
            nowhere
                .to_string()
                .starts_with("/nowhere/client.properties: "),
            "{nowhere}"
        );
    }
}
