//! A YAML document as a tree that knows where each key and value stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::{Fault, Input, Place};

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What stands there.
    pub content: Content,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// Null, a boolean, a number or a text.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// A key with its place, and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Line of the key.
    pub line: u64,
    /// Column of the key.
    pub column: u64,
    /// The value.
    pub value: Node,
}

/// Every document of a file that holds something.
pub fn documents(input: &Input) -> Result<Vec<Node>, Fault> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_multiple_with_options::<Node>(&input.text, options)
        .map(|documents| {
            documents
                .into_iter()
                .filter(|node| !matches!(node.content, Content::Scalar(Value::Null)))
                .collect()
        })
        .map_err(|error| fault(input, &error))
}

/// The parser's words, with the place in our form.
fn fault(input: &Input, error: &serde_saphyr::Error) -> Fault {
    let place = match error.location() {
        Some(location) if location != Location::UNKNOWN => Place {
            file: input.name.clone(),
            line: location.line(),
            column: location.column(),
        },
        _ => Place::start(&input.name),
    };
    let text = error.without_snippet().to_string();
    let message = text.lines().next().unwrap_or_default();
    // The parser repeats the place at the end, and names its own options.
    let cut = |text: &'static str| message.find(text).unwrap_or(message.len());
    let message = &message[..cut(" at line ").min(cut(", set DuplicateKeyPolicy"))];
    Fault {
        place: Some(place),
        field: String::new(),
        message: format!("not YAML: {message}"),
    }
}

impl Node {
    /// A mapping's value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Where a field stands: the key of its last part that exists.
    pub fn place(&self, file: &str, field: &[String]) -> Place {
        let mut node = self;
        let (mut line, mut column) = (self.line, self.column);
        for part in field {
            let next = match &node.content {
                Content::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key == *part)
                    .map(|entry| (entry.line, entry.column, &entry.value)),
                Content::List(items) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item.line, item.column, item)),
                Content::Scalar(_) => None,
            };
            let Some(next) = next else { break };
            (line, column, node) = next;
        }
        Place {
            file: file.to_owned(),
            line,
            column,
        }
    }

    /// The same without places.
    pub fn json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::json).collect(),
            Content::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.json()))
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Node {
            line: spanned.referenced.line(),
            column: spanned.referenced.column(),
            content: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push(Entry {
                line: key.referenced.line(),
                column: key.referenced.column(),
                key: key.value,
                value: map.next_value()?,
            });
        }
        Ok(Content::Map(entries))
    }
}
