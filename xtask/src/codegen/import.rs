//! Reads the facts from the published jars of Apache Kafka: message definitions are JSON inside
//! them, error codes and the forwarding flags are constants of their classes.
//!
//! Only facts are taken (names, types, versions, numbers); descriptions stay where they are.
//! Lines that start with `//` are not JSON and are dropped first, as Kafka's own generator does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::schema::{self, Field, Kind, Message, Struct, Versions};
use super::{ERROR_TABLE, FAMILIES};
use crate::{peers, process};

/// Which jar holds a family's definitions, and in which folder.
struct Source {
    family: &'static str,
    jar: &'static str,
    folder: &'static str,
}

const fn source(family: &'static str, jar: &'static str, folder: &'static str) -> Source {
    Source {
        family,
        jar,
        folder,
    }
}

const SOURCES: [Source; 7] = [
    source("messages", "kafka-clients", "common/message/"),
    source("messages", "kafka-raft", "common/message/"),
    source("metadata_records", "kafka-metadata", "common/metadata/"),
    source(
        "group_records",
        "kafka-group-coordinator",
        "common/message/",
    ),
    source(
        "transaction_records",
        "kafka-transaction-coordinator",
        "common/message/",
    ),
    source(
        "share_records",
        "kafka-share-coordinator",
        "common/message/",
    ),
    source("remote_log_records", "kafka-storage", "message/"),
];

/// Reads everything and returns the fact tables by file name.
pub fn import() -> Result<BTreeMap<String, String>> {
    let classpath = peers::kafka_classpath(peers::KAFKA_VERSION)?;
    let constants = constants(&classpath)?;
    let mut families: BTreeMap<&str, Vec<Message>> =
        FAMILIES.map(|family| (family, Vec::new())).into();
    for Source {
        family,
        jar,
        folder,
    } in SOURCES
    {
        for mut message in definitions(&jar_path(&classpath, jar)?, folder)? {
            if message.kind == Kind::Request {
                (message.forwarded, message.cluster_action) = constants.flags(message.key);
            }
            // The jar of the remote log also defines a file of the local log.
            let family = if message.name == "ProducerSnapshot" {
                "messages"
            } else {
                family
            };
            families.entry(family).or_default().push(message);
        }
    }
    let mut tables = BTreeMap::new();
    for (family, mut messages) in families {
        // By key, the request before its response, as a reader looks for them.
        messages.sort_by_key(|message| {
            (
                message.key.is_none(),
                message.key,
                message.kind as u8,
                message.name.clone(),
            )
        });
        tables.insert(
            format!("{family}.txt"),
            heading(family) + &schema::print(&messages),
        );
    }
    let errors = heading("error codes: number, name, what clients do") + &constants.errors;
    tables.insert(ERROR_TABLE.to_owned(), errors);
    Ok(tables)
}

fn heading(what: &str) -> String {
    format!(
        "# {what} of Apache Kafka {}: facts, read from its published jars by\n\
         # `cargo xtask codegen --import`. The format is described in xtask/src/codegen/schema.rs.\n",
        peers::KAFKA_VERSION
    )
}

fn jar_path(classpath: &str, name: &str) -> Result<PathBuf> {
    let file = format!("{name}-{}.jar", peers::KAFKA_VERSION);
    let path = classpath
        .split(':')
        .find(|path| path.ends_with(&format!("/{file}")));
    Ok(path
        .with_context(|| format!("{file} is not on the class path"))?
        .into())
}

/// All living definitions of one folder of a jar; Kafka keeps stubs of removed ones.
fn definitions(jar: &Path, folder: &str) -> Result<Vec<Message>> {
    let file = File::open(jar).with_context(|| format!("cannot open {}", jar.display()))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let mut found = Vec::new();
    for name in names
        .iter()
        .filter(|name| name.starts_with(folder) && name.ends_with(".json"))
    {
        let mut text = String::new();
        archive.by_name(name)?.read_to_string(&mut text)?;
        let json: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let json: Value =
            serde_json::from_str(&json).with_context(|| format!("{name} is not JSON"))?;
        let message = message(&json).with_context(|| name.clone())?;
        if !message.versions.is_empty() {
            found.push(message);
        }
    }
    Ok(found)
}

