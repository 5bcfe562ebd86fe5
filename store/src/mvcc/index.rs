//! A persistent ordered set: a B+ tree whose nodes are shared between versions.
//!
//! A clone is one reference count. A change copies only the nodes on its path that another version still holds, and
//! none when this version is the only one. Every inner node knows how many items stand below each child, so ranks and
//! counts of ranges take O(log n). Two versions are compared in time proportional to what differs.

use std::{cmp::Ordering, fmt, sync::Arc};

/// The most items of a leaf: copying one costs about as many reference counts, each in a cache line of its own, and that for
/// nearly every write to a random key.
const LEAF_ITEMS_MAX: usize = 16;
/// The most children of an inner node.
const CHILDREN_MAX: usize = 32;

/// Something that carries its own key.
pub(crate) trait Item: Clone {
    /// The key as a lookup gives it.
    type Key<'a>: Copy;
    /// The key as an inner node keeps it, so that a boundary never keeps a removed item alive.
    type Owned: Clone;

    fn key(&self) -> Self::Key<'_>;
    fn owned_key(&self) -> Self::Owned;
    fn compare(&self, key: Self::Key<'_>) -> Ordering;
    fn compare_owned(owned: &Self::Owned, key: Self::Key<'_>) -> Ordering;
    /// Whether both are the very same version of the item.
    fn same(&self, other: &Self) -> bool;
}

struct Child<T: Item> {
    count: usize,
    node: Arc<Node<T>>,
}

impl<T: Item> Clone for Child<T> {
    fn clone(&self) -> Self {
        Self { count: self.count, node: Arc::clone(&self.node) }
    }
}

impl<T: Item> Child<T> {
    fn of(node: Arc<Node<T>>) -> Self {
        Self { count: node.count(), node }
    }
}

/// A subtree on its way into a node.
struct Branch<T: Item> {
    first: T::Owned,
    child: Child<T>,
}

impl<T: Item> Branch<T> {
    /// `None` for a node that holds nothing.
    fn of(node: Arc<Node<T>>) -> Option<Self> {
        Some(Self { first: node.first()?, child: Child::of(node) })
    }
}

struct Inner<T: Item> {
    /// For each child: no key in the subtree is below it, and none before it is not. The first one is not looked at: whatever is
    /// below the second one goes to the first child. Shared between versions, since it changes only when nodes are split or joined.
    firsts: Arc<Vec<T::Owned>>,
    children: Vec<Child<T>>,
}

impl<T: Item> Inner<T> {
    fn new(branches: impl IntoIterator<Item = Branch<T>>) -> Self {
        let (firsts, children) = branches.into_iter().map(|branch| (branch.first, branch.child)).unzip();
        Self { firsts: Arc::new(firsts), children }
    }

    /// Where a key stands: the last child that may hold it.
    fn child_of(&self, key: T::Key<'_>) -> usize {
        let later = self.firsts.get(1..).unwrap_or_default();
        later.partition_point(|first| T::compare_owned(first, key).is_le())
    }

    fn insert(&mut self, at: usize, branch: Branch<T>) {
        Arc::make_mut(&mut self.firsts).insert(at, branch.first);
        self.children.insert(at, branch.child);
    }

    fn remove(&mut self, at: usize) -> Child<T> {
        Arc::make_mut(&mut self.firsts).remove(at);
        self.children.remove(at)
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self { firsts: Arc::new(Arc::make_mut(&mut self.firsts).split_off(at)), children: self.children.split_off(at) }
    }

    /// Joins a child with its right neighbour, and splits the two again if they are too many for one node.
    fn merge(&mut self, left: usize) {
        let right = self.remove(left + 1);
        let child = &mut self.children[left];
        let node = Arc::make_mut(&mut child.node);
        node.absorb(Arc::unwrap_or_clone(right.node));
        child.count += right.count;
        if let Some(upper) = node.split() {
            child.count -= upper.child.count;
            self.insert(left + 1, upper);
        }
    }
}

enum Node<T: Item> {
    Leaf(Vec<T>),
    Inner(Inner<T>),
}

impl<T: Item> Clone for Node<T> {
    fn clone(&self) -> Self {
        // A node is cloned to be changed, so there is room for one more.
        fn roomy<E: Clone>(from: &[E]) -> Vec<E> {
            let mut to = Vec::with_capacity(from.len() + 1);
            to.extend_from_slice(from);
            to
        }
        match self {
            Self::Leaf(items) => Self::Leaf(roomy(items)),
            Self::Inner(Inner { firsts, children }) => {
                Self::Inner(Inner { firsts: Arc::clone(firsts), children: roomy(children) })
            }
        }
    }
}

impl<T: Item> Node<T> {
    fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(inner) => inner.children.iter().map(|child| child.count).sum(),
        }
    }

