//! Tests of `broker`: whole files in, typed values, faults and warnings out. What Kafka takes and refuses is compared by
//! the oracle; here are the things that are ours.

use expect_test::{Expect, expect};

use super::*;
use crate::tls::{ClientAuth, KeyStore, TrustStore};

const COMBINED: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
controller.listener.names=CONTROLLER
";

fn read(text: &str) -> Result<BrokerConfig, Faults> {
    BrokerConfig::from_properties(&Properties::parse(text).unwrap())
}

/// What is said of these lines after a good file (so line 6 is the first).
fn check(lines: &str, expect: Expect) {
    expect.assert_eq(&match read(&format!("{COMBINED}{lines}\n")) {
        Ok(config) => config
            .warnings
            .iter()
            .map(|warning| format!("warning: {warning}"))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(faults) => faults.to_string(),
    });
}

#[test]
fn a_file_becomes_typed() {
    let config = read(&format!(
        "{COMBINED}advertised.listeners=PLAINTEXT://broker.example.com:19092\nlog.dirs=/a,/b\n\
         max.connections.per.ip.overrides=127.0.0.1:5, host:7"
    ))
    .unwrap();
    assert_eq!(
        (config.node_id, config.roles),
        (
            1,
            Roles {
                broker: true,
                controller: true
            }
        )
    );
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(
        (
            config.advertised[0].host.as_str(),
            config.advertised[0].port
        ),
        ("broker.example.com", 19092)
    );
    assert_eq!(config.advertised_controllers[0].name, "CONTROLLER");
    assert_eq!(
        (
            config.inter_broker_listener.as_str(),
            config.bootstrap_servers[0].port
        ),
        ("PLAINTEXT", 9093)
    );
    assert_eq!(
        (config.log_dirs.len(), config.metadata_log_dir.as_str()),
        (2, "/a")
    );
    assert_eq!(config.max_connections_per_ip_overrides["host"], 7);
    assert_eq!(config.settings.get(key::NUM_PARTITIONS), 1);
    assert!(read(COMBINED).unwrap().warnings.is_empty());
    assert_eq!(read(COMBINED).unwrap().log_dirs, ["/tmp/kafka-logs"]);
}

