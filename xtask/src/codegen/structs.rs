//! One message of the fact tables → one Rust module: its structs, their defaults, decode, encode.
//!
//! The code is straight lines: a condition per field where versions differ, no tables walked at run
//! time. Semantics are those of Kafka's generator, byte for byte (e2e/tests/codec_oracle.rs).

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use super::names::snake;
use super::schema::{Field, Message, Versions};

/// Names that every module may import; a struct of a message must not be called so.
const NAMES_IN_USE: [&str; 9] = [
    "ErrorCode",
    "Message",
    "Records",
    "Str",
    "UnknownTags",
    "Uuid",
    "Bytes",
    "Reader",
    "Writer",
];

/// A struct with everything known about it.
struct Shape<'a> {
    name: &'a str,
    fields: &'a [Field],
    /// Versions in which it can occur.
    versions: Versions,
}

/// Writes the module of one message, unformatted.
pub fn module(message: &Message) -> Result<String> {
    let shapes = shapes(message)?;
    let mut body = String::new();
    for shape in &shapes {
        ensure!(
            !NAMES_IN_USE.contains(&shape.name),
            "{} is a name of the codec's own",
            shape.name
        );
        Writer {
            message,
            shape,
            shapes: &shapes,
            out: &mut body,
        }
        .write()?;
    }
    Ok(format!("{}\n{body}", imports(&body)))
}

fn imports(body: &str) -> String {
    let used = |word: &&str| {
        body.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|found| found == *word)
    };
    let crate_names = [
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
    let helpers = ["nullable_if", "refuse", "refuse_null", "refuse_tags"];
    let names: Vec<&str> = crate_names.into_iter().filter(used).collect();
    let mut out = format!("use crate::{{{}}};\n", names.join(", "));
    let helpers: Vec<&str> = helpers.into_iter().filter(used).collect();
    if !helpers.is_empty() {
        writeln!(out, "use crate::primitives::{{{}}};", helpers.join(", "))
            .expect("a String takes everything");
    }
    out
}

/// The message itself, then its structs in the order of their first mention.
fn shapes(message: &Message) -> Result<Vec<Shape<'_>>> {
    let mut shapes = vec![Shape {
        name: &message.name,
        fields: &message.fields,
        versions: message.versions,
    }];
    collect(&mut shapes, message, &message.fields, message.versions)?;
    Ok(shapes)
}

fn collect<'a>(
    shapes: &mut Vec<Shape<'a>>,
    message: &'a Message,
    fields: &'a [Field],
    within: Versions,
) -> Result<()> {
    for field in fields {
        let Some(name) = struct_name(&field.ty) else {
            continue;
        };
        let (fields, declared) = match message.structs.iter().find(|shared| shared.name == name) {
            Some(shared) => (&shared.fields, shared.versions),
            None => (
                &field.fields,
                Versions {
                    first: 0,
                    last: i16::MAX,
                },
            ),
        };
        ensure!(!fields.is_empty(), "{name} has no fields");
        let versions = within.and(field.versions).and(declared);
        if versions.is_empty() {
            continue;
        }
        match shapes.iter_mut().find(|shape| shape.name == name) {
            Some(known) => {
                ensure!(known.fields == *fields, "two structs are called {name}");
                known.versions = known.versions.or(versions);
            }
            None => shapes.push(Shape {
                name,
                fields,
                versions,
            }),
        }
        collect(shapes, message, fields, versions)?;
    }
    Ok(())
}

/// The struct a type mentions: they alone start with a capital.
fn struct_name(ty: &str) -> Option<&str> {
    let name = ty.trim_start_matches("[]");
    name.starts_with(|c: char| c.is_uppercase()).then_some(name)
}

/// Writes one struct.
struct Writer<'a> {
    message: &'a Message,
    shape: &'a Shape<'a>,
    shapes: &'a [Shape<'a>],
    out: &'a mut String,
}

