//! Whether this orchestrator leads, as a pure state machine.
//!
//! The lease counts from the moment its request was sent, on the owner's own clock, less a margin: the
//! owner always stops before the registry lets another one in. A process that was stopped and resumed
//! asks `leadership` before each write and learns that it may not. The registry refuses late writes anyway,
//! by epoch and term; this spares the attempt, and covers what is not a write.

use std::time::Duration;

use model::{Author, Epoch, InstanceId, Term};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::Head;
use crate::timing::{CANDIDACY_PERIOD, HEARTBEAT_PERIOD, TAKEOVER};

/// How much earlier than the registry the owner considers its lease over, at most.
const MARGIN: Duration = Duration::from_millis(500);

/// Within what time all who stand by ask for a lease that was given back: not in one instant, and long before
/// any of them would have asked by itself.
const FREED_SPREAD: Duration = Duration::from_millis(10);

/// A leadership, as every write of the leader must name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    pub instance: InstanceId,
    pub epoch: Epoch,
    pub term: Term,
}

impl Leadership {
    /// The author of the leader's own changes. Their commits also name the epoch.
    pub fn author(&self) -> Author {
        Author::Leader {
            instance: self.instance,
            term: self.term,
        }
    }
}

/// What to ask the registry for, with the lease's `lifetime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRequest {
    Acquire,
    Renew(Term),
    Release(Term),
}

/// What follows from within what time another one is to lead.
#[derive(Debug, Clone, Copy)]
struct Periods {
    takeover: Duration,
}

impl Periods {
    /// How long the registry keeps the lease: the next candidate's request fits into what is left of the time.
    fn lifetime(self) -> Duration {
        self.takeover - self.candidacy()
    }

    /// A third, but never without a heartbeat for longer than everybody expects.
    fn renewal(self) -> Duration {
        (self.takeover / 3).min(HEARTBEAT_PERIOD)
    }

    fn margin(self) -> Duration {
        (self.takeover / 6).min(MARGIN)
    }

    /// How long a candidate waits at most before it asks again, and how soon a request that failed is made again while the
    /// lease still runs.
    fn candidacy(self) -> Duration {
        (self.takeover / 12).min(CANDIDACY_PERIOD)
    }
}

/// One orchestrator's view of the lease. Times are durations on one monotonic clock of the process.
#[derive(Debug, Clone)]
pub struct Lease {
    instance: InstanceId,
    state: State,
    /// When the request under way was sent.
    sent: Option<Duration>,
    /// When the next request is due.
    due: Duration,
    periods: Periods,
    /// Whether the lease was given back while a request was under way, whose answer may be from before.
    freed: bool,
    /// How long it stands by at most before it asks again.
    candidacy: Duration,
    random: SmallRng,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Standby,
    Leading {
        leadership: Leadership,
        sure_until: Duration,
    },
    Resigned,
}

impl Lease {
    /// A candidate, whose first request is due at once.
    pub fn new(instance: InstanceId, random: SmallRng) -> Self {
        Self {
            instance,
            state: State::Standby,
            sent: None,
            due: Duration::ZERO,
            periods: Periods { takeover: TAKEOVER },
            freed: false,
            candidacy: CANDIDACY_PERIOD,
            random,
        }
    }

    /// The same, where another one is to lead within this time of a leader's sudden end.
    #[must_use]
    pub fn within(self, takeover: Duration) -> Self {
        let periods = Periods { takeover };
        Self {
            periods,
            candidacy: periods.candidacy(),
            ..self
        }
    }

    /// How long the registry keeps a lease that is not renewed.
    pub fn lifetime(&self) -> Duration {
        self.periods.lifetime()
    }

