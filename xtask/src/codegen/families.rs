//! Folders of generated modules: requests and responses, records with a key in their value
//! (metadata, remote log), and coordinator records whose key and value are messages of their own.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::names::snake;
use super::schema::{Kind, Message};
use super::{Files, GENERATED, structs};

/// One folder with a module per message and an index.
struct Folder<'a> {
    name: &'static str,
    doc: &'static str,
    modules: String,
    exports: String,
    /// What the index holds besides.
    rest: String,
    files: &'a mut Files,
}

impl<'a> Folder<'a> {
    fn new(name: &'static str, doc: &'static str, files: &'a mut Files) -> Self {
        Self {
            name,
            doc,
            modules: String::new(),
            exports: String::new(),
            rest: String::new(),
            files,
        }
    }

    fn module(&mut self, message: &Message) -> Result<()> {
        let name = snake(&message.name);
        writeln!(self.modules, "pub mod {name};")?;
        let text = structs::module(message).with_context(|| message.name.clone())?;
        self.files.insert(
            format!("{}/{name}.rs", self.name),
            format!("{GENERATED}\n{text}"),
        );
        Ok(())
    }

    /// Makes the message itself (not its parts) a name of the folder.
    fn export(&mut self, message: &Message) -> Result<()> {
        writeln!(
            self.exports,
            "pub use {}::{};",
            snake(&message.name),
            message.name
        )?;
        Ok(())
    }

    fn finish(self) {
        let Self {
            name,
            doc,
            modules,
            exports,
            rest,
            files,
        } = self;
        let doc: String = doc.lines().map(|line| format!("//! {line}\n")).collect();
        let index = format!("{GENERATED}//!\n{doc}\n{modules}\n{exports}\n{rest}");
        files.insert(format!("{name}/mod.rs"), index);
    }
}

/// Requests, responses, headers and the plain data that travels inside byte fields.
pub fn messages(messages: &[Message], files: &mut Files) -> Result<()> {
    const DOC: &str = "Every request and response of Apache Kafka 4.3.1, its headers, and the data that travels\n\
        inside byte fields; one module each. Field documentation tells only what the type does not:\n\
        versions, tags, defaults. What a message means is Kafka's protocol guide's to say.";
    let mut folder = Folder::new("messages", DOC, files);
    folder.rest += "use crate::{ApiKey, Request};\n\n";
    for message in messages {
        folder.module(message)?;
        if message.kind == Kind::Request {
            let (name, module) = (&message.name, snake(&message.name));
            let api = without(name, "Request");
            let response = snake(&format!("{api}Response"));
            writeln!(
                folder.rest,
                "impl Request for {module}::{name} {{ const KEY: ApiKey = ApiKey::{api}; \
                 const VERSIONS: (i16, i16) = ({}, {}); type Response = {response}::{api}Response; }}\n",
                message.versions.first, message.versions.last
            )?;
        }
    }
    folder.finish();
    Ok(())
}

/// A family of records whose value opens with frame version, type and version.
pub struct KeyedRecords {
    folder: &'static str,
    name: &'static str,
    doc: &'static str,
}

pub const METADATA: KeyedRecords = KeyedRecords {
    folder: "metadata_records",
    name: "MetadataRecord",
    doc: "Every record of the metadata log (`__cluster_metadata`) of Apache Kafka 4.3.1.",
};

pub const REMOTE_LOG: KeyedRecords = KeyedRecords {
    folder: "remote_log_records",
    name: "RemoteLogRecord",
    doc: "Every record of `__remote_log_metadata` of Apache Kafka 4.3.1.",
};

/// Writes the family's modules and the enum over them.
pub fn keyed_records(family: &KeyedRecords, messages: &[Message], files: &mut Files) -> Result<()> {
    let mut folder = Folder::new(family.folder, family.doc, files);
    writeln!(
        folder.rest,
        "keyed_records! {{\n/// {}\n{} {{",
        family.doc, family.name
    )?;
    for message in messages {
        folder.module(message)?;
        folder.export(message)?;
        let (record, variant) = (&message.name, without(&message.name, "Record"));
        let key = message
            .key
            .with_context(|| format!("{record} has no type"))?;
        let (first, last) = (message.versions.first, message.versions.last);
        writeln!(folder.rest, "{key}: {variant}({record}) {first}..={last},")?;
    }
    folder.rest += "}\n}\n";
    folder.finish();
    Ok(())
}

/// What one coordinator writes.
pub struct Coordinator<'a> {
    pub name: &'static str,
    pub doc: &'static str,
    pub messages: &'a [Message],
}

/// Writes all coordinators' modules and one enum each.
pub fn coordinator_records(coordinators: &[Coordinator<'_>], files: &mut Files) -> Result<()> {
    const DOC: &str = "What the group, transaction and share coordinators write to `__consumer_offsets`,\n\
        `__transaction_state` and `__share_group_state` (Apache Kafka 4.3.1).";
    let mut folder = Folder::new("coordinator_records", DOC, files);
    for Coordinator {
        name,
        doc,
        messages,
    } in coordinators
    {
        writeln!(folder.rest, "coordinator_records! {{\n/// {doc}\n{name} {{")?;
        for message in *messages {
            folder.module(message)?;
            folder.export(message)?;
            if message.kind == Kind::CoordinatorKey {
                folder.rest += &coordinator_row(message, messages)?;
            }
        }
        folder.rest += "}\n}\n\n";
    }
    folder.finish();
    Ok(())
}

/// `TYPE: Variant(Key, Value) versions,` for a key and the value of the same type.
fn coordinator_row(key: &Message, messages: &[Message]) -> Result<String> {
    let variant = without(&key.name, "Key");
    let number = key.key.with_context(|| format!("{variant} has no type"))?;
    let is_value = |other: &&Message| other.kind == Kind::CoordinatorValue && other.key == key.key;
    let value = messages
        .iter()
        .find(is_value)
        .with_context(|| format!("{variant} has no value"))?;
    let (first, last) = (value.versions.first, value.versions.last);
    Ok(format!(
        "{number}: {variant}({}, {}) {first}..={last},\n",
        key.name, value.name
    ))
}

/// A name without the end that says what kind of message it is.
pub fn without<'a>(name: &'a str, suffix: &str) -> &'a str {
    name.strip_suffix(suffix).unwrap_or(name)
}
