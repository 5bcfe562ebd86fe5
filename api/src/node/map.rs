//! Maps by text.

use super::Node;

/// A map by text, sorted by key as Go writes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<(Box<str>, Node)>,
}

impl Map {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, node)| (&**key, node))
    }

    /// The entries by key, values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries.iter_mut().map(|(key, node)| (&**key, node))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        Some(&self.entries[self.position(key).ok()?].1)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let position = self.position(key).ok()?;
        Some(&mut self.entries[position].1)
    }

    /// Sets `key` and returns the former value.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: impl Into<Node>) -> Option<Node> {
        let (key, value) = (key.into(), value.into());
        match self.position(&key) {
            Ok(position) => Some(std::mem::replace(&mut self.entries[position].1, value)),
            Err(position) => {
                self.entries.insert(position, (key, value));
                None
            }
        }
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let position = self.position(key).ok()?;
        Some(self.entries.remove(position).1)
    }

    /// Keeps the entries for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Node) -> bool) {
        self.entries.retain(|(key, node)| keep(key, node));
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(present, _)| (**present).cmp(key))
    }

    /// Adds an entry behind the others; [`settle`](Self::settle) must follow.
    pub(crate) fn push(&mut self, key: Box<str>, value: Node) {
        self.entries.push((key, value));
    }

    /// Restores the order after [`push`](Self::push); of equal keys the last stays.
    pub(crate) fn settle(&mut self) {
        if self.entries.is_sorted_by(|a, b| a.0 < b.0) {
            return;
        }
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        self.entries.reverse();
        self.entries.dedup_by(|a, b| a.0 == b.0);
        self.entries.reverse();
    }

    /// Takes over entries in any order; of equal keys the last stays.
    pub(crate) fn from_entries(entries: Vec<(Box<str>, Node)>) -> Self {
        let mut map = Self { entries };
        map.settle();
        map
    }
}

impl<K: Into<Box<str>>, V: Into<Node>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}
