//! Free ports of the loopback interface.

use std::net::TcpListener;

use anyhow::Result;

/// `count` ports that were free a moment ago. They are held until all are chosen, so that they
/// differ; another process may still take one before the broker does, which then says so.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<Vec<_>, _>>()?;
    let ports = held
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect::<Result<Vec<_>>>()?;
    Ok(ports)
}
