//! Whether a failed try is made again, and the wait before that, in which the client is watched.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use policy::{Cause, Repeatability};
use rand::RngExt;

use super::exchange::{Exchange, retry};
use super::retry_after::retry_after;
use super::talk::{Gone, Watch};
use crate::metrics::NoRetry;
use crate::settings::LOOK_EACH;

/// Whether there is another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Now,
    Never,
    ClientGone,
}

impl Exchange<'_> {
    /// Whether the request would be sent to another server after a try that ended so, the budget aside.
    pub(super) fn may_try_another(&self, cause: Cause) -> bool {
        let worker = &self.talk.worker;
        self.tries.allows(cause, self.repeatability(cause))
            && match cause {
                // There is an answer, or one may still come: that is better than what an ejected server has to offer.
                Cause::Timeout | Cause::Status => worker.has_a_sound_other(&self.pool, &self.tried),
                Cause::Connect | Cause::Reset | Cause::Left => {
                    worker.has_another(&self.pool, &self.tried)
                }
            }
    }

    /// Claims another try, so that its cost is taken from the pool's budget; false where there is none, or none that can be paid for.
    pub(super) fn claim_retry(&mut self, cause: Cause) -> bool {
        self.may_try_another(cause) && self.pay(cause)
    }

    /// Whether the answer's status is one after which the route or the pool wants another try; then how long the server asks to be left alone.
    pub(super) fn asks_again(&self) -> Option<Duration> {
        let status = self.space.response.status;
        if !(502..=504).contains(&status) || self.space.download.written() > 0 {
            return None;
        }
        let pool = self.talk.worker.pool(&self.pool)?;
        let statuses = &retry(self.route.as_deref(), &pool).statuses;
        let wanted = statuses.iter().any(|range| range.contains(status));
        (wanted && self.may_try_another(Cause::Status)).then(|| {
            let head = self.space.server.filled();
            retry_after(&self.space.response, head, SystemTime::now()).unwrap_or_default()
        })
    }

    /// Takes one more try after one that ended so, where that is allowed, and waits for its time; where an answer is held meanwhile, no
    /// longer than its server has.
    pub(super) async fn another_try(&mut self, cause: Cause, at_least: Duration) -> Again {
        let counters = &self.talk.worker.counters;
        let pool = self.talk.worker.pool(&self.pool);
        let Some(pool) = pool.filter(|_| self.may_try_another(cause)) else {
            return Again::Never;
        };
        let chance = rand::rng().random_range(0.0..1.0);
        let retry = retry(self.route.as_deref(), &pool);
        let wait = self.tries.take(cause, retry, chance).max(at_least);
        drop(pool);
        if !self.has_time_for(wait) {
            counters.retry_refused(NoRetry::Time);
            return Again::Never;
        }
        if !self.pay(cause) {
            return Again::Never;
        }
        self.budget_paid = false;
        counters.retried(cause);
        self.pause(wait).await
    }

    /// What can be done again of what was sent.
    pub(super) fn repeatability(&self, cause: Cause) -> Repeatability {
        let upload = &self.space.upload;
        Repeatability {
            idempotent: self.space.request.is_idempotent(),
            // Where no connection came about, nothing of the body is gone.
            replayable: match cause {
                Cause::Connect => upload.is_whole(),
                _ => upload.is_repeatable(),
            },
        }
    }

    /// Takes a retry's cost from the pool's budget, unless that was done or there is none. A refusal is counted once for a request,
    /// which may ask more often.
    fn pay(&mut self, cause: Cause) -> bool {
        if self.budget_paid || !cause.costs() {
            return true;
        }
        let worker = &self.talk.worker;
        let now = worker.clock.now().since_start();
        self.budget_paid = worker.pool(&self.pool).is_some_and(|pool| {
            let retry = retry(self.route.as_deref(), &pool);
            pool.budget().withdraw(retry, now)
        });
        if !self.budget_paid && !self.budget_refused {
            self.budget_refused = true;
            worker.counters.retry_refused(NoRetry::Budget);
        }
        self.budget_paid
    }

    /// Whether anything is left for a try after such a wait of what all tries together may take.
    fn has_time_for(&self, wait: Duration) -> bool {
        let talk = self.talk;
        // While the request is still arriving, its time has not begun.
        let end = self.due().min(talk.after(self.plan.response));
        talk.after(wait) < end
    }

    async fn pause(&mut self, wait: Duration) -> Again {
        if wait.is_zero() {
            return Again::Now;
        }
        let talk = self.talk;
        let held = self.held.as_deref();
        let buffer = &mut self.space.client;
        let until = talk.after(wait);
        let mut watch = Watch::new();
        let arm = |watch: &Watch| {
            let next = until.min(watch.until()).min(talk.after(LOOK_EACH));
            talk.timer.set(next);
        };
        arm(&watch);
        poll_fn(|context| {
            match watch.look(talk, context, buffer) {
                Ok(true) => arm(&watch),
                Ok(false) => {}
                Err(Gone) => return Poll::Ready(Again::ClientGone),
            }
            while talk.timer.poll_expired(context).is_ready() {
                let now = talk.worker.clock.now();
                if watch.is_over(talk) {
                    return Poll::Ready(Again::ClientGone);
                }
                if held.is_some_and(|held| held.is_overdue(now.since_start())) {
                    return Poll::Ready(Again::Never);
                }
                if now >= until {
                    return Poll::Ready(Again::Now);
                }
                arm(&watch);
            }
            Poll::Pending
        })
        .await
    }
}
