//! Everything that is known of a pool's servers: what each is ejected for and until when, and what they are compared by.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::Health;

use super::Ejection;
use super::quota::Quota;
use crate::outlier::{Rule, Tally, outliers};
use crate::tier::Member;
use crate::{Live, Server};

#[derive(Debug, Default)]
pub(super) struct Records {
    rules: model::Outlier,
    /// In the order of their numbers.
    records: Vec<Record>,
    /// How many are ejected, those that may not be picked included.
    ejected: usize,
    /// When servers were compared last.
    compared: Option<Duration>,
}

/// What is known of one server of the pool.
#[derive(Debug)]
struct Record {
    /// The incarnation's.
    number: u64,
    /// Not held: the server holds what stands before its pool, and so this.
    live: Weak<Live>,
    health: Health,
    /// It may be picked.
    usable: bool,
    state: State,
    /// How many ejections count for the length of the next one.
    times: u32,
    /// What it had done when servers were compared last.
    counted: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has behaved well since.
    Free(Option<Duration>),
    /// It is ejected, and for how long is still to be settled.
    Fresh(Rule),
    Until(Duration),
}

impl Records {
    /// The pool's settings and servers are these now, and these members of it may be picked.
    pub(super) fn change(
        &mut self,
        rules: &model::Outlier,
        servers: &[Arc<Server>],
        members: &[Member],
        quota: &Quota,
    ) {
        self.note(quota.fresh());
        let former = std::mem::take(&mut self.records);
        let (gone, recovered) = self.look_after(former, rules, servers, members);
        let usable = self.records.iter().filter(|record| record.usable);
        let ejected = usable.clone().filter(|record| record.is_ejected()).count();
        let usable = usable.map(|record| record.number).collect();
        let late = quota.change(usable, rules.ejected_share, ejected);
        self.note(late);
        // Not before: nobody ejects them any more.
        for record in gone {
            self.ejected -= usize::from(record.is_ejected());
            record.clear();
        }
        for number in recovered {
            self.release(number, None, quota);
        }
        self.keep_within(quota);
    }

    /// Ends the ejections whose time is over, compares servers where it is time for that, and settles how long new ejections last.
    pub(super) fn settle(
        &mut self,
        quota: &Quota,
        now: Duration,
        mut chance: impl FnMut() -> f64,
    ) -> Vec<Ejection> {
        self.note(quota.fresh());
        let compares = now >= *self.compared.get_or_insert(now) + self.rules.interval;
        if self.ejected > 0 {
            self.release_due(now, quota);
        }
        if compares {
            self.compared = Some(now);
            self.compare(quota);
            self.forgive(now);
        }
        if self.ejected == 0 {
            return Vec::new();
        }
        self.set_lengths(now, &mut chance)
    }

    /// Whether somebody is ejected, as far as it was taken in.
    pub(super) fn has_ejected(&self) -> bool {
        self.ejected > 0
    }

    /// Takes in who was ejected.
    fn note(&mut self, fresh: Vec<(u64, Rule)>) {
        for (number, rule) in fresh {
            if let Some(record) = self.record(number) {
                record.state = State::Fresh(rule);
                record.times = record.times.saturating_add(1);
                self.ejected += 1;
            }
        }
    }

    fn record(&mut self, number: u64) -> Option<&mut Record> {
        let found = self
            .records
            .binary_search_by_key(&number, |record| record.number);
        found.ok().map(|index| &mut self.records[index])
    }

    /// Looks after these servers by these rules. Answers who is gone, and who has recovered.
    fn look_after(
        &mut self,
        former: Vec<Record>,
        rules: &model::Outlier,
        servers: &[Arc<Server>],
        members: &[Member],
    ) -> (Vec<Record>, Vec<u64>) {
        let (mut gone, mut recovered) = (Vec::new(), Vec::new());
        // Numbers grow with age, but for servers that were given another address.
        let mut order: Vec<(usize, &Arc<Server>)> = servers.iter().enumerate().collect();
        order.sort_by_key(|(_, server)| server.number());
        let same_rules = self.rules == *rules;
        let mut usable = vec![false; servers.len()];
        for member in members {
            usable[member.index] = true;
        }
        let mut former = former.into_iter().peekable();
        for (index, server) in order {
            let number = server.number();
            gone.extend(std::iter::from_fn(|| {
                former.next_if(|record| record.number < number)
            }));
            let known = former.next_if(|record| record.number == number);
            if known.is_none() || !same_rules {
                server.live().signs().follow(rules);
            }
            let mut record = known.unwrap_or_else(|| Record::new(server));
            if record.judge(server.health()) {
                recovered.push(number);
            }
            record.usable = usable[index];
            self.records.push(record);
        }
        gone.extend(former);
        self.rules = rules.clone();
        (gone, recovered)
    }

