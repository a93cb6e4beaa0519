//! Ports for listeners that share one machine. A declared port goes to the first broker, the next
//! ones to the others; a port that is taken is passed over. What was chosen is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use ottla_operator_plan::{Address, Broker, CONTROLLER};

/// All brokers listen here only.
pub const HOST: &str = "127.0.0.1";
/// Where the search for controllers' ports begins: below the range from which systems take the
/// ports of outgoing connections, beside the one that clients use.
const CONTROLLER_PORTS: u16 = 19_092;
/// Where a broker serves metrics on Kubernetes, and where the search for others begins here.
const METRICS_PORTS: u16 = 9_404;

/// Addresses for the listeners of `broker`, keeping those of `kept`. `taken` are the ports of other
/// brokers; `declared` are the ports that listeners ask for by name, which others pass over;
/// `is_free` asks the system. None when no port is left.
pub fn choose(
    broker: &Broker,
    kept: &BTreeMap<String, Address>,
    taken: &BTreeSet<u16>,
    is_free: &mut impl FnMut(u16) -> bool,
) -> Option<BTreeMap<String, Address>> {
    let mut taken = taken.clone();
    taken.extend(kept.values().map(|address| address.port));
    let declared: BTreeSet<u16> = broker.listeners.iter().filter_map(|l| l.port).collect();
    let mut chosen = BTreeMap::new();
    for listener in &broker.listeners {
        if let Some(address) = kept.get(&listener.name) {
            chosen.insert(listener.name.clone(), address.clone());
            continue;
        }
        let first = listener.port.unwrap_or(CONTROLLER_PORTS);
        let port = (first..=u16::MAX).find(|port| {
            let is_anothers = *port != first && declared.contains(port);
            !is_anothers && !taken.contains(port) && is_free(*port)
        })?;
        taken.insert(port);
        let host = HOST.into();
        chosen.insert(listener.name.clone(), Address { host, port });
    }
    Some(chosen)
}

/// An address for the metrics of `broker`, beside its listeners': `kept`, if it can still be had. `taken` and
/// `is_free` as in [`choose`].
pub fn choose_metrics(
    broker: &Broker,
    kept: Option<Address>,
    taken: &BTreeSet<u16>,
    is_free: &mut impl FnMut(u16) -> bool,
) -> Option<Address> {
    let is_listeners = |port: u16| {
        let at = |address: &Address| address.port == port;
        let mut listeners = broker.listeners.iter();
        listeners.any(|l| l.port == Some(port) || l.address.as_ref().is_some_and(at))
    };
    let mut is_usable = |port: u16| !is_listeners(port) && !taken.contains(&port) && is_free(port);
    if let Some(kept) = kept.filter(|kept| is_usable(kept.port)) {
        return Some(kept);
    }
    let port = (METRICS_PORTS..=u16::MAX).find(|port| is_usable(*port))?;
    let host = HOST.into();
    Some(Address { host, port })
}

/// Whether a port can be listened on now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((HOST, port)).is_ok()
}

/// What to tell when clients do not find the declared port where they expect it.
pub fn note(broker: &Broker, first_id: i32) -> Vec<String> {
    broker
        .listeners
        .iter()
        .filter(|listener| listener.name != CONTROLLER && broker.id == first_id)
        .filter_map(|listener| {
            let (port, address) = (listener.port?, listener.address.as_ref()?);
            (port != address.port).then(|| {
                format!(
                    "port {port} is taken on this machine: listener {} of broker-{} is at {address}",
                    listener.name, broker.id
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_operator_plan::{BrokerListener, Volume};

    fn broker(id: i32, listeners: &[(&str, Option<u16>)]) -> Broker {
        Broker {
            id,
            roles: Vec::new(),
            listeners: listeners
                .iter()
                .map(|(name, port)| BrokerListener {
                    name: (*name).into(),
                    port: *port,
                    address: None,
                })
                .collect(),
            quorum: None,
            config: BTreeMap::new(),
            volume: Volume { size: "1Gi".into() },
        }
    }

    fn ports(chosen: &BTreeMap<String, Address>) -> Vec<(&str, u16)> {
        chosen
            .iter()
            .map(|(name, a)| (name.as_str(), a.port))
            .collect()
    }

    #[test]
    fn brokers_line_up_and_pass_over_what_is_taken() {
        let listeners = [
            ("plain", Some(9092)),
            ("other", Some(9094)),
            (CONTROLLER, None),
        ];
        let mut is_free = |port: u16| port != 9093;
        let none = BTreeMap::new();
        let first = choose(
            &broker(0, &listeners),
            &none,
            &BTreeSet::new(),
            &mut is_free,
        )
        .unwrap();
        assert_eq!(
            ports(&first),
            [("controller", 19092), ("other", 9094), ("plain", 9092)]
        );
        let taken: BTreeSet<u16> = first.values().map(|a| a.port).collect();
        let second = choose(&broker(1, &listeners[..2]), &none, &taken, &mut is_free).unwrap();
        assert_eq!(ports(&second), [("other", 9096), ("plain", 9095)]);
    }

    #[test]
    fn metrics_pass_over_listeners_and_each_other() {
        let listeners = [("plain", Some(9404)), (CONTROLLER, None)];
        let mut is_free = |port: u16| port != 9406;
        let port = |kept: Option<u16>, taken: &[u16], is_free: &mut dyn FnMut(u16) -> bool| {
            let taken = taken.iter().copied().collect();
            let kept = kept.map(|port| Address {
                host: HOST.into(),
                port,
            });
            let broker = broker(0, &listeners);
            let chosen = choose_metrics(&broker, kept, &taken, &mut |port| is_free(port));
            chosen.map(|address| address.port)
        };
        assert_eq!(port(None, &[], &mut is_free), Some(9405));
        assert_eq!(port(None, &[9405], &mut is_free), Some(9407));
        assert_eq!(port(Some(9410), &[9405], &mut is_free), Some(9410));
        for lost in [9404, 9406, 9410] {
            assert_eq!(
                port(Some(lost), &[9410], &mut is_free),
                Some(9405),
                "{lost}"
            );
        }
        assert_eq!(port(Some(9410), &[], &mut |_| false), None);
    }

    #[test]
    fn a_chosen_port_is_kept() {
        let listeners = [("plain", Some(9092)), ("new", Some(9093))];
        let kept = BTreeMap::from([(
            "plain".to_owned(),
            Address {
                host: HOST.into(),
                port: 9100,
            },
        )]);
        let chosen = choose(&broker(0, &listeners), &kept, &BTreeSet::new(), &mut |_| {
            true
        });
        assert_eq!(ports(&chosen.unwrap()), [("new", 9093), ("plain", 9100)]);
        assert_eq!(
            choose(&broker(0, &listeners), &kept, &BTreeSet::new(), &mut |_| {
                false
            }),
            None
        );
    }
}
