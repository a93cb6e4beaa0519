//! Generated tables: API keys, error codes, and the catalogue of all messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::GENERATED;
use super::families::without;
use super::names::snake;
use super::schema::{Kind, Message, Versions};

/// Rows of the `api_keys!` macro in protocol/src/api_key.rs.
pub fn api_keys(messages: &[Message]) -> Result<String> {
    let mut rows = String::new();
    for request in messages
        .iter()
        .filter(|message| message.kind == Kind::Request)
    {
        let name = without(&request.name, "Request");
        let key = request.key.with_context(|| format!("{name} has no key"))?;
        let Versions { first, last } = request.versions;
        let stable = if request.unstable { last - 1 } else { last };
        // One past the last version: never.
        let flexible = match request.flexible.and(request.versions) {
            none if none.is_empty() => last + 1,
            some => some.first,
        };
        let listeners: Vec<&str> = request
            .listeners
            .iter()
            .map(|listener| match listener.as_str() {
                "broker" => Ok("Listener::Broker"),
                "controller" => Ok("Listener::Controller"),
                other => bail!("{name}: unknown listener {other}"),
            })
            .collect::<Result<_>>()?;
        writeln!(
            rows,
            "{name} = {key}, versions: {first}..={stable}, flexible: {flexible}, listeners: [{}], forwarded: {}, cluster_action: {};",
            listeners.join(", "),
            request.forwarded,
            request.cluster_action,
        )?;
    }
    Ok(format!(
        "{GENERATED}
use super::Listener;\n\napi_keys! {{\n{rows}}}\n"
    ))
}

/// Constants and rows of protocol/src/error_code.rs.
pub fn error_codes(table: &str) -> Result<String> {
    let mut constants = String::new();
    let mut rows = String::new();
    for line in table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let words: Vec<&str> = line.split(' ').collect();
        let [code, name, facts @ ..] = &words[..] else {
            bail!("an error has a code and a name: {line}")
        };
        writeln!(constants, "pub const {name}: Self = Self({code});")?;
        let (retriable, stale) = (
            facts.contains(&"retriable"),
            facts.contains(&"stale-metadata"),
        );
        writeln!(
            rows,
            "Row {{ code: {code}, name: \"{name}\", retriable: {retriable}, stale_metadata: {stale} }},"
        )?;
    }
    Ok(format!(
        "{GENERATED}
use super::{{ErrorCode, Row}};\n\n#[allow(missing_docs, reason = \"the names are Kafka's\")]\n\
         impl ErrorCode {{\n{constants}}}\n\npub(super) const ROWS: &[Row] = &[\n{rows}];\n"
    ))
}

/// Rows of protocol/src/catalogue.rs.
pub fn catalogue(tables: &BTreeMap<&str, Vec<Message>>) -> Result<String> {
    let mut rows = String::new();
    for (family, messages) in tables {
        let folder = match *family {
            "group_records" | "transaction_records" | "share_records" => "coordinator_records",
            other => other,
        };
        for message in messages {
            let (name, module) = (&message.name, snake(&message.name));
            let Versions { first, last } = message.versions;
            writeln!(
                rows,
                "entry::<crate::{folder}::{module}::{name}>(\"{family}\", \"{name}\", {first}..={last}),"
            )?;
        }
    }
    Ok(format!(
        "{GENERATED}
use super::{{Entry, entry}};\n\npub(super) const ENTRIES: &[Entry] = &[\n{rows}];\n"
    ))
}