fn message(json: &Value) -> Result<Message> {
    let shared = json["commonStructs"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    Ok(Message {
        kind: string(json, "type")?.parse()?,
        name: string(json, "name")?,
        key: json["apiKey"].as_i64().map(i16::try_from).transpose()?,
        versions: versions(json, "validVersions")?.context("validVersions is missing")?,
        flexible: versions(json, "flexibleVersions")?.unwrap_or(Versions::NONE),
        listeners: json["listeners"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        unstable: json["latestVersionUnstable"].as_bool().unwrap_or(false),
        forwarded: false,
        cluster_action: false,
        fields: fields(json)?,
        structs: shared.iter().map(shared_struct).collect::<Result<_>>()?,
    })
}

fn shared_struct(json: &Value) -> Result<Struct> {
    Ok(Struct {
        name: string(json, "name")?,
        versions: versions(json, "versions")?.context("versions is missing")?,
        fields: fields(json)?,
    })
}

fn fields(json: &Value) -> Result<Vec<Field>> {
    json["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(field)
        .collect()
}

fn field(json: &Value) -> Result<Field> {
    let name = string(json, "name")?;
    let tagged = versions(json, "taggedVersions")?;
    let tag = json["tag"].as_u64().map(u32::try_from).transpose()?;
    ensure!(
        tag.is_some() == tagged.is_some(),
        "{name}: tag and taggedVersions go together"
    );
    Ok(Field {
        ty: string(json, "type")?,
        // A tagged field may leave its versions out: then it has no others.
        versions: versions(json, "versions")?
            .or(tagged)
            .with_context(|| format!("{name} has no versions"))?,
        nullable: versions(json, "nullableVersions")?.unwrap_or(Versions::NONE),
        tag: tag.zip(tagged),
        default: default(&json["default"]),
        ignorable: json["ignorable"].as_bool().unwrap_or(false),
        map_key: json["mapKey"].as_bool().unwrap_or(false),
        flexible: versions(json, "flexibleVersions")?,
        fields: fields(json)?,
        name,
    })
}

/// The default as text. The JSON word `null` is no default at all: Kafka's generator reads it as an
/// absent value, and only the string "null" makes a field null by default.
fn default(json: &Value) -> Option<String> {
    let text = match json {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

fn string(json: &Value, key: &str) -> Result<String> {
    Ok(json[key]
        .as_str()
        .with_context(|| format!("`{key}` is missing"))?
        .to_owned())
}

fn versions(json: &Value, key: &str) -> Result<Option<Versions>> {
    json[key].as_str().map(str::parse).transpose()
}

/// What only the classes know.
struct Constants {
    errors: String,
    /// Lines `api KEY FORWARDED CLUSTER_ACTION`.
    apis: Vec<[String; 3]>,
}

impl Constants {
    fn flags(&self, key: Option<i16>) -> (bool, bool) {
        let key = key.map_or(String::new(), |key| key.to_string());
        let row = self.apis.iter().find(|row| row[0] == key);
        row.map_or((false, false), |row| (row[1] == "true", row[2] == "true"))
    }
}

fn constants(classpath: &str) -> Result<Constants> {
    let folder = std::env::temp_dir().join(format!("ottla-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("Constants.java");
    std::fs::write(&program, include_str!("Constants.java"))?;
    let mut java = process::command("java", ["-cp", classpath]);
    let printed = process::run_quiet(java.arg(&program));
    std::fs::remove_dir_all(&folder)?;
    let mut constants = Constants {
        errors: String::new(),
        apis: Vec::new(),
    };
    for line in printed?.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["api", key, forwarded, cluster_action] => {
                constants
                    .apis
                    .push([key, forwarded, cluster_action].map(str::to_owned));
            }
            ["error", ref facts @ ..] => {
                constants.errors += &format!("{}\n", facts.join(" ").trim_end())
            }
            _ => {}
        }
    }
    Ok(constants)
}
