//! The fact tables in `protocol/schemas`: what a message consists of, one line per field.
//!
//! ```text
//! request ProduceRequest key=0 versions=3-13 flexible=9+ listeners=broker
//!   TransactionalId string 3+ null=3+ default=null
//!   TopicData []TopicProduceData 0+
//!     Name string 0-12 map-key ignorable
//!   struct NodeEndpoint 0+
//!     …
//! ```
//! Depth is indentation by two. Invariant: `parse(print(x)) == x`. Not here: where the facts come
//! from (import.rs), what becomes of them (structs.rs).

use std::fmt::{self, Write as _};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// A contiguous range of versions, possibly open at the top, possibly empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub const ALL: Self = Self {
        first: 0,
        last: i16::MAX,
    };
    pub const NONE: Self = Self { first: 0, last: -1 };

    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    pub fn and(self, other: Self) -> Self {
        let both = Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        };
        if both.is_empty() { Self::NONE } else { both }
    }

    /// The smallest range that holds both.
    pub fn or(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self {
                first: self.first.min(other.first),
                last: self.last.max(other.last),
            },
        }
    }

    /// What of `self` lies outside `other`. Errors: that would be two ranges.
    pub fn without(self, other: Self) -> Result<Self> {
        let both = self.and(other);
        if both.is_empty() {
            return Ok(self);
        }
        let below = Self {
            first: self.first,
            last: both.first - 1,
        };
        if both.last == self.last {
            return Ok(if below.is_empty() { Self::NONE } else { below });
        }
        ensure!(
            both.first == self.first,
            "{self} without {other} is not one range"
        );
        Ok(Self {
            first: both.last + 1,
            last: self.last,
        })
    }
}

impl FromStr for Versions {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| {
            text.parse::<i16>()
                .with_context(|| format!("bad versions `{text}`"))
        };
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Self {
                first: number(first)?,
                last: i16::MAX,
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            first: number(first)?,
            last: number(last)?,
        })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            range if range.is_empty() => f.write_str("none"),
            Self {
                first,
                last: i16::MAX,
            } => write!(f, "{first}+"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Header,
    Data,
    Metadata,
    CoordinatorKey,
    CoordinatorValue,
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::Request, "request"),
    (Kind::Response, "response"),
    (Kind::Header, "header"),
    (Kind::Data, "data"),
    (Kind::Metadata, "metadata"),
    (Kind::CoordinatorKey, "coordinator-key"),
    (Kind::CoordinatorValue, "coordinator-value"),
];

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = KINDS.iter().find(|(_, name)| *name == text);
        Ok(found
            .with_context(|| format!("unknown kind of message `{text}`"))?
            .0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = KINDS
            .iter()
            .find(|(kind, _)| kind == self)
            .expect("the table has every kind");
        f.write_str(name)
    }
}

/// One message of Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub kind: Kind,
    pub name: String,
    /// API key of requests and responses, record type of records.
    pub key: Option<i16>,
    pub versions: Versions,
    pub flexible: Versions,
    /// Requests: who serves it (`broker`, `controller`).
    pub listeners: Vec<String>,
    /// Requests: the last version is not released yet.
    pub unstable: bool,
    /// Requests: brokers hand it to the active controller in an Envelope.
    pub forwarded: bool,
    /// Requests: needs the right to act as a member of the cluster.
    pub cluster_action: bool,
    pub fields: Vec<Field>,
    /// Structs that several fields share.
    pub structs: Vec<Struct>,
}

/// A struct that several fields share.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    pub name: String,
    pub versions: Versions,
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    /// As Kafka writes it: `int32`, `[]string`, `[]TopicData`, `Cursor`.
    pub ty: String,
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<(u32, Versions)>,
    /// `None`: the type's zero.
    pub default: Option<String>,
    pub ignorable: bool,
    pub map_key: bool,
    /// Instead of the message's: only `ClientId` of the request header has it.
    pub flexible: Option<Versions>,
    /// The fields of its struct, when the struct is written in place.
    pub fields: Vec<Field>,
}

