//! The follower: keeps one process's copy of the registry true, as a pure state machine.
//!
//! It is told what arrived, and asked what to read. Whatever is doubtful (a gap, a fork, a heartbeat that
//! says something else, a new connection) has one answer: the log after the own position. Where the log does
//! not hold that very position, cannot be read, or ends before the head that raised the doubt, it is the
//! snapshot. So there is one way back to the truth, not one a cause.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Collection, Delta, Fault, InstanceId, Moment, Origin, Position, Revision, Snapshot, Term,
};
use rand::rngs::SmallRng;

use crate::backoff::Backoff;
use crate::guard::{Cause, Guard};
use crate::{Announcement, Head, Snapshotted, Witness};

mod reading;
mod shown;
mod step;

use step::{Step, place};

/// How often the head is read, about, however quiet the subscription is.
pub const HEAD_CHECK_PERIOD: Duration = Duration::from_secs(5);

/// How often the head is looked for where there is none, about.
const HEAD_SEARCH_PERIOD: Duration = Duration::from_secs(1);

/// How long a look for damage is put off for each element that it reads, so that a large fleet is read seldom.
const AUDIT_PAUSE: Duration = Duration::from_millis(1);

/// How often at most verdicts are judged again where the guard does not ask for it.
const GUARD_PAUSE: Duration = Duration::from_secs(1);

/// How many deltas are kept while a read is under way. Where more come, the log is read again.
const BUFFER_LENGTH: usize = 1024;

/// How many applied deltas are remembered, for what a failover may lose.
const RECENT_LENGTH: usize = 256;

/// What to ask the registry for. At most one request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Answered by `Subscribed`.
    Subscribe,
    /// Answered by `Head`.
    ReadHead,
    /// Answered by `Log`.
    ReadLog(Position),
    /// Answered by `Snapshot`.
    ReadSnapshot,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The subscription is confirmed.
    Subscribed,
    /// The subscription's connection ended.
    Lost,
    Announced(Announcement),
    Head(Option<Head>),
    Log(Option<Vec<Delta>>),
    Snapshot(Option<Box<Snapshotted>>),
    /// The request under way was not answered.
    Failed,
    /// What this process asked elsewhere was answered as if the registry were not what it was.
    Doubted,
    /// Time passed.
    Tick,
}

/// The leader by the last heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub instance: InstanceId,
    pub term: Term,
    pub at: Duration,
}

/// What has to be read, the stronger last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    None,
    Log,
    Snapshot,
}

/// The state machine. Times are durations on one monotonic clock of the process.
#[derive(Debug, Clone)]
pub struct Follower {
    truth: Option<Arc<Snapshot>>,
    origin: Origin,
    guard: Option<Guard>,
    connected: bool,
    head_missing: bool,
    leader: Option<Heard>,
    damage: Vec<Fault>,
    /// Collections of which the own copy is a damaged one: the others were whole at this position once.
    tainted: BTreeSet<Collection>,
    /// Whether the registry's content is read again now and then, although nothing raised a doubt.
    audits: bool,
    /// Whether the read under way only looks for damage.
    reading_is_audit: bool,
    recent: VecDeque<Delta>,
    /// Of those, the ones that say when they were committed.
    dated: VecDeque<(Revision, Moment)>,
    abandoned: Option<Arc<[Delta]>>,
    under_way: Option<Request>,
    doubt: Doubt,
    /// The head that raised the doubt, where one did: what a log must reach.
    expected: Option<Position>,
    /// Deltas that arrived since the read under way was sent.
    buffer: VecDeque<Delta>,
    overflowed: bool,
    retry_at: Duration,
    head_check_at: Duration,
    /// Whether the read under way was sent before somebody doubted: what it says may be of before.
    doubted: bool,
    audit_at: Duration,
    guard_at: Duration,
    backoff: Backoff,
    changed: bool,
}

