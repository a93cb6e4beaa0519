//! TLS on every link. Goal: a controller and a broker in processes of their own find each other by mutual TLS;
//! Kafka's Java client of 4.3.1 and ours speak TLS with and without a certificate; who does not belong is refused
//! and told why; certificates are renewed under open connections.
//! Method: authorities made here, stores as PEM files behind symbolic links (as Kubernetes mounts a Secret), one
//! broker with a plain, a TLS and a mutual-TLS listener, the logs of both processes.
//! Needs: jvm.

use anyhow::{Context, Result, bail, ensure};
use ottla_client::admin::NewTopic;
use ottla_client::tls::{Certificate, Tls};
use ottla_client::{
    Admin, ClientConfig, ClientError, Connection, ConnectionError, ConnectionOptions, tcp,
};
use ottla_e2e::{
    Properties, Running, Wire, answers, free_ports, kafka_classpath, ottla_binary, until,
};
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::metadata_request::MetadataRequest;
use ottla_settings::TlsSettings;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair,
};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

// ---- authorities and stores

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

struct Issued {
    /// Chain and key.
    pem: String,
    der: Vec<u8>,
}

impl Authority {
    fn new(name: &str) -> Result<Authority> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    fn issue(&self, names: &[(DnType, &str)], addresses: &[&str]) -> Result<Issued> {
        let addresses: Vec<String> = addresses.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(addresses)?;
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            let value = DnValue::Utf8String((*value).to_owned());
            params.distinguished_name.push(kind.clone(), value);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            pem: format!("{}{}", certificate.pem(), key.serialize_pem()),
            der: certificate.der().to_vec(),
        })
    }

    /// For a node on loopback. Not for `localhost`, which is how a wrong name is tried.
    fn node(&self, name: &str) -> Result<Issued> {
        self.issue(&[(DnType::CommonName, name)], &["127.0.0.1"])
    }
}

/// A mounted Secret: files that are links through one link, which is swapped.
struct Secret {
    dir: PathBuf,
    version: u32,
}

impl Secret {
    fn mount(dir: PathBuf, files: &[(&str, &str)]) -> Result<Secret> {
        fs::create_dir(&dir)?;
        let mut secret = Secret { dir, version: 0 };
        secret.swap(files)?;
        for (name, _) in files {
            symlink(Path::new("..data").join(name), secret.dir.join(name))?;
        }
        Ok(secret)
    }