impl Writer<'_> {
    fn write(mut self) -> Result<()> {
        self.definition()?;
        self.default()?;
        let name = self.shape.name;
        let minimum = self.size_min(self.shape)?.max(1);
        self.line(&format!(
            "impl Message for {name} {{ const SIZE_MIN: usize = {minimum};\n"
        ));
        self.decode()?;
        self.encode()?;
        self.line("}\n");
        Ok(())
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn is_message(&self) -> bool {
        self.shape.name == self.message.name
    }

    /// Fields that exist in at least one version; Kafka keeps some whose versions are gone.
    fn fields(&self) -> impl Iterator<Item = &'_ Field> {
        let versions = self.shape.versions;
        self.shape
            .fields
            .iter()
            .filter(move |field| !field.versions.and(versions).is_empty())
    }

    fn is_flexible(&self) -> bool {
        !self.message.flexible.and(self.shape.versions).is_empty()
    }

    fn definition(&mut self) -> Result<()> {
        let derived = self.fields().all(zero_default) && !self.shape.fields.is_empty();
        let default = if derived || self.shape.fields.is_empty() {
            ", Default"
        } else {
            ""
        };
        let mut text = String::new();
        if self.is_message() {
            writeln!(
                text,
                "/// Versions {}{}.",
                self.message.versions,
                match self.message.flexible.and(self.message.versions) {
                    none if none.is_empty() => String::new(),
                    flexible => format!(", flexible {flexible}"),
                }
            )?;
        } else if self.shape.versions != self.message.versions {
            writeln!(text, "/// Versions {}.", self.shape.versions)?;
        }
        writeln!(
            text,
            "#[derive(Debug, Clone, PartialEq{default})]\npub struct {} {{",
            self.shape.name
        )?;
        for field in self.fields() {
            let facts = self.facts(field);
            if !facts.is_empty() {
                writeln!(text, "/// {facts}.")?;
            }
            writeln!(text, "pub {}: {},", snake(&field.name), rust_type(field)?)?;
        }
        if self.is_flexible() {
            text += "pub unknown_tagged_fields: UnknownTags,\n";
        }
        self.line(&(text + "}\n"));
        Ok(())
    }

    /// What the type does not say.
    fn facts(&self, field: &Field) -> String {
        let here = self.shape.versions;
        let mut facts = Vec::new();
        if field.versions.and(here) != here {
            let rest = if field.ignorable {
                ", dropped in others"
            } else {
                ""
            };
            facts.push(format!("Versions {}{rest}", field.versions.and(here)));
        }
        if let Some((tag, _)) = field.tag {
            facts.push(format!("Tag {tag}"));
        }
        let nullable = field.nullable.and(here);
        if !nullable.is_empty() && nullable != field.versions.and(here) {
            facts.push(format!("Null in versions {nullable}"));
        }
        if let Some(default) = field
            .default
            .as_deref()
            .filter(|default| *default != "null")
        {
            if !zero_default(field) {
                facts.push(format!("Default {default}"));
            }
        } else if rust_type(field).is_ok_and(|ty| ty.starts_with("Option")) && !zero_default(field)
        {
            facts.push("Default empty, not null".to_owned());
        }
        facts.join(". ")
    }

    fn default(&mut self) -> Result<()> {
        if self.fields().all(zero_default) {
            return Ok(());
        }
        let mut text = format!(
            "impl Default for {} {{ fn default() -> Self {{ Self {{\n",
            self.shape.name
        );
        for field in self.fields() {
            writeln!(text, "{}: {},", snake(&field.name), default_value(field)?)?;
        }
        if self.is_flexible() {
            text += "unknown_tagged_fields: UnknownTags::NONE,\n";
        }
        self.line(&(text + "}}}\n"));
        Ok(())
    }

    /// The fields in line are read in the order of the definition, inside the struct's literal;
    /// known tagged fields come in any version's order and are set afterwards.
    fn decode(&mut self) -> Result<()> {
        let here = self.shape.versions;
        let tags = self.decode_tags()?;
        let mut literal = String::new();
        for field in self.fields() {
            let untagged = self.untagged(field)?;
            let value = if untagged.is_empty() {
                default_value(field)?
            } else {
                let read = self.read(field, self.flexible_word(field, untagged), untagged)?;
                match condition(untagged, here) {
                    Some(condition) => {
                        format!(
                            "if {condition} {{ {read} }} else {{ {} }}",
                            default_value(field)?
                        )
                    }
                    None => read,
                }
            };
            writeln!(literal, "{}: {value},", snake(&field.name))?;
        }
        if self.is_flexible() {
            let value = match (&tags, condition(self.message.flexible.and(here), here)) {
                (Some(_), _) => "UnknownTags::NONE",
                (None, Some(_)) => "reader.unknown_tags(flexible)?",
                (None, None) => "reader.unknown_tags(true)?",
            };
            writeln!(literal, "unknown_tagged_fields: {value},")?;
        }
        let body = match tags {
            Some(tags) => {
                let tags = self.if_flexible(&tags);
                format!("let mut it = Self {{ {literal} }};\n{tags}Ok(it)\n")
            }
            None => format!("Ok(Self {{ {literal} }})\n"),
        };
        let prelude = self.version_check("DecodeError") + &self.flexible_binding(&body);
        let reader = if uses(&body, "reader") { "reader" } else { "_" };
        let version = if uses(&(prelude.clone() + &body), "version") {
            "version"
        } else {
            "_"
        };
        self.line(&format!(
            "fn decode({reader}: &mut Reader, {version}: i16) -> Result<Self, DecodeError> {{\n{prelude}{body}}}\n"
        ));
        Ok(())
    }

    /// The loop over tagged fields, if some are known.
    fn decode_tags(&self) -> Result<Option<String>> {
        let here = self.shape.versions.and(self.message.flexible);
        let mut arms = String::new();
        for field in self.fields() {
            let Some((tag, tagged)) = field.tag else {
                continue;
            };
            let tagged = tagged.and(here);
            if tagged.is_empty() {
                continue;
            }
            let read = self.read(field, "true", tagged)?;
            if let Some(condition) = condition(tagged, here) {
                let outside = negated(&condition);
                writeln!(
                    arms,
                    "{tag} if {outside} => return Err(DecodeError::TagNotInVersion {{ tag, version }}),"
                )?;
            }
            writeln!(arms, "{tag} => it.{} = {read},", snake(&field.name))?;
        }
        if arms.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!(
            "let mut tags = reader.tags()?;
            while let Some(tag) = reader.next_tag(&mut tags)? {{
                match tag {{
                    {arms}_ => reader.keep_tag(&tags, tag, &mut it.unknown_tagged_fields)?,
                }}
                reader.end_tag(&tags, tag)?;
            }}\n"
        )))
    }

    fn encode(&mut self) -> Result<()> {
        let mut body = String::new();
        let here = self.shape.versions;
        for field in self.fields() {
            let name = snake(&field.name);
            let untagged = self.untagged(field)?;
            let present = field.versions.and(here);
            let refuse = if field.ignorable || present == here {
                String::new()
            } else {
                format!("refuse({}, \"{name}\", version)?;\n", non_default(field)?)
            };
            if untagged.is_empty() {
                if let Some(condition) = condition(present, here).filter(|_| !refuse.is_empty()) {
                    writeln!(body, "if {} {{ {refuse} }}", negated(&condition))?;
                }
                continue;
            }
            let write = self.write_field(field, self.flexible_word(field, untagged), untagged)?;
            body += &match condition(untagged, here) {
                None => write,
                Some(condition) if refuse.is_empty() => format!("if {condition} {{ {write} }}\n"),
                Some(condition) if untagged == present => {
                    format!("if {condition} {{ {write} }} else {{ {refuse} }}\n")
                }
                Some(_) => bail!("{name} is untagged, tagged and absent in turn"),
            };
        }
        if self.is_flexible() {
            let tags = self.encode_tags()?;
            let refuse = "refuse_tags(&self.unknown_tagged_fields, version)?;\n";
            body += &match self.if_flexible("") {
                always if always.is_empty() => tags,
                _ => format!("if flexible {{ {tags} }} else {{ {refuse} }}\n"),
            };
        }
        let flexible = self.flexible_binding(&body);
        let check = self.version_check("EncodeError");
        let writer = if uses(&body, "writer") { "writer" } else { "_" };
        let version = if uses(&body, "version") || !check.is_empty() || !flexible.is_empty() {
            "version"
        } else {
            "_"
        };
        self.line(&format!(
            "fn encode(&self, {writer}: &mut Writer, {version}: i16) -> Result<(), EncodeError> {{\n{check}{flexible}{body}Ok(())\n}}\n"
        ));
        Ok(())
    }

    fn encode_tags(&self) -> Result<String> {
        let here = self.shape.versions.and(self.message.flexible);
        let mut tagged: Vec<(u32, Versions, &Field)> = self
            .fields()
            .filter_map(|field| {
                field
                    .tag
                    .map(|(tag, versions)| (tag, versions.and(here), field))
            })
            .filter(|(_, versions, _)| !versions.is_empty())
            .collect();
        if tagged.is_empty() {
            return Ok("writer.unknown_tags(&self.unknown_tagged_fields)?;\n".to_owned());
        }
        tagged.sort_by_key(|(tag, ..)| *tag);
        let mut puts = String::new();
        for (tag, versions, field) in tagged {
            let set = match condition(versions, here) {
                Some(condition) => format!("{condition} && {}", parenthesised(non_default(field)?)),
                None => non_default(field)?,
            };
            let write = self.write_field(field, "true", versions)?;
            let content = match write
                .trim_end()
                .strip_suffix("?;")
                .filter(|write| !write.contains(';'))
            {
                Some(single) => single.to_owned(),
                None => format!("{{ {write} Ok(()) }}"),
            };
            writeln!(puts, "if {set} {{ tags.put({tag}, |writer| {content})?; }}")?;
        }
        Ok(format!(
            "writer.tags(&self.unknown_tagged_fields, |tags| {{ {puts} Ok(()) }})?;\n"
        ))
    }

    /// Versions in which the field stands in line.
    fn untagged(&self, field: &Field) -> Result<Versions> {
        let present = field.versions.and(self.shape.versions);
        present.without(field.tag.map_or(Versions::NONE, |(_, tagged)| tagged))
    }

    /// The expression for "compact lengths" where the field is read in these versions.
    fn flexible_word(&self, field: &Field, versions: Versions) -> &'static str {
        let flexible = field
            .flexible
            .unwrap_or(self.message.flexible)
            .and(versions);
        if flexible.is_empty() {
            "false"
        } else if flexible == versions {
            "true"
        } else {
            "flexible"
        }
    }

    fn if_flexible(&self, body: &str) -> String {
        let here = self.shape.versions;
        match condition(self.message.flexible.and(here), here) {
            Some(_) => format!("if flexible {{ {body} }}\n"),
            None => body.to_owned(),
        }
    }

    fn flexible_binding(&self, body: &str) -> String {
        let here = self.shape.versions;
        match condition(self.message.flexible.and(here), here) {
            Some(condition) if uses(body, "flexible") => format!("let flexible = {condition};\n"),
            _ => String::new(),
        }
    }

    fn version_check(&self, error: &str) -> String {
        if !self.is_message() {
            return String::new();
        }
        let Versions { first, last } = self.message.versions;
        format!(
            "if !({first}..={last}).contains(&version) {{ return Err({error}::UnsupportedVersion(version)); }}\n"
        )
    }

    fn read(&self, field: &Field, flexible: &str, versions: Versions) -> Result<String> {
        let nullable = field.nullable.and(versions);
        let optional = rust_type(field)?.starts_with("Option");
        let or_null = if nullable.is_empty() { "" } else { "nullable_" };
        let ty = field.ty.as_str();
        let read = match (ty.strip_prefix("[]"), struct_name(ty)) {
            (None, None) => match ty {
                "string" | "bytes" => format!("reader.{or_null}{ty}({flexible})?"),
                "records" => format!("reader.records({flexible})?"),
                "int16" if is_error_code(field) => return Ok("ErrorCode(reader.i16()?)".to_owned()),
                _ => return Ok(format!("reader.{}()?", plain(ty)?)),
            },
            (None, Some(name)) if nullable.is_empty() => {
                let read = format!("{name}::decode(reader, version)?");
                return Ok(if optional {
                    format!("Some({read})")
                } else {
                    read
                });
            }
            (None, Some(_)) => {
                ensure!(
                    nullable == versions,
                    "{} is a struct with and without a null byte",
                    field.name
                );
                return Ok(format!("reader.{}(version)?", nullable_struct(field)));
            }
            (Some(_), None) => format!("reader.{or_null}list({flexible})?"),
            (Some(_), Some(_)) => format!("reader.{or_null}array({flexible}, version)?"),
        };
        Ok(if ty == "records" || !nullable.is_empty() {
            match condition(nullable, versions) {
                None => read,
                Some(condition) => format!("nullable_if({condition}, {read})?"),
            }
        } else if optional {
            format!("Some({read})")
        } else {
            read
        })
    }

    fn write_field(&self, field: &Field, flexible: &str, versions: Versions) -> Result<String> {
        let name = snake(&field.name);
        let optional = rust_type(field)?.starts_with("Option");
        let nullable = field.nullable.and(versions);
        let or_null = if optional { "nullable_" } else { "" };
        let ty = field.ty.as_str();
        let value = format!("self.{name}");
        let write = match (ty.strip_prefix("[]"), struct_name(ty)) {
            (None, None) => match ty {
                "string" | "bytes" | "records" => {
                    let or_null = if ty == "records" { "" } else { or_null };
                    let value = if optional {
                        format!("{value}.as_ref()")
                    } else {
                        format!("&{value}")
                    };
                    format!("writer.{or_null}{ty}({value}, {flexible})?;\n")
                }
                "int16" if is_error_code(field) => return Ok(format!("writer.i16({value}.0);\n")),
                _ => return Ok(format!("writer.{}({value});\n", plain(ty)?)),
            },
            (None, Some(_)) if optional => {
                format!(
                    "writer.{}({value}.as_ref(), version)?;\n",
                    nullable_struct(field)
                )
            }
            (None, Some(_)) => format!("{value}.encode(writer, version)?;\n"),
            (Some(_), inner) => {
                let value = if optional {
                    format!("{value}.as_deref()")
                } else {
                    format!("&{value}")
                };
                match inner {
                    None => format!("writer.{or_null}list({value}, {flexible})?;\n"),
                    Some(_) => format!("writer.{or_null}array({value}, {flexible}, version)?;\n"),
                }
            }
        };
        if !optional || nullable == versions {
            return Ok(write);
        }
        ensure!(
            struct_name(ty).is_none() || ty.starts_with("[]"),
            "{name} is a struct with and without a null byte"
        );
        let null = match condition(nullable, versions) {
            Some(condition) if condition != "false" => {
                format!("self.{name}.is_none() && {}", negated(&condition))
            }
            _ => format!("self.{name}.is_none()"),
        };
        Ok(format!(
            "refuse_null({null}, \"{name}\", version)?;\n{write}"
        ))
    }

    /// Fewest bytes on the wire over all versions in which the struct can occur.
    fn size_min(&self, shape: &Shape<'_>) -> Result<usize> {
        let mut least = usize::MAX;
        for version in shape.versions.first..=shape.versions.last {
            let only = Versions {
                first: version,
                last: version,
            };
            let flexible = !self.message.flexible.and(only).is_empty();
            let mut size = usize::from(flexible);
            for field in shape.fields {
                let tagged = field
                    .tag
                    .is_some_and(|(_, tagged)| !tagged.and(only).is_empty());
                if field.versions.and(only).is_empty() || tagged {
                    continue;
                }
                size += match (field.ty.as_str(), struct_name(&field.ty)) {
                    ("bool" | "int8", _) => 1,
                    ("int16" | "uint16", _) => 2,
                    ("int32" | "uint32", _) => 4,
                    ("int64" | "float64", _) => 8,
                    ("uuid", _) => 16,
                    ("string", _) if field.flexible.is_some() => 2,
                    (_, Some(_)) if !field.nullable.and(only).is_empty() => 1,
                    (ty, Some(name)) if !ty.starts_with("[]") => {
                        let inner = self.shapes.iter().find(|shape| shape.name == name);
                        self.size_min(inner.context("a struct without a shape")?)?
                    }
                    _ if flexible => 1,
                    ("string", _) => 2,
                    _ => 4,
                };
            }
            least = least.min(size);
        }
        Ok(least)
    }
}

