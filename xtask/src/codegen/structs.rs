//! One message of the fact tables → one Rust module: its structs, their defaults, decode, encode.
//!
//! The code is straight lines: a condition per field where versions differ, no tables walked at run
//! time. Semantics are those of Kafka's generator, byte for byte (e2e/tests/codec_oracle.rs).

use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};

use super::fields::RustField;
use super::schema::{Message, Versions};
use super::shapes::{Shape, shapes};
use super::when::When;

/// What a module may import from the crate; no struct of a message may be called so.
const NAMES: [&str; 11] = [
    "Bytes",
    "DecodeError",
    "EncodeError",
    "ErrorCode",
    "Message",
    "Reader",
    "Records",
    "Str",
    "UnknownTags",
    "Uuid",
    "Writer",
];
/// What it may import from the crate's primitives.
const CHECKS: [&str; 4] = ["nullable_if", "refuse", "refuse_null", "refuse_tags"];

/// Writes the module of one message, unformatted.
pub fn module(message: &Message) -> Result<String> {
    let mut body = String::new();
    for shape in &shapes(message)? {
        ensure!(
            !NAMES.contains(&shape.name),
            "{} is a name of the codec's own",
            shape.name
        );
        let whole = shape.name == message.name;
        let fields = shape
            .fields
            .iter()
            .map(|field| RustField::new(field))
            .collect::<Result<_>>()?;
        Struct {
            message,
            shape,
            whole,
            fields,
        }
        .write(&mut body)?;
    }
    let imports = [
        import("crate", &NAMES, &body),
        import("crate::primitives", &CHECKS, &body),
    ]
    .concat();
    Ok(format!("{imports}\n{body}"))
}

fn import(path: &str, names: &[&str], body: &str) -> String {
    let used: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| mentions(body, name))
        .collect();
    if used.is_empty() {
        String::new()
    } else {
        format!("use {path}::{{{}}};\n", used.join(", "))
    }
}

fn mentions(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|found| found == word)
}

/// The name of a parameter, or `_` when the code does not need it.
fn parameter(name: &'static str, code: &str) -> &'static str {
    if mentions(code, name) { name } else { "_" }
}

/// One struct on its way to Rust.
struct Struct<'a> {
    message: &'a Message,
    shape: &'a Shape<'a>,
    /// The message itself, not a part of it.
    whole: bool,
    fields: Vec<RustField<'a>>,
}

