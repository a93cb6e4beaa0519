//! Writes committed code from fact tables: protocol messages from `protocol/schemas`.

/// Runs `cargo xtask codegen`.
pub fn run(_args: &[String]) -> anyhow::Result<()> {
    Ok(())
}
