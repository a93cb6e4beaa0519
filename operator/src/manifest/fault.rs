//! What is wrong with a manifest, and where.

use std::fmt;

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the user gave it.
    pub file: String,
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Place {
    /// The first character of a file.
    pub fn start(file: &str) -> Place {
        Place {
            file: file.to_owned(),
            line: 1,
            column: 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Something wrong with a manifest. `Display` is one line: place, field, message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; None when it is not of one place.
    pub place: Option<Place>,
    /// The field from the object's root, as in `spec.listeners[0].port`; empty when none is at fault.
    pub field: String,
    /// Why, and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// A field's parts as one text: indexes in brackets.
pub fn joined(field: &[String]) -> String {
    let mut text = String::new();
    for part in field {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
    }
    text
}
