//! Which servers of a pool are ejected, and until when: one balancer's own doing, on its own evidence.
//!
//! A worker that sees a rule broken ejects at once; it knows neither the time nor chance, so how long an ejection lasts is settled a
//! moment later, off the request path, where servers are also compared with one another and those whose time is over come back.
//! Never are more than a share of the pool's servers ejected, and never the last one that may be used.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::Health;
use parking_lot::Mutex;

use crate::outlier::{Rule, Tally, outliers};
use crate::{Live, Server};

/// One pool's, shared by all threads and by every table that knows the pool. Times are on the callers' clock.
#[derive(Debug, Default)]
pub struct Ejections(Mutex<Wards>);

/// A server that was ejected just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// The incarnation's number.
    pub server: u64,
    pub rule: Rule,
    /// How long it is ejected for.
    pub lasts: Duration,
}

#[derive(Debug, Default)]
struct Wards {
    rules: model::Outlier,
    members: BTreeMap<u64, Member>,
    ejected: usize,
    /// When servers were compared last.
    compared: Option<Duration>,
}

/// A server of the pool.
#[derive(Debug)]
struct Member {
    /// Not held: the server holds what stands before its pool, and so this.
    live: Weak<Live>,
    wanted: bool,
    health: Health,
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

impl Ejections {
    /// The pool's settings and servers are these now. What is known of each incarnation stays.
    pub(crate) fn update(&self, rules: &model::Outlier, servers: &[Arc<Server>]) {
        let mut wards = self.0.lock();
        let mut former = std::mem::take(&mut wards.members);
        for server in servers {
            server.live().signs().follow(rules);
            let number = server.live().number();
            let member = former.remove(&number);
            let member = member.unwrap_or_else(|| Member::new(server));
            wards.members.insert(number, member);
            wards.judge(number, server);
        }
        for gone in former.into_values() {
            wards.ejected -= usize::from(gone.is_ejected());
            gone.mark(false);
        }
        wards.rules = rules.clone();
        wards.keep_within();
    }

    /// Ejects a server that has broken a rule, where that may be.
    pub(crate) fn accuse(&self, server: &Live, rule: Rule) {
        self.0.lock().eject(server.number(), rule);
    }

    /// Ends the ejections whose time is over, compares servers where it is time for that, and settles how long new ejections last:
    /// those are answered. `chance` is from 0 to 1 each time.
    pub fn settle(&self, now: Duration, mut chance: impl FnMut() -> f64) -> Vec<Ejection> {
        let mut wards = self.0.lock();
        let interval = wards.rules.interval;
        let compares = now >= *wards.compared.get_or_insert(now) + interval;
        if wards.ejected > 0 {
            wards.release_due(now);
        }
        if compares {
            wards.compared = Some(now);
            wards.compare();
            wards.forgive(now);
        }
        if wards.ejected == 0 {
            return Vec::new();
        }
        wards.sentence(now, &mut chance)
    }
}

impl Wards {
    /// Takes in the verdict on a server. One that was down and is up was found to fail, and to fail no more, so that its ejection says
    /// nothing any more; one that stayed up stays ejected: what this balancer saw stands.
    fn judge(&mut self, number: u64, server: &Server) {
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        let recovered = member.health == Health::Down && server.health() == Health::Up;
        member.wanted = server.is_wanted();
        member.health = server.health();
        if recovered {
            self.release(number, None);
        }
    }

    fn eject(&mut self, number: u64, rule: Rule) {
        let full = self.ejected >= self.allowed();
        if full || !self.has_other(number) {
            return;
        }
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        if member.is_ejected() || !member.is_usable() {
            return;
        }
        member.state = State::Fresh(rule);
        member.times = member.times.saturating_add(1);
        member.mark(true);
        self.ejected += 1;
    }

    fn release(&mut self, number: u64, now: Option<Duration>) {
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        if member.is_ejected() {
            member.state = State::Free(now);
            member.mark(false);
            self.ejected -= 1;
        }
    }

