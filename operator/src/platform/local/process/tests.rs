//! With real processes: a shell that says something and waits.

use super::*;

/// Waits for ever without a child of its own, which would be left behind.
const WAITS: &str = r#"read -r line < "$1.fifo""#;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("broker.log")
    }

    fn pid_file(&self) -> std::path::PathBuf {
        self.dir.path().join("pid")
    }

    fn last_argument(&self) -> std::path::PathBuf {
        self.dir.path().join("server.properties")
    }

    /// A shell script as a broker would be started: its file is the last argument.
    fn start(&self, script: &str) -> Process {
        let last = self.last_argument();
        let command = ["/bin/sh", "-c", script, "broker", last.to_str().unwrap()];
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        Process::start(&Launch {
            command: &command,
            variable: ("CLUSTER_ID", "x"),
            log: &self.log(),
            pid_file: &self.pid_file(),
        })
        .unwrap()
    }

    /// A process that waits, once it is at work. Before that its arguments may not be readable: a
    /// start is over for the parent before the kernel has put them in place.
    fn start_waiting(&self) -> Waiting {
        let fifo = self.last_argument().with_extension("properties.fifo");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let process = self.start(WAITS);
        // Opens when the other side reads.
        let line = OpenOptions::new().write(true).open(fifo).unwrap();
        Waiting {
            process,
            _line: line,
        }
    }

    fn find(&self) -> Option<Process> {
        Process::find(&self.pid_file(), &self.last_argument(), &self.log())
    }
}

/// A process at work, and the line on which it waits: while it is held, it waits.
struct Waiting {
    process: Process,
    _line: File,
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

#[test]
fn an_exit_is_told_with_the_last_words() {
    run(async {
        let place = Place::new();
        fs::write(place.log(), "of an earlier life\n").unwrap();
        let mut process = place.start("echo starting; echo 'disk is full' >&2; exit 3");
        process.watch().unwrap().ended().await;
        assert_eq!(process.epitaph(&place.log()), "exit code 3: disk is full");
        assert!(place.find().is_none(), "a dead process is not found");
        let mut silent = place.start("exit 0");
        silent.watch().unwrap().ended().await;
        assert_eq!(silent.epitaph(&place.log()), "it ended by itself");
    });
}

#[test]
fn a_killed_process_says_so() {
    run(async {
        let place = Place::new();
        let mut process = place.start("exec sleep 1000");
        process.kill();
        process.watch().unwrap().ended().await;
        assert_eq!(process.epitaph(&place.log()), "killed by signal 9");
    });
}

#[test]
fn a_process_is_found_again_by_its_file() {
    run(async {
        let place = Place::new();
        let started = place.start_waiting();
        let mut found = place.find().expect("it runs");
        assert_eq!(found.pid(), started.process.pid());
        found.terminate();
        found.watch().unwrap().ended().await;
        assert_eq!(found.epitaph(&place.log()), "it is gone");
        assert!(place.find().is_none());
    });
}

#[test]
fn a_process_is_found_again_without_its_file() {
    run(async {
        let place = Place::new();
        let started = place.start_waiting();
        fs::remove_file(place.pid_file()).unwrap();
        let found = place.find().expect("it runs");
        assert_eq!(found.pid(), started.process.pid());
        found.kill();
        found.watch().unwrap().ended().await;
    });
}

#[test]
fn a_later_process_of_the_same_id_is_not_taken_for_it() {
    let place = Place::new();
    let own = std::process::id() as i32;
    let started = start_time(own).unwrap();
    fs::write(place.pid_file(), format!("{own} {}\n", started + 1)).unwrap();
    assert!(place.find().is_none());
    fs::write(place.pid_file(), "nonsense").unwrap();
    assert!(place.find().is_none());
}

#[test]
fn what_cannot_be_started_is_named() {
    let place = Place::new();
    let command = [OsString::from("/no/such/program")];
    let error = Process::start(&Launch {
        command: &command,
        variable: ("CLUSTER_ID", "x"),
        log: &place.log(),
        pid_file: &place.pid_file(),
    })
    .unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}
