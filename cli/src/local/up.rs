//! `ottla up`: manifests become running clusters.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use ottla_operator::platform::local::{Applied, Link, LinkError, View, own_program};

use super::declare::{Declaration, declarations};
use super::foresee::{foresee, observe};
use crate::args::{Dir, duration};
use crate::failure::{Failure, OTHER, Outcome, TIMEOUT};
use crate::output;

/// `ottla up`
#[derive(Debug, Args)]
#[command(
    after_help = "A second `up` on the same folder applies what has changed. When a KafkaCluster is among the files, they are \
                  all there is of it: a KafkaTopic that is no longer in them goes the way of its deletionPolicy. KafkaTopics \
                  alone are added to a cluster that is up."
)]
pub struct UpArgs {
    /// Manifests (YAML); `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub dir: Dir,
    /// Return when the clusters are ready, and leave them running
    #[arg(short, long)]
    pub detach: bool,
    /// How long the clusters may take to become ready
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

/// Applies, waits, and in the foreground holds the clusters until Ctrl-C.
pub fn up(args: UpArgs) -> Outcome {
    crate::logging::begin("error");
    let declarations = declarations(&args.files, Some(&args.dir.dir))?;
    super::run(async |_| {
        let started = Instant::now();
        // What cannot be had is refused before anything is made for it, or for another cluster.
        for declaration in &declarations {
            foresee(declaration, &observe(declaration).await?)?;
        }
        let mut held = Vec::new();
        for declaration in &declarations {
            Link::ensure(&declaration.folder, &supervisor()).await?;
            match Link::apply(&declaration.folder, declaration.declared.clone()).await? {
                Applied::Yes(_) => {}
                Applied::No { refused, blocked } => {
                    give_up(declaration).await;
                    return Err(declaration.refusal(&refused, &blocked));
                }
            }
            if !args.detach {
                // Once manifests hold, nothing stays when this process dies.
                held.push(Link::hold(&declaration.folder).await?);
            }
        }
        let is_holder = held.iter().any(Option::is_some);
        let mut views = Vec::new();
        for declaration in &declarations {
            let left = args.timeout.saturating_sub(started.elapsed());
            let view = ready(declaration, left).await;
            views.push(view.map_err(|unready| unready.told(&declaration.name, is_holder))?);
        }
        tell(&views, started.elapsed(), is_holder, &args.dir.dir)?;
        if !args.detach && !is_holder {
            eprintln!("Another `ottla up` holds it in the foreground.");
        }
        let held = declarations.iter().zip(held);
        hold(held.filter_map(|(of, link)| Some((of, link?))).collect()).await
    })
}

/// How a supervisor is started.
pub(super) fn supervisor() -> Vec<std::ffi::OsString> {
    vec![own_program(), "supervise".into()]
}

/// Ends a supervisor that was started for manifests that cannot be had.
async fn give_up(declaration: &Declaration) {
    if let Err(LinkError::Broke(_)) = Link::status(&declaration.folder).await {
        // It ends, or it is gone already.
        let _ = Link::stop(&declaration.folder).await;
        // Only succeeds when nothing was ever declared there.
        let _ = declaration.folder.remove_if_unused();
    }
}

/// Why a cluster does not become ready.
enum Unready {
    /// It takes too long.
    Late(Duration, Option<Box<View>>),
    /// A broker ends again and again.
    Hopeless {
        broker: i32,
        cause: String,
        log: String,
    },
    /// Somebody stopped it.
    Stopped,
    /// The supervisor could not be asked.
    Unknown(LinkError),
}

impl Unready {
    fn told(self, name: &str, is_holder: bool) -> Failure {
        let goes_on = if is_holder {
            "It is stopped again."
        } else {
            "It goes on trying; `ottla status` tells how it stands, `ottla down` stops it."
        };
        match self {
            Unready::Late(waited, view) => {
                let why = view.as_deref().and_then(View::reason);
                let why = why.unwrap_or_else(|| "no word from its supervisor".into());
                let log = view
                    .and_then(|view| Some(output::short(&view.brokers.first()?.log)))
                    .map(|log| format!(" {log} has more."))
                    .unwrap_or_default();
                let cause = format!("{name} is not ready after {} s: {why}", waited.as_secs());
                Failure::new(TIMEOUT, cause).next(format!("{goes_on}{log}"))
            }
            Unready::Hopeless { broker, cause, log } => {
                let cause = format!("broker-{broker} of {name} cannot run: {cause}");
                Failure::new(OTHER, cause).next(format!("{goes_on} {log} has more."))
            }
            Unready::Stopped => Failure::new(OTHER, format!("{name} was stopped while it started")),
            Unready::Unknown(error) => error.into(),
        }
    }
}

/// Waits until the cluster is ready, telling on a terminal what goes on.
async fn ready(declaration: &Declaration, left: Duration) -> Result<View, Unready> {
    let watching = Link::watch(&declaration.folder).await;
    let mut link = watching.map_err(Unready::Unknown)?;
    let deadline = tokio::time::Instant::now() + left;
    let mut line = Progress::new();
    let mut last: Option<View> = None;
    loop {
        let next = tokio::time::timeout_at(deadline, link.next()).await;
        line.clear();
        let view = match next {
            Ok(Ok(Some(view))) => view,
            Ok(Ok(None)) => return Err(Unready::Stopped),
            Ok(Err(error)) => return Err(Unready::Unknown(error)),
            Err(_) => return Err(Unready::Late(left, last.map(Box::new))),
        };
        if view.is_ready() {
            return Ok(view);
        }
        if let Some(unready) = hopeless(&view) {
            return Err(unready);
        }
        line.show(&format!(
            "{}: {}",
            declaration.name,
            view.reason().unwrap_or_default()
        ));
        last = Some(view);
    }
}

/// So often a broker may end while it starts; with the pauses between, some two seconds.
const ENDS_MAX: u32 = 4;

/// A broker that ends again and again for the same cause will not come up by waiting.
fn hopeless(view: &View) -> Option<Unready> {
    let broker = view.brokers.iter().find(|broker| broker.ends >= ENDS_MAX)?;
    let status = view
        .cluster
        .status
        .iter()
        .flat_map(|status| &status.brokers);
    let cause = status
        .filter(|seen| seen.id == broker.id)
        .find_map(|seen| seen.message.clone())
        .unwrap_or_else(|| "it ends".into());
    Some(Unready::Hopeless {
        broker: broker.id,
        cause,
        log: output::short(&broker.log),
    })
}

fn tell(views: &[View], took: Duration, is_holder: bool, dir: &Path) -> Outcome {
    let mut text = String::new();
    for view in views {
        text.push_str(&format!(
            "{} is ready ({:.2} s).\n\n",
            view.name(),
            took.as_secs_f64()
        ));
        text.push_str(&super::status::broker_table(view));
        let servers = view
            .cluster
            .status
            .as_ref()
            .and_then(|status| status.listeners.first())
            .map(|listener| listener.bootstrap_servers.clone())
            .unwrap_or_default();
        text.push_str(&format!("\nBootstrap servers: {servers}\n"));
        for note in &view.notes {
            text.push_str(&format!("Note: {note}\n"));
        }
    }
    let dir = match dir {
        dir if dir == Path::new(".ottla") => String::new(),
        dir => format!(" --dir {}", dir.display()),
    };
    text.push_str(&format!(
        "\nWrite:  echo hello | ottla produce{dir} greetings\nRead:   ottla consume{dir} greetings --from-beginning\n"
    ));
    text.push_str(&if is_holder {
        "Stop:   Ctrl-C\n".to_owned()
    } else {
        format!("Stop:   ottla down{dir}\n")
    });
    output::print(&text)
}

/// Holds the clusters until a signal, or until somebody else stops them. A supervisor that dies is
/// replaced; its brokers are adopted.
async fn hold(mut held: Vec<(&Declaration, Link)>) -> Outcome {
    let mut signals = Signals::new()?;
    while let Some((declaration, link)) = held.first_mut() {
        let next = tokio::select! {
            biased;
            () = signals.next() => return stop(&held, &mut signals).await,
            next = link.next() => next,
        };
        match next {
            Ok(Some(_)) => continue,
            Ok(None) => eprintln!("{} was stopped.", declaration.name),
            Err(_) => {
                eprintln!(
                    "The supervisor of {} died; another one takes over.",
                    declaration.name
                );
                Link::ensure(&declaration.folder, &supervisor()).await?;
                if let Some(again) = Link::hold(&declaration.folder).await? {
                    *link = again;
                    continue;
                }
            }
        }
        held.remove(0);
    }
    Ok(())
}

async fn stop(held: &[(&Declaration, Link)], signals: &mut Signals) -> Outcome {
    eprintln!("Stopping; records stay. (Ctrl-C again does not wait.)");
    for (declaration, _) in held {
        tokio::select! {
            biased;
            stopped = Link::stop(&declaration.folder) => match stopped {
                // It may have been stopped by somebody else meanwhile.
                Ok(()) | Err(LinkError::None(_) | LinkError::Broke(_)) => {}
                Err(error) => return Err(error.into()),
            },
            () = signals.next() => return Ok(()),
        }
    }
    Ok(())
}

/// What ends a command in the foreground.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// One line on a terminal that is overwritten; nothing elsewhere.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            is_shown: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn show(&mut self, text: &str) {
        if self.is_shown {
            let text: String = text.chars().take(100).collect();
            eprint!("\r\x1b[K{text}");
        }
    }

    fn clear(&mut self) {
        self.show("");
    }
}
