//! Selectors: which labels or which fields an object must have.
//!
//! The label grammar and its error texts are those of `k8s.io/apimachinery/pkg/labels`, the field grammar that of
//! `pkg/fields`. Which fields a kind offers is said in its [`crate::kind::Kind`]; a [`FieldSelector`] knows names only.

use std::fmt;

use crate::names;
use crate::validation::quoted;

mod fields;
mod object;
mod parse;

pub use fields::{FieldSelector, FieldTerm};
pub use object::check_object;

/// A selector that cannot be read; the text is what the client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

/// How a label is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of these.
    In(Vec<String>),
    /// The label is absent, or its value none of these.
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is a number greater than this.
    GreaterThan(i64),
    /// The value is a number less than this.
    LessThan(i64),
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What it must be.
    pub operator: Operator,
}

impl Requirement {
    /// Checks key and values.
    pub fn new(key: &str, operator: Operator) -> Result<Self, SelectorError> {
        let problem = names::qualified_name(key).into_iter().next();
        if let Some(problem) = problem {
            return Err(SelectorError(format!("key: Invalid value: {}: {problem}", quoted(key))));
        }
        if let Operator::In(values) | Operator::NotIn(values) = &operator {
            if values.is_empty() {
                let why = "for 'in', 'notin' operators, values set can't be empty";
                return Err(SelectorError(format!("values: Invalid value: []: {why}")));
            }
            for (index, value) in values.iter().enumerate() {
                if let Some(problem) = names::label_value(value).into_iter().next() {
                    let value = quoted(value);
                    return Err(SelectorError(format!("values[{index}][{key}]: Invalid value: {value}: {problem}")));
                }
            }
        }
        Ok(Self { key: key.to_owned(), operator })
    }

    /// Whether a label with this value, or its absence, fulfils the condition.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            Operator::NotIn(values) => value.is_none_or(|value| values.iter().all(|unwanted| unwanted != value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Operator::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) => match values.as_slice() {
                [one] => write!(f, "{key}={one}"),
                many => write!(f, "{key} in ({})", many.join(",")),
            },
            Operator::NotIn(values) => match values.as_slice() {
                [one] => write!(f, "{key}!={one}"),
                many => write!(f, "{key} notin ({})", many.join(",")),
            },
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan(bound) => write!(f, "{key}>{bound}"),
            Operator::LessThan(bound) => write!(f, "{key}<{bound}"),
        }
    }
}

/// A conjunction of conditions on labels. Without any it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads `app=web,tier in (a,b),!canary`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse::labels(text).map(Self::from_iter)
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the labels that `label` looks up are selected.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }
}

impl FromIterator<Requirement> for LabelSelector {
    fn from_iter<T: IntoIterator<Item = Requirement>>(requirements: T) -> Self {
        let mut requirements: Vec<Requirement> = requirements.into_iter().collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements }
    }
}

/// The text form, as `status.selector` of a Scale and kubectl's SELECTOR column show it.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        move |key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    #[test]
    fn matching() {
        let web = [("app", "web"), ("tier", "front"), ("size", "5"), ("empty", "")];
        for (selector, want) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app=db", false),
            ("app!=db", true),
            ("missing!=x", true),
            ("missing=x", false),
            ("app in (web, db)", true),
            ("app notin (web)", false),
            ("missing notin (web)", true),
            ("app", true),
            ("!app", false),
            ("!missing", true),
            ("size>4,size<6", true),
            ("size>5", false),
            ("empty=", true),
            ("empty in (,x)", true),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(labels(&web)), want, "{selector}");
        }
    }

    #[test]
    fn text_form() {
        for (selector, want) in [
            ("b in (y,x), a=1,!c", "a=1,b in (x,y),!c"),
            ("a notin (x,y)", "a notin (x,y)"),
            ("a,in in (in)", "a,in=in"),
            ("a>1", "a>1"),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap().to_string(), want);
        }
    }
}
