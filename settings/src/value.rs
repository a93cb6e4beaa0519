//! A value as typed by its key: read from text and written back as Kafka does.
//!
//! Kafka's rules of text: surrounding spaces do not count, booleans are true or false in any case, lists are separated
//! by commas with any spaces around them. Invariant: secrets never show in `Debug` or `Display`.
//! Not here: which values a key allows (`valid`).

use std::fmt;

use crate::table::Kind;

/// A parsed value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Of `Kind::Boolean`.
    Boolean(bool),
    /// Of `Kind::Int`, `Short` and `Long`, within their range.
    Integer(i64),
    /// Of `Kind::Double`.
    Double(f64),
    /// Of `Kind::String` and `Class`.
    Text(String),
    /// Of `Kind::List`.
    List(Vec<String>),
    /// Of `Kind::Password`.
    Secret(Secret),
}

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What is not shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

const HIDDEN: &str = "[hidden]";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Why text is not a value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Neither true nor false.
    #[error("must be true or false")]
    Boolean,
    /// No whole number, or beyond the type's range.
    #[error("must be a whole number between {min} and {max}")]
    Integer {
        /// Least of the type.
        min: i64,
        /// Greatest of the type.
        max: i64,
    },
    /// No number.
    #[error("must be a number")]
    Double,
}

impl Value {
    /// Reads `text` as a value of this type.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, ParseError> {
        // Java's trim: everything up to the space.
        let text = text.trim_matches(|c| c <= ' ');
        match kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Self::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Self::Boolean(false)),
            Kind::Boolean => Err(ParseError::Boolean),
            Kind::Int => integer(text, i32::MIN.into(), i32::MAX.into()),
            Kind::Short => integer(text, i16::MIN.into(), i16::MAX.into()),
            Kind::Long => integer(text, i64::MIN, i64::MAX),
            Kind::Double => double(text).map(Self::Double).ok_or(ParseError::Double),
            Kind::String | Kind::Class => Ok(Self::Text(text.to_owned())),
            Kind::List if text.is_empty() => Ok(Self::List(Vec::new())),
            Kind::List => Ok(Self::List(
                text.split(',')
                    .map(|part| part.trim_ascii().to_owned())
                    .collect(),
            )),
            Kind::Password => Ok(Self::Secret(Secret(text.to_owned()))),
        }
    }

    /// The truth, of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, of an integer type.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, of a double.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, of a string or class.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The elements, of a list.
    pub fn as_list(&self) -> Option<&[String]> {
        match self {
            Self::List(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Double(value) => f.write_str(&java_double(*value)),
            Self::Text(value) => f.write_str(value),
            Self::List(value) => f.write_str(&value.join(",")),
            Self::Secret(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn integer(text: &str, min: i64, max: i64) -> Result<Value, ParseError> {
    match text.parse() {
        Ok(value) if (min..=max).contains(&value) => Ok(Value::Integer(value)),
        _ => Err(ParseError::Integer { min, max }),
    }
}

/// Java allows a type letter at the end, and spells infinity in one way only.
fn double(text: &str) -> Option<f64> {
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let digits = number.trim_start_matches(['+', '-']);
    if digits == "Infinity"
        || digits == "NaN"
        || digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return number.parse().ok();
    }
    None
}

/// As `Double.toString`: plain between a thousandth and ten million, else with an exponent.
fn java_double(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if value.is_nan() || size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    if text.contains('.') {
        text
    } else {
        text.replacen('E', ".0E", 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(kind: Kind, texts: &[&str], expect: Expect) {
        let lines: Vec<_> = texts
            .iter()
            .map(|text| match Value::parse(kind, text) {
                Ok(value) => format!("{text:?} -> {value}"),
                Err(error) => format!("{text:?} {error}"),
            })
            .collect();
        expect.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn numbers_and_truth() {
        check(
            Kind::Boolean,
            &[" TRUE ", "false", "yes", ""],
            expect![[r#"
                " TRUE " -> true
                "false" -> false
                "yes" must be true or false
                "" must be true or false"#]],
        );
        check(
            Kind::Short,
            &["+7", "-32768", "32768", "1.0", ""],
            expect![[r#"
                "+7" -> 7
                "-32768" -> -32768
                "32768" must be a whole number between -32768 and 32767
                "1.0" must be a whole number between -32768 and 32767
                "" must be a whole number between -32768 and 32767"#]],
        );
        check(
            Kind::Double,
            &[
                "1",
                ".5",
                "0.25d",
                "1e3",
                "12345678.9",
                "0.0001",
                "1.7976931348623157E308",
                "Infinity",
                "inf",
                "NaN",
                "x",
                "",
            ],
            expect![[r#"
                "1" -> 1.0
                ".5" -> 0.5
                "0.25d" -> 0.25
                "1e3" -> 1000.0
                "12345678.9" -> 1.23456789E7
                "0.0001" -> 1.0E-4
                "1.7976931348623157E308" -> 1.7976931348623157E308
                "Infinity" -> Infinity
                "inf" must be a number
                "NaN" -> NaN
                "x" must be a number
                "" must be a number"#]],
        );
    }

    #[test]
    fn lists_and_secrets() {
        check(
            Kind::List,
            &["", " a ,b,\tc ", "a,,b", ","],
            expect![[r#"
                "" -> 
                " a ,b,\tc " -> a,b,c
                "a,,b" -> a,,b
                "," -> ,"#]],
        );
        let Ok(Value::Secret(secret)) = Value::parse(Kind::Password, "canary") else {
            panic!()
        };
        assert_eq!(secret.reveal(), "canary");
        assert_eq!(
            format!(
                "{secret:?} {:?} {}",
                Value::Secret(secret.clone()),
                Value::Secret(secret.clone())
            ),
            "[hidden] [hidden] [hidden]"
        );
    }
}
