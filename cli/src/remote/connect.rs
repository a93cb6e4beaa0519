//! Which cluster to talk to, and how patiently.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;
use ottla_client::net::NetRef;
use ottla_client::{Admin, ClientConfig, Failure as Refused};

use crate::args::{Dir, duration};
use crate::failure::{Failure, PARTIAL, TIMEOUT, next_step, refused_code, told};

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
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub timeout: Duration,
}

impl Connect {
    /// The client's settings. Fails at once when nobody listens there: trying for the whole
    /// timeout would only hide a wrong address.
    pub fn config(&self) -> Result<ClientConfig, Failure> {
        let servers = match &self.bootstrap_server {
            Some(servers) => servers.clone(),
            None => crate::local::bootstrap(&self.dir.dir)?,
        };
        let mut config = ClientConfig::for_servers(&servers)?;
        config.api_timeout = self.timeout;
        config.request_timeout = self.timeout.min(config.request_timeout);
        reach(
            &servers,
            &config.bootstrap_servers,
            self.bootstrap_server.is_none(),
        )?;
        Ok(config)
    }

    /// For administration.
    pub fn admin(&self, net: NetRef) -> Result<Admin, Failure> {
        Ok(Admin::new(net, self.config()?))
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
