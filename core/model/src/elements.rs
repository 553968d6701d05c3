//! The elements of one collection, of which each revision has its own state beside the one that is being read.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::Stamped;

/// The elements of one collection. Clones share what neither of them has changed since: a clone costs a few pointers, however
/// large the fleet is, and a change of it the nodes that lead to what changes.
pub type Elements<K, V> = OrdMap<K, Arc<Stamped<V>>>;

/// The keys of the elements that came, went or changed, in their order. What both states share is not looked at.
pub fn differing<'a, K: Ord, V: PartialEq>(
    before: &'a Elements<K, V>,
    after: &'a Elements<K, V>,
) -> impl Iterator<Item = &'a K> {
    before.diff(after).map(|difference| match difference {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key,
        DiffItem::Update { new: (key, _), .. } => key,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::Revision;

    fn elements(of: impl IntoIterator<Item = (u16, u8)>) -> Elements<u16, u8> {
        let stamped = |(key, value)| (key, Arc::new(Stamped::new(Revision(1), value)));
        of.into_iter().map(stamped).collect()
    }

    #[test]
    fn an_element_that_was_read_anew_and_is_the_same_does_not_differ() {
        let (before, after) = (elements([(1, 7), (2, 7)]), elements([(1, 7), (3, 7)]));
        let keys: Vec<_> = differing(&before, &after).collect();
        assert_eq!(keys, [&2, &3]);
        assert_eq!(differing(&before, &before).count(), 0);
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_up_every_key_finds(
            before in btree_map(0_u16..200, 0_u8..3, 0..200),
            changes in btree_map(0_u16..200, proptest::option::of(0_u8..3), 0..20),
        ) {
            let before = elements(before);
            let mut after = before.clone();
            for (key, value) in changes {
                match value {
                    Some(value) => _ = after.insert(key, Stamped::new(Revision(1), value).into()),
                    None => _ = after.remove(&key),
                }
            }
            let differs = |key: &u16| before.get(key) != after.get(key);
            let expected: Vec<_> = (0..200).filter(differs).collect();
            let found: Vec<_> = differing(&before, &after).copied().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
