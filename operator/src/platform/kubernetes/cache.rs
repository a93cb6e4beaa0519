//! All that was seen of the API server, kept as it was last told. Pure but for what it is given.
//!
//! Invariant: nothing is read from here before every kind was listed once; what an answer to a
//! write tells is never put back by an older word of a watch.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::names::{CLUSTER, Names};
use super::part::Kind;

type Objects = BTreeMap<(String, String), Value>;

/// See the module.
#[derive(Default)]
pub struct Cache {
    kinds: BTreeMap<Kind, Objects>,
    /// Names seen since a list began.
    listing: BTreeMap<Kind, BTreeSet<(String, String)>>,
    listed: BTreeSet<Kind>,
    /// Of names that no object has: the uid of the last one. A late answer about it is no news.
    gone: BTreeMap<(Kind, (String, String)), Value>,
}

impl Cache {
    /// Whether every kind was listed.
    pub fn is_whole(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// Takes in a word of a watch. Returns the clusters that it is about.
    pub fn take(&mut self, kind: Kind, event: Event<DynamicObject>) -> BTreeSet<Names> {
        match event {
            Event::Init => {
                self.listing.insert(kind, BTreeSet::new());
                BTreeSet::new()
            }
            Event::InitApply(object) => {
                let value = plain(object);
                self.listing.entry(kind).or_default().insert(key(&value));
                self.put(kind, value)
            }
            Event::InitDone => {
                self.listed.insert(kind);
                let named = self.listing.remove(&kind).unwrap_or_default();
                let objects = self.kinds.entry(kind).or_default();
                let gone: Vec<_> = objects
                    .keys()
                    .filter(|key| !named.contains(*key))
                    .cloned()
                    .collect();
                gone.into_iter()
                    .flat_map(|key| self.remove(kind, key))
                    .collect()
            }
            Event::Apply(object) => self.put(kind, plain(object)),
            Event::Delete(object) => {
                let value = plain(object);
                self.remove(kind, key(&value));
                clusters_of(kind, &value)
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: (String, String)) -> BTreeSet<Names> {
        let there = self.kinds.entry(kind).or_default().remove(&key);
        let Some(there) = there else {
            return BTreeSet::new();
        };
        self.gone
            .insert((kind, key), there["metadata"]["uid"].clone());
        clusters_of(kind, &there)
    }

    /// Keeps an object unless a newer state of it is there. Returns the clusters that it is about.
    pub fn put(&mut self, kind: Kind, mut value: Value) -> BTreeSet<Names> {
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        // A list says once what its items are, and leaves it out of each.
        value["apiVersion"] = kind.api_version().into();
        value["kind"] = kind.names().2.into();
        let clusters = clusters_of(kind, &value);
        let objects = self.kinds.entry(kind).or_default();
        let key = key(&value);
        let is_older = objects
            .get(&key)
            .is_some_and(|there| is_same_life(there, &value) && version(there) >= version(&value));
        let place = (kind, key.clone());
        let is_gone = self.gone.get(&place) == Some(&value["metadata"]["uid"]);
        if is_older || is_gone {
            return BTreeSet::new();
        }
        self.gone.remove(&place);
        objects.insert(key, value);
        clusters
    }

    /// One object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.kinds
            .get(&kind)?
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Every object of a kind that belongs to a cluster, by name.
    pub fn of_cluster<'a>(
        &'a self,
        kind: Kind,
        names: &'a Names,
    ) -> impl Iterator<Item = &'a Value> {
        let objects = self.kinds.get(&kind).into_iter().flatten();
        objects
            .filter(|((namespace, _), _)| *namespace == names.namespace)
            .map(|(_, value)| value)
            .filter(move |value| clusters_of(kind, value).contains(names))
    }
}

fn plain(object: DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object came as JSON")
}

fn key(value: &Value) -> (String, String) {
    let text = |field: &str| {
        value["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("namespace"), text("name"))
}

/// An object that was deleted and made again begins anew.
fn is_same_life(there: &Value, value: &Value) -> bool {
    there["metadata"]["uid"] == value["metadata"]["uid"]
}

/// Versions of one object grow with every change.
fn version(value: &Value) -> u64 {
    let text = value["metadata"]["resourceVersion"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn clusters_of(kind: Kind, value: &Value) -> BTreeSet<Names> {
    let cluster = match kind {
        Kind::KafkaCluster => &value["metadata"]["name"],
        Kind::KafkaTopic => &value["spec"]["clusterRef"]["name"],
        _ => &value["metadata"]["labels"][CLUSTER],
    };
    let names = cluster.as_str().map(|cluster| Names {
        namespace: key(value).0,
        cluster: cluster.to_owned(),
    });
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(version: &str, word: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": "n", "name": "p", "uid": "u", "resourceVersion": version,
                "labels": {CLUSTER: "c"},
            },
            "word": word,
        }))
        .unwrap()
    }

    #[test]
    fn an_old_word_changes_nothing() {
        let mut cache = Cache::default();
        cache.take(Kind::Pod, Event::Apply(pod("9", "new")));
        assert!(
            cache
                .take(Kind::Pod, Event::Apply(pod("8", "old")))
                .is_empty()
        );
        assert_eq!(cache.get(Kind::Pod, "n", "p").unwrap()["word"], "new");
    }

    #[test]
    fn what_is_gone_does_not_come_back_with_a_late_answer() {
        let mut cache = Cache::default();
        cache.take(Kind::Pod, Event::Apply(pod("9", "")));
        cache.take(Kind::Pod, Event::Delete(pod("10", "")));
        let late = serde_json::to_value(pod("9", "ends")).unwrap();
        assert!(cache.put(Kind::Pod, late).is_empty());
        assert!(cache.get(Kind::Pod, "n", "p").is_none());
        let mut other = pod("11", "");
        other.metadata.uid = Some("another".into());
        cache.take(Kind::Pod, Event::Apply(other));
        assert!(cache.get(Kind::Pod, "n", "p").is_some());
    }

    #[test]
    fn an_item_of_a_list_is_known_as_what_it_is() {
        let mut item = pod("9", "");
        item.types = None;
        let mut cache = Cache::default();
        cache.take(Kind::Pod, Event::InitApply(item));
        let there = cache.get(Kind::Pod, "n", "p").unwrap();
        assert_eq!(
            (&there["apiVersion"], &there["kind"]),
            (&json!("v1"), &json!("Pod"))
        );
    }

    #[test]
    fn what_a_list_does_not_name_is_gone() {
        let mut cache = Cache::default();
        cache.take(Kind::Pod, Event::Apply(pod("9", "")));
        cache.take(Kind::Pod, Event::Init);
        let about = cache.take(Kind::Pod, Event::InitDone);
        assert_eq!(about.len(), 1);
        assert!(cache.get(Kind::Pod, "n", "p").is_none());
    }
}