fn uses(body: &str, word: &str) -> bool {
    body.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|found| found == word)
}

/// The test for `wanted` when the version is known to be in `here`; `None` when it always holds.
fn condition(wanted: Versions, here: Versions) -> Option<String> {
    let wanted = wanted.and(here);
    let (low, high) = (wanted.first > here.first, wanted.last < here.last);
    match wanted {
        none if none.is_empty() => Some("false".to_owned()),
        Versions { first, last } if low && high && first == last => {
            Some(format!("version == {first}"))
        }
        Versions { first, last } if low && high => {
            Some(format!("({first}..={last}).contains(&version)"))
        }
        Versions { first, .. } if low => Some(format!("version >= {first}")),
        Versions { last, .. } if high => Some(format!("version <= {last}")),
        _ => None,
    }
}

/// Tagged fields say null in another way than fields in line.
fn nullable_struct(field: &Field) -> &'static str {
    if field.tag.is_some() {
        "nullable_tagged_struct"
    } else {
        "nullable_struct"
    }
}

/// The opposite of a condition made by `condition`.
fn negated(condition: &str) -> String {
    match condition.split_once(' ') {
        Some(("version", rest)) if rest.starts_with(">= ") => condition.replace(">=", "<"),
        Some(("version", rest)) if rest.starts_with("<= ") => condition.replace("<=", ">"),
        Some(("version", _)) => condition.replace("==", "!="),
        _ => format!("!{condition}"),
    }
}

