//! An ordered map whose copies share structure: a B-tree of reference-counted nodes. A clone costs one
//! reference count, a change copies one path (a few nodes of at most 32 entries), so an image of a
//! million partitions can be kept, published and changed in proportion to what changed.
//!
//! Invariant: keys are strictly ascending across the leaves, no node is empty, all leaves are equally
//! deep, and an inner entry's key is not above any key below it.
//! Not here: rebalancing after removals (a thin leaf is dropped when its last entry goes; topics come
//! and go too rarely for more to pay).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries per node. 32 was the best of 16, 32 and 64 in memory and load time of `tests/image_size.rs`.
const NODE_ENTRIES: usize = 32;

/// See the module's head.
pub struct SharedMap<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
}

#[derive(Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<(K, Arc<Node<K, V>>)>),
}

impl<K, V> SharedMap<K, V> {
    /// An empty map; allocates nothing.
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in ascending key order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { path: Vec::new() };
        if let Some(root) = &self.root {
            iter.descend(root);
        }
        iter
    }

    /// All keys in ascending order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values in ascending key order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries
                        .binary_search_by(|(k, _)| k.borrow().cmp(key))
                        .ok()?;
                    return Some(&entries[at].1);
                }
                Node::Inner(children) => node = &children[child_of(children, key)].1,
            }
        }
    }

    /// True if `key` has a value.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get(key).is_some()
    }

    /// Entries from `from` (inclusive) upwards, in ascending key order.
    pub fn iter_from<Q>(&self, from: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut iter = Iter { path: Vec::new() };
        let mut node = self.root.as_deref();
        while let Some(current) = node {
            match current {
                Node::Leaf(entries) => {
                    let at = entries.partition_point(|(k, _)| k.borrow() < from);
                    iter.path.push((current, at));
                    node = None;
                }
                Node::Inner(children) => {
                    let at = child_of(children, from);
                    iter.path.push((current, at + 1));
                    node = Some(&children[at].1);
                }
            }
        }
        iter
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Sets the value of `key`; returns the former one.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![(key, value)])));
            self.len = 1;
            return None;
        };
        let (former, split) = Node::insert(root, key, value);
        if let Some((right_key, right)) = split {
            let left = Arc::clone(root);
            let left_key = left.first_key().clone();
            *root = Arc::new(Node::Inner(vec![(left_key, left), (right_key, right)]));
        }
        if former.is_none() {
            self.len += 1;
        }
        former
    }

    /// A mutable borrow of the value of `key`; copies the path to it where it is shared.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        // Looked up first, so that a miss copies nothing.
        self.get(key)?;
        let mut node = self.root.as_mut()?;
        loop {
            match Arc::make_mut(node) {
                Node::Leaf(entries) => {
                    let at = entries
                        .binary_search_by(|(k, _)| k.borrow().cmp(key))
                        .ok()?;
                    return Some(&mut entries[at].1);
                }
                Node::Inner(children) => {
                    let at = child_of(children, key);
                    node = &mut children[at].1;
                }
            }
        }
    }

    /// Removes `key`; returns its value.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get(key)?;
        let root = self.root.as_mut()?;
        let removed = Node::remove(root, key)?;
        self.len -= 1;
        if root.is_empty() {
            self.root = None;
        } else {
            while let Some(only) = self.root.as_deref().and_then(Node::only_child) {
                self.root = Some(only);
            }
        }
        Some(removed)
    }
}

impl<K, V> Node<K, V> {
    fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(entries) => entries.is_empty(),
            Node::Inner(children) => children.is_empty(),
        }
    }

    fn first_key(&self) -> &K {
        match self {
            Node::Leaf(entries) => &entries[0].0,
            Node::Inner(children) => &children[0].0,
        }
    }

    fn only_child(&self) -> Option<Arc<Self>> {
        match self {
            Node::Inner(children) if children.len() == 1 => Some(Arc::clone(&children[0].1)),
            _ => None,
        }
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    /// The former value, and the new right neighbour if the node had to be split.
    #[allow(
        clippy::type_complexity,
        reason = "both halves are taken apart by the two callers"
    )]
    fn insert(node: &mut Arc<Self>, key: K, value: V) -> (Option<V>, Option<(K, Arc<Self>)>) {
        match Arc::make_mut(node) {
            Node::Leaf(entries) => match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at].1, value)), None),
                Err(at) => {
                    let right = insert_or_split(entries, at, (key, value));
                    (
                        None,
                        right.map(|right| (right[0].0.clone(), Arc::new(Node::Leaf(right)))),
                    )
                }
            },
            Node::Inner(children) => {
                let at = child_of(children, &key);
                if key < children[at].0 {
                    children[at].0 = key.clone();
                }
                let (former, split) = Self::insert(&mut children[at].1, key, value);
                let right = split.and_then(|entry| insert_or_split(children, at + 1, entry));
                (
                    former,
                    right.map(|right| (right[0].0.clone(), Arc::new(Node::Inner(right)))),
                )
            }
        }
    }

    fn remove<Q>(node: &mut Arc<Self>, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        match Arc::make_mut(node) {
            Node::Leaf(entries) => {
                let at = entries
                    .binary_search_by(|(k, _)| k.borrow().cmp(key))
                    .ok()?;
                Some(entries.remove(at).1)
            }
            Node::Inner(children) => {
                let at = child_of(children, key);
                let removed = Self::remove(&mut children[at].1, key)?;
                if children[at].1.is_empty() {
                    children.remove(at);
                }
                Some(removed)
            }
        }
    }
}

