//! The repository's verbs: `cargo xtask VERB`. This file only dispatches; each verb has a room.

mod codegen;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("codegen") => codegen::run(&args.collect::<Vec<_>>()),
        _ => {
            println!("cargo xtask codegen [--import|--check]");
            Ok(())
        }
    }
}