fn parenthesised(condition: String) -> String {
    if condition.contains("||") {
        format!("({condition})")
    } else {
        condition
    }
}

/// Kafka's name of a plain type → the reader's and writer's method, which is Rust's type except for uuid.
fn plain(ty: &str) -> Result<&'static str> {
    Ok(match ty {
        "bool" => "bool",
        "int8" => "i8",
        "int16" => "i16",
        "uint16" => "u16",
        "int32" => "i32",
        "uint32" => "u32",
        "int64" => "i64",
        "float64" => "f64",
        "uuid" => "uuid",
        _ => bail!("unknown type {ty}"),
    })
}

fn is_error_code(field: &Field) -> bool {
    field.ty == "int16" && field.name.ends_with("ErrorCode")
}

fn rust_type(field: &Field) -> Result<String> {
    let one = |ty: &str| -> Result<String> {
        Ok(match ty {
            "string" => "Str".to_owned(),
            "bytes" => "Bytes".to_owned(),
            "records" => "Records".to_owned(),
            "uuid" => "Uuid".to_owned(),
            _ => match struct_name(ty) {
                Some(name) => name.to_owned(),
                None => plain(ty)?.to_owned(),
            },
        })
    };
    let ty = match field.ty.strip_prefix("[]") {
        Some(inner) => format!("Vec<{}>", one(inner)?),
        None if is_error_code(field) => "ErrorCode".to_owned(),
        None => one(&field.ty)?,
    };
    let null = !field.nullable.is_empty() || field.ty == "records";
    Ok(if null { format!("Option<{ty}>") } else { ty })
}

