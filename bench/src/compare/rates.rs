//! What a case of a fixed rate asks each for, from what each can at most.

use crate::peers::Peer;

/// The share of the most that can be had at which latencies are looked at.
const STEADY_SHARE: f64 = 0.7;

/// The slowest of these sets the rate that all are asked for.
const PACERS: [Peer; 3] = [Peer::Roundhouse, Peer::Nginx, Peer::Haproxy];

/// What one can at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) peer: Peer,
    /// Whether it is to have its own rate.
    pub(super) own_rate: bool,
    /// Requests a second, where that could be found out.
    pub(super) rate: Option<f64>,
}

/// The rate for each: one for all, but for who has its own, and for Envoy where that cannot do as much.
pub(super) fn steady_rates(mosts: &[Most]) -> Vec<Option<f64>> {
    let common = mosts
        .iter()
        .filter(|most| PACERS.contains(&most.peer) && !most.own_rate)
        .filter_map(Most::share)
        .min_by(f64::total_cmp);
    mosts.iter().map(|most| most.asked(common)).collect()
}

impl Most {
    fn share(&self) -> Option<f64> {
        self.rate.map(|rate| rate * STEADY_SHARE)
    }

    fn asked(&self, common: Option<f64>) -> Option<f64> {
        match (common, self.share()) {
            (Some(common), Some(own)) if self.peer == Peer::Envoy => Some(common.min(own)),
            (Some(common), _) if !self.own_rate => Some(common),
            (_, own) => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn most(peer: Peer, rate: f64) -> Most {
        Most {
            peer,
            own_rate: false,
            rate: Some(rate),
        }
    }

    const OWN: Most = Most {
        own_rate: true,
        ..most(Peer::Roundhouse, 200.0)
    };

    fn rounded(mosts: &[Most]) -> Vec<Option<f64>> {
        let rates = steady_rates(mosts).into_iter();
        rates.map(|rate| rate.map(f64::round)).collect()
    }

    #[test]
    fn all_are_asked_for_what_the_slowest_of_three_can_bear() {
        let mosts = [
            most(Peer::Roundhouse, 190.0),
            most(Peer::Nginx, 100.0),
            most(Peer::Haproxy, 150.0),
            most(Peer::Envoy, 40.0),
            most(Peer::Relay, 90.0),
            OWN,
        ];
        let expected = [70.0, 70.0, 70.0, 28.0, 70.0, 140.0].map(Some);
        assert_eq!(rounded(&mosts), expected);
    }

    #[test]
    fn envoy_is_asked_for_as_much_where_it_can() {
        let mosts = [most(Peer::Nginx, 100.0), most(Peer::Envoy, 110.0)];
        assert_eq!(rounded(&mosts), [70.0, 70.0].map(Some));
    }

    #[test]
    fn who_sets_no_pace_has_a_rate_of_its_own_where_nobody_does() {
        let unknown = Most {
            rate: None,
            ..most(Peer::Nginx, 0.0)
        };
        let mosts = [most(Peer::Relay, 100.0), most(Peer::Envoy, 50.0), unknown];
        assert_eq!(rounded(&mosts), [Some(70.0), Some(35.0), None]);
    }
}