    /// Asks so seldom of itself that only an announcement can make it lead: for tests of announcements.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn asking_each(mut self, candidacy: Duration) -> Self {
        self.candidacy = candidacy;
        self
    }

    /// The request to send now, if one is due and none is under way. Its answer goes to `answered`.
    pub fn request(&mut self, now: Duration) -> Option<LeaseRequest> {
        if self.sent.is_some() || now < self.due {
            return None;
        }
        let request = match self.state {
            State::Standby => LeaseRequest::Acquire,
            State::Leading { leadership, .. } => LeaseRequest::Renew(leadership.term),
            State::Resigned => return None,
        };
        self.sent = Some(now);
        Some(request)
    }

    /// When `request` next has something to say, unless a request is under way.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Whether a request is under way.
    pub fn is_waiting(&self) -> bool {
        self.sent.is_some()
    }

    /// Takes the answer to the request under way: the head that the lease was taken or renewed with,
    /// nothing where somebody else holds it, or a failure of which nobody knows what it did.
    pub fn answered(&mut self, answer: Result<Option<&Head>, ()>, now: Duration) {
        let Some(sent) = self.sent.take() else { return };
        match answer {
            Ok(Some(head)) if !matches!(self.state, State::Resigned) => self.lead(head, sent),
            Ok(_) => self.step_down(now),
            Err(()) => self.due = now + self.retry_delay(),
        }
    }

    /// The leadership to act under, if it is certain at this moment. To be asked before each write.
    pub fn leadership(&self, now: Duration) -> Option<Leadership> {
        match self.state {
            State::Leading {
                leadership,
                sure_until,
            } if now < sure_until => Some(leadership),
            _ => None,
        }
    }

    /// Until when the leadership is certain, where there is one: somebody should look again then.
    pub fn sure_until(&self) -> Option<Duration> {
        match self.state {
            State::Leading { sure_until, .. } => Some(sure_until),
            _ => None,
        }
    }

    /// The registry refused a write of this leadership: it knows better. Of a former one, it is no news.
    pub fn refused(&mut self, refused: Leadership, now: Duration) {
        if matches!(self.state, State::Leading { leadership, .. } if leadership == refused) {
            self.step_down(now);
        }
    }

    /// Somebody gave the lease back: who stands by asks at once.
    pub fn freed(&mut self, now: Duration) {
        if !matches!(self.state, State::Standby) {
            return;
        }
        self.freed = self.sent.is_some();
        self.due = self.due.min(now + self.freed_delay());
    }

    /// Gives up for good: the request to send, where there is a lease to give back.
    pub fn resign(&mut self) -> Option<LeaseRequest> {
        let state = std::mem::replace(&mut self.state, State::Resigned);
        match state {
            State::Leading { leadership, .. } => Some(LeaseRequest::Release(leadership.term)),
            _ => None,
        }
    }

    fn lead(&mut self, head: &Head, sent: Duration) {
        let leadership = Leadership {
            instance: self.instance,
            epoch: head.position.epoch,
            term: head.term,
        };
        // A new leader's first renewal is due at once: it is the heartbeat by which all learn of it.
        self.due = match self.state {
            State::Leading { .. } => sent + self.periods.renewal(),
            _ => sent,
        };
        self.freed = false;
        self.state = State::Leading {
            leadership,
            sure_until: sent + self.periods.lifetime() - self.periods.margin(),
        };
    }

    fn step_down(&mut self, now: Duration) {
        if !matches!(self.state, State::Resigned) {
            self.state = State::Standby;
        }
        self.due = now + self.candidacy_delay();
    }

    fn retry_delay(&mut self) -> Duration {
        match self.state {
            State::Leading { .. } => self.periods.candidacy(),
            _ => self.candidacy_delay(),
        }
    }

    /// Candidates do not ask in step.
    fn candidacy_delay(&mut self) -> Duration {
        if std::mem::take(&mut self.freed) {
            return self.freed_delay();
        }
        self.candidacy.mul_f64(self.random.random_range(0.5..1.0))
    }

    fn freed_delay(&mut self) -> Duration {
        FREED_SPREAD.mul_f64(self.random.random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests;
