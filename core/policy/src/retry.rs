//! When a failed try is made again on another server, and after what wait.

use std::time::Duration;

use model::SuspicionKind;

/// The most tries that one request makes, whatever its pool says.
pub(crate) const TRIES_MAX: usize = 11;

/// How a server failed a try, before the first byte of an answer went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about: nothing was sent.
    Connect,
    /// The connection broke.
    Reset,
    /// Nothing came in time.
    Timeout,
    /// What came is not HTTP.
    BadResponse,
}

/// What the balancer suspects its server of then.
impl From<Failure> for SuspicionKind {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect => Self::Connect,
            Failure::Reset => Self::Reset,
            Failure::Timeout => Self::Timeout,
            Failure::BadResponse => Self::BadResponse,
        }
    }
}

/// Why another try is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was sent: there was no connection, or it was closed before it took anything.
    Connect,
    /// The connection broke before the first byte of an answer.
    Reset,
    /// No byte of an answer came in time.
    Timeout,
    /// The answer's status is one that the pool lets be tried again.
    Status,
    /// The server left the fleet, and the time for what it had in flight was over.
    Left,
}

/// What is known of the request when a try fails.
#[derive(Debug, Clone, Copy)]
pub struct Repeatability {
    /// A second execution is harmless by the method's definition.
    pub idempotent: bool,
    /// All that was read of the body is still there.
    pub replayable: bool,
}

/// How many tries one request has left.
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    /// Of those that may have reached a server.
    left: u32,
    /// Of those that did not.
    unsent_left: usize,
    /// How many were waited for.
    waits: u32,
}

impl Cause {
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Status,
        Self::Left,
    ];

    /// As it is spelt in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Left => "left",
        }
    }

    /// Whether a retry draws on the pool's budget, and is waited for. Not where nothing was sent: then all servers together have no
    /// more to do than if the first had never been chosen, however many such retries there are. Nor where an operator
    /// took the server out: such retries do not grow with the load.
    pub fn costs(self) -> bool {
        !matches!(self, Self::Connect | Self::Left)
    }
}

impl Tries {
    /// The tries of a pool's request, the first one taken.
    pub fn new(retry: &model::Retry) -> Self {
        Self {
            left: retry.retries,
            unsent_left: if retry.retries > 0 { TRIES_MAX - 1 } else { 0 },
            waits: 0,
        }
    }

    /// Whether a try that fails this way may be made again.
    pub fn allows(self, cause: Cause, of: Repeatability) -> bool {
        let allowed = match cause {
            Cause::Connect => self.unsent_left > 0,
            Cause::Reset | Cause::Timeout | Cause::Status | Cause::Left => {
                of.idempotent && self.left > 0
            }
        };
        allowed && of.replayable
    }

    /// Takes one more try, which must be allowed, and answers how long to wait before it. `chance` is from 0 to 1.
    pub fn take(&mut self, cause: Cause, retry: &model::Retry, chance: f64) -> Duration {
        self.unsent_left = self.unsent_left.saturating_sub(1);
        if cause == Cause::Connect {
            return Duration::ZERO;
        }
        self.left = self.left.saturating_sub(1);
        if !cause.costs() {
            return Duration::ZERO;
        }
        let wait = backoff(retry, self.waits).mul_f64(chance.clamp(0.0, 1.0));
        self.waits += 1;
        wait
    }
}

/// The longest wait after so many waits before: "full jitter" of
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
fn backoff(retry: &model::Retry, waits: u32) -> Duration {
    let doubled = retry.backoff.saturating_mul(1 << waits.min(16));
    doubled.min(retry.backoff_max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: Repeatability = Repeatability {
        idempotent: true,
        replayable: true,
    };
    const POST: Repeatability = Repeatability {
        idempotent: false,
        replayable: true,
    };

    fn retry(retries: u32) -> model::Retry {
        model::Retry {
            retries,
            ..model::Retry::default()
        }
    }

    fn tries(retries: u32) -> Tries {
        Tries::new(&retry(retries))
    }

    #[test]
    fn a_failed_connection_is_tried_again_for_every_method() {
        assert!(tries(1).allows(Cause::Connect, GET));
        assert!(tries(1).allows(Cause::Connect, POST));
    }

    #[test]
    fn what_may_have_been_executed_is_repeated_only_where_that_is_harmless() {
        for cause in [Cause::Reset, Cause::Timeout, Cause::Status, Cause::Left] {
            assert!(tries(1).allows(cause, GET));
            assert!(!tries(1).allows(cause, POST));
        }
    }

    #[test]
    fn a_body_that_is_gone_cannot_be_sent_again() {
        let gone = Repeatability {
            replayable: false,
            ..GET
        };
        for cause in Cause::ALL {
            assert!(!tries(1).allows(cause, gone));
        }
    }

    #[test]
    fn retries_end() {
        let mut tries = tries(2);
        for _ in 0..2 {
            assert!(tries.allows(Cause::Reset, GET));
            tries.take(Cause::Reset, &retry(2), 1.0);
        }
        assert!(!tries.allows(Cause::Status, GET));
    }

    #[test]
    fn a_try_that_reached_no_server_uses_up_none() {
        let mut tries = tries(1);
        for _ in 1..TRIES_MAX {
            assert!(tries.allows(Cause::Connect, POST));
            assert_eq!(tries.take(Cause::Connect, &retry(1), 1.0), Duration::ZERO);
            assert!(tries.allows(Cause::Reset, GET));
        }
        assert!(!tries.allows(Cause::Connect, POST));
    }

    #[test]
    fn where_retries_are_off_there_is_none_at_all() {
        for cause in Cause::ALL {
            assert!(!tries(0).allows(cause, GET));
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = model::Retry {
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(80),
            ..retry(5)
        };
        let mut tries = Tries::new(&retry);
        let waits: Vec<u128> = [
            Cause::Reset,
            Cause::Connect,
            Cause::Left,
            Cause::Timeout,
            Cause::Status,
        ]
        .into_iter()
        .map(|cause| tries.take(cause, &retry, 1.0).as_millis())
        .collect();
        assert_eq!(waits, [25, 0, 0, 50, 80]);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_pool_says(
            backoff in 0_u64..60_000,
            longer in 0_u64..60_000,
            chance in 0.0_f64..=1.0,
        ) {
            let retry = model::Retry {
                backoff: Duration::from_millis(backoff),
                backoff_max: Duration::from_millis(backoff + longer),
                ..retry(10)
            };
            let mut tries = Tries::new(&retry);
            for taken in 0..10 {
                let wait = tries.take(Cause::Reset, &retry, chance);
                let longest = retry.backoff.saturating_mul(1 << taken).min(retry.backoff_max);
                prop_assert!(wait <= longest);
                prop_assert!(wait + Duration::from_nanos(10) >= longest.mul_f64(chance));
            }
        }
    }
}
