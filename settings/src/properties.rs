//! `server.properties`: Java's properties format, with the line of every entry, so that a fault can be pointed at.
//!
//! Java's rules: `#` and `!` start comments; a key ends at the first `=`, `:` or space that is not escaped; a
//! backslash at the end of a line continues it; `\t \n \r \f \uXXXX` are characters, any other escaped character is
//! itself. One departure: the text is UTF-8, where Java reads Latin-1.
//! Invariant: nothing is dropped silently; of a key that stands twice the last holds, and the first is told.

use std::collections::BTreeMap;

use crate::fault::{Fault, Warning};

/// Where an entry comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value, unescaped.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// The entries of a file (and of an environment), by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: BTreeMap<String, Entry>,
    warnings: Vec<Warning>,
}

impl Properties {
    /// Reads a file's text. Errors name the line.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut properties = Self::default();
        for (line, content) in logical_lines(text) {
            let (key, value) = split(&content);
            let key = unescape(key).ok_or(Fault::Escape { line })?;
            let value = unescape(value).ok_or(Fault::Escape { line })?;
            let entry = Entry {
                value,
                origin: Origin::Line(line),
            };
            let before = properties.entries.insert(key.clone(), entry);
            if let Some(Entry {
                origin: Origin::Line(first),
                ..
            }) = before
            {
                properties
                    .warnings
                    .push(Warning::Twice { key, first, line });
            }
        }
        Ok(properties)
    }

    /// Adds an entry, replacing what the key had: environment over file, as the apache/kafka image does.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>, origin: Origin) {
        self.entries.insert(
            key.into(),
            Entry {
                value: value.into(),
                origin,
            },
        );
    }

    /// By key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key.as_str(), entry))
    }

    /// The entry of a key.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What was odd about the text.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Lines without comments, blanks and continuations, each with the number of its first natural line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (i, line) in natural_lines(text).enumerate() {
        let content = line.trim_start_matches(is_space);
        if open.is_none() && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut so_far) = open.take().unwrap_or((i + 1, String::new()));
        let backslashes = content.bytes().rev().take_while(|b| *b == b'\\').count();
        if backslashes % 2 == 1 {
            so_far.push_str(&content[..content.len() - 1]);
            open = Some((number, so_far));
        } else {
            so_far.push_str(content);
            lines.push((number, so_far));
        }
    }
    // A continuation that the file does not continue.
    lines.extend(open.filter(|(_, content)| !content.is_empty()));
    lines
}

fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (is_space(*c) || *c == '=' || *c == ':');
        escaped = *c == '\\' && !escaped;
        ends
    });
    let Some((end, _)) = end else {
        return (line, "");
    };
    let rest = line[end..].trim_start_matches(is_space);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(is_space))
}

/// `None` when `\u` is not followed by four hexadecimal digits, or names half a character.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        let Some(c) = rest.next() else { break };
        match c {
            't' => units.push(b'\t'.into()),
            'n' => units.push(b'\n'.into()),
            'r' => units.push(b'\r'.into()),
            'f' => units.push(0x0c),
            'u' => {
                let digits = rest
                    .as_str()
                    .get(..4)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                units.push(u16::from_str_radix(digits, 16).ok()?);
                rest = rest.as_str()[4..].chars();
            }
            c => units.extend_from_slice(c.encode_utf16(&mut buffer)),
        }
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expect: Expect) {
        let shown = match Properties::parse(text) {
            Err(fault) => fault.to_string(),
            Ok(properties) => {
                let entries = properties.iter().map(|(key, entry)| {
                    let Origin::Line(line) = entry.origin else {
                        panic!()
                    };
                    format!("{line}: {key:?} = {:?}", entry.value)
                });
                let warnings = properties.warnings().iter().map(ToString::to_string);
                entries.chain(warnings).collect::<Vec<_>>().join("\n")
            }
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn javas_format() {
        check(
            "# comment\n! another\n\n  a = 1 \nb:2\nc 3\nd\ne= \r\nf\\ g\\=h = i=j:k\nl = \\\n   m, \\\n   # n\no=p\\\\\n",
            expect![[r##"
                4: "a" = "1 "
                5: "b" = "2"
                6: "c" = "3"
                7: "d" = ""
                8: "e" = ""
                9: "f g=h" = "i=j:k"
                10: "l" = "m, # n"
                13: "o" = "p\\""##]],
        );
        check(
            r"path=C:\temp\u0041\ud83d\ude00 \q",
            expect![[r#"1: "path" = "C:\tempA😀 q""#]],
        );
        check("", expect![[""]]);
        check("a=1\\", expect![[r#"1: "a" = "1""#]]);
        check("a=\\\n", expect![[r#"1: "a" = """#]]);
    }

    #[test]
    fn faults_name_the_line() {
        check(
            "a=1\nb=\\u12",
            expect![[r#"line 2: \u must be followed by four hexadecimal digits"#]],
        );
        check(
            "\\ud83d=1",
            expect![[r#"line 1: \u must be followed by four hexadecimal digits"#]],
        );
    }

    #[test]
    fn the_last_of_two_holds() {
        check(
            "a=1\nb=2\na=3\n",
            expect![[r#"
                3: "a" = "3"
                2: "b" = "2"
                a stands on line 1 and again on line 3; the last holds"#]],
        );
    }
}