    fn swap(&mut self, files: &[(&str, &str)]) -> Result<()> {
        self.version += 1;
        let folder = format!("..version-{}", self.version);
        fs::create_dir(self.dir.join(&folder))?;
        for (name, content) in files {
            fs::write(self.dir.join(&folder).join(name), content)?;
        }
        let fresh = self.dir.join("..data-new");
        symlink(folder, &fresh)?;
        fs::rename(fresh, self.dir.join("..data"))?;
        Ok(())
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

// ---- the cluster

struct Stage {
    authority: Authority,
    broker_secret: Secret,
    controller_secret: Secret,
    controller: Running,
    broker: Running,
    plain: String,
    tls: String,
    mutual: String,
    controller_port: u16,
    /// Last: what failed shows its log before it goes.
    dir: TempDir,
}

fn with_stores(properties: Properties, secret: &Secret) -> Properties {
    properties
        .with("ssl.keystore.type", "PEM")
        .with("ssl.keystore.location", secret.file("tls.pem"))
        .with("ssl.truststore.type", "PEM")
        .with("ssl.truststore.location", secret.file("ca.pem"))
}

fn start(name: &str, dir: &Path, properties: &Properties) -> Result<Running> {
    let file = dir.join(format!("{name}.properties"));
    fs::write(&file, properties.to_string())?;
    let mut command = Command::new(ottla_binary()?);
    command.arg("broker").arg(file);
    command.env("OTTLA_LOG", "info,ottla_broker=debug");
    Running::start(name, &mut command, &dir.join(format!("{name}.log")))
}

fn controller_properties(dir: &Path, port: u16, secret: &Secret) -> Properties {
    let properties = Properties::default()
        .with("process.roles", "controller")
        .with("node.id", 1)
        .with("listeners", format!("CONTROLLER://127.0.0.1:{port}"))
        .with("controller.listener.names", "CONTROLLER")
        .with("listener.security.protocol.map", "CONTROLLER:SSL")
        .with(
            "controller.quorum.bootstrap.servers",
            format!("127.0.0.1:{port}"),
        )
        .with("log.dirs", dir.join("controller").display())
        .with("ssl.client.auth", "required");
    with_stores(properties, secret)
}

fn broker_properties(
    id: i32,
    dir: &Path,
    controller_port: u16,
    ports: &[u16],
    secret: &Secret,
) -> Properties {
    let [plain, tls, mutual] = ports else {
        unreachable!("three ports")
    };
    let properties = Properties::default()
        .with("process.roles", "broker")
        .with("node.id", id)
        .with(
            "listeners",
            format!("PLAIN://127.0.0.1:{plain},TLS://127.0.0.1:{tls},MUTUAL://127.0.0.1:{mutual}"),
        )
        .with("inter.broker.listener.name", "PLAIN")
        .with("controller.listener.names", "CONTROLLER")
        .with(
            "listener.security.protocol.map",
            "PLAIN:PLAINTEXT,TLS:SSL,MUTUAL:SSL,CONTROLLER:SSL",
        )
        .with(
            "controller.quorum.bootstrap.servers",
            format!("127.0.0.1:{controller_port}"),
        )
        .with("log.dirs", dir.join(format!("broker-{id}")).display())
        .with("offsets.topic.replication.factor", 1)
        .with("listener.name.mutual.ssl.client.auth", "required");
    with_stores(properties, secret)
}

impl Stage {
    fn set() -> Result<Stage> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::new("cluster-ca")?;
        let secret = |name: &str| {
            let own = authority.node(name)?;
            Secret::mount(
                dir.path().join(format!("{name}-secret")),
                &[("tls.pem", &own.pem), ("ca.pem", &authority.pem)],
            )
        };
        let (controller_secret, broker_secret) = (secret("controller-1")?, secret("broker-2")?);
        let ports = free_ports(4)?;
        let controller = start(
            "controller",
            dir.path(),
            &controller_properties(dir.path(), ports[0], &controller_secret),
        )?;
        let broker = start(
            "broker",
            dir.path(),
            &broker_properties(2, dir.path(), ports[0], &ports[1..], &broker_secret),
        )?;
        let address = |at: usize| format!("127.0.0.1:{}", ports[at]);
        let mut stage = Stage {
            authority,
            broker_secret,
            controller_secret,
            controller,
            broker,
            plain: address(1),
            tls: address(2),
            mutual: address(3),
            controller_port: ports[0],
            dir,
        };
        until("the broker to serve", LIMIT, || {
            stage.controller.expect_alive()?;
            stage.broker.expect_alive()?;
            Ok(answers(&stage.plain).then_some(()))
        })?;
        Ok(stage)
    }

    /// Trusts the cluster's authority, and shows `own`.
    fn client(&self, own: Option<&Issued>) -> Result<Tls> {
        client_tls(&self.authority, own)
    }

    fn restart_controller(&mut self) -> Result<()> {
        self.controller.stop(LIMIT)?;
        let properties = controller_properties(
            self.dir.path(),
            self.controller_port,
            &self.controller_secret,
        );
        self.controller = start("controller", self.dir.path(), &properties)?;
        Ok(())
    }
}

fn client_tls(trusted: &Authority, own: Option<&Issued>) -> Result<Tls> {
    let mut entries = vec![
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", trusted.pem.as_str()),
    ];
    if let Some(own) = own {
        entries.push(("ssl.keystore.type", "PEM"));
        entries.push(("ssl.keystore.certificate.chain", &own.pem));
        entries.push(("ssl.keystore.key", &own.pem));
    }
    let settings =
        TlsSettings::of_client(entries).map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
    Ok(Tls::new(settings, "a scenario")?)
}

fn said(running: &Running, words: &str) -> Result<()> {
    until(format!("{words:?} in a log"), LIMIT, || {
        Ok(running.output().contains(words).then_some(()))
    })
}

fn config(address: &str, tls: Option<Tls>) -> Result<ClientConfig> {
    Ok(ClientConfig {
        tls,
        api_timeout: LIMIT,
        ..ClientConfig::for_servers(address)?
    })
}

/// Ids of the brokers that a client finds.
fn brokers(address: &str, tls: Option<Tls>) -> Result<Vec<i32>, ClientError> {
    let config = config(address, tls).expect("addresses of the scenario are addresses");
    let described = tcp::run(|net| async move { Admin::new(net, config).describe_cluster().await });
    let described = described.expect("a runtime starts")?;
    Ok(described
        .brokers
        .iter()
        .map(|broker| broker.broker_id)
        .collect())
}

fn create_topic(address: &str, tls: Option<Tls>, name: &'static str) -> Result<()> {
    let config = config(address, tls)?;
    let topic = NewTopic {
        name: name.into(),
        partitions: Some(1),
        replication_factor: Some(1),
        ..NewTopic::default()
    };
    let created = tcp::run(|net| async move {
        let admin = Admin::new(net, config);
        admin.create_topics(vec![topic], false).await
    })??;
    for (name, outcome) in created {
        outcome.map_err(|failure| anyhow::anyhow!("{name}: {failure}"))?;
    }
    Ok(())
}

/// Why TLS did not come about. Errors: something else happened.
fn objection(outcome: Result<Vec<i32>, ClientError>) -> Result<String> {
    match outcome {
        Ok(brokers) => bail!("nobody objected; brokers {brokers:?}"),
        Err(ClientError::NoBroker { attempts }) => match attempts.first() {
            Some(ConnectionError::Tls { reason, .. }) => Ok(reason.clone()),
            other => bail!("no objection of TLS: {other:?}"),
        },
        Err(ClientError::Connection(ConnectionError::Tls { reason, .. })) => Ok(reason),
        Err(ClientError::GaveUp { last, .. }) => objection(Err(*last)),
        Err(error) => bail!("no objection of TLS: {error:?}"),
    }
}

// ---- scenarios

#[test]
fn kafkas_java_client_and_ours_speak_tls() -> Result<()> {
    let mut stage = Stage::set()?;
    let dir = stage.dir.path().to_owned();
    let names = [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Kafka, \"Sons\" + <x>; #=\\"),
        (
            DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]),
            "a@b",
        ),
        (DnType::CommonName, " #1=ü "),
    ];
    let odd = stage.authority.issue(&names, &[])?;
    let user = stage
        .authority
        .issue(&[(DnType::CommonName, "user-1")], &[])?;
    let stranger = Authority::new("another-ca")?;

    // Creating it goes to the controller in an Envelope, and the batches are larger than the default.
    create_topic(&stage.mutual, Some(stage.client(Some(&odd))?), "over-tls")?;
    assert_eq!(brokers(&stage.tls, Some(stage.client(None)?))?, [2]);
    assert_eq!(brokers(&stage.plain, None)?, [2]);

    let store = |name: &str, content: &str| -> Result<String> {
        fs::write(dir.join(name), content)?;
        Ok(dir.join(name).display().to_string())
    };
    let trust = store("trust.pem", &stage.authority.pem)?;
    let other_trust = store("other-trust.pem", &stranger.pem)?;
    let own = store("user.pem", &user.pem)?;
    let java = |name: &str, address: &str, extra: &[(&str, &str)]| -> Result<String> {
        let properties = Properties::default()
            .with("bootstrap.servers", address)
            .with("security.protocol", "SSL")
            .with("ssl.truststore.type", "PEM")
            .with("ssl.truststore.location", &trust)
            .with_all(extra);
        Ok(format!("ok:{}", store(name, &properties.to_string())?))
    };
    let key_store = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", own.as_str()),
    ];
    fs::write(dir.join("odd.der"), &odd.der)?;
    let arguments = [
        java("tls", &stage.tls, &[])?,
        java("tls12", &stage.tls, &[("ssl.enabled.protocols", "TLSv1.2")])?,
        java("mutual", &stage.mutual, &key_store)?,
        java("no-certificate", &stage.mutual, &[])?,
        java(
            "wrong-authority",
            &stage.tls,
            &[("ssl.truststore.location", &other_trust)],
        )?,
        format!("name:{}", dir.join("odd.der").display()),
    ];
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/jvm/TlsClient.java");
    let output = ottla_e2e::java(&kafka_classpath()?)
        .arg(source)
        .args(&arguments)
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("=> "))
        .collect();
    let subject = Certificate::parse(&odd.der)?.subject;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        lines,
        [
            "tls ok",
            "tls12 ok",
            "mutual ok",
            "no-certificate refused SslAuthenticationException",
            "wrong-authority refused SslAuthenticationException",
            &format!("odd.der {subject}"),
        ],
        "{errors}"
    );

    said(&stage.broker, "principal=User:CN=user-1")?;
    said(&stage.broker, &format!("principal=User:{subject}"))?;
    said(&stage.controller, "principal=User:CN=broker-2")?;
    stage.broker.stop(LIMIT)?;
    stage.controller.stop(LIMIT)?;
    Ok(())
}

