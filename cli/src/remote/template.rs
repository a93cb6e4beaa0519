//! How a record is printed: a template with `%` signs, as in kcat and rpk.

use ottla_client::consumer::ConsumerRecord;
use serde_json::{Value, json};

/// What each sign stands for, for the help text.
pub const HELP: &str = "%t topic  %p partition  %o offset  %k key  %v value  %h headers  %T timestamp (ms)  %K %V lengths  %% percent  \\n \\t";

/// A template, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Headers,
    Timestamp,
    KeyLength,
    ValueLength,
}

impl Template {
    /// Reads a template. Errors: a sign that stands for nothing.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match (c, chars.clone().next()) {
                ('%', sign) => {
                    chars.next();
                    match sign {
                        Some('t') => Part::Topic,
                        Some('p') => Part::Partition,
                        Some('o') => Part::Offset,
                        Some('k') => Part::Key,
                        Some('v' | 's') => Part::Value,
                        Some('h') => Part::Headers,
                        Some('T') => Part::Timestamp,
                        Some('K') => Part::KeyLength,
                        Some('V' | 'S') => Part::ValueLength,
                        Some('%') => {
                            plain.push(b'%');
                            continue;
                        }
                        Some(other) => return Err(format!("%{other} stands for nothing; {HELP}")),
                        None => return Err(format!("a % stands alone at the end; {HELP}")),
                    }
                }
                ('\\', Some(escaped @ ('n' | 't' | 'r' | '0' | '\\'))) => {
                    chars.next();
                    plain.push(match escaped {
                        'n' => b'\n',
                        't' => b'\t',
                        'r' => b'\r',
                        '0' => 0,
                        _ => b'\\',
                    });
                    continue;
                }
                (c, _) => {
                    plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// Appends a record. Keys and values go out as they are.
    pub fn write(&self, record: &ConsumerRecord, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(record.topic.as_bytes()),
                Part::Partition => number(out, record.partition),
                Part::Offset => number(out, record.offset),
                Part::Key => out.extend_from_slice(record.key.as_deref().unwrap_or_default()),
                Part::Value => out.extend_from_slice(record.value.as_deref().unwrap_or_default()),
                Part::Timestamp => number(out, record.timestamp_ms),
                Part::KeyLength => number(out, length(record.key.as_deref())),
                Part::ValueLength => number(out, length(record.value.as_deref())),
                Part::Headers => headers(record, out),
            }
        }
    }
}

fn number(out: &mut Vec<u8>, number: impl ToString) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// −1 for what is null, as in kcat.
fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn headers(record: &ConsumerRecord, out: &mut Vec<u8>) {
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value.as_deref().unwrap_or(b"NULL"));
    }
}

/// A record as JSON. Bytes that are no text become `{"base64": …}`-like hexadecimal, so that nothing
/// is lost silently.
pub fn json_record(record: &ConsumerRecord) -> Value {
    let headers: Vec<Value> = record
        .headers
        .iter()
        .map(|(name, value)| json!({"name": bytes(Some(name)), "value": bytes(value.as_deref())}))
        .collect();
    json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "key": bytes(record.key.as_deref()),
        "value": bytes(record.value.as_deref()),
        "headers": headers,
    })
}

fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": digits })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::Bytes;

    fn record() -> ConsumerRecord {
        ConsumerRecord {
            topic: "t".into(),
            partition: 2,
            offset: 40,
            timestamp_ms: 1000,
            leader_epoch: 0,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: vec![(Bytes::from_static(b"a"), Some(Bytes::from_static(b"\xff")))],
        }
    }

    #[test]
    fn templates() {
        let told = |text: &str| {
            let mut out = Vec::new();
            Template::parse(text)
                .expect("a template")
                .write(&record(), &mut out);
            out
        };
        assert_eq!(
            told("%t/%p@%o %k=%v (%K %V) %T%%\\n"),
            b"t/2@40 k= (1 -1) 1000%\n"
        );
        assert_eq!(told("%h"), b"a=\xff");
        assert!(Template::parse("%x").is_err());
        assert!(Template::parse("100%").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_stay_visible_in_json() {
        let value = json_record(&record());
        assert_eq!(value["key"], "k");
        assert_eq!(value["value"], Value::Null);
        assert_eq!(
            value["headers"][0],
            json!({"name": "a", "value": {"hex": "ff"}})
        );
    }
}
