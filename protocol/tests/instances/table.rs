//! Reads the fact tables in `schemas/`; the format is described in xtask/src/codegen/schema.rs.

/// A contiguous range of versions.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    const NONE: Self = Self { first: 0, last: -1 };

    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    fn parse(text: &str) -> Self {
        let number = |text: &str| text.parse().expect("versions are numbers");
        match (text, text.strip_suffix('+'), text.split_once('-')) {
            ("none", ..) => Self::NONE,
            (_, Some(first), _) => Self {
                first: number(first),
                last: i16::MAX,
            },
            (_, _, Some((first, last))) => Self {
                first: number(first),
                last: number(last),
            },
            (one, ..) => Self {
                first: number(one),
                last: number(one),
            },
        }
    }
}

/// One message.
#[derive(Debug)]
pub struct Message {
    pub kind: String,
    pub name: String,
    /// API key, or type of a record.
    pub key: Option<i16>,
    pub versions: Versions,
    pub flexible: Versions,
    pub fields: Vec<Field>,
    /// Structs that several fields share.
    pub structs: Vec<(String, Vec<Field>)>,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    pub ty: String,
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<(u32, Versions)>,
    pub default: Option<String>,
    pub flexible: Option<Versions>,
    pub fields: Vec<Field>,
}

/// Whether a field holds (or lists) structs.
pub enum Shape<'a> {
    Plain,
    Struct(&'a [Field]),
}

impl Field {
    /// What the field holds, or its elements are.
    pub fn shape<'a>(&'a self, message: &'a Message) -> Shape<'a> {
        let name = self.ty.trim_start_matches("[]");
        if !name.starts_with(char::is_uppercase) {
            return Shape::Plain;
        }
        let shared = message.structs.iter().find(|(shared, _)| shared == name);
        Shape::Struct(shared.map_or(&self.fields, |(_, fields)| fields))
    }

    /// The default, if it is a number.
    pub fn default_number(&self) -> Option<i64> {
        let text = self.default.as_ref()?;
        match text.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

/// All messages of a table.
pub fn parse(text: &str) -> Vec<Message> {
    let mut lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            (
                (line.len() - line.trim_start().len()) / 2,
                line.split_whitespace().collect(),
            )
        })
        .collect();
    // Popped from the end: a stack with the first line on top.
    lines.reverse();
    let mut messages = Vec::new();
    while let Some((_, words)) = lines.pop() {
        let mut message = Message {
            kind: words[0].to_owned(),
            name: words[1].to_owned(),
            key: fact(&words, "key").map(|key| key.parse().expect("a key is a number")),
            versions: fact(&words, "versions").map_or(Versions::NONE, Versions::parse),
            flexible: fact(&words, "flexible").map_or(Versions::NONE, Versions::parse),
            fields: Vec::new(),
            structs: Vec::new(),
        };
        while lines.last().is_some_and(|(depth, _)| *depth == 1) {
            match lines.pop().expect("just looked").1[..] {
                ["struct", name, _] => message
                    .structs
                    .push((name.to_owned(), fields(&mut lines, 2))),
                ref words => message.fields.push(field(words, &mut lines, 1)),
            }
        }
        messages.push(message);
    }
    messages
}

fn fields(lines: &mut Vec<(usize, Vec<&str>)>, depth: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    while lines.last().is_some_and(|(found, _)| *found == depth) {
        let (_, words) = lines.pop().expect("just looked");
        fields.push(field(&words, lines, depth));
    }
    fields
}

fn field(words: &[&str], lines: &mut Vec<(usize, Vec<&str>)>, depth: usize) -> Field {
    let tag = fact(words, "tag").map(|tag| {
        let (tag, versions) = tag.split_once(':').expect("a tag has versions");
        (
            tag.parse().expect("a tag is a number"),
            Versions::parse(versions),
        )
    });
    Field {
        ty: words[1].to_owned(),
        versions: Versions::parse(words[2]),
        nullable: fact(words, "null").map_or(Versions::NONE, Versions::parse),
        tag,
        default: fact(words, "default").map(str::to_owned),
        flexible: fact(words, "flexible").map(Versions::parse),
        fields: fields(lines, depth + 1),
    }
}

fn fact<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}
