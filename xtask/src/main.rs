//! The repository's verbs: `cargo xtask VERB`. This file only dispatches; each verb has a room.

mod codegen;
mod crds;
mod docs;
mod generated;
mod lab;
mod licences;
mod peers;
mod process;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const VERBS: &str = "\
cargo xtask VERB
  test [SUITE…]       all that this machine can run; with CI=true nothing may be skipped
  ci                  the same with CI=true: what a submission has to pass
  tidy                the rules of the house that a machine can check
  codegen [--import VERSION|--check]
                      protocol messages from the fact tables
  crds [--check]      crds/ and the chart's copies from the operator's types
  docs [--check]      generated pages of docs/
  peers [NAME…|classpath VERSION]
                      fetches Apache Kafka and the clients that tests hold us against
  lab up|down|status|image
                      a real Kubernetes on this machine, with our image in it (root, Debian)
  bench [ARG…]        the side-by-side benchmark";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let verb = args.next();
    let rest: Vec<String> = args.collect();
    let ended = match verb.as_deref() {
        Some("test") => test::run(&rest),
        Some("ci") => test::run_as_ci(&rest),
        Some("tidy") => tidy::run(),
        Some("codegen") => codegen::run(&rest),
        Some("crds") => crds::run(&rest),
        Some("docs") => docs::run(&rest),
        Some("peers") => peers::run(&rest),
        Some("lab") => lab::run(&rest),
        Some("bench") => bench(&rest),
        None | Some("help" | "--help" | "-h") => {
            println!("{VERBS}");
            Ok(())
        }
        Some(verb) => Err(anyhow::anyhow!("no verb is called {verb}\n{VERBS}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &[String]) -> anyhow::Result<()> {
    let mut cargo = process::command(
        "cargo",
        ["run", "--release", "--package", "ottla-bench", "--"],
    );
    process::run(cargo.args(args))
}
