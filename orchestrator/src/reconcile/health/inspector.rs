//! What the leader knows of every server: whom to probe next, on what grounds, and which verdicts the
//! registry has yet to be told. Pure: snapshots, outcomes and times in, assignments and changes out.
//!
//! It compares what it found with what the registry says, so that a verdict which was refused, lost or never
//! written is seen to be missing. As it would be found by comparing whole against whole, but at the price of
//! the differences: a server is sighted where a snapshot differs from the one before, and where what is known
//! of the registry is only what was sent to it.

mod panel;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Change, CheckKind, Health, Pool, Position, Report, Revision, Server, ServerKey, ServerState,
    Snapshot, Stamped, Verdict, differing,
};
use probe::Failure;
use rand::{Rng, RngExt};

use self::panel::Panel;
pub(crate) use self::panel::Voice;
pub(super) use self::subject::{Assignment, Errand};
use self::subject::{Sighting, Subject};
use super::schedule::{Schedule, Slot};

/// Between two probes of one server since somebody suspects it, at least: whoever cries wolf at each request
/// shall not have it probed at each request. Probes at its turn do not count, or a suspicion would be late.
const SUSPICION_PAUSE: Duration = Duration::from_millis(100);

/// How long verdicts that were written may take to come back with the snapshot.
const SETTLING: Duration = Duration::from_secs(5);

/// The most verdicts in one commit.
const CHANGES_MAX: usize = 1000;

/// A verdict that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) from: Health,
    pub(super) to: Health,
}

/// What an orchestrator inspects, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Part {
    /// Every server, for the registry.
    #[default]
    Leading,
    /// The servers of pools that ask for a majority, for the leader to hear.
    StandingBy,
}

/// All that is inspected. Times are since an anchor that the caller chooses.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    subjects: BTreeMap<ServerKey, Subject>,
    /// Verdicts in the registry on servers that are not inspected any more.
    outdated: BTreeMap<ServerKey, Revision>,
    /// The servers of which the registry has yet to be told something.
    behind: BTreeSet<ServerKey>,
    /// The snapshots whose servers and pools, and whose verdicts, have been taken in.
    seen: Option<Arc<Snapshot>>,
    heard: Option<Arc<Snapshot>>,
    /// Of these, what the registry says is not from `heard`.
    claimed: BTreeSet<ServerKey>,
    /// Servers that missed a renewal: any failed probe takes them down.
    lapsed: BTreeSet<ServerKey>,
    turns: Schedule,
    doubts: Schedule,
    part: Part,
    /// What the others say, and the servers on which a majority decides of which this one's probes found
    /// otherwise than the registry says.
    panel: Panel,
    contested: BTreeSet<ServerKey>,
    /// Whether another server is `behind` since this was last asked.
    moved: bool,
    /// Where the registry stood after the last verdicts, and until when a snapshot from before that is
    /// no reason to write them again.
    settling: Option<(Position, Duration)>,
}

impl Inspector {
    /// Takes in the fleet as it is now: who came, who went, who has another address or another check. Answers
    /// whom it had to sight for that.
    pub(super) fn sync(
        &mut self,
        snapshot: &Arc<Snapshot>,
        now: Duration,
        random: &mut impl Rng,
    ) -> BTreeSet<ServerKey> {
        let trusted = self.settle(snapshot, now);
        let mut keys = self.restructured(snapshot);
        if trusted {
            keys.append(&mut self.claimed);
            keys.append(&mut self.rejudged(snapshot));
        } else {
            self.claimed.extend(keys.iter().cloned());
        }
        for key in &keys {
            self.sight(key, snapshot, trusted, now, random);
        }
        keys
    }

    /// Begins anew, from the registry's verdicts alone: what another one's probes were about to find is not known.
    pub(super) fn restart(&mut self, part: Part) {
        *self = Self {
            part,
            ..Self::default()
        };
    }

    /// Takes in what the other orchestrators say of servers on which a majority decides.
    pub(super) fn hear(&mut self, voices: Option<Vec<Voice>>) {
        let mut keys = self.panel.hear(voices);
        keys.extend(self.contested.iter().cloned());
        for key in &keys {
            self.note(key);
        }
    }

