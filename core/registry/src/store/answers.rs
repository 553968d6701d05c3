//! Answers already given: what makes a commit that is sent twice happen once.
//!
//! They are kept for a day, and never more than a set number of them, the oldest going first. Each commit
//! clears away a few, so that no commit has much to clear.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use model::RevisionId;

use crate::{CommitError, Committed};

/// How long an answer is kept.
pub(crate) const ANSWER_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How many answers are kept at most.
pub(crate) const ANSWERS_MAX: usize = 50_000;
/// How many answers one commit clears away at most.
pub(crate) const ANSWERS_CLEARED: usize = 10;

/// The answers, by the commit's id and by its idempotency key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    by_id: HashMap<RevisionId, Committed>,
    by_key: HashMap<String, First>,
    order: VecDeque<Given>,
}

/// The commit that a key came with first.
#[derive(Debug, Clone)]
struct First {
    id: RevisionId,
    fingerprint: String,
}

impl First {
    /// Whether the key may come with this one too. An empty fingerprint fits any.
    fn fits(&self, fingerprint: &str) -> bool {
        let both = !self.fingerprint.is_empty() && !fingerprint.is_empty();
        !both || self.fingerprint == fingerprint
    }
}

/// An idempotency key, and what stands for the request that it comes with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) text: &'a str,
    pub(crate) fingerprint: &'a str,
}

#[derive(Debug, Clone)]
struct Given {
    at: Duration,
    id: RevisionId,
    key: Option<String>,
}

impl Answers {
    /// The answer that was given to this commit before.
    ///
    /// # Errors
    /// The key came with another request.
    pub(crate) fn replay(
        &self,
        id: RevisionId,
        key: Option<Key<'_>>,
    ) -> Result<Option<Committed>, CommitError> {
        let first = key.and_then(|key| self.by_key.get(key.text));
        let fits = key
            .zip(first)
            .is_none_or(|(key, first)| first.fits(key.fingerprint));
        let id = first.map_or(id, |first| first.id);
        match self.by_id.get(&id) {
            Some(_) if !fits => Err(CommitError::KeyReused),
            answer => Ok(answer.map(|answer| Committed {
                replayed: true,
                ..answer.clone()
            })),
        }
    }

    pub(crate) fn keep(
        &mut self,
        id: RevisionId,
        key: Option<Key<'_>>,
        answer: Committed,
        now: Duration,
    ) {
        self.by_id.insert(id, answer);
        if let Some(key) = key {
            let fingerprint = key.fingerprint.into();
            let first = First { id, fingerprint };
            self.by_key.insert(key.text.into(), first);
        }
        let key = key.map(|key| key.text.into());
        self.order.push_back(Given { at: now, id, key });
        self.clear(now);
    }

    fn clear(&mut self, now: Duration) {
        for _ in 0..ANSWERS_CLEARED {
            let outdated = |given: &Given| now.saturating_sub(given.at) > ANSWER_LIFETIME;
            let full = self.order.len() > ANSWERS_MAX;
            let Some(given) = self.order.pop_front_if(|given| full || outdated(given)) else {
                return;
            };
            self.by_id.remove(&given.id);
            if let Some(key) = given.key {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Epoch, Position, Revision};

    use super::*;

    fn key(fingerprint: &str) -> Key<'_> {
        let text = "k";
        Key { text, fingerprint }
    }

    fn answer(id: RevisionId) -> Committed {
        let epoch = Epoch::random();
        let revision = Revision(1);
        Committed {
            position: Position {
                epoch,
                revision,
                id,
            },
            desired: revision,
            refused: Vec::new(),
            replayed: false,
        }
    }

    #[test]
    fn an_answer_is_kept_for_a_day_and_then_cleared_away() {
        let mut answers = Answers::default();
        let (first, later) = (RevisionId::random(), RevisionId::random());
        answers.keep(first, Some(key("")), answer(first), Duration::ZERO);
        let again = answers.replay(later, Some(key(""))).expect("an answer");
        assert!(again.expect("kept").replayed);
        let next_day = ANSWER_LIFETIME + Duration::from_millis(1);
        answers.keep(later, None, answer(later), next_day);
        assert_eq!(answers.replay(first, Some(key(""))), Ok(None));
        assert!(matches!(answers.replay(later, None), Ok(Some(_))));
    }

    #[test]
    fn a_key_fits_the_request_that_it_came_with_first() {
        let mut answers = Answers::default();
        let (first, later) = (RevisionId::random(), RevisionId::random());
        answers.keep(first, Some(key("one")), answer(first), Duration::ZERO);
        let other = answers.replay(later, Some(key("other")));
        assert_eq!(other, Err(CommitError::KeyReused));
        for fitting in ["one", ""] {
            let again = answers.replay(later, Some(key(fitting)));
            assert!(matches!(again, Ok(Some(_))), "{fitting}");
        }
    }

    #[test]
    fn the_number_of_answers_is_bounded() {
        let mut answers = Answers::default();
        for _ in 0..ANSWERS_MAX + 5 {
            let id = RevisionId::random();
            answers.keep(id, None, answer(id), Duration::ZERO);
        }
        assert_eq!(answers.by_id.len(), ANSWERS_MAX);
    }
}
