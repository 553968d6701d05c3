//! Ids of requests: a trusted proxy's own, or else a new UUID of version 7, which sorts by time.
//!
//! They are made from the thread's clock and a generator of its own, in place: nothing is allocated, and no clock is read.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Builder;

use crate::codec::REQUEST_ID_MAX;

/// One request's id, a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId {
    text: [u8; REQUEST_ID_MAX],
    length: usize,
}

/// Where a thread's new ids come from.
pub(crate) struct RequestIds(RefCell<SmallRng>);

impl RequestId {
    /// No id yet.
    pub(crate) fn new() -> Self {
        Self {
            text: [0; REQUEST_ID_MAX],
            length: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    /// Becomes a copy of `id`, which is no longer than [`REQUEST_ID_MAX`].
    pub(crate) fn copy(&mut self, id: &[u8]) {
        self.text[..id.len()].copy_from_slice(id);
        self.length = id.len();
    }
}

impl RequestIds {
    /// Ids that differ from those of every other thread.
    pub(crate) fn new() -> Self {
        Self(RefCell::new(SmallRng::from_rng(&mut rand::rng())))
    }

    /// Makes `id` a new one, of the moment that is so many milliseconds after 1970.
    pub(crate) fn renew(&self, id: &mut RequestId, unix_millis: u64) {
        let mut random = [0; 10];
        self.0.borrow_mut().fill_bytes(&mut random);
        let new = Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid();
        id.length = new.hyphenated().encode_lower(&mut id.text).len();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    fn next(ids: &RequestIds, unix_millis: u64) -> String {
        let mut id = RequestId::new();
        ids.renew(&mut id, unix_millis);
        String::from_utf8(id.bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_new_id_is_a_uuid_of_its_moment() {
        let text = next(&RequestIds::new(), 1_700_000_000_123);
        let id = Uuid::parse_str(&text).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_700_000_000, 123_000_000));
        assert_eq!(text, id.to_string());
    }

    #[test]
    fn no_two_ids_of_one_moment_are_alike() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids: HashSet<String> = (0..10_000)
            .flat_map(|_| [next(&one, 7), next(&other, 7)])
            .collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn ids_of_later_moments_sort_after_earlier_ones() {
        let ids = RequestIds::new();
        assert!(next(&ids, 1000) < next(&ids, 1001));
    }

    #[test]
    fn a_copied_id_replaces_the_whole_of_the_last_one() {
        let mut id = RequestId::new();
        RequestIds::new().renew(&mut id, 1);
        id.copy(b"short");
        assert_eq!(id.bytes(), b"short");
    }
}
