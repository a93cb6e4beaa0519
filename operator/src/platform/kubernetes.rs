//! Clusters on Kubernetes: the same plan as on a laptop, carried out by the API server.
//!
//! ```text
//! KafkaCluster my              StatefulSet      my-kafka-<id>          one per broker, 0 or 1 pods
//!   ├─ for each broker         ConfigMap        my-kafka-<id>          its server.properties
//!   │                          claim            data-my-kafka-<id>     outlives the KafkaCluster
//!   └─ once                    Service          my-kafka-bootstrap     where clients begin
//!                              Service          my-kafka-brokers       a name for each pod
//!                              budget, policy   my-kafka
//!                              ConfigMap        my-kafka-memory        what must outlive an operator
//! ```
//! Rooms: `cache` holds what was seen, `look` reads brokers out of it, `render` and `work` say what
//! is to be written (all pure); `operator` is the one task that owns them, `cluster` one cluster;
//! `alive` asks Kafka who serves.
//!
//! Invariant: one operator acts (`lease`); everything it writes has one field manager.

mod alive;
mod api;
mod cache;
mod cluster;
mod drift;
mod lease;
mod look;
mod names;
mod operator;
mod part;
mod render;
mod rim;
mod tell;
mod work;

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context;
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::lease::Leadership;
pub use self::operator::Settings;
use self::rim::Figures;

/// How an operator runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it looks at, and with what.
    pub settings: Settings,
    /// Where probes and Prometheus ask.
    pub listen: SocketAddr,
    /// The namespace of the lease.
    pub lease_namespace: String,
    /// The holder's name: a pod's.
    pub identity: String,
}

/// Runs until it is told to end, or until another operator leads: then it is an error, because the
/// process must end with it.
pub fn run(options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(lead(options)))
}

async fn lead(options: Options) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("the API server is not known: run in a pod, or set KUBECONFIG")?;
    let listen = options.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let figures = Rc::new(Figures::default());
    rim::serve(listener, figures.clone());
    let mut leadership =
        Leadership::new(client.clone(), &options.lease_namespace, options.identity);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(()),
        () = leadership.acquire() => {}
    }
    figures.is_leader.set(true);
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        () = leadership.keep() => anyhow::bail!("this operator does not lead any more"),
        () = operator::run(client, options.settings, figures) => {}
    }
    tracing::info!("ends");
    leadership.release().await;
    Ok(())
}
