//! The reference page of all keys, as Markdown. Not here: writing the file (`cargo xtask docs`).

use std::fmt::Write as _;

use crate::describe::documentation;
use crate::table::{DefaultValue, Scope, Setting, Status, Update, of};
use crate::unit::in_words;
use crate::valid::Valid;
use crate::value::Value;

/// The whole page. The same text on every call.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "Brokers and controllers", Scope::Broker);
    section(&mut page, "Topics", Scope::Topic);
    section(&mut page, "Groups", Scope::Group);
    page
}

const INTRODUCTION: &str = "\
# Configuration

Every public key of Apache Kafka 4.3.1 has a row here, and the keys that begin with `ottla.`, which are our own. A broker reads them from
`server.properties`, from `KAFKA_*` variables, and from the metadata log when they are changed at run time.

What a broker does with a key:

- **served**: what it says.
- **partly**: what it says, except for what the text names.
- **no effect**: taken and shown; a warning at start says so when it is set to anything but its default.
- **refused**: a broker does not start, and a change is not taken, when it is set to anything but its default, because
  ignoring it would be dangerous.

How a broker's key may change: *restart* by restart only, *broker* for one broker while it runs, *cluster* for one or
all. Such a change takes effect at once, in every broker, and is kept across restarts; over it stands nothing but a topic's own
configuration, under it `server.properties`. A change that would do nothing is refused: *not yet* stands for keys that
Kafka changes while it runs and that have no effect here, or are refused, whatever way they are set.
";

fn section(page: &mut String, title: &str, scope: Scope) {
    let rows: Vec<_> = of(scope).filter(|setting| !setting.internal).collect();
    let change = if scope == Scope::Broker {
        "Change"
    } else {
        "Stands in"
    };
    write!(
        page,
        "\n## {title}\n\n{} keys.\n\n| Key | Type | Default | Values | {change} | Here | Meaning |\n|---|---|---|---|---|---|---|\n",
        rows.len()
    )
    .expect(STRING);
    for setting in rows {
        row(page, setting);
    }
}

const STRING: &str = "a String takes all that is written";

fn row(page: &mut String, setting: &Setting) {
    let serves = matches!(setting.status, Status::Served | Status::Partly(_));
    let fifth = match setting.update {
        Update::Static => "restart".to_owned(),
        _ if setting.restart.is_some() => "restart".to_owned(),
        Update::PerBroker | Update::ClusterWide | Update::DynamicOnly if !serves => {
            "not yet".to_owned()
        }
        Update::PerBroker => "broker".to_owned(),
        Update::ClusterWide => "cluster".to_owned(),
        Update::DynamicOnly => "cluster, not in files".to_owned(),
        Update::Own => setting
            .synonyms
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let since = match setting.since {
        Some("ottla") => " Ottla's own.".to_owned(),
        Some(release) => format!(" Since Kafka {release}."),
        None => String::new(),
    };
    let status = match setting.status {
        Status::Served => "served",
        Status::Partly(_) => "partly",
        Status::Accepted => "no effect",
        Status::Refused(_) => "refused",
    };
    let doc = match setting.status {
        Status::Served | Status::Accepted => setting.doc.to_owned(),
        Status::Partly(_) | Status::Refused(_) => documentation(setting),
    };
    writeln!(
        page,
        "| `{}` | {} | {} | {} | {fifth} | {status} | {}{since} |",
        setting.name,
        setting.kind.name(),
        default(setting),
        values(setting.valid),
        doc.replace('|', "\\|"),
    )
    .expect(STRING);
}

fn default(setting: &Setting) -> String {
    match setting.default {
        DefaultValue::Required => "required".to_owned(),
        DefaultValue::Null => String::new(),
        DefaultValue::Text("") => "empty".to_owned(),
        DefaultValue::Text(text) => {
            let number = Value::parse(setting.kind, text)
                .ok()
                .and_then(|value| value.as_i64());
            match number.and_then(|number| in_words(setting.unit, number)) {
                Some(words) => format!("{text} ({words})"),
                None => text.to_owned(),
            }
        }
    }
}

fn values(valid: Valid) -> String {
    match valid {
        Valid::Any | Valid::List { of: None, .. } => String::new(),
        Valid::List {
            of: Some(values), ..
        } => values.join(", "),
        valid => valid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_key_has_its_row() {
        let page = markdown();
        for setting in crate::table::all() {
            assert_eq!(
                page.contains(&format!("| `{}` |", setting.name)),
                !setting.internal,
                "{}",
                setting.name
            );
        }
        assert!(
            page.contains("| `retention.ms` | long | 604800000 (7 days) |"),
            "{page}"
        );
        assert!(
            page.lines()
                .filter(|line| line.starts_with("| `"))
                .all(|line| line.matches(" | ").count() == 6)
        );
    }
}