    /// How many may be ejected at the same time.
    fn allowed(&self) -> usize {
        let share = self.rules.ejected_share * self.members.len() as f64;
        // A whole number may come out of a product a little short.
        (share + 1e-9).floor() as usize
    }

    /// Whether some other server may be used.
    fn has_other(&self, number: u64) -> bool {
        let mut others = self.members.iter().filter(|(other, _)| **other != number);
        others.any(|(_, member)| member.is_usable() && !member.is_ejected())
    }

    /// Lets go of some where there are fewer servers than before, or none left to use.
    fn keep_within(&mut self) {
        while self.ejected > self.allowed() || (self.ejected > 0 && !self.has_other(u64::MAX)) {
            let ejected = self.members.iter().filter(|(_, one)| one.is_ejected());
            let first = ejected.min_by_key(|(_, one)| (!one.is_usable(), one.ends()));
            let Some(number) = first.map(|(number, _)| *number) else {
                return;
            };
            self.release(number, None);
        }
    }

    fn release_due(&mut self, now: Duration) {
        let members = self.members.iter();
        let due = members.filter(|(_, one)| matches!(one.state, State::Until(end) if end <= now));
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for number in due {
            self.release(number, Some(now));
        }
    }

    fn compare(&mut self) {
        let mut tallies = Vec::with_capacity(self.members.len());
        for (number, member) in &mut self.members {
            let total = member
                .live
                .upgrade()
                .map_or(member.counted, |live| live.tally());
            let tally = total.since(std::mem::replace(&mut member.counted, total));
            if !member.is_ejected() {
                tallies.push((*number, tally));
            }
        }
        for (number, rule) in outliers(&self.rules, &tallies) {
            self.eject(number, rule);
        }
    }

    /// Each interval without an ejection makes the next one shorter.
    fn forgive(&mut self, now: Duration) {
        for member in self.members.values_mut().filter(|one| one.times > 0) {
            let State::Free(since) = &mut member.state else {
                continue;
            };
            let since = since.get_or_insert(now);
            while member.times > 0 && *since + self.rules.interval <= now {
                *since += self.rules.interval;
                member.times -= 1;
            }
        }
    }

    fn sentence(&mut self, now: Duration, chance: &mut impl FnMut() -> f64) -> Vec<Ejection> {
        let mut sentenced = Vec::new();
        for (number, member) in &mut self.members {
            let State::Fresh(rule) = member.state else {
                continue;
            };
            let lasts = length(&self.rules, member.times, chance());
            member.state = State::Until(now + lasts);
            sentenced.push(Ejection {
                server: *number,
                rule,
                lasts,
            });
        }
        sentenced
    }
}

/// How long the n-th ejection lasts: shorter by chance by up to the share of jitter, so that servers ejected together do not come back
/// together.
fn length(rules: &model::Outlier, times: u32, chance: f64) -> Duration {
    let longest = rules.ejection.saturating_mul(times.max(1));
    let less = (rules.jitter * chance).clamp(0.0, 1.0);
    longest.min(rules.ejection_max).mul_f64(1.0 - less)
}

impl Member {
    fn new(server: &Server) -> Self {
        Self {
            live: Arc::downgrade(server.live()),
            wanted: server.is_wanted(),
            health: server.health(),
            state: State::Free(None),
            times: 0,
            counted: server.live().tally(),
        }
    }

    /// So that whoever picks sees it.
    fn mark(&self, ejected: bool) {
        if let Some(live) = self.live.upgrade() {
            live.signs().eject(ejected);
        }
    }

    fn is_ejected(&self) -> bool {
        !matches!(self.state, State::Free(_))
    }

    fn is_usable(&self) -> bool {
        self.wanted && self.health != Health::Down
    }

    fn ends(&self) -> Duration {
        match self.state {
            State::Until(end) => end,
            State::Free(_) | State::Fresh(_) => Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests;