#[test]
fn all_faults_are_told_with_their_lines() {
    check(
        "num.partitions=0\nnode.id=x\nauto.create.topics.enable=maybe\nlog.segment.bytes=1000",
        expect![[r#"
            line 8: auto.create.topics.enable=maybe: must be true or false
            line 9: log.segment.bytes=1000: must be at least 1048576
            line 7: node.id=x: must be a whole number between -2147483648 and 2147483647
            line 6: num.partitions=0: must be at least 1"#]],
    );
    expect![[r#"
        controller.listener.names must be set
        node.id must be set
        process.roles must be set"#]]
    .assert_eq(&read("").unwrap_err().to_string());
}

#[test]
fn nothing_is_ignored_silently() {
    check(
        "num.partition=3\nzookeeper.connect=h:2181\nlog.message.format.version=3.0\nmy.plugin.key=1\nnum.io.threads=16\n\
         num.network.threads=3\nlog.cleanup.policy=compact\nnum.partitions=1\nnum.partitions=2\n\
         listener.name.plaintext.num.network.threads=4\nleader.replication.throttled.rate=5",
        expect![[r#"
            warning: num.partitions stands on line 13 and again on line 14; the last holds
            warning: leader.replication.throttled.rate is ignored here: it is set while the broker runs
            warning: listener.name.plaintext.num.network.threads has no effect
            warning: log.cleanup.policy: compact asks for keys, as in Kafka, but nothing is compacted so far
            warning: log.message.format.version is ignored: Kafka 3.9 was the last that had it
            warning: my.plugin.key is unknown and ignored
            warning: num.io.threads has no effect
            warning: num.partition is unknown and ignored; did you mean num.partitions?
            warning: zookeeper.connect is ignored: Kafka 3.9 was the last that had it"#]],
    );
}

#[test]
fn what_would_be_dangerous_to_ignore_is_refused() {
    check(
        "ssl.keystore.password=canary\nsasl.jaas.config=canary\nauthorizer.class.name=a.B\nsuper.users=User:a\n\
         listener.name.plaintext.ssl.client.auth=required\nlistener.name.plaintext.scram-sha-256.sasl.jaas.config=x\n\
         allow.everyone.if.no.acl.found=false\ntransaction.two.phase.commit.enable=true\nconfig.providers=file",
        expect![[r#"
            line 12: allow.everyone.if.no.acl.found is refused: authorization is not served so far; everybody could do everything
            line 8: authorizer.class.name is refused: authorization is not served so far; everybody could do everything
            line 14: config.providers is refused: config providers are not served; values would be taken as they are written
            line 11: listener.name.plaintext.scram-sha-256.sasl.jaas.config is refused: SASL is not served so far; a listener would be open that was meant to ask who connects
            line 7: sasl.jaas.config is refused: SASL is not served so far; a listener would be open that was meant to ask who connects
            line 6: ssl.keystore.password is refused: only PEM stores are served, which have no password; convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem`
            line 9: super.users is refused: authorization is not served so far; everybody could do everything
            line 13: transaction.two.phase.commit.enable is refused: transactions are not served so far; prepared ones would not be held"#]],
    );
    // Their defaults are fine.
    check(
        "ssl.client.auth=none\nsasl.enabled.mechanisms=GSSAPI\nauthorizer.class.name=\nallow.everyone.if.no.acl.found=true",
        expect![[r#"warning: allow.everyone.if.no.acl.found is unknown and ignored"#]],
    );
}

#[test]
fn listeners_speak_plaintext_or_tls() {
    check(
        "listener.security.protocol.map=PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT,UNUSED:SASL_SSL",
        expect![
            "line 6: listener.security.protocol.map: listener PLAINTEXT asks for SASL_SSL: only PLAINTEXT and SSL are served so far"
        ],
    );
    check(
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,UNUSED:SASL_SSL",
        expect![[""]],
    );
}

const TLS: &str = "listener.security.protocol.map=PLAINTEXT:SSL,CONTROLLER:SSL\nssl.keystore.type=PEM\nssl.truststore.type=PEM\n";

#[test]
fn tls_is_read_per_listener() {
    let config = read(&format!(
        "{COMBINED}{TLS}ssl.keystore.location=/k\nlistener.name.controller.ssl.keystore.location=/c\n\
         listener.name.controller.ssl.client.auth=required\nlistener.name.controller.ssl.truststore.location=/t"
    ))
    .unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let (clients, controllers) = (&config.tls["PLAINTEXT"], &config.tls["CONTROLLER"]);
    let file = |path: &str| Some(KeyStore::File(path.to_owned()));
    assert_eq!(
        (&clients.key_store, clients.client_auth),
        (&file("/k"), ClientAuth::None)
    );
    assert_eq!(
        (&controllers.key_store, controllers.client_auth),
        (&file("/c"), ClientAuth::Required)
    );
    assert_eq!(
        (&clients.trust_store, &controllers.trust_store),
        (&None, &Some(TrustStore::File("/t".to_owned())))
    );
    assert_eq!(config.protocols["CONTROLLER"], SecurityProtocol::Ssl);
}

#[test]
fn tls_that_lacks_something_does_not_start() {
    check(
        TLS,
        expect![[r#"
        ssl.keystore.location: it or ssl.keystore.certificate.chain and ssl.keystore.key must be set, since PLAINTEXT speaks SSL
        ssl.keystore.location: it or ssl.keystore.certificate.chain and ssl.keystore.key must be set, since CONTROLLER speaks SSL"#]],
    );
    check(
        &format!("{TLS}ssl.keystore.location=/k\nssl.client.auth=required"),
        expect![[r#"
            ssl.truststore.location: it or ssl.truststore.certificates must be set, since PLAINTEXT asks clients for certificates
            ssl.truststore.location: it or ssl.truststore.certificates must be set, since CONTROLLER asks clients for certificates"#]],
    );
    check(
        &format!(
            "{TLS}ssl.keystore.location=/k\nlistener.name.plaintext.ssl.keystore.type=JKS\nlistener.name.plaintext.ssl.client.auth=maybe"
        ),
        expect!["line 11: ssl.client.auth=maybe: must be one of required, requested, none"],
    );
    check(
        &format!(
            "{TLS}ssl.keystore.location=/k\nlistener.name.plaintext.ssl.keystore.type=JKS\nssl.enabled.protocols=TLSv1.1\nsecurity.inter.broker.protocol=SASL_SSL\ninter.broker.listener.name=PLAINTEXT"
        ),
        expect![[r#"
            line 13: inter.broker.listener.name: only one of it and security.inter.broker.protocol may be set
            line 11: ssl.enabled.protocols: TLSv1.1 is not served, only TLSv1.2 and TLSv1.3
            line 10: ssl.keystore.type: only PEM is served, not JKS. Convert the store by `openssl pkcs12 -in store.p12 -nodes -out store.pem` (JKS becomes PKCS12 by `keytool -importkeystore -srckeystore store.jks -destkeystore store.p12 -deststoretype pkcs12`) and set ssl.keystore.type=PEM
            line 12: security.inter.broker.protocol: SASL_SSL is not served, only PLAINTEXT and SSL"#]],
    );
    let broker = "process.roles=broker\nnode.id=2\ncontroller.quorum.bootstrap.servers=h:1\nlisteners=PLAINTEXT://:9092\n\
                  controller.listener.names=CONTROLLER\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:SSL";
    expect!["ssl.truststore.location: it or ssl.truststore.certificates must be set, since controllers are reached by CONTROLLER, which speaks SSL"].assert_eq(&read(broker).unwrap_err().to_string());
}

#[test]
fn tls_that_nobody_speaks_is_warned_of() {
    check(
        "ssl.keystore.location=/k\nssl.client.auth=none\nlistener.name.plaintext.ssl.client.auth=required\nlistener.name.other.ssl.keystore.type=PEM",
        expect![[r#"
            warning: listener.name.other.ssl.keystore.type has no effect
            warning: listener.name.plaintext.ssl.client.auth has no effect
            warning: ssl.keystore.location has no effect"#]],
    );
}

#[test]
fn secrets_do_not_show() {
    let setting = find(Scope::Broker, "ssl.key.password").unwrap();
    let fault = check_value(setting, "canary");
    assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
}

fn check_value(setting: &'static Setting, text: &str) -> Result<crate::value::Value, Fault> {
    crate::check::check(setting, text)
}

#[test]
fn the_metrics_listener_is_one_address() {
    check(
        "ottla.metrics.listener=9404",
        expect!["line 6: ottla.metrics.listener=9404: must be host:port"],
    );
    check("ottla.metrics.listener=[::]:9404", expect![[""]]);
}