    fn is_small(&self) -> bool {
        match self {
            Self::Leaf(items) => items.len() < LEAF_ITEMS_MAX / 4,
            Self::Inner(inner) => inner.children.len() < CHILDREN_MAX / 4,
        }
    }

    /// What no key in the subtree is below. Of an inner node it is its own bound, and not the first key that is there now: what
    /// is put in between the two later belongs to this node, also once it is joined with the one before it.
    fn first(&self) -> Option<T::Owned> {
        match self {
            Self::Leaf(items) => items.first().map(Item::owned_key),
            Self::Inner(inner) => inner.firsts.first().cloned(),
        }
    }

    /// The upper part, when there are too many.
    fn split(&mut self) -> Option<Branch<T>> {
        let node = match self {
            Self::Leaf(items) if items.len() > LEAF_ITEMS_MAX => {
                // Keys often arrive in order: then the lower leaf stays full.
                Self::Leaf(items.split_off(items.len() * 3 / 4))
            }
            Self::Inner(inner) if inner.children.len() > CHILDREN_MAX => {
                Self::Inner(inner.split_off(inner.children.len() * 3 / 4))
            }
            Self::Leaf(_) | Self::Inner(_) => return None,
        };
        Branch::of(Arc::new(node))
    }

    /// Takes over everything of the next sibling.
    fn absorb(&mut self, next: Self) {
        match (self, next) {
            (Self::Leaf(items), Self::Leaf(more)) => items.extend(more),
            (Self::Inner(inner), Self::Inner(more)) => {
                Arc::make_mut(&mut inner.firsts).extend(Arc::unwrap_or_clone(more.firsts));
                inner.children.extend(more.children);
            }
            (Self::Leaf(_), Self::Inner(_)) | (Self::Inner(_), Self::Leaf(_)) => {
                debug_assert!(false, "siblings stand at one height");
            }
        }
    }
}

/// An ordered set of items, cheap to clone.
pub(crate) struct Tree<T: Item> {
    root: Arc<Node<T>>,
    len: usize,
}

impl<T: Item> Clone for Tree<T> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), len: self.len }
    }
}

impl<T: Item> Default for Tree<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<T: Item> fmt::Debug for Tree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} items)", self.len)
    }
}