impl Field {
    /// Whether it exists in this version, outside the tagged fields.
    pub fn is_in_line(&self, version: i16) -> bool {
        let tagged = self
            .tag
            .is_some_and(|(_, versions)| versions.contains(version));
        self.versions.contains(version) && !tagged
    }
}

/// Writes messages as a fact table.
pub fn print(messages: &[Message]) -> String {
    let mut out = String::new();
    for message in messages {
        write!(out, "\n{} {}", message.kind, message.name).expect("a String takes everything");
        if let Some(key) = message.key {
            write!(out, " key={key}").expect("a String takes everything");
        }
        write!(
            out,
            " versions={} flexible={}",
            message.versions, message.flexible
        )
        .expect("a String takes everything");
        if !message.listeners.is_empty() {
            out += &format!(" listeners={}", message.listeners.join(","));
        }
        for (set, word) in [
            (message.unstable, " unstable"),
            (message.forwarded, " forwarded"),
            (message.cluster_action, " cluster-action"),
        ] {
            out += if set { word } else { "" };
        }
        out += "\n";
        print_fields(&mut out, &message.fields, 1);
        for shared in &message.structs {
            out += &format!("  struct {} {}\n", shared.name, shared.versions);
            print_fields(&mut out, &shared.fields, 2);
        }
    }
    out
}

fn print_fields(out: &mut String, fields: &[Field], depth: usize) {
    for field in fields {
        *out += &format!(
            "{}{} {} {}",
            "  ".repeat(depth),
            field.name,
            field.ty,
            field.versions
        );
        if !field.nullable.is_empty() {
            *out += &format!(" null={}", field.nullable);
        }
        if let Some((tag, versions)) = field.tag {
            *out += &format!(" tag={tag}:{versions}");
        }
        if let Some(default) = &field.default {
            *out += &format!(" default={default}");
        }
        if let Some(flexible) = field.flexible {
            *out += &format!(" flexible={flexible}");
        }
        *out += if field.map_key { " map-key" } else { "" };
        *out += if field.ignorable { " ignorable" } else { "" };
        *out += "\n";
        print_fields(out, &field.fields, depth + 1);
    }
}

/// Reads a fact table. Errors name the line.
pub fn parse(text: &str) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut lines = Lines {
        lines: Vec::new(),
        at: 0,
    };
    for (number, line) in text.lines().enumerate() {
        let words = line.trim_start();
        if !words.is_empty() && !words.starts_with('#') {
            let depth = (line.len() - words.len()) / 2;
            lines
                .lines
                .push((number + 1, depth, words.split(' ').collect()));
        }
    }
    while lines.at < lines.lines.len() {
        messages.push(lines.message()?);
    }
    Ok(messages)
}

struct Lines<'a> {
    lines: Vec<(usize, usize, Vec<&'a str>)>,
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line, if it stands at this depth.
    fn next_at(&mut self, depth: usize) -> Option<(usize, Vec<&'a str>)> {
        let (number, found, words) = self.lines.get(self.at)?;
        if *found != depth {
            return None;
        }
        self.at += 1;
        Some((*number, words.clone()))
    }

    fn message(&mut self) -> Result<Message> {
        let (number, words) = self.next_at(0).context("a table starts with a message")?;
        let mut message = header(&words).with_context(|| format!("line {number}"))?;
        while let Some((number, words)) = self.next_at(1) {
            if let ["struct", name, versions] = words[..] {
                let (name, versions) = (name.to_owned(), versions.parse()?);
                message.structs.push(Struct {
                    name,
                    versions,
                    fields: self.fields(2)?,
                });
            } else {
                message.fields.push(self.field(number, &words, 1)?);
            }
        }
        Ok(message)
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some((number, words)) = self.next_at(depth) {
            fields.push(self.field(number, &words, depth)?);
        }
        Ok(fields)
    }

    fn field(&mut self, number: usize, words: &[&str], depth: usize) -> Result<Field> {
        let mut field = field(words).with_context(|| format!("line {number}"))?;
        field.fields = self.fields(depth + 1)?;
        Ok(field)
    }
}

