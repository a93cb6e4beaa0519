//! A planned broker as `server.properties`, on any platform. Pure.

use std::fmt::Write;

use ottla_operator_api::Role;
use ottla_operator_plan::{Address, Broker, CONTROLLER};

/// What a platform adds to a planned broker.
pub struct Place<'a> {
    /// The first line, for whoever opens the file.
    pub comment: &'a str,
    /// The broker's data directory.
    pub data: &'a str,
    /// Where a listener is bound that is reached at an address.
    pub bind: fn(&Address) -> Address,
    /// Where it serves metrics and probes.
    pub metrics: &'a Address,
}

/// The text of `server.properties`. None while an address is not known.
pub fn server_properties(broker: &Broker, place: &Place<'_>) -> Option<String> {
    let is_controller = broker.roles.contains(&Role::Controller);
    let mut listeners = Vec::new();
    let mut advertised = Vec::new();
    let mut protocols = vec!["CONTROLLER:PLAINTEXT".to_owned()];
    for listener in &broker.listeners {
        let name = listener.name.to_uppercase();
        let address = listener.address.as_ref()?;
        listeners.push(format!("{name}://{}", (place.bind)(address)));
        // The controller's too: where it is bound may be no place to reach it.
        advertised.push(format!("{name}://{address}"));
        if listener.name != CONTROLLER {
            protocols.push(format!("{name}:PLAINTEXT"));
        }
    }
    let first = broker.listeners.first()?.name.to_uppercase();
    let roles = if is_controller {
        "broker,controller"
    } else {
        "broker"
    };
    let mut text = format!("# {}\n", place.comment);
    let mut line = |key: &str, value: &str| {
        writeln!(text, "{}={}", escaped(key, true), escaped(value, false))
            .expect("writing to a String cannot fail");
    };
    line("node.id", &broker.id.to_string());
    line("process.roles", roles);
    line("log.dirs", place.data);
    line("listeners", &listeners.join(","));
    line("advertised.listeners", &advertised.join(","));
    line("listener.security.protocol.map", &protocols.join(","));
    line("inter.broker.listener.name", &first);
    line("controller.listener.names", "CONTROLLER");
    line(
        "controller.quorum.bootstrap.servers",
        &broker.quorum.as_ref()?.to_string(),
    );
    line("ottla.metrics.listener", &place.metrics.to_string());
    for (key, value) in &broker.config {
        line(key, value);
    }
    Some(text)
}

/// Java's escapes: what would end or change a key or value otherwise.
fn escaped(text: &str, is_key: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' if is_key || index == 0 => out.push_str("\\ "),
            '=' | ':' | '#' | '!' if is_key => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use ottla_operator_plan::{BrokerListener, Volume};
    use std::collections::BTreeMap;

    fn place(metrics: &Address) -> Place<'_> {
        Place {
            comment: "Of a test.",
            data: "/d/broker/data",
            bind: Address::clone,
            metrics,
        }
    }

    fn metrics() -> Address {
        Address {
            host: "127.0.0.1".into(),
            port: 9404,
        }
    }

    fn broker(id: i32) -> Broker {
        let address = |port| {
            Some(Address {
                host: "127.0.0.1".into(),
                port,
            })
        };
        let mut listeners = vec![BrokerListener {
            name: "plain".into(),
            port: Some(9092),
            address: address(9092 + id as u16),
        }];
        let mut roles = vec![Role::Broker];
        if id == 0 {
            roles.insert(0, Role::Controller);
            listeners.push(BrokerListener {
                name: CONTROLLER.into(),
                port: None,
                address: address(19092),
            });
        }
        Broker {
            id,
            roles,
            listeners,
            quorum: address(19092),
            config: BTreeMap::from([
                ("num.partitions".into(), "3".into()),
                ("x".into(), " a\\b\nü".into()),
            ]),
            volume: Volume { size: "1Gi".into() },
        }
    }

    #[test]
    fn a_controller_and_a_broker() {
        let text = |id: i32| server_properties(&broker(id), &place(&metrics())).unwrap();
        expect![[r#"
            # Of a test.
            node.id=0
            process.roles=broker,controller
            log.dirs=/d/broker/data
            listeners=PLAIN://127.0.0.1:9092,CONTROLLER://127.0.0.1:19092
            advertised.listeners=PLAIN://127.0.0.1:9092,CONTROLLER://127.0.0.1:19092
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT
            inter.broker.listener.name=PLAIN
            controller.listener.names=CONTROLLER
            controller.quorum.bootstrap.servers=127.0.0.1:19092
            ottla.metrics.listener=127.0.0.1:9404
            num.partitions=3
            x=\ a\\b\n\u00fc
        "#]]
        .assert_eq(&text(0));
        expect![[r#"
            # Of a test.
            node.id=1
            process.roles=broker
            log.dirs=/d/broker/data
            listeners=PLAIN://127.0.0.1:9093
            advertised.listeners=PLAIN://127.0.0.1:9093
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT
            inter.broker.listener.name=PLAIN
            controller.listener.names=CONTROLLER
            controller.quorum.bootstrap.servers=127.0.0.1:19092
            ottla.metrics.listener=127.0.0.1:9404
            num.partitions=3
            x=\ a\\b\n\u00fc
        "#]]
        .assert_eq(&text(1));
    }

    #[test]
    fn nothing_is_written_before_addresses_are_known() {
        let mut broker = broker(1);
        broker.quorum = None;
        let text = server_properties(&broker, &place(&metrics()));
        assert_eq!(text, None);
    }
}