    /// Whether a majority decides on this server, and not the own probes.
    pub(super) fn is_for_majority(&self, key: &ServerKey) -> bool {
        let subject = self.subjects.get(key);
        subject.is_some_and(|subject| subject.pool.value.decides_by_quorum())
    }

    /// Somebody saw this incarnation of a server fail.
    pub(super) fn doubt(&mut self, key: &ServerKey, incarnation: Revision, now: Duration) {
        let Some(subject) = self.subjects.get_mut(key) else {
            return;
        };
        if subject.incarnation == incarnation && subject.state.health() == Health::Up {
            subject.doubted = true;
            self.hurry(key, now);
        }
    }

    /// Which servers have missed a renewal, all of them.
    pub(super) fn lapse(&mut self, lapsed: &BTreeSet<ServerKey>, now: Duration) {
        if *lapsed == self.lapsed {
            return;
        }
        let new: Vec<_> = lapsed.difference(&self.lapsed).cloned().collect();
        self.lapsed.clone_from(lapsed);
        for key in new {
            if self.health(&key) == Some(Health::Up) {
                self.hurry(&key, now);
            }
        }
    }

    /// When the next probe of this kind is due.
    pub(super) fn next_due(&self, errand: Errand) -> Option<Duration> {
        match errand {
            Errand::Turn => self.turns.next(),
            Errand::Doubt => self.doubts.next(),
        }
    }

    /// The next probe of this kind, if one is due.
    pub(super) fn launch(&mut self, errand: Errand, now: Duration) -> Option<Assignment> {
        let schedule = match errand {
            Errand::Turn => &mut self.turns,
            Errand::Doubt => &mut self.doubts,
        };
        let key = schedule.pop(now)?;
        let lapsed = self.lapsed.contains(&key);
        let subject = self.subjects.get_mut(&key)?;
        Some(subject.launch(errand, key, lapsed, now))
    }

    /// What a probe found. It says nothing of another incarnation than the one that was probed.
    pub(super) fn finish(
        &mut self,
        probed: &Assignment,
        outcome: Result<(), Failure>,
        now: Duration,
        random: &mut impl Rng,
    ) -> Option<Transition> {
        let key = &probed.key;
        let subject = self.subjects.get_mut(key)?;
        if subject.incarnation != probed.incarnation {
            return None;
        }
        let from = subject.state.health();
        let to = subject.take_in(probed.errand, outcome, now);
        let (health, doubted) = (subject.state.health(), subject.doubted);
        if probed.errand == Errand::Turn {
            self.plan(key, now, random);
        }
        if health != Health::Up {
            self.doubts.remove(key);
        } else if doubted {
            self.hurry(key, now);
        }
        self.note(key);
        to.map(|to| Transition { from, to })
    }

    /// The incarnation of a server that is inspected.
    pub(super) fn incarnation(&self, key: &ServerKey) -> Option<Revision> {
        let subject = self.subjects.get(key)?;
        Some(subject.incarnation)
    }

