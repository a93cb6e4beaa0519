//! Carrying out what a plan says may be done now.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ottla_operator_plan::{Action, Address, Broker, Plan, ProcessSeen, StepState};

use super::socket::Asked;
use super::{Event, Live, Supervisor, probe};
use crate::kafka::Kafka;
use crate::platform::local::folder::{Durable, write_whole};
use crate::platform::local::process::{Launch, Process};
use crate::platform::local::{look, ports};
use crate::platform::properties::{Place, server_properties};

/// A broker that has not stopped after this is killed: the time that Kubernetes gives by default.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Pause before a broker is started again that could not be started at all.
const START_PAUSE_MS: i64 = 2_000;

impl Supervisor {
    /// Carries out every step that may be done now. Whether something changed at once, so that
    /// there is a new plan to make.
    pub(super) fn carry_out(&mut self, plan: &Rc<Plan>) -> bool {
        let mut changed = false;
        for step in plan
            .steps
            .iter()
            .filter(|step| step.state == StepState::Next)
        {
            if self.errands.is_busy(&step.action.target()) {
                continue;
            }
            tracing::info!(
                action = step.action.name(),
                target = step.action.target(),
                reason = step.reason,
                "carries out"
            );
            let result = match &step.action {
                Action::Prepare { broker } => self.prepare(*broker, plan),
                Action::Start { broker } => self.start(*broker, plan),
                Action::Restart { broker } | Action::Stop { broker } => self.terminate(*broker),
                Action::Remove { broker } => self.remove(*broker),
                Action::AdoptTopic { .. } | Action::ReleaseTopic { .. } => {
                    self.memory.owned.note(&step.action, plan);
                    self.remember()
                }
                Action::CreateTopic { .. }
                | Action::AddPartitions { .. }
                | Action::ConfigureTopic { .. }
                | Action::DeleteTopic { .. }
                | Action::Reconfigure { .. } => {
                    let addresses = self.serving_addresses();
                    self.errands.carry_out(&step.action, plan, addresses);
                    continue;
                }
            };
            changed = true;
            if let Err(error) = result {
                self.failed(step.action.target(), error.to_string());
            }
        }
        changed
    }

    /// Makes a broker's folder and finds ports for it.
    fn prepare(&mut self, broker: i32, plan: &Plan) -> io::Result<()> {
        let Some(planned) = plan.brokers.iter().find(|planned| planned.id == broker) else {
            return Ok(());
        };
        fs::create_dir_all(self.folder.data(broker))?;
        let taken = self.ports_of_others(broker);
        let remembered = self.memory.brokers.entry(broker).or_default();
        let kept = remembered.addresses.clone();
        let chosen = ports::choose(planned, &kept, &taken, &mut ports::is_free);
        remembered.addresses =
            chosen.ok_or_else(|| io::Error::other("no port is free on this machine"))?;
        self.remember()
    }

    fn start(&mut self, broker: i32, plan: &Plan) -> io::Result<()> {
        let Some(planned) = plan.brokers.iter().find(|planned| planned.id == broker) else {
            return Ok(());
        };
        if self.lost_ports(broker) {
            return self.remember();
        }
        let metrics = self.metrics_of(planned)?;
        let data = self.folder.data(broker);
        let data = data
            .to_str()
            .ok_or_else(|| io::Error::other("the folder's path is not UTF-8"))?;
        let place = Place {
            comment: "Written by `ottla up`. Changes belong into the manifest.",
            data,
            bind: Address::clone,
            metrics: &metrics,
        };
        let properties = server_properties(planned, &place)
            .ok_or_else(|| io::Error::other("an address is missing"))?;
        let file = self.folder.properties(broker);
        write_whole(&file, properties.as_bytes(), Durable::No)?;
        // Before the process is there: whoever finds it must know as what it was started.
        self.memory.brokers.entry(broker).or_default().started_as = Some(planned.clone());
        self.remember()?;
        let mut command = self.command.clone();
        command.push(file.into());
        let started = Process::start(&Launch {
            command: &command,
            // An empty directory is formatted with it, as by the apache/kafka image.
            variable: ("CLUSTER_ID", &self.memory.cluster_id),
            log: &self.folder.broker_log(broker),
            pid_file: &self.folder.pid(broker),
        });
        match started {
            Ok(process) => self.watch_over(broker, process),
            Err(error) => {
                let exits = self.brokers.get(&broker).map_or(0, |live| live.exits) + 1;
                let seen = ProcessSeen::Down {
                    exits,
                    cause: Some(error.to_string()),
                    retry_at_ms: self.net.wall_clock_ms() + START_PAUSE_MS,
                };
                let live = self.live(broker);
                live.exits = exits;
                live.seen = seen;
            }
        }
        Ok(())
    }

    /// Ports that other brokers of this cluster have, running or not.
    fn ports_of_others(&self, broker: i32) -> BTreeSet<u16> {
        let others = self.memory.brokers.iter().filter(|(id, _)| **id != broker);
        let addresses = others.flat_map(|(_, remembered)| {
            let listeners = remembered.addresses.values();
            listeners.chain(&remembered.metrics)
        });
        addresses.map(|address| address.port).collect()
    }

