//! Keys by something else than their names. Without I/O.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::response::KeyValue;

/// The terms that a key is found by.
type Terms = dyn Fn(&KeyValue) -> Vec<Bytes> + Send + Sync;

/// What the keys are found by.
#[derive(Clone)]
pub(super) struct Rule {
    name: Arc<str>,
    of: Arc<Terms>,
}

impl Rule {
    pub(super) fn new(
        name: &str,
        of: impl Fn(&KeyValue) -> Vec<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), of: Arc::new(of) }
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.of, &other.of)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// An index that is kept up to date: each term with the keys that have it.
#[derive(Debug)]
pub(super) struct Index {
    rule: Rule,
    terms: BTreeSet<(Bytes, Bytes)>,
}

impl Index {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, terms: BTreeSet::new() }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        *self.rule.name == *name
    }

    /// A key has become `now`, from `before`; either may be nothing.
    pub(super) fn change(&mut self, before: Option<&KeyValue>, now: Option<&KeyValue>) {
        let own = |term: Bytes, kv: &KeyValue| {
            (Bytes::copy_from_slice(&term), Bytes::copy_from_slice(kv.key()))
        };
        if let Some(kv) = before {
            for term in (self.rule.of)(kv) {
                self.terms.remove(&own(term, kv));
            }
        }
        if let Some(kv) = now {
            self.terms.extend((self.rule.of)(kv).into_iter().map(|term| own(term, kv)));
        }
    }

    pub(super) fn clear(&mut self) {
        self.terms.clear();
    }

    /// The keys that have a term, in order.
    pub(super) fn find(&self, term: &[u8]) -> impl Iterator<Item = &Bytes> {
        let term = Bytes::copy_from_slice(term);
        let from = Bound::Included((term.clone(), Bytes::new()));
        let found = self.terms.range((from, Bound::Unbounded));
        found.take_while(move |(found, _)| *found == term).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_each_of_their_terms() {
        let words = |kv: &KeyValue| {
            kv.value().split(|byte| *byte == b' ').map(Bytes::copy_from_slice).collect()
        };
        let mut index = Index::new(Rule::new("words", words));
        let found = |index: &Index, term: &str| -> Vec<Bytes> {
            index.find(term.as_bytes()).cloned().collect()
        };
        let (b, a, b2) =
            (KeyValue::new("b", "x y"), KeyValue::new("a", "x xx"), KeyValue::new("b", "y z"));
        index.change(None, Some(&b));
        index.change(None, Some(&a));
        assert_eq!(found(&index, "x"), ["a", "b"]);
        assert_eq!(found(&index, "xx"), ["a"]);
        index.change(Some(&b), Some(&b2));
        assert_eq!((found(&index, "x"), found(&index, "z")), (vec!["a".into()], vec!["b".into()]));
        index.change(Some(&a), None);
        assert!(found(&index, "x").is_empty() && found(&index, "").is_empty());
        assert_eq!(index.terms.len(), 2);
        index.clear();
        assert!(found(&index, "y").is_empty());
    }
}