/// Inserts `entry` at `at`; a full node keeps its left part and the right part is returned. Appends (the
/// order of a snapshot) leave the left node full, so that a loaded map is dense.
fn insert_or_split<T>(entries: &mut Vec<T>, at: usize, entry: T) -> Option<Vec<T>> {
    if entries.len() < NODE_ENTRIES {
        if entries.len() == entries.capacity() {
            entries.reserve_exact((entries.len() / 2).clamp(1, NODE_ENTRIES - entries.len()));
        }
        entries.insert(at, entry);
        return None;
    }
    if at == entries.len() {
        return Some(vec![entry]);
    }
    let mut right = entries.split_off(NODE_ENTRIES / 2);
    match at.checked_sub(entries.len()) {
        Some(at) => right.insert(at, entry),
        None => entries.insert(at, entry),
    }
    Some(right)
}

fn child_of<K, V, Q>(children: &[(K, V)], key: &Q) -> usize
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
{
    children
        .partition_point(|(first, _)| first.borrow() <= key)
        .saturating_sub(1)
}

/// Entries of a [`SharedMap`] in ascending key order.
pub struct Iter<'a, K, V> {
    /// Nodes from the root to the current leaf, each with the position to visit next.
    path: Vec<(&'a Node<K, V>, usize)>,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn descend(&mut self, mut node: &'a Node<K, V>) {
        loop {
            match node {
                Node::Leaf(_) => return self.path.push((node, 0)),
                Node::Inner(children) => {
                    self.path.push((node, 1));
                    node = &children[0].1;
                }
            }
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, at) = self.path.last_mut()?;
            match *node {
                Node::Leaf(entries) => {
                    if let Some((key, value)) = entries.get(*at) {
                        *at += 1;
                        return Some((key, value));
                    }
                    self.path.pop();
                }
                Node::Inner(children) => match children.get(*at) {
                    Some((_, child)) => {
                        *at += 1;
                        self.descend(child);
                    }
                    None => {
                        self.path.pop();
                    }
                },
            }
        }
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
            len: self.len,
        }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let same_root = match (&self.root, &other.root) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_root || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::SharedMap;
    use std::collections::BTreeMap;

    /// A small deterministic sequence; the crate takes no randomness from outside.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(seed), |x| {
            Some(
                x.wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407),
            )
        })
        .map(|x| x >> 33)
    }

    #[test]
    fn behaves_like_a_btree_map_and_copies_do_not_see_later_changes() {
        for seed in 1..20 {
            let mut model = BTreeMap::new();
            let mut map = SharedMap::new();
            let mut copies = Vec::new();
            for (step, n) in numbers(seed).take(3000).enumerate() {
                let key = n % 700;
                if n % 5 < 3 {
                    assert_eq!(map.insert(key, step), model.insert(key, step));
                } else if n % 5 == 3 {
                    assert_eq!(map.remove(&key), model.remove(&key));
                } else if let Some(value) = map.get_mut(&key) {
                    *value += 1;
                    *model.get_mut(&key).unwrap() += 1;
                }
                if step % 500 == 0 {
                    copies.push((map.clone(), model.clone()));
                }
            }
            copies.push((map, model));
            for (map, model) in copies {
                assert_eq!(map.len(), model.len());
                assert!(map.iter().eq(model.iter()));
                for from in (0..710).step_by(37) {
                    assert!(map.iter_from(&from).eq(model.range(from..)));
                    assert_eq!(map.get(&from), model.get(&from));
                }
            }
        }
    }

    #[test]
    fn emptied_map_is_empty_and_usable() {
        let mut map: SharedMap<u32, u32> = (0..5000).map(|n| (n, n)).collect();
        for n in (0..5000).rev() {
            assert_eq!(map.remove(&n), Some(n));
        }
        assert!(
            map.is_empty() && map.iter().next().is_none() && map.iter_from(&3).next().is_none()
        );
        map.insert(7, 7);
        assert_eq!(map.get(&7), Some(&7));
    }
}
