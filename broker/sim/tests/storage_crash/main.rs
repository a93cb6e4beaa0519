//! The log directory under crashes: killed or without power at every effect on the disk, while it
//! works, recovers, or stops; with syncs and writes that fail. What is found afterwards is compared
//! with a model that knows every operation.
//!
//! Method: one seed is one history of operations. It runs once to count the effects it has on the
//! disk, and then again for each of them with a crash there; the lives after it crash at random
//! effects too, recovery included, and the last one stops in order.

mod model;
mod process;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ottla_broker_sim::{Crash, CrashPoint, DiskFault, FaultPoint, Options, Report, Sim, run};

use model::Model;
use process::{Exit, Mix, Plan, live};

/// A crash in the first life.
#[derive(Clone, Copy, Debug)]
struct FirstCrash {
    at: CrashPoint,
    kind: Crash,
}

#[derive(Clone, Copy, Debug, Default)]
struct Story {
    first: Option<FirstCrash>,
    /// Lives between the first and the last, each crashing at a random effect.
    crashing: u64,
    /// Each of those may meet a failing disk.
    faults: bool,
    mix: Mix,
}

/// Plays a story; returns the number of effects of its first life.
async fn play(sim: Sim, story: Story) -> u64 {
    let node = sim.add_node("owner");
    let mut rng = sim.rng();
    let model = Rc::<RefCell<Model>>::default();
    let mut first_effects = 0;
    for life in 0..=story.crashing + 1 {
        let is_last = life == story.crashing + 1;
        let disk = sim.disk(node);
        let mut kind_of_crash = Crash::Process;
        match story.first {
            Some(FirstCrash { at, kind }) if life == 0 => {
                kind_of_crash = kind;
                sim.set_crash_kind(node, kind);
                disk.crash_at(at);
            }
            _ if life == 0 || is_last => {}
            _ => {
                kind_of_crash = random_kind(&mut rng);
                sim.set_crash_kind(node, kind_of_crash);
                let at = disk.effects() + rng.below(120);
                disk.crash_at([CrashPoint::During(at), CrashPoint::After(at)][rng.index(2)]);
                if story.faults && rng.chance(0.7) {
                    let point = [FaultPoint::Sync, FaultPoint::Write][rng.index(2)];
                    let times = [1, 1, 1000][rng.index(3)];
                    disk.inject(point, "/data", rng.below(60), times, DiskFault::Error);
                }
            }
        }
        let exit = Rc::new(Cell::new(None));
        let crashed = sim.crashed(node);
        let (done, ended) = tokio::sync::oneshot::channel();
        sim.start(node, {
            let (model, exit, rng) = (Rc::clone(&model), Rc::clone(&exit), rng.fork());
            async move |rt| {
                exit.set(Some(
                    live(
                        rt,
                        rng,
                        model,
                        Plan {
                            operations: 60,
                            disk_may_fail: story.faults,
                            mix: story.mix,
                        },
                    )
                    .await,
                ));
                let _ = done.send(());
            }
        });
        tokio::select! {
            biased;
            () = crashed => {}
            _ = ended => {}
        }
        if life == 0 {
            first_effects = disk.effects();
        }
        if let Some(exit) = exit.get() {
            sim.note(format_args!("the process ended by itself: {exit:?}"));
            kind_of_crash = match story.faults {
                true => random_kind(&mut rng),
                false => Crash::Process,
            };
            sim.crash(node, kind_of_crash);
        }
        disk.heal();
        model.borrow_mut().crashed(kind_of_crash);
    }
    // And once more, to look at what the last life left.
    let exit = Rc::new(Cell::new(None));
    let (done, ended) = tokio::sync::oneshot::channel();
    sim.start(node, {
        let exit = Rc::clone(&exit);
        async move |rt| {
            exit.set(Some(
                live(
                    rt,
                    rng,
                    model,
                    Plan {
                        operations: 0,
                        disk_may_fail: false,
                        mix: story.mix,
                    },
                )
                .await,
            ));
            let _ = done.send(());
        }
    });
    ended.await.expect("nothing crashes it");
    assert_eq!(exit.get(), Some(Exit::Stopped));
    first_effects
}