impl<T: Item> Tree<T> {
    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The item with this key.
    pub(crate) fn get(&self, key: T::Key<'_>) -> Option<&T> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(items) => {
                    return items.binary_search_by(|item| item.compare(key)).ok().map(|at| &items[at]);
                }
                Node::Inner(inner) => node = &inner.children[inner.child_of(key)].node,
            }
        }
    }

    /// How many keys are below this one, or up to it when `inclusive`.
    pub(crate) fn rank(&self, key: T::Key<'_>, inclusive: bool) -> usize {
        let (mut node, mut before) = (&*self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => {
                    return before
                        + items.partition_point(|item| match item.compare(key) {
                            Ordering::Less => true,
                            Ordering::Equal => inclusive,
                            Ordering::Greater => false,
                        });
                }
                Node::Inner(inner) => {
                    let at = inner.child_of(key);
                    before += inner.children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &inner.children[at].node;
                }
            }
        }
    }

    /// The last item whose key is not above this one.
    pub(crate) fn at_or_before(&self, key: T::Key<'_>) -> Option<&T> {
        self.iter_at(self.rank(key, true).checked_sub(1)?).next()
    }

    /// The first item.
    pub(crate) fn first(&self) -> Option<&T> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.first(),
                Node::Inner(inner) => node = &inner.children.first()?.node,
            }
        }
    }

    /// The items from this key on.
    pub(crate) fn iter_from(&self, key: T::Key<'_>) -> Iter<'_, T> {
        let mut node = &*self.root;
        let mut above = Vec::new();
        loop {
            match node {
                Node::Leaf(items) => {
                    let at = items.partition_point(|item| item.compare(key).is_lt());
                    return Iter { above, leaf: &items[at..] };
                }
                Node::Inner(inner) => {
                    let at = inner.child_of(key);
                    above.push(&inner.children[at + 1..]);
                    node = &inner.children[at].node;
                }
            }
        }
    }

    /// The first item whose key is not below this one.
    pub(crate) fn at_or_after(&self, key: T::Key<'_>) -> Option<&T> {
        self.iter_from(key).next()
    }

    /// The items from this rank on.
    pub(crate) fn iter_at(&self, rank: usize) -> Iter<'_, T> {
        let (mut node, mut rank) = (&*self.root, rank);
        let mut above = Vec::new();
        loop {
            match node {
                Node::Leaf(items) => return Iter { above, leaf: items.get(rank..).unwrap_or_default() },
                Node::Inner(Inner { children, .. }) => {
                    let mut at = 0;
                    while at + 1 < children.len() && rank >= children[at].count {
                        rank -= children[at].count;
                        at += 1;
                    }
                    above.push(&children[at + 1..]);
                    node = &children[at].node;
                }
            }
        }
    }

    /// All items in order.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        self.iter_at(0)
    }

    /// Puts the item in, and returns the one with the same key that it replaced.
    pub(crate) fn insert(&mut self, item: T) -> Option<T> {
        let root = Arc::make_mut(&mut self.root);
        let (old, split) = insert(root, item);
        self.len += usize::from(old.is_none());
        if let Some(upper) = split {
            let lower = std::mem::replace(root, Node::Leaf(Vec::new()));
            *root = Node::Inner(Inner::new(Branch::of(Arc::new(lower)).into_iter().chain([upper])));
        }
        old
    }

    /// Takes the item with this key out.
    pub(crate) fn remove(&mut self, key: T::Key<'_>) -> Option<T> {
        // Looking first keeps a miss from copying the path.
        self.get(key)?;
        let root = Arc::make_mut(&mut self.root);
        let old = remove(root, key);
        self.len -= usize::from(old.is_some());
        while let Node::Inner(inner) = &*self.root
            && let [only] = &inner.children[..]
        {
            self.root = Arc::clone(&only.node);
        }
        old
    }

    /// Builds the tree of items that come in ascending order of distinct keys, with full nodes. What is in `known` already takes
    /// no memory again: its leaves become leaves of this tree, where all of their items do.
    pub(crate) fn from_sorted_sharing(items: impl IntoIterator<Item = T>, known: &Self) -> Self {
        let mut leaves = Vec::new();
        let mut leaf: Vec<T> = Vec::new();
        let mut len = 0;
        let mut candidates = Leaves::new(&known.root).peekable();
        // The last so many items of `leaf` are the first ones of the candidate.
        let mut matched = 0;
        for item in items {
            debug_assert!(leaf.last().is_none_or(|last: &T| last.compare(item.key()).is_lt()), "keys ascend");
            len += 1;
            if candidates.peek().is_some_and(|(items, _)| matched > 0 && !items[matched].same(&item)) {
                matched = 0;
            }
            if matched == 0 {
                while leaf.len() >= LEAF_ITEMS_MAX {
                    let rest = leaf.split_off(LEAF_ITEMS_MAX);
                    leaves.extend(Branch::of(Arc::new(Node::Leaf(std::mem::replace(&mut leaf, rest)))));
                }
                while candidates.next_if(|(items, _)| items[0].compare(item.key()).is_lt()).is_some() {}
            }
            let goes_on = candidates.peek().is_some_and(|(items, _)| items[matched].same(&item));
            leaf.push(item);
            matched += usize::from(goes_on);
            if let Some((_, shared)) = candidates.next_if(|(items, _)| matched == items.len()) {
                leaf.truncate(leaf.len() - matched);
                matched = 0;
                leaves.extend(Branch::of(Arc::new(Node::Leaf(std::mem::take(&mut leaf)))));
                leaves.extend(Branch::of(shared.clone()));
            }
        }
        while !leaf.is_empty() {
            let rest = leaf.split_off(leaf.len().min(LEAF_ITEMS_MAX));
            leaves.extend(Branch::of(Arc::new(Node::Leaf(std::mem::replace(&mut leaf, rest)))));
        }
        while leaves.len() > 1 {
            let mut above = Vec::new();
            let mut rest = leaves.into_iter();
            loop {
                let inner = Inner::new(rest.by_ref().take(CHILDREN_MAX));
                let Some(branch) = Branch::of(Arc::new(Node::Inner(inner))) else { break };
                above.push(branch);
            }
            leaves = above;
        }
        leaves.pop().map_or_else(Self::default, |root| Self { root: root.child.node, len })
    }

    /// Calls `changed(before, after)` for every key whose item differs, in no promised order of calls between keys.
    pub(crate) fn diff<'a>(&'a self, after: &'a Self, mut changed: impl FnMut(Option<&'a T>, Option<&'a T>)) {
        let (mut old, mut new) = (vec![Part::Node(&self.root)], vec![Part::Node(&after.root)]);
        loop {
            match (old.last().copied(), new.last().copied()) {
                (None, None) => return,
                (Some(Part::Node(a)), Some(Part::Node(b))) if Arc::ptr_eq(a, b) => {
                    old.pop();
                    new.pop();
                }
                // The higher subtree is opened first, so that a shared one meets itself at its own height.
                (Some(Part::Node(a)), Some(Part::Node(b))) if a.count() < b.count() => open(&mut new),
                (Some(Part::Node(_)), _) => open(&mut old),
                (_, Some(Part::Node(_))) => open(&mut new),
                (Some(Part::Item(a)), Some(Part::Item(b))) => match a.compare(b.key()) {
                    Ordering::Less => {
                        changed(Some(a), None);
                        old.pop();
                    }
                    Ordering::Greater => {
                        changed(None, Some(b));
                        new.pop();
                    }
                    Ordering::Equal => {
                        if !a.same(b) {
                            changed(Some(a), Some(b));
                        }
                        old.pop();
                        new.pop();
                    }
                },
                (Some(Part::Item(a)), None) => {
                    changed(Some(a), None);
                    old.pop();
                }
                (None, Some(Part::Item(b))) => {
                    changed(None, Some(b));
                    new.pop();
                }
            }
        }
    }
}

