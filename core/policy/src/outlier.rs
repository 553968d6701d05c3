//! Which servers stand out from their pool: the rules by which one is ejected for a while, though nobody has found it to be down.
//!
//! The rules are those of Envoy's outlier detection
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier>), and a latency rule beside them.

/// Why a server is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Failures in a row to connect or to answer, statuses 502, 503 and 504 included.
    GatewayFailures,
    /// The same with every status of 500 or above.
    ServerErrors,
    /// It succeeds far less often than the others.
    SuccessRate,
    /// It answers far more slowly than the others.
    Latency,
}

impl Rule {
    pub const ALL: [Self; 4] = [
        Self::GatewayFailures,
        Self::ServerErrors,
        Self::SuccessRate,
        Self::Latency,
    ];

    /// As it is spelt in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayFailures => "gateway_failures",
            Self::ServerErrors => "server_errors",
            Self::SuccessRate => "success_rate",
            Self::Latency => "latency",
        }
    }
}

/// What one server did in an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tries that it answered or failed.
    pub(crate) tries: u64,
    /// Of those, the ones that it did not answer with a status below 500.
    pub(crate) failures: u64,
    /// Answers whose latency was taken, and the sum of it in microseconds.
    pub(crate) timed: u64,
    pub(crate) micros: u64,
}

impl Tally {
    /// What has come on top of an earlier one.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            tries: self.tries.saturating_sub(earlier.tries),
            failures: self.failures.saturating_sub(earlier.failures),
            timed: self.timed.saturating_sub(earlier.timed),
            micros: self.micros.saturating_sub(earlier.micros),
        }
    }
}

/// The servers that stand out among these, by their numbers, the worst of each rule first.
pub(crate) fn outliers(rules: &model::Outlier, tallies: &[(u64, Tally)]) -> Vec<(u64, Rule)> {
    let rate = |tally: &Tally| 1.0 - tally.failures as f64 / tally.tries as f64;
    let mean = |tally: &Tally| tally.micros as f64 / tally.timed as f64;
    let rates = comparable(rules, tallies, |tally| tally.tries, rate);
    let latencies = comparable(rules, tallies, |tally| tally.timed, mean);
    let failing = below_the_mean(rates, rules.success_rate_deviations);
    let slow = above_the_median(latencies, rules.latency_factor);
    let failing = failing.into_iter().map(|one| (one, Rule::SuccessRate));
    failing
        .chain(slow.into_iter().map(|one| (one, Rule::Latency)))
        .collect()
}

/// A number for each server that has done enough to be compared; none where there are too few of them.
fn comparable(
    rules: &model::Outlier,
    tallies: &[(u64, Tally)],
    done: impl Fn(&Tally) -> u64,
    number: impl Fn(&Tally) -> f64,
) -> Vec<(u64, f64)> {
    let enough = |tally: &Tally| done(tally) >= u64::from(rules.requests_min.max(1));
    let compared = tallies.iter().filter(|(_, tally)| enough(tally));
    let compared: Vec<_> = compared
        .map(|(server, tally)| (*server, number(tally)))
        .collect();
    if compared.len() < rules.servers_min as usize {
        return Vec::new();
    }
    compared
}

