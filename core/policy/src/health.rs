//! Rise and fall: when probes' outcomes in a row become a verdict.
//!
//! A new server's first probe decides, either way, so that a balancer that waits for first verdicts does
//! not wait for `fall` intervals. From then on `rise` successes in a row bring a server up and `fall`
//! failures take it down; where there are grounds to suspect it, a single failed probe does. This decides
//! only; who probes and when is for the orchestrator, and for a balancer left without one.

use model::{Health, HealthCheck};

/// Why a probe is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Grounds {
    /// It is time again.
    #[default]
    Routine,
    /// A balancer saw the server fail, or the server missed the renewal of its registration.
    Suspicion,
}

/// What is known of one incarnation of a server, and the outcomes in a row that speak against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RiseFall {
    health: Health,
    contrary: u32,
}

impl RiseFall {
    /// Goes on from a verdict that is known already, so that a new inspector does not flap its servers.
    pub fn inherited(health: Health) -> Self {
        Self {
            health,
            contrary: 0,
        }
    }

    pub fn health(self) -> Health {
        self.health
    }

    /// Takes in one probe's outcome, and answers the verdict where it changed.
    pub fn observe(
        &mut self,
        succeeded: bool,
        grounds: Grounds,
        check: &HealthCheck,
    ) -> Option<Health> {
        let (observed, needed) = match (succeeded, self.health, grounds) {
            (true, Health::Unknown, _) => (Health::Up, 1),
            (true, _, _) => (Health::Up, check.rise),
            (false, Health::Unknown, _) | (false, _, Grounds::Suspicion) => (Health::Down, 1),
            (false, _, Grounds::Routine) => (Health::Down, check.fall),
        };
        if observed == self.health {
            self.contrary = 0;
            return None;
        }
        self.contrary += 1;
        (self.contrary >= needed).then(|| {
            *self = Self::inherited(observed);
            observed
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn check(rise: u32, fall: u32) -> HealthCheck {
        HealthCheck {
            rise,
            fall,
            ..HealthCheck::default()
        }
    }

    /// The verdicts after each of the outcomes: `+` a success, `-` a failure, `!` a failure on suspicion,
    /// `?` a success on suspicion.
    fn verdicts(from: Health, check: &HealthCheck, outcomes: &str) -> String {
        let mut state = RiseFall::inherited(from);
        let letter = |outcome| {
            let (succeeded, grounds) = match outcome {
                '+' => (true, Grounds::Routine),
                '-' => (false, Grounds::Routine),
                '!' => (false, Grounds::Suspicion),
                _ => (true, Grounds::Suspicion),
            };
            state.observe(succeeded, grounds, check);
            match state.health() {
                Health::Unknown => '.',
                Health::Up => 'u',
                Health::Down => 'd',
            }
        };
        outcomes.chars().map(letter).collect()
    }

    #[test]
    fn a_new_servers_first_probe_decides() {
        assert_eq!(verdicts(Health::Unknown, &check(3, 3), "+"), "u");
        assert_eq!(verdicts(Health::Unknown, &check(3, 3), "-"), "d");
    }

    #[test]
    fn only_outcomes_in_a_row_change_a_verdict() {
        assert_eq!(verdicts(Health::Up, &check(2, 3), "--+---"), "uuuuud");
        assert_eq!(verdicts(Health::Down, &check(2, 3), "+-++"), "dddu");
    }

    #[test]
    fn one_failed_probe_on_suspicion_takes_a_server_down() {
        assert_eq!(verdicts(Health::Up, &check(2, 3), "!"), "d");
        assert_eq!(verdicts(Health::Up, &check(2, 3), "?--"), "uuu");
    }

    #[test]
    fn suspicion_does_not_help_a_server_up() {
        assert_eq!(verdicts(Health::Down, &check(2, 3), "??"), "du");
    }

    /// What the machine should say, told from the whole sequence: the longest run at its end.
    fn expected(inherited: Health, outcomes: &[bool], check: &HealthCheck) -> Health {
        let mut health = inherited;
        for end in 1..=outcomes.len() {
            let last = outcomes[end - 1];
            let run = outcomes[..end].iter().rev().take_while(|o| **o == last);
            let needed = match (health, last) {
                (Health::Unknown, _) => 1,
                (_, true) => check.rise,
                (_, false) => check.fall,
            };
            if run.count() >= needed as usize {
                health = if last { Health::Up } else { Health::Down };
            }
        }
        health
    }

    proptest! {
        #[test]
        fn the_verdict_follows_the_runs_of_outcomes(
            inherited in prop_oneof![Just(Health::Unknown), Just(Health::Up), Just(Health::Down)],
            outcomes in vec(any::<bool>(), 0..60),
            rise in 1_u32..6,
            fall in 1_u32..6,
        ) {
            let check = check(rise, fall);
            let mut state = RiseFall::inherited(inherited);
            for outcome in &outcomes {
                let before = state.health();
                let changed = state.observe(*outcome, Grounds::Routine, &check);
                prop_assert_eq!(changed, (state.health() != before).then_some(state.health()));
            }
            prop_assert_eq!(state.health(), expected(inherited, &outcomes, &check));
        }
    }
}