/// What is still to be compared: a whole subtree, or one item.
enum Part<'a, T: Item> {
    Node(&'a Arc<Node<T>>),
    Item(&'a T),
}

impl<T: Item> Clone for Part<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Item> Copy for Part<'_, T> {}

fn open<'a, T: Item>(parts: &mut Vec<Part<'a, T>>) {
    if let Some(Part::Node(node)) = parts.pop() {
        match &**node {
            Node::Leaf(items) => parts.extend(items.iter().rev().map(Part::Item)),
            Node::Inner(inner) => parts.extend(inner.children.iter().rev().map(|child| Part::Node(&child.node))),
        }
    }
}

fn insert<T: Item>(node: &mut Node<T>, item: T) -> (Option<T>, Option<Branch<T>>) {
    let old = match node {
        Node::Leaf(items) => match items.binary_search_by(|other| other.compare(item.key())) {
            Ok(at) => return (Some(std::mem::replace(&mut items[at], item)), None),
            Err(at) => {
                items.insert(at, item);
                None
            }
        },
        Node::Inner(inner) => {
            let at = inner.child_of(item.key());
            let child = &mut inner.children[at];
            let (old, split) = insert(Arc::make_mut(&mut child.node), item);
            child.count += usize::from(old.is_none());
            if let Some(upper) = split {
                child.count -= upper.child.count;
                inner.insert(at + 1, upper);
            }
            old
        }
    };
    (old, node.split())
}

