//! `meta.properties`: whose directory this is. A Java properties file.

use ottla_protocol::Uuid;

use super::Malformed;

/// Version 1: cluster, node, directory. Keys that are unknown here are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// Cluster id as text: it need not be a UUID.
    pub cluster_id: String,
    /// Broker or controller.
    pub node_id: i32,
    /// This directory; absent in directories formatted before Kafka 3.7.
    pub directory_id: Option<Uuid>,
    /// Other keys, in order.
    pub other: Vec<(String, String)>,
}

impl MetaProperties {
    /// Reads version 1, or version 0 when it names a cluster (`broker.id`).
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (mut version, mut cluster, mut node, mut directory) = (None, None, None, None);
        let mut other = Vec::new();
        for (line, key, value) in properties(text) {
            let bad = |what: &str| Malformed::new(line, format!("{key}={value} {what}"));
            match key.as_str() {
                "version" => {
                    version = Some(value.parse::<i32>().map_err(|_| bad("is no version"))?)
                }
                "cluster.id" => cluster = Some(value),
                "node.id" | "broker.id" => {
                    node = Some(value.parse().map_err(|_| bad("is no node id"))?)
                }
                "directory.id" => {
                    directory = Some(value.parse().map_err(|_| bad("is no directory id"))?)
                }
                _ => other.push((key, value)),
            }
        }
        match version {
            None | Some(0 | 1) => {}
            Some(version) => {
                return Err(Malformed::new(
                    0,
                    format!("version {version} is unknown (1 is known)"),
                ));
            }
        }
        let cluster_id = cluster.ok_or_else(|| Malformed::new(0, "cluster.id is missing"))?;
        let node_id = node.ok_or_else(|| Malformed::new(0, "node.id is missing"))?;
        Ok(Self {
            cluster_id,
            node_id,
            directory_id: directory,
            other,
        })
    }

    /// Writes version 1.
    pub fn render(&self) -> String {
        let mut text = format!(
            "#\nversion=1\ncluster.id={}\nnode.id={}\n",
            escaped(&self.cluster_id),
            self.node_id
        );
        if let Some(id) = self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        for (key, value) in &self.other {
            text.push_str(&format!("{}={}\n", escaped(key), escaped(value)));
        }
        text
    }
}

fn properties(text: &str) -> impl Iterator<Item = (usize, String, String)> + '_ {
    text.lines().enumerate().filter_map(|(at, line)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            return None;
        }
        let mut escape = false;
        let end = line.find(|c: char| {
            let separates = !escape && (matches!(c, '=' | ':') || c.is_whitespace());
            escape = c == '\\' && !escape;
            separates
        });
        let (key, rest) = line.split_at(end.unwrap_or(line.len()));
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        Some((at + 1, unescaped(key), unescaped(value)))
    })
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' {
            chars.next().unwrap_or('\\')
        } else {
            c
        });
    }
    out
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            matches!(c, '=' | ':' | '#' | '!' | '\\')
                .then_some('\\')
                .into_iter()
                .chain([c])
        })
        .collect()
}
