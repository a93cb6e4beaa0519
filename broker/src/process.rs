//! A broker as a process of the operating system: reads the properties file, starts, waits for a
//! signal, stops in order.

use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use ottla_broker_storage::disk::files::FileDisk;

use crate::config::Config;
use crate::management::{self, Stage, Vitals};
use crate::metrics::Process;
use crate::rt::real;
use crate::start::start_in_view;

/// Runs a broker from a Kafka properties file until SIGTERM or SIGINT. `overrides` are keys and values
/// that win over the file's. Errors: the configuration, the data directory or the ports; a broker that
/// has started ends only by a signal or by a fault that it says in its log.
pub fn run(properties: &Path, overrides: Vec<(String, String)>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(properties)
        .with_context(|| format!("cannot read {}", properties.display()))?;
    let host_name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let config = Config::from_properties(&text, &overrides, std::env::vars().collect(), host_name)
        .with_context(|| format!("in {}", properties.display()))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    abort_on_panic();
    let disk = FileDisk::new();
    let questions = config
        .metrics_listener
        .as_ref()
        .map(|address| management::open(address, Process::new(disk.sync_times())))
        .transpose()?;
    real::block_on(disk, async move |rt| -> anyhow::Result<()> {
        let stop = real::stop_signal()?;
        let vitals = Rc::new(Vitals::default());
        if let Some(questions) = questions {
            rt.spawn(Box::pin(management::answer(Rc::clone(&vitals), questions)));
        }
        let broker = start_in_view(&rt, config, &vitals).await?;
        stop.await;
        tracing::info!("stopping");
        vitals.reach(Stage::Stopping);
        broker.stop().await;
        Ok(())
    })?
}

/// A task that panicked has left its state half done, and everything here depends on everything: a
/// broker stops at once, and what it acknowledged is on disk.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}