    /// Where a broker that is about to start serves its metrics: where it did, if that port is still free.
    fn metrics_of(&mut self, broker: &Broker) -> io::Result<Address> {
        let taken = self.ports_of_others(broker.id);
        let remembered = self.memory.brokers.entry(broker.id).or_default();
        let kept = remembered.metrics.take();
        let chosen = ports::choose_metrics(broker, kept, &taken, &mut ports::is_free);
        remembered.metrics.clone_from(&chosen);
        chosen.ok_or_else(|| io::Error::other("no port is free on this machine"))
    }

    /// Gives up ports that somebody else took while the broker did not run.
    fn lost_ports(&mut self, broker: i32) -> bool {
        let Some(remembered) = self.memory.brokers.get_mut(&broker) else {
            return false;
        };
        let before = remembered.addresses.len();
        remembered
            .addresses
            .retain(|_, address| ports::is_free(address.port));
        remembered.addresses.len() < before
    }

    fn live(&mut self, broker: i32) -> &mut Live {
        self.brokers.entry(broker).or_insert_with(|| Live {
            life: 0,
            process: None,
            seen: ProcessSeen::Absent,
            serving_since: None,
            exits: 0,
            tasks: Vec::new(),
        })
    }

    /// From now on the end of this process, and whether it serves, are events.
    pub(super) fn watch_over(&mut self, broker: i32, process: Process) {
        self.lives += 1;
        let life = self.lives;
        let mut tasks = Vec::new();
        let events = self.events.clone();
        match process.watch() {
            Ok(watch) => {
                let task = tokio::task::spawn_local(async move {
                    watch.ended().await;
                    // The supervisor may be ending.
                    let _ = events.send(Event::Ended { broker, life });
                });
                tasks.push(task.abort_handle());
            }
            Err(error) => tracing::error!(broker, %error, "cannot be watched"),
        }
        let address = self
            .memory
            .brokers
            .get(&broker)
            .and_then(|remembered| remembered.started_as.as_ref())
            .and_then(|started| started.listeners.first()?.address.clone());
        if let Some(address) = address {
            tasks.push(probe(
                self.net.clone(),
                broker,
                life,
                address,
                self.events.clone(),
            ));
        }
        let live = self.live(broker);
        live.life = life;
        live.process = Some(process);
        live.seen = ProcessSeen::Starting;
        live.serving_since = None;
        live.tasks = tasks;
    }

    fn terminate(&mut self, broker: i32) -> io::Result<()> {
        let events = self.events.clone();
        let Some(live) = self.brokers.get_mut(&broker) else {
            return Ok(());
        };
        let Some(process) = &live.process else {
            live.seen = ProcessSeen::Absent;
            return Ok(());
        };
        process.terminate();
        live.seen = ProcessSeen::Stopping;
        let life = live.life;
        let task = tokio::task::spawn_local(async move {
            tokio::time::sleep(STOP_PATIENCE).await;
            // The supervisor may be ending.
            let _ = events.send(Event::Overdue { broker, life });
        });
        live.tasks.push(task.abort_handle());
        Ok(())
    }

    /// Forgets a broker. Its folder stays: records are deleted by `--purge` only.
    fn remove(&mut self, broker: i32) -> io::Result<()> {
        self.brokers.remove(&broker);
        self.memory.brokers.remove(&broker);
        self.remember()
    }

    /// An action in Kafka ended: what it did is remembered, and Kafka is asked how it stands.
    pub(super) fn done(&mut self, action: &Action, plan: &Plan, result: Result<(), String>) {
        let target = action.target();
        self.errands.ended(target.clone());
        if let Err(message) = result {
            return self.failed(target, message);
        }
        self.observed.failures.remove(&target);
        self.memory.owned.note(action, plan);
        if let Err(error) = self.remember() {
            self.failed(target, error.to_string());
        }
    }

    /// Asks Kafka about the topics that manifests name or named, when there is reason to.
    pub(super) fn look(&mut self) {
        let Some(declared) = &self.declared else {
            return;
        };
        let declared_names = declared.topics.iter().map(|topic| topic.kafka_name());
        let owned_names = self.memory.owned.topics.keys().map(String::as_str);
        let names: BTreeSet<String> = declared_names
            .chain(owned_names)
            .map(str::to_owned)
            .collect();
        let wants_holders = self.takes_brokers_away(declared);
        let addresses = self.serving_addresses();
        self.errands.look(names, wants_holders, addresses);
    }

    /// Asks what the brokers hold, before manifests hold that would take some away.
    pub(super) fn weigh(&mut self, asked: Asked) {
        let addresses = self.serving_addresses();
        let events = self.events.clone();
        let kafka = Kafka::new(self.net.clone(), addresses.clone());
        let mut seen = self.errands.seen().cloned();
        tokio::task::spawn_local(async move {
            if !addresses.is_empty() {
                // Unanswered, the plan waits for it: nothing is taken away blindly.
                let topics_on = kafka.topics_on().await.ok();
                seen.get_or_insert_default().topics_on = topics_on;
            }
            // The supervisor may be ending.
            let _ = events.send(Event::Weighed(asked, seen));
        });
    }

    fn serving_addresses(&self) -> Vec<Address> {
        self.observed
            .brokers
            .iter()
            .filter(|(id, _)| {
                self.brokers
                    .get(id)
                    .is_some_and(|live| live.seen == ProcessSeen::Serving)
            })
            .filter_map(|(_, seen)| look::client_address(seen))
            .collect()
    }
}
