//! Listeners and the quorum's addresses, read from their text forms.
//!
//! `NAME://host:port`, an empty host is every interface (or, when advertised, this host's own name, which the caller
//! fills in); names count in upper case. Not here: rules between listeners (`broker`).

use std::collections::BTreeMap;

use crate::valid::split_address;

/// A named socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Upper case.
    pub name: String,
    /// Empty for every interface; IPv6 without brackets.
    pub host: String,
    /// 0 for any free port.
    pub port: u16,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Name or IP; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A controller of a fixed quorum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voter {
    /// Node id.
    pub id: i32,
    /// Where it listens.
    pub address: Address,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Nothing on top of TCP.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL on TCP.
    SaslPlaintext,
    /// SASL on TLS.
    SaslSsl,
}

impl Listener {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once("://")?;
        let (host, port) = match rest.strip_prefix(':') {
            Some(port) => ("", port.parse().ok()?),
            None => split_address(rest)?,
        };
        Some(Self {
            name: name.to_uppercase(),
            host: host.to_owned(),
            port,
        })
    }
}

impl Address {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_address(text)?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl Voter {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, address) = text.split_once('@')?;
        Some(Self {
            id: id.parse().ok()?,
            address: Address::parse(address)?,
        })
    }
}

impl SecurityProtocol {
    /// As Kafka writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// The number in registrations.
    pub fn wire_code(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "PLAINTEXT" => Some(Self::Plaintext),
            "SSL" => Some(Self::Ssl),
            "SASL_PLAINTEXT" => Some(Self::SaslPlaintext),
            "SASL_SSL" => Some(Self::SaslSsl),
            _ => None,
        }
    }
}

/// Reads `listener.security.protocol.map`; the error is the element that is wrong.
pub(crate) fn protocol_map(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, String> {
    let mut map = BTreeMap::new();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (name, protocol) = pair.rsplit_once(':').ok_or_else(|| pair.to_owned())?;
        let protocol = SecurityProtocol::parse(&protocol.trim().to_uppercase())
            .ok_or_else(|| pair.to_owned())?;
        if map.insert(name.trim().to_uppercase(), protocol).is_some() {
            return Err(pair.to_owned());
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read() {
        for (text, expected) in [
            ("PLAINTEXT://:9092", Some(("PLAINTEXT", "", 9092))),
            (
                "external://kafka.example.com:0",
                Some(("EXTERNAL", "kafka.example.com", 0)),
            ),
            ("A://[::1]:1", Some(("A", "::1", 1))),
            ("A://::1:1", None),
            ("A://host", None),
            ("A://host:70000", None),
            ("A://host:-1", None),
            ("host:1", None),
            ("A://ho st:1", None),
        ] {
            let listener = Listener::parse(text);
            let got = listener
                .as_ref()
                .map(|l| (l.name.as_str(), l.host.as_str(), l.port));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn maps_and_voters_are_read() {
        let map = protocol_map("controller:plaintext, PUBLIC:SASL_SSL").unwrap();
        assert_eq!(map["CONTROLLER"], SecurityProtocol::Plaintext);
        assert_eq!(map["PUBLIC"], SecurityProtocol::SaslSsl);
        for bad in ["A", "A:TLS", "A:SSL,a:SSL"] {
            assert!(protocol_map(bad).is_err(), "{bad}");
        }
        let voter = Voter::parse("3@[fe80::1]:9093").unwrap();
        assert_eq!(
            (voter.id, voter.address.host.as_str(), voter.address.port),
            (3, "fe80::1", 9093)
        );
    }
}