#[test]
fn who_does_not_belong_is_refused_and_nobody_else_notices() -> Result<()> {
    let stage = Stage::set()?;
    let stranger = Authority::new("another-ca")?;
    let user = stage
        .authority
        .issue(&[(DnType::CommonName, "user-1")], &[])?;

    // Peers that connect and say nothing: those behind them are served all the same.
    let silent = (0..20)
        .map(|_| TcpStream::connect(&stage.mutual))
        .collect::<std::io::Result<Vec<_>>>()?;
    let good = || stage.client(Some(&user)).map(Some);
    assert_eq!(brokers(&stage.mutual, good()?)?, [2]);

    let reason = objection(brokers(&stage.mutual, Some(stage.client(None)?)))?;
    ensure!(reason.contains("CertificateRequired"), "{reason}");
    said(&stage.broker, "the client shows no certificate")?;

    let forged = stranger.issue(&[(DnType::CommonName, "user-1")], &[])?;
    objection(brokers(&stage.mutual, Some(stage.client(Some(&forged))?)))?;
    said(&stage.broker, "the client's certificate is refused")?;

    let reason = objection(brokers(&stage.tls, Some(client_tls(&stranger, None)?)))?;
    ensure!(reason.contains("UnknownIssuer"), "{reason}");
    said(
        &stage.broker,
        "the client refuses this broker's certificate",
    )?;

    let by_name = stage.tls.replace("127.0.0.1", "localhost");
    let reason = objection(brokers(&by_name, Some(stage.client(None)?)))?;
    ensure!(reason.contains("not valid for name"), "{reason}");

    // Plain text to a TLS port, and TLS to a plain one: closed, with a line in the log.
    let mut wire = Wire::connect(&stage.tls)?;
    ensure!(wire.ask(0, &ApiVersionsRequest::default()).is_err());
    said(&stage.broker, "what the peer sends is not TLS")?;
    let (host, port) = stage.plain.rsplit_once(':').context("host:port")?;
    let (port, tls) = (port.parse()?, Some(stage.client(None)?));
    let options = ConnectionOptions {
        tls,
        ..ConnectionOptions::default()
    };
    let outcome = tcp::run(|net| async move {
        let connected = Connection::connect(&net, host, port, options).await;
        connected.map(drop)
    })?;
    ensure!(outcome.is_err(), "there is no TLS");
    said(
        &stage.broker,
        "the peer begins a TLS handshake, and this listener speaks PLAINTEXT",
    )?;

    // A broker with another authority's certificate does not get in.
    let own = stranger.node("broker-3")?;
    let secret = Secret::mount(
        stage.dir.path().join("broker-3-secret"),
        &[("tls.pem", &own.pem), ("ca.pem", &stage.authority.pem)],
    )?;
    let ports = free_ports(3)?;
    let properties = broker_properties(3, stage.dir.path(), stage.controller_port, &ports, &secret);
    let mut third = start("broker-3", stage.dir.path(), &properties)?;
    said(&stage.controller, "the client's certificate is refused")?;
    said(&third, "it refuses the certificate that was shown")?;
    third.kill()?;

    assert_eq!(brokers(&stage.mutual, good()?)?, [2]);
    assert_eq!(brokers(&stage.plain, None)?, [2]);
    drop(silent);
    Ok(())
}