fn random_kind(rng: &mut ottla_broker_sim::Rng) -> Crash {
    [Crash::Process, Crash::Power][rng.index(2)]
}

fn tell(seed: u64, story: Story) -> (u64, Report) {
    // With this set, a failure also tells what the disk did.
    let is_verbose = std::env::var_os("OTTLA_SIM_VERBOSE").is_some();
    let options = Options {
        is_verbose,
        ..Options::default()
    };
    run(seed, options, async move |sim| play(sim, story).await)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_never_sent_appears_at_any_effect() {
    let mut crashes = 0;
    for seed in 0..SEEDS {
        let (effects, _) = tell(seed, Story::default());
        assert!(effects > 50, "seed {seed} has only {effects} effects");
        for effect in 0..effects {
            for kind in [Crash::Process, Crash::Power] {
                for at in [CrashPoint::During(effect), CrashPoint::After(effect)] {
                    tell(
                        seed,
                        Story {
                            first: Some(FirstCrash { at, kind }),
                            ..Story::default()
                        },
                    );
                    crashes += 1;
                }
            }
        }
    }
    println!("{crashes} crashes in {SEEDS} histories");
}

#[test]
fn lives_that_crash_one_after_another_keep_what_they_acknowledged() {
    for seed in seeds(1_000) {
        tell(
            seed,
            Story {
                crashing: 6,
                ..Story::default()
            },
        );
    }
}

#[test]
fn a_failing_disk_costs_nothing_that_was_acknowledged() {
    for seed in seeds(2_000) {
        tell(
            seed,
            Story {
                crashing: 6,
                faults: true,
                ..Story::default()
            },
        );
    }
}

#[test]
fn nothing_truncated_comes_back() {
    for seed in seeds(3_000) {
        tell(
            seed,
            Story {
                crashing: 6,
                mix: Mix::Truncations,
                ..Story::default()
            },
        );
    }
}

#[test]
fn a_killed_process_loses_nothing_that_page_cache_durability_promised() {
    for seed in seeds(4_000) {
        tell(
            seed,
            Story {
                crashing: 6,
                mix: Mix::PageCache,
                ..Story::default()
            },
        );
    }
}

/// Histories beyond the default range that failed once, and what they found.
#[test]
fn histories_that_failed_once_go_well() {
    let everything = Story {
        crashing: 6,
        ..Story::default()
    };
    let faults = Story {
        faults: true,
        ..everything
    };
    let truncations = Story {
        mix: Mix::Truncations,
        ..everything
    };
    let page_cache = Story {
        mix: Mix::PageCache,
        ..everything
    };
    for (seed, story) in [
        // A power cut after a clean stop brought back segments that had been deleted: an epoch, a producer were others.
        (1_087, everything),
        (2_107, faults),
        // A checkpoint forgot a deleted log before its directory was renamed: the log was back.
        (1_199, everything),
        (4_288, page_cache),
        // A group whose sync had failed was read from the page cache, and files were cut as it told; a power cut took it away.
        (2_685, faults),
        // The model itself: it took a tail below the log start for lost, and then had a leader of an earlier epoch write.
        (3_491, truncations),
    ] {
        tell(seed, story);
    }
}

#[test]
fn one_seed_is_one_trace() {
    let story = Story {
        crashing: 4,
        faults: true,
        ..Story::default()
    };
    for seed in 0..10 {
        assert_eq!(
            tell(seed, story),
            tell(seed, story),
            "seed {seed} run twice"
        );
    }
    assert_ne!(tell(0, story).1.trace, tell(1, story).1.trace);
}

const SEEDS: u64 = 2;
const MANY_SEEDS: u64 = 60;

/// The seeds of a mix that begins at `base`. `OTTLA_SIM_SEEDS=87..360` plays those behind the base instead.
fn seeds(base: u64) -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("OTTLA_SIM_SEEDS") else {
        return base..base + MANY_SEEDS;
    };
    let (from, to) = asked
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)))
        .expect("OTTLA_SIM_SEEDS is a range such as 87..360");
    base + from..base + to
}
