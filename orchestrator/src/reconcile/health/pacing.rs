//! How long to wait after a commit of verdicts: hardly at all where few are made, longer as they become many.
//!
//! Every commit is work for each balancer, so a rack that flaps must not become a thousand revisions; and a
//! single server's failure must not wait for a rack. Pure: times since an anchor in, pauses out.

use std::time::Duration;

/// After a commit that follows a quiet time.
const SHORTEST: Duration = Duration::from_millis(10);

/// However many there are.
const LONGEST: Duration = Duration::from_millis(250);

/// How fast commits are forgotten: after so long, two thirds of them are.
const MEMORY: Duration = Duration::from_secs(1);

/// So many commits that are remembered make the pause no longer: a few servers that fail one after another.
const FREE: f64 = 2.5;

/// What each one more makes of it. So much that steady flapping makes about six commits a second, and a burst
/// out of the quiet about ten in its first.
const GROWTH: f64 = 3.0;

/// Remembers how many commits were made of late.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    remembered: f64,
    last: Duration,
}

impl Pacing {
    /// A commit was made now; how long the next one has to wait.
    pub(super) fn committed(&mut self, now: Duration) -> Duration {
        let since = now.saturating_sub(self.last);
        let kept = (-since.div_duration_f64(MEMORY)).exp();
        self.remembered *= kept;
        let growth = GROWTH.powf((self.remembered - FREE).max(0.0));
        let most = LONGEST.div_duration_f64(SHORTEST);
        let pause = SHORTEST.mul_f64(growth.min(most));
        self.remembered += 1.0;
        self.last = now;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When commits are made, where a verdict changes each `gap` for ten seconds.
    fn commits(pacing: &mut Pacing, gap: Duration) -> Vec<Duration> {
        let (mut commits, mut free) = (Vec::new(), Duration::ZERO);
        let mut change = Duration::ZERO;
        while change < 10 * SECOND {
            // All that have changed until it is free to write go together.
            let at = change.max(free);
            free = at + pacing.committed(at);
            commits.push(at);
            while change <= at {
                change += gap;
            }
        }
        commits
    }

    #[test]
    fn a_verdict_now_and_then_is_written_at_once() {
        let mut pacing = Pacing::default();
        for at in commits(&mut pacing, SECOND / 3) {
            assert!(at.as_nanos() % (SECOND / 3).as_nanos() == 0, "{at:?}");
        }
        assert!(pacing.committed(20 * SECOND) < 2 * SHORTEST);
    }

    #[test]
    fn a_thousand_flaps_a_second_are_about_ten_commits_a_second_at_most() {
        let commits = commits(&mut Pacing::default(), SECOND / 1000);
        for from in &commits {
            let within = commits
                .iter()
                .filter(|at| *at >= from && **at < *from + SECOND);
            assert!(within.count() <= 11, "in the second from {from:?}");
        }
        assert!((40..=70).contains(&commits.len()), "{}", commits.len());
    }

    #[test]
    fn the_pause_stays_within_its_bounds_and_shrinks_in_the_quiet() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.committed(SECOND), SHORTEST);
        for _ in 0..1000 {
            let pause = pacing.committed(SECOND);
            assert!((SHORTEST..=LONGEST).contains(&pause), "{pause:?}");
        }
        assert_eq!(pacing.committed(SECOND), LONGEST);
        assert!(pacing.committed(20 * SECOND) < SHORTEST + SHORTEST / 10);
    }
}