impl Follower {
    /// One that knows nothing yet and holds nothing back.
    pub fn new(random: SmallRng) -> Self {
        Self {
            truth: None,
            origin: Origin::Nothing,
            guard: None,
            connected: false,
            head_missing: false,
            leader: None,
            damage: Vec::new(),
            tainted: BTreeSet::new(),
            audits: false,
            reading_is_audit: false,
            recent: VecDeque::new(),
            dated: VecDeque::new(),
            abandoned: None,
            under_way: None,
            doubt: Doubt::None,
            expected: None,
            buffer: VecDeque::new(),
            overflowed: false,
            retry_at: Duration::ZERO,
            head_check_at: Duration::ZERO,
            doubted: false,
            audit_at: Duration::ZERO,
            guard_at: Duration::ZERO,
            backoff: Backoff::new(random),
            changed: true,
        }
    }

    /// Holds back mass withdrawals, and verdicts that the witness contradicts.
    #[must_use]
    pub fn guarded(mut self, witness: Option<Arc<dyn Witness>>) -> Self {
        self.guard = Some(Guard::new(witness));
        self
    }

    /// Looks now and then for what other hands did to the registry: no delta tells of it.
    #[must_use]
    pub fn auditing(mut self) -> Self {
        self.audits = true;
        self
    }

    /// Starts from what was saved: the registry's state, what was acted on where something was held, and the
    /// collections of it that were read from a damaged registry. What those lack no log tells.
    #[must_use]
    pub fn booted(
        mut self,
        truth: Snapshot,
        in_force: Option<Snapshot>,
        tainted: BTreeSet<Collection>,
    ) -> Self {
        if !tainted.is_empty() {
            self.doubt = Doubt::Snapshot;
        }
        self.tainted = tainted;
        let truth = Arc::new(truth);
        if let Some(guard) = &mut self.guard {
            guard.restore(&truth, in_force.map(Arc::new));
        }
        self.truth = Some(truth);
        self.origin = Origin::Disk;
        self
    }

    /// The request to send now, if one is due and none is under way.
    pub fn request(&mut self, now: Duration) -> Option<Request> {
        if self.under_way.is_some() || now < self.retry_at {
            return None;
        }
        let request = self.due_request(now)?;
        self.under_way = Some(request);
        self.doubted = false;
        self.reading_is_audit = request == Request::ReadSnapshot && self.is_sure();
        if matches!(request, Request::ReadLog(_) | Request::ReadSnapshot) {
            // What is read from now on covers all that was announced so far.
            self.doubt = Doubt::None;
            self.buffer.clear();
            self.overflowed = false;
        }
        Some(request)
    }

    fn due_request(&self, now: Duration) -> Option<Request> {
        if !self.connected {
            return Some(Request::Subscribe);
        }
        match (self.doubt, self.position()) {
            (Doubt::Log, Some(own)) => Some(Request::ReadLog(own)),
            (Doubt::Log | Doubt::Snapshot, _) => Some(Request::ReadSnapshot),
            (Doubt::None, _) if now < self.head_check_at => None,
            // Damage is over when a snapshot says so.
            (Doubt::None, _) if self.looks_for_damage() && now >= self.audit_at => {
                Some(Request::ReadSnapshot)
            }
            (Doubt::None, _) => Some(Request::ReadHead),
        }
    }

    fn looks_for_damage(&self) -> bool {
        self.audits || !self.damage.is_empty()
    }

    /// Whether the own copy is the registry's, and whole.
    fn is_sure(&self) -> bool {
        let followed = self.origin == Origin::Registry && !self.head_missing;
        followed && self.doubt == Doubt::None && self.tainted.is_empty()
    }

    /// When to call again where nothing arrives: for `request`, or with `Input::Tick`.
    pub fn wake(&self) -> Duration {
        let waiting = self.connected && self.doubt == Doubt::None;
        let request = match self.under_way {
            Some(_) => Duration::MAX,
            None if waiting => self.retry_at.max(self.head_check_at),
            None => self.retry_at,
        };
        match self.next_look() {
            Some(_) => request.min(self.guard_at),
            None => request,
        }
    }