    /// How many servers are inspected.
    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether other servers' verdicts differ from the registry's than when this was last asked. Not where they are more than
    /// are said at a time: most of them make no difference then, and the next look is soon enough.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved) && self.behind.len() <= Report::PROBES_MAX
    }

    /// What this one finds otherwise than the registry says, for whoever leads.
    pub(super) fn differing(&self) -> BTreeMap<ServerKey, Verdict> {
        let found = self.behind.iter().filter_map(|key| {
            let subject = self.subjects.get(key)?;
            Some((key.clone(), subject.verdict()))
        });
        found.take(Report::PROBES_MAX).collect()
    }

    /// Whether there are verdicts that the registry does not have yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The verdicts that the registry does not have yet.
    pub(super) fn unwritten(&self) -> Vec<Change> {
        let changes = self.behind.iter().filter_map(|key| {
            let verdict = match self.subjects.get(key) {
                Some(subject) => self.verdict(key, subject),
                None => withdrawn(*self.outdated.get(key)?),
            };
            Some(Change::Verdict(key.clone(), Some(verdict)))
        });
        changes.take(CHANGES_MAX).collect()
    }

    /// The registry has taken these verdicts, or refused some of them for good.
    pub(super) fn written(&mut self, changes: &[Change], position: Position, now: Duration) {
        for change in changes {
            let Change::Verdict(key, Some(verdict)) = change else {
                continue;
            };
            self.outdated.remove(key);
            if let Some(subject) = self.subjects.get_mut(key)
                && subject.incarnation == verdict.incarnation
            {
                subject.recorded = verdict.health;
            }
            self.claimed.insert(key.clone());
            self.note(key);
        }
        self.settling = Some((position, now + SETTLING));
    }

    fn health(&self, key: &ServerKey) -> Option<Health> {
        let subject = self.subjects.get(key)?;
        Some(subject.state.health())
    }

    /// Ends the wait for the verdicts that were written last where the snapshot tells of them, or never will. Whether nothing is
    /// waited for.
    fn settle(&mut self, snapshot: &Snapshot, now: Duration) -> bool {
        let Some((position, until)) = self.settling else {
            return true;
        };
        let present = snapshot.position;
        let settled = present.epoch != position.epoch || present.revision >= position.revision;
        if settled || now >= until {
            self.settling = None;
        }
        self.settling.is_none()
    }

    /// The servers that came, went or were changed since the last snapshot, or whose pool was.
    fn restructured(&mut self, snapshot: &Arc<Snapshot>) -> BTreeSet<ServerKey> {
        let mut keys = BTreeSet::new();
        let before = self.seen.replace(Arc::clone(snapshot));
        let Some(before) = before else {
            keys.extend(snapshot.servers.keys().cloned());
            return keys;
        };
        if Arc::ptr_eq(&before, snapshot) {
            return keys;
        }
        keys.extend(differing(&before.servers, &snapshot.servers).cloned());
        let pools: BTreeSet<_> = differing(&before.pools, &snapshot.pools).collect();
        if !pools.is_empty() {
            let servers = snapshot.servers.keys();
            keys.extend(servers.filter(|key| pools.contains(&key.pool)).cloned());
        }
        keys
    }

    /// The servers whose verdict in the registry came, went or changed since one was last trusted.
    fn rejudged(&mut self, snapshot: &Arc<Snapshot>) -> BTreeSet<ServerKey> {
        let mut keys = BTreeSet::new();
        let before = self.heard.replace(Arc::clone(snapshot));
        // At the first, every server is sighted anyway.
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, snapshot)) {
            keys.extend(differing(&before.health, &snapshot.health).cloned());
        }
        keys
    }

    /// Takes in what a snapshot says of one server.
    fn sight(
        &mut self,
        key: &ServerKey,
        snapshot: &Snapshot,
        trusted: bool,
        now: Duration,
        random: &mut impl Rng,
    ) {
        let known = self.subjects.remove(key);
        self.outdated.remove(key);
        let server = snapshot.servers.get(key);
        let recorded = server.map_or(Health::Unknown, |server| {
            recorded(snapshot, key, server.incarnation)
        });
        let part = self.part;
        let inspected = server.and_then(|server| Some((server, inspected(snapshot, server)?)));
        match inspected.filter(|(_, pool)| part.covers(&pool.value)) {
            Some((server, pool)) => {
                let known = known.filter(|known| known.incarnation == server.incarnation);
                let sighting = Sighting {
                    key,
                    server,
                    pool,
                    recorded,
                    trusted,
                };
                self.keep(known, sighting, now, random);
            }
            None => {
                self.turns.remove(key);
                self.doubts.remove(key);
                let is_outdated = trusted && recorded != Health::Unknown && part == Part::Leading;
                let outdated = server.filter(|_| is_outdated);
                let outdated = outdated.map(|server| (key.clone(), server.incarnation));
                self.outdated.extend(outdated);
            }
        }
        self.note(key);
    }

    /// Remembers whether the registry is behind on this server.
    fn note(&mut self, key: &ServerKey) {
        let subject = self.subjects.get(key);
        let is_news = |subject: &Subject| subject.is_news(self.health_of(key, subject));
        let is_contested =
            |subject: &Subject| subject.is_contrary() && subject.pool.value.decides_by_quorum();
        let is_behind = subject.is_some_and(is_news) || self.outdated.contains_key(key);
        let is_contested = subject.is_some_and(is_contested);
        self.moved |= put(&mut self.behind, key, is_behind);
        put(&mut self.contested, key, is_contested);
    }

    /// What is to be said of a server: by its own probes, or by all orchestrators' where a majority decides.
    fn health_of(&self, key: &ServerKey, subject: &Subject) -> Health {
        let own = subject.state.health();
        if self.asks_others(subject) {
            let (incarnation, present) = (subject.incarnation, subject.recorded);
            self.panel.health(key, incarnation, present, own)
        } else {
            own
        }
    }

    fn verdict(&self, key: &ServerKey, subject: &Subject) -> Verdict {
        let own = subject.verdict();
        if self.asks_others(subject) {
            self.panel.verdict(key, subject.recorded, &own)
        } else {
            own
        }
    }

    fn asks_others(&self, subject: &Subject) -> bool {
        self.part == Part::Leading && subject.pool.value.decides_by_quorum()
    }

    fn keep(
        &mut self,
        known: Option<Subject>,
        sighting: Sighting<'_>,
        now: Duration,
        random: &mut impl Rng,
    ) {
        let key = sighting.key;
        let Some(mut subject) = known else {
            let new = sighting.recorded == Health::Unknown;
            self.subjects.insert(key.clone(), Subject::new(sighting));
            self.doubts.remove(key);
            if new {
                // Before all those whose turn it is.
                self.turns.set(key, Duration::ZERO);
            } else {
                self.plan(key, now, random);
            }
            return;
        };
        if sighting.trusted {
            subject.recorded = sighting.recorded;
        }
        let moved = subject.adopt(sighting.server, sighting.pool) && subject.on_turn.is_none();
        self.subjects.insert(key.clone(), subject);
        if moved {
            self.plan(key, now, random);
        }
    }

    /// Has a server probed at its next regular turn.
    fn plan(&mut self, key: &ServerKey, now: Duration, random: &mut impl Rng) {
        let Some(subject) = self.subjects.get_mut(key) else {
            return;
        };
        let check = &subject.pool.value.health;
        let chance = random.random();
        let slot = match subject.turn {
            Some(turn) => Slot::after(turn, key, check, now, chance),
            None => Slot::first(key, check, now, chance),
        };
        subject.planned = Some(slot.number);
        self.turns.set(key, slot.at);
    }

    /// Has a server probed that is suspected: at once, beside a probe at its turn; after one that is made
    /// since it is suspected, which a suspicion that came meanwhile outlives.
    fn hurry(&mut self, key: &ServerKey, now: Duration) {
        let Some(subject) = self.subjects.get(key) else {
            return;
        };
        if subject.on_doubt.is_some() {
            return;
        }
        let earliest = subject.suspected.map(|last| last + SUSPICION_PAUSE);
        let at = earliest.filter(|at| *at > now).unwrap_or(Duration::ZERO);
        self.doubts.set(key, at);
    }
}

