//! `partition.metadata`: the topic id. A directory without it is stray in Kafka's eyes, and its data lost to it.

use ottla_protocol::Uuid;

use super::Malformed;

/// Reads the topic id.
pub fn parse_partition_metadata(text: &str) -> Result<Uuid, Malformed> {
    let mut topic_id = None;
    for (at, line) in text.lines().enumerate() {
        match line
            .split_once(':')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            Some(("version", "0")) => {}
            Some(("version", other)) => {
                return Err(Malformed::new(
                    at + 1,
                    format!("version {other} is unknown"),
                ));
            }
            Some(("topic_id", id)) => {
                let parsed = id
                    .parse()
                    .map_err(|_| Malformed::new(at + 1, format!("{id:?} is no topic id")))?;
                topic_id = Some(parsed);
            }
            _ => {}
        }
    }
    topic_id.ok_or_else(|| Malformed::new(0, "there is no topic_id"))
}

/// Writes the file.
pub fn render_partition_metadata(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}\n")
}