fn remove<T: Item>(node: &mut Node<T>, key: T::Key<'_>) -> Option<T> {
    match node {
        Node::Leaf(items) => items.binary_search_by(|item| item.compare(key)).ok().map(|at| items.remove(at)),
        Node::Inner(inner) => {
            let at = inner.child_of(key);
            let child = &mut inner.children[at];
            let old = remove(Arc::make_mut(&mut child.node), key)?;
            child.count -= 1;
            if child.node.is_small() && inner.children.len() > 1 {
                inner.merge(at.min(inner.children.len() - 2));
            }
            Some(old)
        }
    }
}

/// Items in ascending order.
pub(crate) struct Iter<'a, T: Item> {
    /// Per level, the children to the right of the path.
    above: Vec<&'a [Child<T>]>,
    leaf: &'a [T],
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some((item, rest)) = self.leaf.split_first() {
                self.leaf = rest;
                return Some(item);
            }
            let (child, rest) = self.above.pop()?.split_first().map_or((None, [].as_slice()), |(c, r)| (Some(c), r));
            let Some(child) = child else { continue };
            self.above.push(rest);
            let mut node = &*child.node;
            while let Node::Inner(inner) = node {
                self.above.push(&inner.children[1..]);
                node = &inner.children[0].node;
            }
            if let Node::Leaf(items) = node {
                self.leaf = items;
            }
        }
    }
}

/// The leaves of a tree in order, with their items; none is empty.
struct Leaves<'a, T: Item> {
    /// Still to be visited, the next one last.
    nodes: Vec<&'a Arc<Node<T>>>,
}

impl<'a, T: Item> Leaves<'a, T> {
    fn new(root: &'a Arc<Node<T>>) -> Self {
        Self { nodes: vec![root] }
    }
}

