//! The repository's verbs: `cargo xtask VERB`. This file only dispatches; each verb has a room.

mod codegen;
mod peers;
mod process;
mod tidy;
mod workspace;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let verb = args.next();
    let rest: Vec<String> = args.collect();
    match verb.as_deref() {
        Some("codegen") => codegen::run(&rest),
        Some("peers") => peers::run(&rest),
        Some("tidy") => tidy::run(),
        _ => {
            println!(
                "cargo xtask codegen [--import|--check]\ncargo xtask peers [classpath VERSION]"
            );
            Ok(())
        }
    }
}