/// Whether the schema's default is what `#[derive(Default)]` gives.
fn zero_default(field: &Field) -> bool {
    default_value(field).is_ok_and(|value| {
        matches!(
            value.as_str(),
            "0" | "0.0" | "false" | "None" | "ErrorCode::NONE" | "Uuid::ZERO"
        ) || value == "Str::default()"
            || value == "Bytes::new()"
            || value == "Vec::new()"
            || (struct_name(&field.ty).is_some()
                && value.ends_with("::default()")
                && !value.starts_with("Some"))
    })
}

fn default_value(field: &Field) -> Result<String> {
    let default = field.default.as_deref();
    let ty = rust_type(field)?;
    if default == Some("null") || field.ty == "records" {
        ensure!(
            ty.starts_with("Option"),
            "{} is null by default and never null",
            field.name
        );
        return Ok("None".to_owned());
    }
    let value = match (field.ty.as_str(), default) {
        (_, None) => match ty.trim_start_matches("Option<").trim_end_matches('>') {
            "bool" => "false".to_owned(),
            "f64" => "0.0".to_owned(),
            "ErrorCode" => "ErrorCode::NONE".to_owned(),
            "Uuid" => "Uuid::ZERO".to_owned(),
            "Bytes" => "Bytes::new()".to_owned(),
            list if list.starts_with("Vec<") => "Vec::new()".to_owned(),
            name if name.starts_with(|c: char| c.is_uppercase()) => format!("{name}::default()"),
            _ => "0".to_owned(),
        },
        ("string", Some("\"\"")) => "Str::default()".to_owned(),
        ("bool", Some(value)) => value.to_owned(),
        ("int16", Some("0")) if is_error_code(field) => "ErrorCode::NONE".to_owned(),
        (ty, Some(value)) if ty.starts_with("int") && !is_error_code(field) => {
            match (ty, number(value)?) {
                ("int32", value) if value == i64::from(i32::MIN) => "i32::MIN".to_owned(),
                ("int32", value) if value == i64::from(i32::MAX) => "i32::MAX".to_owned(),
                ("int64", i64::MAX) => "i64::MAX".to_owned(),
                (_, value) => value.to_string(),
            }
        }
        (ty, Some(value)) => bail!("{}: no idea how to say default {value} of {ty}", field.name),
    };
    Ok(if ty.starts_with("Option") {
        format!("Some({value})")
    } else {
        value
    })
}

fn number(text: &str) -> Result<i64> {
    Ok(match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16)?,
        None => text.parse()?,
    })
}

/// The test for a value other than the schema's default.
fn non_default(field: &Field) -> Result<String> {
    let name = format!("self.{}", snake(&field.name));
    let default = default_value(field)?;
    Ok(match default.as_str() {
        "None" => format!("{name}.is_some()"),
        "false" => name,
        "true" => format!("!{name}"),
        "Str::default()" | "Bytes::new()" | "Vec::new()" => format!("!{name}.is_empty()"),
        "Some(Str::default())" | "Some(Bytes::new())" | "Some(Vec::new())" => {
            format!("{name}.as_ref().is_none_or(|value| !value.is_empty())")
        }
        default => format!("{name} != {default}"),
    })
}
