//! What a scenario may do to a cluster, whoever runs it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{JvmKafka, OttlaBroker};

/// A cluster under a scenario. Data and ports outlive `stop` and `kill`.
pub trait Cluster {
    /// What to call it in results.
    fn name(&self) -> &'static str;
    /// `host:port`, separated by commas.
    fn bootstrap(&self) -> String;
    /// Starts it on its data, and returns when it serves. Nothing happens when it runs.
    fn start(&mut self) -> Result<()>;
    /// Ends it cleanly.
    fn stop(&mut self) -> Result<()>;
    /// Ends it by SIGKILL.
    fn kill(&mut self) -> Result<()>;
}

/// Apache Kafka and Ottla as one broker with the same properties, to run one scenario on both.
pub fn all_kinds(extra: &[(&str, &str)]) -> Result<Vec<Box<dyn Cluster>>> {
    Ok(vec![
        Box::new(JvmKafka::new(extra)?),
        Box::new(OttlaBroker::new(extra)?),
    ])
}

/// Whether a broker at `address` answers a Metadata request with at least one broker. Any error is
/// a no: it is asked while a broker starts.
pub fn answers(address: &str) -> bool {
    brokers_at(address).is_ok_and(|count| count > 0)
}

/// How many brokers the one at `address` knows: Metadata version 1 for no topics, by hand, so that
/// readiness does not rest on the client under test.
pub fn brokers_at(address: &str) -> Result<i32> {
    const LIMIT: Duration = Duration::from_secs(2);
    let address = address.parse().context("an address is IP:port here")?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // length, key 3, version 1, correlation 7, client id null, topics: none
    let request = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];
    stream.write_all(&request)?;
    let mut head = [0u8; 12];
    stream.read_exact(&mut head)?;
    Ok(i32::from_be_bytes([head[8], head[9], head[10], head[11]]))
}