impl Part {
    fn covers(self, pool: &Pool) -> bool {
        self == Self::Leading || pool.decides_by_quorum()
    }
}

/// Puts a server into a set, or takes it out; whether it was not so before.
fn put(set: &mut BTreeSet<ServerKey>, key: &ServerKey, member: bool) -> bool {
    if member {
        !set.contains(key) && set.insert(key.clone())
    } else {
        set.remove(key)
    }
}

/// The verdict on a server that is not inspected any more.
fn withdrawn(incarnation: Revision) -> Verdict {
    Verdict {
        incarnation,
        health: Health::Unknown,
        reason: "not inspected any more".into(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    }
}

/// The pool by whose check the server is inspected, if it is.
fn inspected(snapshot: &Snapshot, server: &Stamped<Server>) -> Option<Arc<Stamped<Pool>>> {
    let pool = snapshot.pools.get(&server.value.pool)?;
    let inspected =
        server.value.state != ServerState::Disabled && pool.value.health.kind != CheckKind::None;
    inspected.then(|| Arc::clone(pool))
}

/// What the registry says of this incarnation.
fn recorded(snapshot: &Snapshot, key: &ServerKey, incarnation: Revision) -> Health {
    match snapshot.health.get(key) {
        Some(verdict) if verdict.value.incarnation == incarnation => verdict.value.health,
        _ => Health::Unknown,
    }
}

#[cfg(test)]
mod tests;
