//! A set of field paths as a trie, with the set operations that ownership needs and its JSON form, FieldsV1.

use super::path_element::PathElement;

mod json;

pub use json::Error;

/// A set of field paths. Members and inner steps stand together, sorted, so every operation is one merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    element: PathElement,
    /// Whether the path that ends here is in the set.
    member: bool,
    below: FieldSet,
}

impl FieldSet {
    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn find(&self, element: &PathElement) -> Result<usize, usize> {
        self.steps.binary_search_by(|step| step.element.cmp(element))
    }

    /// Whether the one-step path is a member.
    pub(super) fn has(&self, element: &PathElement) -> bool {
        self.find(element).is_ok_and(|at| self.steps[at].member)
    }

    /// The paths below a step.
    pub(super) fn below(&self, element: &PathElement) -> Option<&Self> {
        let at = self.find(element).ok()?;
        Some(&self.steps[at].below)
    }

    /// Whether the one-step path to a field is a member, and what lies below it.
    pub(super) fn at_name(&self, name: &str) -> Option<(bool, &Self)> {
        let at = self.steps.binary_search_by(|step| step.element.compare_name(name)).ok()?;
        Some((self.steps[at].member, &self.steps[at].below))
    }

    /// Adds a step with all below it; adds nothing if there is nothing to add.
    pub(super) fn put(&mut self, element: PathElement, member: bool, below: Self) {
        if !member && below.is_empty() {
            return;
        }
        match self.find(&element) {
            Ok(at) => {
                let step = &mut self.steps[at];
                step.member |= member;
                step.below = if step.below.is_empty() { below } else { step.below.union(&below) };
            }
            Err(at) => self.steps.insert(at, Step { element, member, below }),
        }
    }

    /// Removes the one-step path (not what lies below it).
    pub(super) fn remove_member(&mut self, name: &str) {
        if let Ok(at) = self.steps.binary_search_by(|step| step.element.compare_name(name)) {
            self.steps[at].member = false;
            if self.steps[at].below.is_empty() {
                self.steps.remove(at);
            }
        }
    }

    /// Removes a dotted path of fields with all below it.
    pub(super) fn remove_tree(&mut self, path: &str) {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let Ok(at) = self.steps.binary_search_by(|step| step.element.compare_name(name)) else { return };
        if rest.is_empty() {
            self.steps.remove(at);
            return;
        }
        let step = &mut self.steps[at];
        step.below.remove_tree(rest);
        if !step.member && step.below.is_empty() {
            self.steps.remove(at);
        }
    }

    /// All paths of both.
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, &|a, b| a || b)
    }

    /// The paths of both at once.
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, &|a, b| a && b)
    }

    /// The paths that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, &|a, b| a && !b)
    }

    fn combine(&self, other: &Self, keep: &dyn Fn(bool, bool) -> bool) -> Self {
        let mut steps = Vec::with_capacity(self.steps.len());
        let (mut mine, mut theirs) = (self.steps.iter().peekable(), other.steps.iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (None, None) => return Self { steps },
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(mine), Some(theirs)) => mine.element.cmp(&theirs.element),
            };
            let a = if order.is_le() { mine.next() } else { None };
            let b = if order.is_ge() { theirs.next() } else { None };
            let Some(step) = a.or(b) else { continue };
            let member = keep(a.is_some_and(|step| step.member), b.is_some_and(|step| step.member));
            let below = match (a, b) {
                (Some(a), Some(b)) => a.below.combine(&b.below, keep),
                (Some(step), None) if keep(true, false) => step.below.clone(),
                (None, Some(step)) if keep(false, true) => step.below.clone(),
                _ => Self::default(),
            };
            if member || !below.is_empty() {
                steps.push(Step { element: step.element.clone(), member, below });
            }
        }
    }

    /// Calls `visit` with every member as a readable path.
    pub fn for_each_path(&self, visit: &mut dyn FnMut(&str)) {
        self.walk(&mut String::new(), visit);
    }

    fn walk(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
        for step in &self.steps {
            let length = path.len();
            path.push_str(&step.element.describe());
            if step.member {
                visit(path);
            }
            step.below.walk(path, visit);
            path.truncate(length);
        }
    }

    pub(super) fn steps_mut(&mut self) -> impl Iterator<Item = (&PathElement, &mut bool, &mut Self)> {
        self.steps.iter_mut().map(|step| (&step.element, &mut step.member, &mut step.below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> FieldSet {
        FieldSet::parse(text).unwrap()
    }

    #[test]
    fn operations_follow_members_not_subtrees() {
        let a = r#"{"f:a":{".":{},"f:b":{},"f:c":{}},"f:x":{}}"#;
        let table = [
            (a, r#"{"f:a":{"f:b":{}}}"#, a, r#"{"f:a":{"f:b":{}}}"#, r#"{"f:a":{".":{},"f:c":{}},"f:x":{}}"#),
            (a, r#"{"f:a":{}}"#, a, r#"{"f:a":{}}"#, r#"{"f:a":{"f:b":{},"f:c":{}},"f:x":{}}"#),
            (a, "{}", a, "{}", a),
            ("{}", a, a, "{}", "{}"),
            (r#"{"f:a":{}}"#, r#"{"f:b":{}}"#, r#"{"f:a":{},"f:b":{}}"#, "{}", r#"{"f:a":{}}"#),
        ];
        for (a, b, union, intersection, difference) in table {
            assert_eq!(set(a).union(&set(b)).to_json(), union, "{a} | {b}");
            assert_eq!(set(a).intersection(&set(b)).to_json(), intersection, "{a} & {b}");
            assert_eq!(set(a).difference(&set(b)).to_json(), difference, "{a} - {b}");
        }
    }

    #[test]
    fn paths_read_as_upstream_prints_them() {
        let set = set(
            r#"{"f:spec":{"f:containers":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{"f:name":{}}},"f:s":{"v:\"a\"":{}},"f:l":{"i:0":{}}}}"#,
        );
        let mut paths = vec![];
        set.for_each_path(&mut |path| paths.push(path.to_owned()));
        assert_eq!(
            paths,
            [r#".spec.containers[containerPort=80,protocol="TCP"].name"#, ".spec.l[0]", r#".spec.s[="a"]"#]
        );
    }

    #[test]
    fn trees_are_removed_by_path() {
        let mut set = set(r#"{"f:metadata":{"f:name":{},"f:labels":{"f:a":{}}},"f:status":{".":{},"f:phase":{}}}"#);
        set.remove_tree("status");
        set.remove_tree("metadata.labels");
        set.remove_tree("nothing.here");
        assert_eq!(set.to_json(), r#"{"f:metadata":{"f:name":{}}}"#);
    }
}
