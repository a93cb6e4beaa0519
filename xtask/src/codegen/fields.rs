//! One field in Rust: its type, its default, and the expressions that read and write it.

use anyhow::{Result, bail, ensure};

use super::names::snake;
use super::schema::{Field, Versions};
use super::shapes::struct_name;
use super::when::When;

/// A field with its Rust side.
pub struct RustField<'a> {
    pub field: &'a Field,
    pub name: String,
    pub ty: String,
    /// The type is an `Option`.
    optional: bool,
    /// The schema's default, as an expression.
    pub default: String,
}

impl<'a> RustField<'a> {
    pub fn new(field: &'a Field) -> Result<Self> {
        let ty = rust_type(field)?;
        // Kafka's record fields may be null in memory whatever the wire allows.
        let optional = !field.nullable.is_empty() || field.ty == "records";
        let null = field.default.as_deref() == Some("null") || field.ty == "records";
        ensure!(
            optional || !null,
            "{} is null by default and never null",
            field.name
        );
        let default = match (null, optional) {
            (true, _) => "None".to_owned(),
            (false, true) => format!("Some({})", default(field, &ty)?),
            (false, false) => default(field, &ty)?,
        };
        let ty = if optional {
            format!("Option<{ty}>")
        } else {
            ty
        };
        Ok(Self {
            field,
            name: snake(&field.name),
            ty,
            optional,
            default,
        })
    }

    /// Whether the schema's default is what `#[derive(Default)]` gives.
    pub fn has_zero_default(&self) -> bool {
        match self.default.as_str() {
            "0" | "0.0" | "false" | "None" | "ErrorCode::NONE" | "Uuid::ZERO" => true,
            empty => {
                empty == "Bytes::new()"
                    || empty == "Vec::new()"
                    || (!self.optional && empty.ends_with("default()"))
            }
        }
    }

    /// The test for a value other than the schema's default.
    pub fn is_set(&self) -> String {
        let value = format!("self.{}", self.name);
        match self.default.as_str() {
            "None" => format!("{value}.is_some()"),
            "false" => value,
            "true" => format!("!{value}"),
            "Str::default()" | "Bytes::new()" | "Vec::new()" => format!("!{value}.is_empty()"),
            "Some(Str::default())" | "Some(Bytes::new())" | "Some(Vec::new())" => {
                format!("{value}.as_ref().is_none_or(|value| !value.is_empty())")
            }
            default => format!("{value} != {default}"),
        }
    }

    /// What the type does not say, for a struct of versions `here`.
    pub fn facts(&self, here: Versions) -> String {
        let field = self.field;
        let present = field.versions.and(here);
        let mut facts = Vec::new();
        if present != here {
            let others = if field.ignorable {
                ", dropped in others"
            } else {
                ""
            };
            facts.push(format!("Versions {present}{others}"));
        }
        if let Some((tag, _)) = field.tag {
            facts.push(format!("Tag {tag}"));
        }
        let nullable = field.nullable.and(here);
        if !nullable.is_empty() && nullable != present {
            facts.push(format!("Null in versions {nullable}"));
        }
        match &field.default {
            Some(default) if !self.has_zero_default() => facts.push(format!("Default {default}")),
            None if self.optional && !self.has_zero_default() => {
                facts.push("Default empty, not null".to_owned());
            }
            _ => {}
        }
        facts.join(". ")
    }

    /// The expression that reads it, in these versions, where `flexible` says whether lengths are
    /// compact.
    pub fn read(&self, flexible: &str, versions: Versions) -> Result<String> {
        let ty = self.field.ty.as_str();
        let nullable = self.null_when(versions)?;
        let or_null = if nullable == When::Never {
            ""
        } else {
            "nullable_"
        };
        let read = match (ty.starts_with("[]"), struct_name(ty)) {
            (true, None) => format!("reader.{or_null}list({flexible})?"),
            (true, Some(_)) => format!("reader.{or_null}array({flexible}, version)?"),
            (false, Some(name)) if nullable == When::Never => {
                format!("{name}::decode(reader, version)?")
            }
            (false, Some(_)) => format!("reader.{}(version)?", self.nullable_struct()),
            (false, None) => match ty {
                "records" => format!("reader.records({flexible})?"),
                "string" | "bytes" => format!("reader.{or_null}{ty}({flexible})?"),
                "int16" if is_error_code(self.field) => "ErrorCode(reader.i16()?)".to_owned(),
                _ => format!("reader.{}()?", plain(ty)?),
            },
        };
        Ok(match nullable {
            When::Always => read,
            When::Never if ty != "records" => {
                if self.optional {
                    format!("Some({read})")
                } else {
                    read
                }
            }
            sometimes => format!("nullable_if({}, {read})?", sometimes.holds()),
        })
    }

