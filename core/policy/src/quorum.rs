//! What several inspectors make of one server: a verdict changes only where more than half of those that are heard agree.
//!
//! So one inspector that is cut off, or sees too much, decides nothing as long as others are heard; one that is alone
//! decides by itself. Whoever has been silent for too long is not heard, and neither helps nor hinders.

use std::time::Duration;

use model::Health;

/// What one inspector last said of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Unknown where it cannot say.
    pub health: Health,
    /// How long ago it said so.
    pub age: Duration,
}

/// The verdict by the words of all inspectors, each heard once; those older than `limit` are not heard. One that cannot
/// say counts as one, so it too must be outweighed. A tie leaves the present verdict.
pub fn majority(present: Health, words: impl IntoIterator<Item = Word>, limit: Duration) -> Health {
    let (mut heard, mut up, mut down) = (0_usize, 0, 0);
    for word in words.into_iter().filter(|word| word.age <= limit) {
        heard += 1;
        match word.health {
            Health::Up => up += 1,
            Health::Down => down += 1,
            Health::Unknown => {}
        }
    }
    if 2 * up > heard {
        Health::Up
    } else if 2 * down > heard {
        Health::Down
    } else {
        present
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    fn decide(present: Health, words: &[Word]) -> Health {
        majority(present, words.iter().copied(), LIMIT)
    }

    fn fresh(healths: &[Health]) -> Vec<Word> {
        let word = |health: &Health| Word {
            health: *health,
            age: Duration::ZERO,
        };
        healths.iter().map(word).collect()
    }

    fn health() -> impl Strategy<Value = Health> {
        prop_oneof![Just(Health::Unknown), Just(Health::Up), Just(Health::Down)]
    }

    fn word() -> impl Strategy<Value = Word> {
        (health(), 0_u64..6000).prop_map(|(health, age)| Word {
            health,
            age: Duration::from_millis(age),
        })
    }

    fn is_fresh(word: &&Word) -> bool {
        word.age <= LIMIT
    }

    #[test]
    fn one_that_is_alone_decides_by_itself() {
        use Health::{Down, Unknown, Up};
        for (present, own, then) in [
            (Unknown, Up, Up),
            (Up, Down, Down),
            (Down, Up, Up),
            (Up, Unknown, Up),
        ] {
            assert_eq!(decide(present, &fresh(&[own])), then);
        }
    }

    #[test]
    fn two_must_agree_and_of_three_two() {
        use Health::{Down, Unknown, Up};
        assert_eq!(decide(Up, &fresh(&[Down, Up])), Up);
        assert_eq!(decide(Down, &fresh(&[Down, Up])), Down);
        assert_eq!(decide(Unknown, &fresh(&[Down, Up])), Unknown);
        assert_eq!(decide(Up, &fresh(&[Down, Unknown])), Up);
        assert_eq!(decide(Up, &fresh(&[Down, Down])), Down);
        assert_eq!(decide(Up, &fresh(&[Up, Down, Down])), Down);
        assert_eq!(decide(Up, &fresh(&[Up, Down, Unknown])), Up);
    }

    proptest! {
        #[test]
        fn a_verdict_that_changes_has_a_majority_and_one_that_stays_has_none_against_it(
            present in health(),
            words in vec(word(), 0..9),
        ) {
            let decided = decide(present, &words);
            let heard = words.iter().filter(is_fresh).count();
            for health in [Health::Up, Health::Down] {
                let saying = words.iter().filter(is_fresh).filter(|word| word.health == health);
                let has_majority = saying.count() * 2 > heard;
                if decided != present {
                    prop_assert_eq!(has_majority, decided == health);
                } else if has_majority {
                    prop_assert_eq!(present, health);
                }
            }
        }

        #[test]
        fn one_more_who_says_so_never_turns_the_verdict_away(
            present in health(),
            words in vec(word(), 1..9),
            changed in any::<prop::sample::Index>(),
        ) {
            let before = decide(present, &words);
            let mut words = words;
            let changed = changed.index(words.len());
            words[changed].health = before;
            prop_assert_eq!(decide(present, &words), before);
        }

        #[test]
        fn the_stale_and_the_order_make_no_difference(
            present in health(),
            words in vec(word(), 0..9).prop_shuffle(),
        ) {
            let mut heard: Vec<_> = words.iter().filter(is_fresh).copied().collect();
            heard.reverse();
            prop_assert_eq!(decide(present, &words), decide(present, &heard));
        }

        #[test]
        fn what_was_decided_stays_until_somebody_says_otherwise(
            present in health(),
            words in vec(word(), 0..9),
        ) {
            let decided = decide(present, &words);
            prop_assert_eq!(decide(decided, &words), decided);
        }
    }
}
