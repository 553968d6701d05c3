//! What a comparison found: every sample of every round, from which the page is made and made again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::peers::Peer;
use crate::stats::{median, median_ratio};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Processor time per request, user and system, in microseconds.
    CpuUs,
    /// The share of it that was user time, 0 to 1.
    UserShare,
    RequestsPerSecond,
    /// Half of the requests took no longer, in microseconds.
    P50Us,
    /// All but one of a hundred took no longer, in microseconds.
    P99Us,
    /// All but one of a thousand took no longer, in microseconds.
    P999Us,
    /// None took longer, in microseconds.
    MaxUs,
    /// The most memory, in MiB.
    PeakMib,
    /// What each idle connection adds to the memory, in KiB.
    KibPerConnection,
    /// Requests that failed.
    Failures,
    /// Requests a second that were asked for.
    Rate,
    /// Membership changes a second that were made.
    Changes,
    /// The share of requests on connections that went on with an earlier session, 0 to 1.
    ResumedShare,
}

/// One contestant's figures of one round.
pub(crate) type Sample = BTreeMap<Figure, f64>;

/// One contestant of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) peer: Peer,
    /// Whom the ratio is taken with.
    pub(crate) against: Option<String>,
    /// A sample each round; none where it could not be measured.
    pub(crate) rounds: Vec<Option<Sample>>,
    /// Why it could not be.
    pub(crate) trouble: Option<String>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CaseResult {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) contestants: Vec<Measured>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// Rounds of each case; those whose figures vary more had more.
    pub(crate) rounds: usize,
    /// Seconds that each sample was taken for.
    pub(crate) seconds: f64,
    pub(crate) cases: Vec<CaseResult>,
}

impl Measured {
    /// A figure of each round.
    fn each(&self, figure: Figure) -> Vec<Option<f64>> {
        let figure = |sample: &Option<Sample>| sample.as_ref()?.get(&figure).copied();
        self.rounds.iter().map(figure).collect()
    }

    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        let values: Vec<_> = self.each(figure).into_iter().flatten().collect();
        median(&values)
    }

    /// The sum of a figure over the rounds.
    pub(crate) fn sum(&self, figure: Figure) -> f64 {
        self.each(figure).into_iter().flatten().sum()
    }

    /// The median over the rounds of this one's figure by another's.
    pub(crate) fn ratio(&self, other: &Self, figure: Figure) -> Option<f64> {
        median_ratio(&self.each(figure), &other.each(figure))
    }
}

impl CaseResult {
    /// How often everyone's turn came.
    pub(crate) fn rounds(&self) -> usize {
        let rounds = self
            .contestants
            .iter()
            .map(|measured| measured.rounds.len());
        rounds.max().unwrap_or(0)
    }

    pub(crate) fn contestant(&self, name: &str) -> Option<&Measured> {
        self.contestants
            .iter()
            .find(|measured| measured.name == name)
    }

    /// Ours by theirs; for another of ours, that one by the plain one.
    pub(crate) fn ratio(&self, measured: &Measured, figure: Figure) -> Option<f64> {
        let reference = self.contestant(measured.against.as_ref()?)?;
        if measured.peer == Peer::Roundhouse {
            measured.ratio(reference, figure)
        } else {
            reference.ratio(measured, figure)
        }
    }
}

impl Results {
    pub(crate) fn case(&self, name: &str) -> Option<&CaseResult> {
        self.cases.iter().find(|case| case.name == name)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A contestant with these costs in the rounds.
    pub(crate) fn measured(
        name: &str,
        peer: Peer,
        against: Option<&str>,
        costs: &[f64],
    ) -> Measured {
        let rounds = costs
            .iter()
            .map(|cost| Some(Sample::from([(Figure::CpuUs, *cost)])));
        Measured {
            name: name.into(),
            peer,
            against: against.map(Into::into),
            rounds: rounds.collect(),
            trouble: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::measured;
    use super::*;

    fn case() -> CaseResult {
        let base = Some("roundhouse");
        CaseResult {
            name: "short-64".into(),
            title: String::new(),
            note: String::new(),
            contestants: vec![
                measured("roundhouse", Peer::Roundhouse, None, &[10.0, 30.0, 20.0]),
                measured("nginx", Peer::Nginx, base, &[20.0, 60.0, 20.0]),
                measured(
                    "roundhouse, hash",
                    Peer::Roundhouse,
                    base,
                    &[11.0, 33.0, 40.0],
                ),
            ],
        }
    }

    #[test]
    fn a_peers_ratio_is_ours_by_theirs() {
        let case = case();
        assert_eq!(case.ratio(&case.contestants[1], Figure::CpuUs), Some(0.5));
        assert_eq!(case.ratio(&case.contestants[1], Figure::P99Us), None);
    }

    #[test]
    fn another_of_ours_is_compared_to_the_plain_one() {
        let case = case();
        let ratio = case
            .ratio(&case.contestants[2], Figure::CpuUs)
            .expect("a ratio");
        assert!((ratio - 1.1).abs() < 1e-9);
        assert_eq!(case.ratio(&case.contestants[0], Figure::CpuUs), None);
    }

    #[test]
    fn results_come_back_from_json_as_they_were() {
        let text = serde_json::to_string(&case()).expect("JSON");
        assert_eq!(
            serde_json::from_str::<CaseResult>(&text).expect("a case"),
            case()
        );
    }
}
