//! What a server's tries say of it, noted as each one ends: how many failed in a row, and what the pool's servers are compared by.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::outlier::{Rule, Tally};

/// One incarnation's, shared by all threads. A success costs two loads.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    ejected: AtomicBool,
    gateway: Run,
    errors: Run,
    failures: AtomicU64,
    timed: AtomicU64,
    micros: AtomicU64,
}

/// Failures of one kind in a row.
#[derive(Debug, Default)]
struct Run {
    length: AtomicU32,
    /// How many are too many; 0 where none are.
    limit: AtomicU32,
}

impl Run {
    /// Whether this one makes them too many; said again after as many more.
    fn goes_on(&self) -> bool {
        let length = self.length.fetch_add(1, Ordering::Relaxed) + 1;
        let limit = self.limit.load(Ordering::Relaxed);
        limit > 0 && length.is_multiple_of(limit)
    }

    fn ends(&self) {
        if self.length.load(Ordering::Relaxed) > 0 {
            self.length.store(0, Ordering::Relaxed);
        }
    }
}

impl Signs {
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Whoever comes back begins anew.
    pub(crate) fn eject(&self, ejected: bool) {
        self.ejected.store(ejected, Ordering::Relaxed);
        self.gateway.ends();
        self.errors.ends();
    }

    /// By what rules it is judged from now on.
    pub(crate) fn follow(&self, rules: &model::Outlier) {
        let store = |run: &Run, limit| run.limit.store(limit, Ordering::Relaxed);
        store(&self.gateway, rules.gateway_failures);
        store(&self.errors, rules.server_errors);
    }

    pub(crate) fn succeeded(&self) {
        self.gateway.ends();
        self.errors.ends();
    }

    /// It failed, or answered with a status of 500 or above; `gateway` says whether that is one of the failures of a gateway. The rule
    /// that is broken now, if one is.
    pub(crate) fn failed(&self, gateway: bool) -> Option<Rule> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let errors = self.errors.goes_on().then_some(Rule::ServerErrors);
        if gateway {
            let gateway = self.gateway.goes_on().then_some(Rule::GatewayFailures);
            return gateway.or(errors);
        }
        self.gateway.ends();
        errors
    }

    /// How long the first byte of an answer took.
    pub(crate) fn took(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.timed.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it did so far, of so many tries that it answered or failed.
    pub(crate) fn tally(&self, tries: u64) -> Tally {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Tally {
            tries,
            failures: load(&self.failures),
            timed: load(&self.timed),
            micros: load(&self.micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(gateway_failures: u32, server_errors: u32) -> Signs {
        let signs = Signs::default();
        signs.follow(&model::Outlier {
            gateway_failures,
            server_errors,
            ..model::Outlier::default()
        });
        signs
    }

    /// What each of these says: `+` a success, `g` a failure of a gateway, `5` another status of 500 or above.
    fn said(signs: &Signs, tries: &str) -> String {
        let said = tries.chars().map(|one| match one {
            '+' => {
                signs.succeeded();
                None
            }
            one => signs.failed(one == 'g'),
        });
        said.map(|rule| match rule {
            Some(Rule::GatewayFailures) => 'G',
            Some(_) => 'E',
            None => '.',
        })
        .collect()
    }

    #[test]
    fn failures_in_a_row_break_a_rule_and_a_success_ends_the_row() {
        assert_eq!(said(&signs(3, 0), "gg+gggg+ggg"), ".....G....G");
        assert_eq!(said(&signs(3, 0), "gg5gg5ggg"), "........G");
        assert_eq!(said(&signs(0, 3), "g5g+555"), "..E...E");
        assert_eq!(said(&signs(0, 0), "gggg5555"), "........");
    }

    #[test]
    fn a_row_that_goes_on_is_said_again() {
        assert_eq!(said(&signs(2, 0), "gggggg"), ".G.G.G");
    }

    #[test]
    fn whoever_comes_back_begins_anew() {
        let signs = signs(3, 0);
        assert_eq!(said(&signs, "gg"), "..");
        signs.eject(true);
        signs.eject(false);
        assert_eq!(said(&signs, "gg"), "..");
    }
}