    fn release(&mut self, number: u64, now: Option<Duration>, quota: &Quota) {
        let Some(record) = self.record(number) else {
            return;
        };
        if record.is_ejected() {
            record.state = State::Free(now);
            let live = record.live.upgrade();
            self.ejected -= 1;
            quota.release(number, live.as_deref());
        }
    }

    /// Lets go of some where there are fewer servers than before, or none left to use: first of those that would come back first.
    fn keep_within(&mut self, quota: &Quota) {
        if !quota.is_exceeded() {
            return;
        }
        let ejected = self.records.iter();
        let ejected = ejected.filter(|record| record.usable && record.is_ejected());
        let mut ends: Vec<(Duration, u64)> = ejected
            .map(|record| (record.ends(), record.number))
            .collect();
        ends.sort_unstable();
        for (_, number) in ends {
            if !quota.is_exceeded() {
                return;
            }
            self.release(number, None, quota);
        }
    }

    fn release_due(&mut self, now: Duration, quota: &Quota) {
        let records = self.records.iter();
        let due = records.filter(|record| matches!(record.state, State::Until(end) if end <= now));
        let due: Vec<u64> = due.map(|record| record.number).collect();
        for number in due {
            self.release(number, Some(now), quota);
        }
    }

    fn compare(&mut self, quota: &Quota) {
        let mut tallies = Vec::with_capacity(self.records.len());
        for record in &mut self.records {
            let total = record.live.upgrade();
            let total = total.map_or(record.counted, |live| live.tally());
            let tally = total.since(std::mem::replace(&mut record.counted, total));
            if !record.is_ejected() {
                tallies.push((record.number, tally));
            }
        }
        for (number, rule) in outliers(&self.rules, &tallies) {
            let live = self.record(number).and_then(|record| record.live.upgrade());
            if let Some(live) = live {
                quota.eject(&live, rule);
            }
        }
        self.note(quota.fresh());
    }

    /// Each interval without an ejection makes the next one shorter.
    fn forgive(&mut self, now: Duration) {
        for record in self.records.iter_mut().filter(|one| one.times > 0) {
            let State::Free(since) = &mut record.state else {
                continue;
            };
            let since = since.get_or_insert(now);
            while record.times > 0 && *since + self.rules.interval <= now {
                *since += self.rules.interval;
                record.times -= 1;
            }
        }
    }

    fn set_lengths(&mut self, now: Duration, chance: &mut impl FnMut() -> f64) -> Vec<Ejection> {
        let mut settled = Vec::new();
        for record in &mut self.records {
            let State::Fresh(rule) = record.state else {
                continue;
            };
            let lasts = length(&self.rules, record.times, chance());
            record.state = State::Until(now + lasts);
            settled.push(Ejection {
                server: record.number,
                rule,
                lasts,
            });
        }
        settled
    }
}

/// How long the n-th ejection lasts: shorter by chance by up to the share of jitter, so that servers ejected together do not come back
/// together.
fn length(rules: &model::Outlier, times: u32, chance: f64) -> Duration {
    let longest = rules.ejection.saturating_mul(times.max(1));
    let less = (rules.jitter * chance).clamp(0.0, 1.0);
    longest.min(rules.ejection_max).mul_f64(1.0 - less)
}

impl Record {
    fn new(server: &Server) -> Self {
        Self {
            number: server.live().number(),
            live: Arc::downgrade(server.live()),
            health: server.health(),
            usable: false,
            state: State::Free(None),
            times: 0,
            counted: server.live().tally(),
        }
    }

    /// Takes in the verdict on it, and answers whether it has recovered. One that was down and is up was found to fail, and to fail no
    /// more, so that its ejection says nothing any more; one that stayed up stays ejected: what this balancer saw stands.
    fn judge(&mut self, health: Health) -> bool {
        let before = std::mem::replace(&mut self.health, health);
        before == Health::Down && health == Health::Up
    }

    /// It is not of the pool any more: should it come back, it begins anew.
    fn clear(&self) {
        if let Some(live) = self.live.upgrade() {
            live.signs().eject(false);
        }
    }

    fn is_ejected(&self) -> bool {
        !matches!(self.state, State::Free(_))
    }

    fn ends(&self) -> Duration {
        match self.state {
            State::Until(end) => end,
            State::Free(_) | State::Fresh(_) => Duration::MAX,
        }
    }
}
