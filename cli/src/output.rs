//! Tables for people, JSON and YAML for programs; all to standard output. A reader that goes away
//! ends the command quietly.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::failure::{Failure, Outcome};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// Prints `text` as it is.
pub fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A broken pipe ends the program: nobody reads on.
pub fn finish(result: io::Result<()>) -> Outcome {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(Failure::from),
    }
}

/// Prints a value for programs, or the table that `table` gives.
pub fn show(format: Format, value: &Value, table: impl FnOnce() -> String) -> Outcome {
    match format {
        Format::Table => print(&table()),
        Format::Json => {
            let text = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::new(crate::failure::OTHER, error.to_string()))?;
            print(&format!("{text}\n"))
        }
        Format::Yaml => {
            let text = serde_saphyr::to_string(value)
                .map_err(|error| Failure::new(crate::failure::OTHER, error.to_string()))?;
            print(&format!("{}\n", text.trim_end()))
        }
    }
}

/// Columns under capital headings, two blanks between, no lines; the same at any width of terminal.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    format!("{}\n", lines.join("\n"))
}

/// A path as a user in the current directory would write it.
pub fn short(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.display().to_string(),
        _ => path.display().to_string(),
    }
}

/// How many of something, in words: `1 record`, `3 records`.
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}