/// Whose rate lies so many standard deviations below the mean of all.
fn below_the_mean(mut rates: Vec<(u64, f64)>, deviations: f64) -> Vec<u64> {
    if deviations <= 0.0 || rates.is_empty() {
        return Vec::new();
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let squares = rates.iter().map(|(_, rate)| (rate - mean).powi(2));
    let bound = mean - deviations * (squares.sum::<f64>() / count).sqrt();
    // What rounding alone makes of equal rates is no difference.
    rates.retain(|(_, rate)| *rate < bound - 1e-9);
    rates.sort_by(|one, other| one.1.total_cmp(&other.1));
    rates.into_iter().map(|(server, _)| server).collect()
}

/// Who takes more than so many times the median.
fn above_the_median(mut latencies: Vec<(u64, f64)>, factor: f64) -> Vec<u64> {
    if factor <= 0.0 || latencies.is_empty() {
        return Vec::new();
    }
    latencies.sort_by(|one, other| other.1.total_cmp(&one.1));
    let bound = factor * latencies[latencies.len() / 2].1;
    latencies.retain(|(_, latency)| *latency > bound);
    latencies.into_iter().map(|(server, _)| server).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> model::Outlier {
        model::Outlier {
            latency_factor: 3.0,
            ..model::Outlier::default()
        }
    }

    /// A server's number, and how many of 1000 tries it failed.
    fn failing(server: u64, failures: u64) -> (u64, Tally) {
        let tally = Tally {
            tries: 1000,
            failures,
            ..Tally::default()
        };
        (server, tally)
    }

    fn taking(server: u64, micros: u64) -> (u64, Tally) {
        let tally = Tally {
            tries: 1000,
            timed: 1000,
            micros: 1000 * micros,
            ..Tally::default()
        };
        (server, tally)
    }

    #[test]
    fn who_fails_far_more_often_than_the_others_stands_out() {
        let tallies: Vec<_> = (0..9).map(|one| failing(one, one)).collect();
        assert_eq!(outliers(&rules(), &tallies), []);
        let with_bad = [&tallies[..], &[failing(9, 300)]].concat();
        assert_eq!(outliers(&rules(), &with_bad), [(9, Rule::SuccessRate)]);
    }

    #[test]
    fn where_all_fail_alike_nobody_stands_out() {
        for failures in [0, 100, 333, 1000] {
            let tallies: Vec<_> = (0..10).map(|one| failing(one, failures)).collect();
            assert_eq!(outliers(&rules(), &tallies), []);
        }
    }

    #[test]
    fn too_few_servers_or_requests_are_not_compared() {
        let few: Vec<_> = (0..4).map(|one| failing(one, 1000 * (one / 3))).collect();
        assert_eq!(outliers(&rules(), &few), []);
        let mut tallies: Vec<_> = (0..9).map(|one| failing(one, 0)).collect();
        let idle = Tally {
            tries: 99,
            failures: 99,
            ..Tally::default()
        };
        tallies.push((9, idle));
        assert_eq!(outliers(&rules(), &tallies), []);
    }

    #[test]
    fn who_takes_far_longer_than_the_others_stands_out_the_slowest_first() {
        let mut tallies: Vec<_> = (0..8).map(|one| taking(one, 100 + one)).collect();
        tallies.extend([taking(8, 5_000), taking(9, 9_000)]);
        let slow = [(9, Rule::Latency), (8, Rule::Latency)];
        assert_eq!(outliers(&rules(), &tallies), slow);
    }

    #[test]
    fn a_rule_at_zero_is_off() {
        let off = model::Outlier {
            success_rate_deviations: 0.0,
            latency_factor: 0.0,
            ..rules()
        };
        let mut tallies: Vec<_> = (0..9).map(|one| failing(one, 0)).collect();
        tallies.extend([failing(9, 1000), taking(10, 1_000_000)]);
        assert_eq!(outliers(&off, &tallies), []);
    }

    proptest! {
        #[test]
        fn never_do_all_stand_out(
            tallies in proptest::collection::vec((0_u64..=1000, 1_u64..100_000), 5..40),
        ) {
            let tallies: Vec<_> = (0..)
                .zip(tallies)
                .map(|(server, (failures, micros))| {
                    (server, Tally { failures, ..taking(server, micros).1 })
                })
                .collect();
            for rule in Rule::ALL {
                let found = outliers(&rules(), &tallies);
                let out = found.iter().filter(|(_, one)| *one == rule).count();
                prop_assert!(out * 2 <= tallies.len(), "{out} of {}", tallies.len());
            }
        }
    }
}
