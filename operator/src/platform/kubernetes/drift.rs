//! Whether what is there still is what was rendered. Pure.
//!
//! A server adds fields to what it stores: defaults, status, its own metadata. So a part is as
//! rendered when it has every field that was rendered, with the same value. What was rendered once
//! and is no more would go unnoticed; therefore every part carries a hash of its own rendering.

use ottla_operator_plan::fingerprint;
use serde_json::{Value, json};

/// On every part: the hash of what was rendered.
const RENDERED: &str = "ottla.io/rendered";

/// Adds the hash of `part` to its annotations.
pub fn signed(mut part: Value) -> Value {
    let hash = fingerprint(&part.to_string());
    part["metadata"]["annotations"][RENDERED] = json!(hash);
    part
}

/// Whether `there` is as `rendered`.
pub fn covers(there: &Value, rendered: &Value) -> bool {
    match (there, rendered) {
        (Value::Object(there), Value::Object(rendered)) => rendered
            .iter()
            .all(|(key, value)| covers(there.get(key).unwrap_or(&Value::Null), value)),
        (Value::Array(there), Value::Array(rendered)) => {
            there.len() == rendered.len()
                && there
                    .iter()
                    .zip(rendered)
                    .all(|(there, r)| covers(there, r))
        }
        // A server leaves out what is empty.
        (Value::Null, Value::Object(rendered)) => rendered.is_empty(),
        (there, rendered) => there == rendered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(there: Value, rendered: Value, expect: bool) {
        assert_eq!(covers(&there, &rendered), expect, "{there} {rendered}");
    }

    #[test]
    fn a_server_may_add_and_not_change() {
        check(json!({"a": 1, "b": 2}), json!({"a": 1}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": 2}), false);
        check(json!({"a": {"x": 1}}), json!({"a": {"x": 2}}), false);
        check(json!([{"a": 1, "d": 0}]), json!([{"a": 1}]), true);
        check(json!([{"a": 1}, {"a": 2}]), json!([{"a": 1}]), false);
        check(json!({}), json!({"emptyDir": {}}), true);
    }

    #[test]
    fn what_is_no_more_rendered_changes_the_hash() {
        let hash = |part: Value| signed(part)["metadata"]["annotations"][RENDERED].clone();
        let before = hash(json!({"metadata": {"annotations": {"a": "1"}}}));
        assert_ne!(before, hash(json!({"metadata": {"annotations": {}}})));
    }
}
