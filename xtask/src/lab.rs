//! A real Kubernetes on this machine for scenarios and for people: `cargo xtask lab up|down|status|
//! image`. Control plane, three nodes with containers, storage that grows, cluster DNS, audit log.
//!
//! Invariant: every process of the lab lives in a room (room.rs), a set of namespaces that the
//! kernel ends as a whole, so that `down` works on a lab that came up half; what a room cannot
//! take with it (bridge, cgroups, files) carries the lab's name and is counted after (leftovers.rs).
//! One lab per machine. Not here: what scenarios do with it (e2e/), the sources (e2e/lab).

mod binaries;
mod certificates;
mod cgroups;
mod control;
mod images;
mod kubectl;
mod leftovers;
mod network;
mod nodes;
mod room;
mod state;
mod templates;
mod wait;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::peers;
use state::State;

pub use binaries::fetch;

const USAGE: &str = "usage: cargo xtask lab up | down | status | image";

/// The `lab` verb.
pub fn run(args: &[String]) -> Result<()> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["up"] => up(),
        ["down"] => down(),
        ["status"] => status(),
        ["image"] => images::build().and_then(|archives| {
            let lab = Lab::of_this_machine()?;
            if lab.state()?.is_empty() {
                println!("the images are ready for the next `cargo xtask lab up`");
                return Ok(());
            }
            lab.import(&archives)
        }),
        _ => bail!("{USAGE}"),
    }
}

/// Where a lab keeps what it writes. One per machine: addresses and the bridge's name are fixed.
pub struct Lab {
    dir: PathBuf,
}

impl Lab {
    /// The lab of this machine, up or not.
    fn of_this_machine() -> Result<Lab> {
        let dir = peers::cache_root()?.join("lab-run");
        // Rooms lay folders of their own over these.
        for covered in ["/run", "/var/run", "/var/lib", "/var/log", "/proc"] {
            if dir.starts_with(covered) {
                bail!(
                    "the lab cannot live in {}: set OTTLA_CACHE to a folder outside {covered}",
                    dir.display()
                );
            }
        }
        Ok(Lab { dir })
    }

    /// A folder of the lab.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The kubeconfig of its administrator.
    fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn state(&self) -> Result<State> {
        State::read(&self.dir)
    }

    /// One `up` or `down` at a time; freed when the file is closed.
    fn lock(&self) -> Result<File> {
        let path = self.dir.with_extension("lock");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.lock()?;
        Ok(file)
    }

    /// Gives an image to every node.
    fn import(&self, archives: &[PathBuf]) -> Result<()> {
        for room in self
            .state()?
            .rooms
            .iter()
            .filter(|room| nodes::is_node(room))
        {
            for archive in archives {
                images::import(room, archive)?;
            }
            println!("the images are on {}", room.name);
        }
        Ok(())
    }
}

/// Prints how long each step took, since a slow `up` is a fault.
struct Steps {
    began: Instant,
    last: Instant,
}

impl Steps {
    fn begin() -> Steps {
        let now = Instant::now();
        Steps {
            began: now,
            last: now,
        }
    }

