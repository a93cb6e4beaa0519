//! The table of settings against the broker's source. Goal: a key that says it is served is read by the broker, and a
//! key that says it has no effect is not; so the warnings at start and the reference page are true.
//! Method: every key has one name in code (its handle in `ottla_settings::key`, or a field of `TopicConfig`,
//! `LiveSettings`, `TlsSettings` or `BrokerConfig`, found by the field's doc comment); the broker's sources mention it
//! or not, and for TLS those of the client crate that it shares with the links.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ottla_settings::table::{all, find};
use ottla_settings::{Scope, Status};

/// Served by being checked when a file is read: nothing is left for the broker to do (nothing goes among brokers so far).
const CHECKED_ONLY: &[&str] = &[
    "broker.id",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "security.inter.broker.protocol",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e lies in the workspace")
}

/// All Rust sources under a folder, without tests.
fn sources(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "tests" {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") && entry.file_name() != "tests.rs" {
            out.push_str(&fs::read_to_string(&path).expect("sources are UTF-8"));
        }
    }
}

/// Keys and the fields whose doc comment opens with them.
fn fields(file: &str) -> BTreeMap<String, String> {
    let text =
        fs::read_to_string(root().join("settings/src").join(file)).expect("a source of settings");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut fields = BTreeMap::new();
    for pair in lines.windows(2) {
        let Some(doc) = pair[0].strip_prefix("/// `") else {
            continue;
        };
        let Some(field) = pair[1]
            .strip_prefix("pub ")
            .and_then(|rest| rest.split(':').next())
        else {
            continue;
        };
        let keys = doc
            .split('`')
            .step_by(2)
            .filter(|key| find(Scope::Broker, key).is_some() || find(Scope::Topic, key).is_some());
        fields.extend(keys.map(|key| (key.to_owned(), field.to_owned())));
    }
    fields
}

#[test]
fn served_keys_are_read_and_others_are_not() {
    let mut broker = String::new();
    sources(&root().join("broker/src"), &mut broker);
    let mut tls = broker.clone();
    sources(&root().join("client/src/tls"), &mut tls);
    let mentioned_in = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            !text[at + word.len()..].starts_with(is_part)
        })
    };
    let mentions = |word: &str| mentioned_in(&broker, word);
    let (of_topics, of_brokers, of_live) =
        (fields("topic.rs"), fields("broker.rs"), fields("live.rs"));
    let of_tls = fields("tls.rs");
    let mut wrong = Vec::new();
    for setting in all() {
        let name = setting.name;
        let handle = format!("key::{}", name.replace('.', "_").to_uppercase());
        let read = match setting.scope {
            Scope::Topic => of_topics
                .get(name)
                .is_some_and(|field| mentions(&format!(".{field}"))),
            // Groups of the newer kinds are not served; classic ones have no keys of their own.
            Scope::Group => false,
            Scope::Broker => {
                CHECKED_ONLY.contains(&name)
                    || mentions(&handle)
                    || of_brokers
                        .get(name)
                        .is_some_and(|field| mentions(&format!(".{field}")))
                    || of_live
                        .get(name)
                        .is_some_and(|field| mentions(&format!(".{field}")))
                    || of_tls
                        .get(name)
                        .is_some_and(|field| mentioned_in(&tls, &format!(".{field}")))
                    || topics_of(name).any(|topic| {
                        of_topics
                            .get(topic)
                            .is_some_and(|field| mentions(&format!(".{field}")))
                    })
            }
        };
        match setting.status {
            Status::Served | Status::Partly(_) if !read => {
                wrong.push(format!("{name} says served and is not read"))
            }
            Status::Accepted if read => {
                wrong.push(format!("{name} says it has no effect and is read"))
            }
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "set the first word of these rows in settings/src/table:\n{}",
        wrong.join("\n")
    );
}

/// Topic keys that a broker key stands in for, also through a coarser unit.
fn topics_of(name: &'static str) -> impl Iterator<Item = &'static str> {
    all()
        .filter(move |setting| setting.scope == Scope::Topic && setting.synonyms.contains(&name))
        .map(|setting| setting.name)
}

#[test]
fn a_broker_key_and_the_topic_key_it_stands_in_for_agree() {
    for topic in all().filter(|setting| setting.scope == Scope::Topic) {
        for name in topic.synonyms {
            let broker = find(Scope::Broker, name).expect("synonyms are rows");
            assert_eq!(broker.status, topic.status, "{name} and {}", topic.name);
        }
    }
}