impl<'a, T: Item> Iterator for Leaves<'a, T> {
    type Item = (&'a [T], &'a Arc<Node<T>>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = self.nodes.pop()?;
            match &**node {
                Node::Leaf(items) if items.is_empty() => {}
                Node::Leaf(items) => return Some((items, node)),
                Node::Inner(inner) => self.nodes.extend(inner.children.iter().rev().map(|child| &child.node)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Pair(u16, u32);

    fn from_sorted(items: impl IntoIterator<Item = Pair>) -> Tree<Pair> {
        Tree::from_sorted_sharing(items, &Tree::default())
    }

    impl Item for Pair {
        type Key<'a> = u16;
        type Owned = u16;

        fn key(&self) -> u16 {
            self.0
        }
        fn owned_key(&self) -> u16 {
            self.0
        }
        fn compare(&self, key: u16) -> Ordering {
            self.0.cmp(&key)
        }
        fn compare_owned(owned: &u16, key: u16) -> Ordering {
            owned.cmp(&key)
        }
        fn same(&self, other: &Self) -> bool {
            self == other
        }
    }

    fn check(tree: &Tree<Pair>, model: &BTreeMap<u16, u32>) {
        assert_eq!(tree.len(), model.len());
        assert_eq!(tree.root.count(), model.len());
        assert!(tree.iter().map(|p| (p.0, p.1)).eq(model.iter().map(|(k, v)| (*k, *v))));
    }

    fn differences(a: &BTreeMap<u16, u32>, b: &BTreeMap<u16, u32>) -> BTreeMap<u16, (Option<u32>, Option<u32>)> {
        let keys = a.keys().chain(b.keys());
        keys.map(|k| (*k, (a.get(k).copied(), b.get(k).copied()))).filter(|(_, (x, y))| x != y).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn behaves_as_an_ordered_map(
            ops in prop::collection::vec((0u16..2000, any::<bool>(), any::<u32>()), 0..4000),
            probes in prop::collection::vec(0u16..2100, 20),
            keep in 0usize..4000,
        ) {
            let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
            let mut kept = (tree.clone(), model.clone());
            for (n, (key, put, value)) in ops.iter().enumerate() {
                if *put {
                    prop_assert_eq!(tree.insert(Pair(*key, *value)).map(|p| p.1), model.insert(*key, *value));
                } else {
                    prop_assert_eq!(tree.remove(*key).map(|p| p.1), model.remove(key));
                }
                if n == keep {
                    kept = (tree.clone(), model.clone());
                }
            }
            check(&tree, &model);
            check(&kept.0, &kept.1);
            check(&from_sorted(tree.iter().cloned()), &model);
            let mut again = Tree::from_sorted_sharing(tree.iter().cloned(), &kept.0);
            check(&again, &model);
            let mut found = BTreeMap::new();
            kept.0.diff(&again, |a, b| {
                found.insert(a.or(b).unwrap().0, (a.map(|p| p.1), b.map(|p| p.1)));
            });
            prop_assert_eq!(found, differences(&kept.1, &model));
            for key in &probes {
                again.insert(Pair(*key, 1));
                again.remove(key / 2);
            }
            let mut changed = model.clone();
            for key in &probes {
                changed.insert(*key, 1);
                changed.remove(&(key / 2));
            }
            check(&again, &changed);
            check(&kept.0, &kept.1);
            let mut found = BTreeMap::new();
            kept.0.diff(&tree, |a, b| {
                let key = a.or(b).unwrap().0;
                assert!(found.insert(key, (a.map(|p| p.1), b.map(|p| p.1))).is_none());
            });
            prop_assert_eq!(found, differences(&kept.1, &model));
            for probe in probes {
                prop_assert_eq!(tree.get(probe).map(|p| p.1), model.get(&probe).copied());
                prop_assert_eq!(tree.rank(probe, false), model.range(..probe).count());
                prop_assert_eq!(tree.rank(probe, true), model.range(..=probe).count());
                prop_assert_eq!(tree.at_or_before(probe).map(|p| p.0), model.range(..=probe).next_back().map(|p| *p.0));
                prop_assert!(tree.iter_from(probe).map(|p| p.0).eq(model.range(probe..).map(|p| *p.0)));
            }
        }
    }

    #[test]
    fn what_is_known_is_shared() {
        let known = from_sorted((0..60_000).map(|k| Pair(k, 0)));
        let changed = |n: u16| Pair(n, u32::from([17, 30_000, 59_999].contains(&n)));
        let tree = Tree::from_sorted_sharing((0..60_001).filter(|n| *n != 40_000).map(changed), &known);
        let nodes = |tree: &Tree<Pair>| Leaves::new(&tree.root).map(|(_, node)| Arc::as_ptr(node)).collect::<Vec<_>>();
        let before = nodes(&known);
        let shared = nodes(&tree).iter().filter(|node| before.contains(node)).count();
        assert_eq!(shared, before.len() - 4);
        assert_eq!(tree.len(), 60_000);
    }

    /// Long enough for inner nodes to split and to be joined again, with boundaries whose own item is gone.
    #[test]
    fn every_item_is_found_after_ranges_were_emptied_and_filled_again() {
        let mut tree = from_sorted((0..20_000).map(|key| Pair(key, 0)));
        let mut model: BTreeMap<u16, u32> = (0..20_000).map(|key| (key, 0)).collect();
        let mut state = 1_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u16::try_from((state >> 33) % limit).unwrap()
        };
        for round in 1..300 {
            let from = below(20_000);
            for key in from..from.saturating_add(below(6000)).min(20_000) {
                assert_eq!(tree.remove(key).map(|pair| pair.1), model.remove(&key), "key {key} in round {round}");
            }
            for _ in 0..3000 {
                let key = below(20_000);
                assert_eq!(tree.insert(Pair(key, round)).map(|pair| pair.1), model.insert(key, round), "{key}");
            }
            for (key, value) in &model {
                assert_eq!(tree.get(*key).map(|pair| pair.1), Some(*value), "key {key} after round {round}");
            }
        }
        check(&tree, &model);
    }

    #[test]
    fn a_few_changes_in_a_large_tree_are_found_without_walking_it() {
        let mut tree = from_sorted((0..60_000).map(|k| Pair(k, 0)));
        let before = tree.clone();
        tree.remove(17);
        tree.insert(Pair(30_000, 1));
        tree.insert(Pair(65_000, 1));
        let mut found = Vec::new();
        before.diff(&tree, |a, b| found.push((a.map(|p| p.0), b.map(|p| p.0))));
        assert_eq!(found, [(Some(17), None), (Some(30_000), Some(30_000)), (None, Some(65_000))]);
    }
}
