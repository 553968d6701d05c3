//! When a failed try is made again on another server.

/// How a try failed. That is also what the balancer suspects its server of.
pub use model::SuspicionKind as Failure;

/// What is known of the request when a try fails.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    /// A second execution is harmless by the method's definition.
    pub idempotent: bool,
    /// All that was read of the body is still there.
    pub replayable: bool,
}

/// How many tries one request has left.
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    left: u32,
}

impl Tries {
    /// The tries of a pool's request, the first one taken.
    pub fn new(retry: &model::Retry) -> Self {
        Self {
            left: retry.retries,
        }
    }

    /// Whether a try that fails this way may be made again.
    pub fn allows(self, failure: Failure, of: Try) -> bool {
        let harmless = match failure {
            Failure::Connect => true,
            Failure::Reset | Failure::Timeout => of.idempotent,
            Failure::BadResponse => false,
        };
        self.left > 0 && of.replayable && harmless
    }

    /// Takes one more try, where that is allowed.
    pub fn take(&mut self, failure: Failure, of: Try) -> bool {
        let allowed = self.allows(failure, of);
        self.left -= u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Try = Try {
        idempotent: true,
        replayable: true,
    };
    const POST: Try = Try {
        idempotent: false,
        replayable: true,
    };

    fn tries(retries: u32) -> Tries {
        Tries::new(&model::Retry {
            retries,
            ..model::Retry::default()
        })
    }

    #[test]
    fn a_failed_connection_is_tried_again_for_every_method() {
        assert!(tries(1).allows(Failure::Connect, GET));
        assert!(tries(1).allows(Failure::Connect, POST));
    }

    #[test]
    fn what_may_have_been_executed_is_repeated_only_where_that_is_harmless() {
        for failure in [Failure::Reset, Failure::Timeout] {
            assert!(tries(1).allows(failure, GET));
            assert!(!tries(1).allows(failure, POST));
        }
        assert!(!tries(1).allows(Failure::BadResponse, GET));
    }

    #[test]
    fn a_body_that_is_gone_cannot_be_sent_again() {
        let gone = Try {
            replayable: false,
            ..GET
        };
        assert!(!tries(1).allows(Failure::Reset, gone));
    }

    #[test]
    fn retries_end() {
        let mut tries = tries(2);
        assert!(tries.take(Failure::Connect, GET));
        assert!(tries.take(Failure::Reset, GET));
        assert!(!tries.take(Failure::Connect, GET));
    }
}
