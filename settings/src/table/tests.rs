//! Tests of the table itself: the shape of every row. That the rows are Kafka's is the oracle's business.

use std::collections::BTreeSet;

use super::*;
use crate::value::Value;

#[test]
fn every_default_is_a_valid_value() {
    for setting in all() {
        let Some(text) = setting.default.text() else {
            continue;
        };
        let value = Value::parse(setting.kind, text)
            .unwrap_or_else(|error| panic!("{} {error}", setting.name));
        setting
            .valid
            .check(&value)
            .unwrap_or_else(|error| panic!("{} {error}", setting.name));
        assert_eq!(value.to_string(), text, "{}", setting.name);
    }
}

#[test]
fn names_are_unique_and_found() {
    assert_eq!(all().count(), INDEX.len());
    for setting in all() {
        assert_eq!(find(setting.scope, setting.name), Some(setting));
    }
    assert_eq!(find(Scope::Topic, "num.partitions"), None);
    let names: Vec<_> = of(Scope::Group).map(|setting| setting.name).collect();
    assert!(names.is_sorted() && names.len() == 17, "{names:?}");
}

#[test]
fn synonyms_are_broker_keys_with_the_same_meaning() {
    for setting in all() {
        for name in setting.synonyms {
            let synonym =
                find(Scope::Broker, name).unwrap_or_else(|| panic!("{} -> {name}", setting.name));
            let same_unit = synonym.unit == setting.unit;
            assert!(
                same_unit || synonym.unit.ms().is_some() && setting.unit.ms().is_some(),
                "{} -> {name}",
                setting.name
            );
            let is_number = |kind| matches!(kind, Kind::Int | Kind::Short | Kind::Long);
            assert!(
                synonym.kind == setting.kind || is_number(synonym.kind) && is_number(setting.kind),
                "{}",
                setting.name
            );
        }
    }
}

#[test]
fn docs_are_one_line_each() {
    for setting in all() {
        assert!(
            setting.doc.ends_with('.') && !setting.doc.contains('\n') && setting.doc.len() < 160,
            "{}",
            setting.name
        );
    }
    // A document may be shared by a topic key and the broker key that stands in for it, not by strangers.
    let docs: BTreeSet<_> = of(Scope::Broker).map(|setting| setting.doc).collect();
    assert!(docs.len() + 5 > of(Scope::Broker).count(), "copied docs");
}
