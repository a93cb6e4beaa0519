//! `ottla-operator`: looks after KafkaClusters and KafkaTopics on Kubernetes.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use ottla_operator::platform::kubernetes::{Options, Settings, run};
use tracing_subscriber::EnvFilter;

/// Look after KafkaClusters and KafkaTopics on Kubernetes
#[derive(Debug, Parser)]
#[command(name = "ottla-operator", version)]
struct Args {
    /// Image of the brokers
    #[arg(long, env = "OTTLA_BROKER_IMAGE", value_name = "IMAGE")]
    broker_image: String,
    /// Look at one namespace only
    #[arg(long, env = "OTTLA_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// Where probes and Prometheus ask
    #[arg(
        long,
        env = "OTTLA_LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    listen: SocketAddr,
    /// Namespace of the lease by which one operator leads
    #[arg(
        long,
        env = "OTTLA_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "default"
    )]
    namespace: String,
    /// Name of this operator, different from that of any other
    #[arg(long, env = "OTTLA_POD_NAME", value_name = "NAME")]
    identity: Option<String>,
    /// What to log: error, warn, info, debug, or a filter by module
    #[arg(long, env = "OTTLA_LOG", value_name = "LEVEL", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&args.log))
        .with_target(false)
        .init();
    let identity = args.identity.unwrap_or_else(|| {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        format!("{host}_{}", std::process::id())
    });
    let options = Options {
        settings: Settings {
            namespace: args.watch_namespace.filter(|name| !name.is_empty()),
            image: args.broker_image,
        },
        listen: args.listen,
        lease_namespace: args.namespace,
        identity,
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