impl Struct<'_> {
    fn write(&self, out: &mut String) -> Result<()> {
        let Shape { name, size_min, .. } = self.shape;
        self.definition(out)?;
        self.default(out)?;
        writeln!(
            out,
            "impl Message for {name} {{\nconst SIZE_MIN: usize = {size_min};\n"
        )?;
        self.decode(out)?;
        self.encode(out)?;
        writeln!(out, "}}\n")?;
        Ok(())
    }

    /// When its versions have compact lengths and tagged fields.
    fn flexible(&self) -> When {
        When::new(self.shape.flexible, self.shape.versions)
    }

    fn has_zero_default(&self) -> bool {
        self.fields.iter().all(RustField::has_zero_default)
    }

    fn definition(&self, out: &mut String) -> Result<()> {
        let Shape {
            name,
            versions,
            flexible,
            ..
        } = self.shape;
        match (self.whole, flexible.is_empty()) {
            (true, true) => writeln!(out, "/// Versions {versions}.")?,
            (true, false) => writeln!(out, "/// Versions {versions}, flexible {flexible}.")?,
            (false, _) if *versions != self.message.versions => {
                writeln!(out, "/// Versions {versions}.")?
            }
            (false, _) => {}
        }
        let default = if self.has_zero_default() {
            ", Default"
        } else {
            ""
        };
        writeln!(
            out,
            "#[derive(Debug, Clone, PartialEq{default})]\npub struct {name} {{"
        )?;
        for field in &self.fields {
            let facts = field.facts(*versions);
            if !facts.is_empty() {
                writeln!(out, "/// {facts}.")?;
            }
            writeln!(out, "pub {}: {},", field.name, field.ty)?;
        }
        if self.flexible() != When::Never {
            writeln!(out, "pub unknown_tagged_fields: UnknownTags,")?;
        }
        writeln!(out, "}}\n")?;
        Ok(())
    }

    fn default(&self, out: &mut String) -> Result<()> {
        if self.has_zero_default() {
            return Ok(());
        }
        writeln!(
            out,
            "impl Default for {} {{ fn default() -> Self {{ Self {{",
            self.shape.name
        )?;
        for field in &self.fields {
            writeln!(out, "{}: {},", field.name, field.default)?;
        }
        if self.flexible() != When::Never {
            writeln!(out, "unknown_tagged_fields: UnknownTags::NONE,")?;
        }
        writeln!(out, "}} }} }}\n")?;
        Ok(())
    }

    /// The fields in line are read in the order of the definition, inside the struct's literal;
    /// tagged fields come in an order of their own and are set afterwards.
    fn decode(&self, out: &mut String) -> Result<()> {
        let here = self.shape.versions;
        let mut literal = String::new();
        for field in &self.fields {
            let in_line = self.in_line(field)?;
            let value = if in_line.is_empty() {
                field.default.clone()
            } else {
                let read = field.read(self.compact(field, in_line), in_line)?;
                When::new(in_line, here).choose(&read, &field.default)
            };
            writeln!(literal, "{}: {value},", field.name)?;
        }
        let known_tags = self.decode_tags()?;
        let unknown = match (&known_tags, self.flexible()) {
            (_, When::Never) => "",
            (Some(_), _) => "unknown_tagged_fields: UnknownTags::NONE,",
            (None, When::Always) => "unknown_tagged_fields: reader.unknown_tags(true)?,",
            (None, _) => "unknown_tagged_fields: reader.unknown_tags(flexible)?,",
        };
        let code = match known_tags {
            Some(tags) => {
                let tags = self.when_flexible(&tags, "");
                format!("let mut it = Self {{ {literal}{unknown} }};\n{tags}Ok(it)\n")
            }
            None => format!("Ok(Self {{ {literal}{unknown} }})\n"),
        };
        let code = self.prelude("DecodeError", &code) + &code;
        let (reader, version) = (parameter("reader", &code), parameter("version", &code));
        writeln!(
            out,
            "fn decode({reader}: &mut Reader, {version}: i16) -> Result<Self, DecodeError> {{\n{code}}}\n"
        )?;
        Ok(())
    }

    /// The loop over tagged fields, if some are known.
    fn decode_tags(&self) -> Result<Option<String>> {
        let mut arms = String::new();
        for (tag, versions, field) in self.tagged() {
            let when = When::new(versions, self.shape.flexible);
            if when != When::Always {
                let outside = when.fails();
                writeln!(
                    arms,
                    "{tag} if {outside} => return Err(DecodeError::TagNotInVersion {{ tag, version }}),"
                )?;
            }
            writeln!(
                arms,
                "{tag} => it.{} = {},",
                field.name,
                field.read("true", versions)?
            )?;
        }
        let code = format!(
            "let mut tags = reader.tags()?;
            while let Some(tag) = reader.next_tag(&mut tags)? {{
                match tag {{
                    {arms}_ => reader.keep_tag(&tags, tag, &mut it.unknown_tagged_fields)?,
                }}
                reader.end_tag(&tags, tag)?;
            }}\n"
        );
        Ok((!arms.is_empty()).then_some(code))
    }

    fn encode(&self, out: &mut String) -> Result<()> {
        let here = self.shape.versions;
        let mut code = String::new();
        for field in &self.fields {
            let present = field.field.versions.and(here);
            let in_line = self.in_line(field)?;
            let write = if in_line.is_empty() {
                String::new()
            } else {
                field.write(self.compact(field, in_line), in_line)?
            };
            let refuse = if field.field.ignorable || present == here {
                String::new()
            } else {
                format!(
                    "refuse({}, \"{}\", version)?;\n",
                    field.is_set(),
                    field.name
                )
            };
            if !in_line.is_empty() && in_line != present && !refuse.is_empty() {
                bail!("{} is in line, tagged and absent in turn", field.name);
            }
            let when = if in_line.is_empty() { present } else { in_line };
            code += &When::new(when, here).choose(&write, &refuse);
        }
        if self.flexible() != When::Never {
            let tags = self.encode_tags()?;
            code += &self.when_flexible(
                &tags,
                "refuse_tags(&self.unknown_tagged_fields, version)?;\n",
            );
        }
        code = self.prelude("EncodeError", &code) + &code;
        let (writer, version) = (parameter("writer", &code), parameter("version", &code));
        writeln!(
            out,
            "fn encode(&self, {writer}: &mut Writer, {version}: i16) -> Result<(), EncodeError> {{\n{code}Ok(())\n}}"
        )?;
        Ok(())
    }

    fn encode_tags(&self) -> Result<String> {
        let mut puts = String::new();
        for (tag, versions, field) in self.tagged() {
            let set = match When::new(versions, self.shape.flexible) {
                When::Always => field.is_set(),
                when => format!("{} && {}", when.holds(), field.is_set()),
            };
            let write = field.write("true", versions)?;
            let content = match write
                .trim_end()
                .strip_suffix("?;")
                .filter(|one| !one.contains(';'))
            {
                Some(expression) => expression.to_owned(),
                None => format!("{{ {write} Ok(()) }}"),
            };
            writeln!(puts, "if {set} {{ tags.put({tag}, |writer| {content})?; }}")?;
        }
        Ok(if puts.is_empty() {
            "writer.unknown_tags(&self.unknown_tagged_fields)?;\n".to_owned()
        } else {
            format!("writer.tags(&self.unknown_tagged_fields, |tags| {{ {puts} Ok(()) }})?;\n")
        })
    }

    /// The fields that are tagged in some version, ascending by tag.
    fn tagged(&self) -> Vec<(u32, Versions, &RustField<'_>)> {
        let tagged = |field: &'_ RustField<'_>| {
            let (tag, versions) = field.field.tag?;
            let versions = versions.and(self.shape.flexible);
            (!versions.is_empty()).then_some((tag, versions))
        };
        let mut found: Vec<(u32, Versions, &RustField<'_>)> = self
            .fields
            .iter()
            .filter_map(|field| tagged(field).map(|(tag, versions)| (tag, versions, field)))
            .collect();
        found.sort_by_key(|(tag, ..)| *tag);
        found
    }

    /// Versions in which the field stands in line.
    fn in_line(&self, field: &RustField<'_>) -> Result<Versions> {
        let tagged = field
            .field
            .tag
            .map_or(Versions::NONE, |(_, versions)| versions);
        field
            .field
            .versions
            .and(self.shape.versions)
            .without(tagged)
    }

    /// The expression for "lengths are compact" where the field is in line.
    fn compact(&self, field: &RustField<'_>, in_line: Versions) -> &'static str {
        match When::new(
            field.field.flexible.unwrap_or(self.message.flexible),
            in_line,
        ) {
            When::Always => "true",
            When::Never => "false",
            _ => "flexible",
        }
    }

    fn when_flexible(&self, then: &str, otherwise: &str) -> String {
        match self.flexible() {
            When::Always => then.to_owned(),
            _ if otherwise.is_empty() => format!("if flexible {{ {then} }}\n"),
            _ => format!("if flexible {{ {then} }} else {{ {otherwise} }}\n"),
        }
    }

    /// What stands before the code of decode and encode: parts trust the message they are in.
    fn prelude(&self, error: &str, code: &str) -> String {
        let mut prelude = String::new();
        if self.whole {
            let Versions { first, last } = self.message.versions;
            prelude += &format!(
                "if !({first}..={last}).contains(&version) {{ return Err({error}::UnsupportedVersion(version)); }}\n"
            );
        }
        if mentions(code, "flexible") {
            prelude += &format!("let flexible = {};\n", self.flexible().holds());
        }
        prelude
    }
}