    /// The statements that write it, in these versions.
    pub fn write(&self, flexible: &str, versions: Versions) -> Result<String> {
        let Self { name, .. } = self;
        let ty = self.field.ty.as_str();
        let or_null = if self.optional { "nullable_" } else { "" };
        let (borrowed, slice) = if self.optional {
            (
                format!("self.{name}.as_ref()"),
                format!("self.{name}.as_deref()"),
            )
        } else {
            (format!("&self.{name}"), format!("&self.{name}"))
        };
        let write = match (ty.starts_with("[]"), struct_name(ty)) {
            (true, None) => format!("writer.{or_null}list({slice}, {flexible})?;\n"),
            (true, Some(_)) => format!("writer.{or_null}array({slice}, {flexible}, version)?;\n"),
            (false, Some(_)) if self.optional => {
                format!("writer.{}({borrowed}, version)?;\n", self.nullable_struct())
            }
            (false, Some(_)) => format!("self.{name}.encode(writer, version)?;\n"),
            (false, None) => match ty {
                "records" => format!("writer.records({borrowed}, {flexible})?;\n"),
                "string" | "bytes" => format!("writer.{or_null}{ty}({borrowed}, {flexible})?;\n"),
                "int16" if is_error_code(self.field) => format!("writer.i16(self.{name}.0);\n"),
                _ => format!("writer.{}(self.{name});\n", plain(ty)?),
            },
        };
        let refused = match self.null_when(versions)? {
            _ if !self.optional => return Ok(write),
            When::Always => return Ok(write),
            When::Never => format!("self.{name}.is_none()"),
            sometimes => format!("self.{name}.is_none() && {}", sometimes.fails()),
        };
        Ok(format!(
            "refuse_null({refused}, \"{name}\", version)?;\n{write}"
        ))
    }

    /// When, of these versions, it may be null.
    fn null_when(&self, versions: Versions) -> Result<When> {
        let when = When::new(self.field.nullable, versions);
        let is_struct = struct_name(&self.field.ty).is_some() && !self.field.ty.starts_with("[]");
        let constant = matches!(when, When::Always) || self.field.nullable.is_empty();
        ensure!(
            constant || !is_struct,
            "{} is a struct with and without a null byte",
            self.name
        );
        Ok(when)
    }

    /// Tagged fields say null in another way than fields in line.
    fn nullable_struct(&self) -> &'static str {
        if self.field.tag.is_some() {
            "nullable_tagged_struct"
        } else {
            "nullable_struct"
        }
    }
}

fn is_error_code(field: &Field) -> bool {
    field.ty == "int16" && field.name.ends_with("ErrorCode")
}

/// The type without its `Option`.
fn rust_type(field: &Field) -> Result<String> {
    if is_error_code(field) {
        return Ok("ErrorCode".to_owned());
    }
    let (list, one) = field
        .ty
        .strip_prefix("[]")
        .map_or((false, &*field.ty), |one| (true, one));
    let one = match (one, struct_name(one)) {
        (_, Some(name)) => name,
        ("string", _) => "Str",
        ("bytes", _) => "Bytes",
        ("records", _) => "Records",
        ("uuid", _) => "Uuid",
        (ty, _) => plain(ty)?,
    };
    Ok(if list {
        format!("Vec<{one}>")
    } else {
        one.to_owned()
    })
}

/// Kafka's name of a plain type → the reader's and writer's method, which is Rust's type but for uuid.
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

/// The default of a field that is not null by default.
fn default(field: &Field, ty: &str) -> Result<String> {
    let Some(value) = field.default.as_deref() else {
        return Ok(match ty {
            "bool" => "false".to_owned(),
            "f64" => "0.0".to_owned(),
            "ErrorCode" => "ErrorCode::NONE".to_owned(),
            "Uuid" => "Uuid::ZERO".to_owned(),
            "Bytes" => "Bytes::new()".to_owned(),
            list if list.starts_with("Vec<") => "Vec::new()".to_owned(),
            name if name.starts_with(char::is_uppercase) => format!("{name}::default()"),
            _ => "0".to_owned(),
        });
    };
    Ok(match (ty, value) {
        ("ErrorCode", "0") => "ErrorCode::NONE".to_owned(),
        ("bool", value) => value.to_owned(),
        ("i8" | "i16" | "i32" | "i64", value) => integer(ty, value)?,
        _ => bail!("{}: no idea how to say default {value} of {ty}", field.name),
    })
}

/// An integer literal, by its name where it has one.
fn integer(ty: &str, text: &str) -> Result<String> {
    let value: i64 = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16)?,
        None => text.parse()?,
    };
    Ok(match (ty, value) {
        ("i32", value) if value == i64::from(i32::MIN) => "i32::MIN".to_owned(),
        ("i32", value) if value == i64::from(i32::MAX) => "i32::MAX".to_owned(),
        ("i64", i64::MAX) => "i64::MAX".to_owned(),
        (_, value) => value.to_string(),
    })
}