    fn done(&mut self, what: &str) {
        println!("{what:<44} {:>5.1} s", self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
    }
}

fn up() -> Result<()> {
    let lab = Lab::of_this_machine()?;
    let _lock = lab.lock()?;
    let state = lab.state()?;
    if state.is_complete() && state.rooms.iter().all(room::Room::is_alive) {
        println!("the lab is up already");
        print_next(&lab);
        return Ok(());
    }
    if !state.is_empty() {
        println!("a lab that is not whole is taken down first");
        take_down(&lab)?;
    }
    let mut steps = Steps::begin();
    let binaries = binaries::ready()?;
    let images = images::build()?;
    steps.done("programs and images");
    fs::create_dir_all(&lab.dir)?;
    start(&lab, &binaries, &images, &mut steps)
        .context("the lab is half up: look into its logs, then run `cargo xtask lab down`")?;
    println!("up in {:.1} s", steps.began.elapsed().as_secs_f64());
    print_next(&lab);
    Ok(())
}

fn start(lab: &Lab, binaries: &Path, images: &[PathBuf], steps: &mut Steps) -> Result<()> {
    certificates::make(&lab.path("pki"))?;
    steps.done("certificates");
    let mut state = State::begin(&lab.dir)?;
    network::make_bridge()?;
    cgroups::make(nodes::NAMES)?;
    let control = control::start(lab, binaries, &mut state)?;
    let workers = nodes::start(lab, binaries, &mut state)?;
    steps.done("namespaces, network, processes");
    control::wait_for_api(lab, binaries, &control)?;
    steps.done("API server");
    control::apply(lab, binaries)?;
    control::start_clients(lab, binaries, &control)?;
    steps.done("storage class, rights");
    for worker in &workers {
        images::import(worker, &binaries.join("pause.tar"))?;
        for image in images {
            images::import(worker, image)?;
        }
    }
    steps.done("images");
    nodes::start_kubelets(lab, binaries, &workers)?;
    nodes::wait_ready(lab, binaries, &workers)?;
    steps.done("nodes");
    control::wait_for_dns(&control)?;
    steps.done("cluster DNS");
    state.complete()
}

fn print_next(lab: &Lab) {
    println!("\n  export KUBECONFIG={}", lab.kubeconfig().display());
    println!("  kubectl get nodes");
    println!(
        "\nStorageClass: ottla-lab (grows). Images: {}. Logs: {}.",
        images::OURS.map(|image| image.name).join(", "),
        lab.path("logs").display()
    );
    println!(
        "Audit log: {}. End: cargo xtask lab down",
        lab.path("control/audit.log").display()
    );
}

fn down() -> Result<()> {
    let lab = Lab::of_this_machine()?;
    let _lock = lab.lock()?;
    let began = Instant::now();
    let was_up = take_down(&lab)?;
    if was_up {
        println!(
            "down in {:.1} s, nothing is left",
            began.elapsed().as_secs_f64()
        );
    } else {
        println!("no lab is up, nothing is left");
    }
    Ok(())
}

/// Ends everything of the lab, however far it had come. Returns whether there was something.
fn take_down(lab: &Lab) -> Result<bool> {
    let state = lab.state()?;
    let was_up = !state.is_empty() || lab.dir.exists();
    for room in &state.rooms {
        room.end()?;
    }
    room::end_strays(&lab.dir)?;
    network::remove_bridge()?;
    cgroups::remove()?;
    leftovers::wait_for_devices(&lab.dir)?;
    if lab.dir.exists() {
        fs::remove_dir_all(&lab.dir)
            .with_context(|| format!("cannot remove {}", lab.dir.display()))?;
    }
    leftovers::check(lab, &state)?;
    Ok(was_up)
}

/// Whether anything of a lab is there.
pub fn is_there() -> bool {
    Lab::of_this_machine().is_ok_and(|lab| lab.dir.exists())
}

/// Takes down what a suite that was killed could not take down itself.
pub fn sweep() -> Result<()> {
    let lab = Lab::of_this_machine()?;
    let _lock = lab.lock()?;
    take_down(&lab).map(|_| ())
}

fn status() -> Result<()> {
    let lab = Lab::of_this_machine()?;
    let state = lab.state()?;
    if state.is_empty() {
        println!("no lab is up");
        return Ok(());
    }
    for room in &state.rooms {
        let memory = room.memory_kib()? / 1024;
        let life = if room.is_alive() { "alive" } else { "ended" };
        println!(
            "{:<12} {life}  {:<12} {memory:>5} MiB",
            room.name, room.address
        );
    }
    if !state.is_complete() {
        bail!("the lab is half up: run `cargo xtask lab down`");
    }
    print!(
        "{}",
        kubectl::run(&lab, &binaries::ready()?, &["get", "nodes"])?
    );
    print_next(&lab);
    Ok(())
}