    fn next_look(&self) -> Option<Duration> {
        self.guard.as_ref().and_then(Guard::look_again)
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Subscribed => self.subscribed(),
            Input::Lost => self.lost(now),
            Input::Announced(Announcement::Delta(delta)) => self.announced(delta),
            Input::Announced(Announcement::Heartbeat(head)) => self.heartbeat(&head, now),
            Input::Head(head) => self.head_read(head.as_ref(), now),
            Input::Log(log) => self.log_read(log, now),
            Input::Snapshot(read) => self.snapshot_read(read.map(|read| *read), now),
            Input::Failed => self.failed(now),
            Input::Doubted => self.doubted(now),
            Input::Tick => self.tick(now),
        }
        if let Some(pause) = self.next_look() {
            self.guard_at = self.guard_at.min(now + pause);
        }
    }

    fn subscribed(&mut self) {
        self.under_way = None;
        self.connected = true;
        self.changed = true;
        self.doubt = self.doubt.max(Doubt::Log);
    }

    fn lost(&mut self, now: Duration) {
        self.connected = false;
        self.changed = true;
        self.retry_at = now + self.backoff.failed();
    }

    fn failed(&mut self, now: Duration) {
        let was_audit = std::mem::take(&mut self.reading_is_audit);
        match self.under_way.take() {
            // It was no doubt that asked, and what does ask is not kept waiting.
            Some(Request::ReadSnapshot) if was_audit => self.audit_at = now + HEAD_CHECK_PERIOD,
            // A log that cannot be read may never be readable again.
            Some(Request::ReadLog(_) | Request::ReadSnapshot) => self.doubt = Doubt::Snapshot,
            Some(Request::Subscribe | Request::ReadHead) | None => {}
        }
        self.retry_at = now + self.backoff.failed();
    }

    /// Looks at once, and not at the next of its own looks.
    fn doubted(&mut self, now: Duration) {
        self.head_check_at = now;
        self.doubted = self.under_way.is_some();
    }

    fn announced(&mut self, delta: Delta) {
        let reading = matches!(
            self.under_way,
            Some(Request::ReadLog(_) | Request::ReadSnapshot)
        );
        if !reading || self.reading_is_audit {
            self.take(delta);
        } else if self.buffer.len() < BUFFER_LENGTH {
            self.buffer.push_back(delta);
        } else {
            self.overflowed = true;
        }
    }

    /// Applies an announced delta where it is the next one; an older one is ignored, any other is a doubt.
    fn take(&mut self, delta: Delta) {
        match place(self.position(), &delta) {
            Step::Next => self.apply(delta),
            Step::Older => {}
            Step::Elsewhere => self.doubt = self.doubt.max(Doubt::Log),
        }
    }

    /// A head that is not at our position is a doubt and no more: a lost hint, a lost write or a new history
    /// look alike until the log is read. Only one that arrives while nothing is read says anything.
    fn heartbeat(&mut self, head: &Head, now: Duration) {
        self.leader = head.leader.map(|instance| Heard {
            instance,
            term: head.term,
            at: now,
        });
        self.changed = true;
        self.compare(head);
    }

    fn compare(&mut self, head: &Head) {
        if self.under_way.is_none() && self.position() != Some(head.position) {
            self.doubt = self.doubt.max(Doubt::Log);
            self.expected = Some(head.position);
        }
    }

    fn tick(&mut self, now: Duration) {
        if now < self.guard_at {
            return;
        }
        self.guard_at = now + GUARD_PAUSE;
        if let (Some(guard), Some(truth)) = (&mut self.guard, &self.truth) {
            self.changed |= guard.update(truth, Cause::Tick);
        }
    }

    fn apply(&mut self, delta: Delta) {
        let truth = self
            .truth
            .as_mut()
            .expect("only what has a position has a next revision");
        match &mut self.guard {
            Some(guard) => guard.advance(truth, &delta),
            None => Arc::make_mut(truth).advance(&delta),
        }
        if let Some(time) = delta.time {
            push_bounded(&mut self.dated, (delta.revision, time));
        }
        push_bounded(&mut self.recent, delta);
        self.confirmed();
        self.changed = true;
    }
}

fn push_bounded<T>(recent: &mut VecDeque<T>, latest: T) {
    if recent.len() == RECENT_LENGTH {
        recent.pop_front();
    }
    recent.push_back(latest);
}

#[cfg(test)]
mod tests;