fn header(words: &[&str]) -> Result<Message> {
    let [kind, name, facts @ ..] = words else {
        bail!("a message has a kind and a name")
    };
    let mut message = Message {
        kind: kind.parse()?,
        name: (*name).to_owned(),
        key: None,
        versions: Versions::NONE,
        flexible: Versions::NONE,
        listeners: Vec::new(),
        unstable: false,
        forwarded: false,
        cluster_action: false,
        fields: Vec::new(),
        structs: Vec::new(),
    };
    for fact in facts {
        match fact.split_once('=').unwrap_or((fact, "")) {
            ("key", key) => message.key = Some(key.parse()?),
            ("versions", versions) => message.versions = versions.parse()?,
            ("flexible", versions) => message.flexible = versions.parse()?,
            ("listeners", names) => {
                message.listeners = names.split(',').map(str::to_owned).collect()
            }
            ("unstable", _) => message.unstable = true,
            ("forwarded", _) => message.forwarded = true,
            ("cluster-action", _) => message.cluster_action = true,
            _ => bail!("unknown fact `{fact}` about a message"),
        }
    }
    Ok(message)
}

fn field(words: &[&str]) -> Result<Field> {
    let [name, ty, versions, facts @ ..] = words else {
        bail!("a field has a name, a type and versions")
    };
    let mut field = Field {
        name: (*name).to_owned(),
        ty: (*ty).to_owned(),
        versions: versions.parse()?,
        nullable: Versions::NONE,
        tag: None,
        default: None,
        ignorable: false,
        map_key: false,
        flexible: None,
        fields: Vec::new(),
    };
    for fact in facts {
        match fact.split_once('=').unwrap_or((fact, "")) {
            ("null", versions) => field.nullable = versions.parse()?,
            ("tag", tag) => {
                let (tag, versions) = tag.split_once(':').context("a tag has versions")?;
                field.tag = Some((tag.parse()?, versions.parse()?));
            }
            ("default", value) => field.default = Some(value.to_owned()),
            ("flexible", versions) => field.flexible = Some(versions.parse()?),
            ("map-key", _) => field.map_key = true,
            ("ignorable", _) => field.ignorable = true,
            _ => bail!("unknown fact `{fact}` about a field"),
        }
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_comes_back_as_it_was() {
        for table in [
            include_str!("../../../protocol/schemas/messages.txt"),
            include_str!("../../../protocol/schemas/metadata_records.txt"),
            include_str!("../../../protocol/schemas/group_records.txt"),
        ] {
            let (_, facts) = table.split_once("\n\n").expect("a heading");
            let printed = print(&parse(table).expect("a good table"));
            assert_eq!(printed.trim_start(), facts);
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse("data Thing versions=0\n  Name string 0+ nul=0+\n").expect_err("nul");
        assert_eq!(
            format!("{error:#}"),
            "line 2: unknown fact `nul=0+` about a field"
        );
    }

    #[test]
    fn ranges() {
        let range = |text: &str| -> Versions { text.parse().expect("versions") };
        assert_eq!(
            range("0-9").without(range("4+")).expect("one range"),
            range("0-3")
        );
        assert_eq!(
            range("0-9").without(range("0-3")).expect("one range"),
            range("4-9")
        );
        assert_eq!(
            range("0-9").without(range("0+")).expect("one range"),
            Versions::NONE
        );
        assert!(range("0-9").without(range("3-5")).is_err());
        assert_eq!(
            range("2").to_string() + &range("2+").to_string() + &range("none").to_string(),
            "22+none"
        );
    }
}