#[test]
fn certificates_are_renewed_under_open_connections() -> Result<()> {
    let mut stage = Stage::set()?;
    let next = Authority::new("next-ca")?;
    let old_user = stage
        .authority
        .issue(&[(DnType::CommonName, "user-1")], &[])?;
    let new_user = next.issue(&[(DnType::CommonName, "user-1")], &[])?;
    let (old, new) = (
        stage.client(Some(&old_user))?,
        client_tls(&next, Some(&new_user))?,
    );
    let (host, port) = stage.mutual.rsplit_once(':').context("host:port")?;
    let (host, port): (String, u16) = (host.to_owned(), port.parse()?);

    let (cluster, next_authority, old_client, new_client) = (&mut stage, &next, &old, &new);
    tcp::run(|net| async move {
        let options = |tls: &Tls| ConnectionOptions {
            tls: Some(tls.clone()),
            ..ConnectionOptions::default()
        };
        let request = MetadataRequest {
            topics: Some(Vec::new()),
            ..Default::default()
        };
        let open = Connection::connect(&net, &host, port, options(old_client)).await?;
        open.call(&request).await?;
        let too_early = Connection::connect(&net, &host, port, options(new_client)).await;
        ensure!(
            matches!(too_early, Err(ConnectionError::Tls { .. })),
            "the next authority is not trusted yet"
        );

        // A new store that is no good: everything stays as it is.
        let both = format!("{}{}", cluster.authority.pem, next_authority.pem);
        cluster
            .broker_secret
            .swap(&[("tls.pem", "half a file"), ("ca.pem", &both)])?;
        let deadline = net.now() + LIMIT;
        while !cluster.broker.output().contains("cannot be used; going on") {
            ensure!(net.now() < deadline, "the broken store is not told of");
            Connection::connect(&net, &host, port, options(old_client)).await?;
        }

        // A good one, of the next authority: new connections get it, the open one goes on.
        let own = next_authority.node("broker-2")?;
        cluster
            .broker_secret
            .swap(&[("tls.pem", &own.pem), ("ca.pem", &both)])?;
        let deadline = net.now() + LIMIT;
        let renewed = loop {
            match Connection::connect(&net, &host, port, options(new_client)).await {
                Ok(connection) => break connection,
                Err(error) => ensure!(net.now() < deadline, "never renewed: {error}"),
            }
            net.sleep(Duration::from_millis(50)).await;
        };
        renewed.call(&request).await?;
        open.call(&request).await.context("the open connection")?;
        Ok::<_, anyhow::Error>(())
    })??;

    // The link to the controller, too: the controller comes back with the next authority alone.
    let own = next.node("controller-1")?;
    stage
        .controller_secret
        .swap(&[("tls.pem", &own.pem), ("ca.pem", &next.pem)])?;
    stage.restart_controller()?;
    until("a topic over the renewed link", LIMIT, || {
        stage.controller.expect_alive()?;
        stage.broker.expect_alive()?;
        Ok(create_topic(&stage.mutual, Some(new.clone()), "renewed").ok())
    })?;
    Ok(())
}
