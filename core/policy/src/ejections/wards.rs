//! Everything that is known of a pool's servers: what each is ejected for and until when, and what they are compared by.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::Health;

use super::Ejection;
use super::docket::Docket;
use crate::outlier::{Rule, Tally, outliers};
use crate::tier::Member;
use crate::{Live, Server};

#[derive(Debug, Default)]
pub(super) struct Wards {
    rules: model::Outlier,
    wards: BTreeMap<u64, Ward>,
    /// How many are ejected, those that may not be picked included.
    ejected: usize,
    /// When servers were compared last.
    compared: Option<Duration>,
}

/// A server of the pool.
#[derive(Debug)]
struct Ward {
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

impl Wards {
    /// The pool's settings and servers are these now, and these members of it may be picked.
    pub(super) fn change(
        &mut self,
        rules: &model::Outlier,
        servers: &[Arc<Server>],
        members: &[Member],
        docket: &Docket,
    ) {
        self.note(docket.fresh());
        let former = std::mem::take(&mut self.wards);
        let (gone, recovered) = self.look_after(former, rules, servers, members);
        let usable = self.wards.iter().filter(|(_, ward)| ward.usable);
        let ejected = usable.clone().filter(|(_, ward)| ward.is_ejected()).count();
        let usable = usable.map(|(number, _)| *number).collect();
        let late = docket.change(usable, rules.ejected_share, ejected);
        self.note(late);
        // Not before: nobody ejects them any more.
        for ward in gone {
            self.ejected -= usize::from(ward.is_ejected());
            ward.pardon();
        }
        for number in recovered {
            self.release(number, None, docket);
        }
        self.keep_within(docket);
    }

    /// Ends the ejections whose time is over, compares servers where it is time for that, and settles how long new ejections last.
    pub(super) fn settle(
        &mut self,
        docket: &Docket,
        now: Duration,
        mut chance: impl FnMut() -> f64,
    ) -> Vec<Ejection> {
        self.note(docket.fresh());
        let compares = now >= *self.compared.get_or_insert(now) + self.rules.interval;
        if self.ejected > 0 {
            self.release_due(now, docket);
        }
        if compares {
            self.compared = Some(now);
            self.compare(docket);
            self.forgive(now);
        }
        if self.ejected == 0 {
            return Vec::new();
        }
        self.sentence(now, &mut chance)
    }

    /// Takes in who was ejected.
    fn note(&mut self, fresh: Vec<(u64, Rule)>) {
        for (number, rule) in fresh {
            if let Some(ward) = self.wards.get_mut(&number) {
                ward.state = State::Fresh(rule);
                ward.times = ward.times.saturating_add(1);
                self.ejected += 1;
            }
        }
    }

    /// Looks after these servers by these rules. Answers who is gone, and who has recovered.
    fn look_after(
        &mut self,
        mut former: BTreeMap<u64, Ward>,
        rules: &model::Outlier,
        servers: &[Arc<Server>],
        members: &[Member],
    ) -> (Vec<Ward>, Vec<u64>) {
        let mut recovered = Vec::new();
        for server in servers {
            server.live().signs().follow(rules);
            let number = server.live().number();
            let mut ward = former.remove(&number).unwrap_or_else(|| Ward::new(server));
            if ward.judge(server.health()) {
                recovered.push(number);
            }
            ward.usable = false;
            self.wards.insert(number, ward);
        }
        for member in members {
            if let Some(ward) = self.wards.get_mut(&member.number) {
                ward.usable = true;
            }
        }
        self.rules = rules.clone();
        (former.into_values().collect(), recovered)
    }

    fn release(&mut self, number: u64, now: Option<Duration>, docket: &Docket) {
        let Some(ward) = self.wards.get_mut(&number) else {
            return;
        };
        if ward.is_ejected() {
            ward.state = State::Free(now);
            self.ejected -= 1;
            docket.release(number, ward.live.upgrade().as_deref());
        }
    }

    /// Lets go of some where there are fewer servers than before, or none left to use: first of those that would come back first.
    fn keep_within(&mut self, docket: &Docket) {
        if !docket.is_exceeded() {
            return;
        }
        let ejected = self.wards.iter();
        let ejected = ejected.filter(|(_, ward)| ward.usable && ward.is_ejected());
        let mut ends: Vec<(Duration, u64)> = ejected
            .map(|(number, ward)| (ward.ends(), *number))
            .collect();
        ends.sort_unstable();
        for (_, number) in ends {
            if !docket.is_exceeded() {
                return;
            }
            self.release(number, None, docket);
        }
    }

    fn release_due(&mut self, now: Duration, docket: &Docket) {
        let wards = self.wards.iter();
        let due = wards.filter(|(_, ward)| matches!(ward.state, State::Until(end) if end <= now));
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for number in due {
            self.release(number, Some(now), docket);
        }
    }

    fn compare(&mut self, docket: &Docket) {
        let mut tallies = Vec::with_capacity(self.wards.len());
        for (number, ward) in &mut self.wards {
            let total = ward.live.upgrade();
            let total = total.map_or(ward.counted, |live| live.tally());
            let tally = total.since(std::mem::replace(&mut ward.counted, total));
            if !ward.is_ejected() {
                tallies.push((*number, tally));
            }
        }
        for (number, rule) in outliers(&self.rules, &tallies) {
            let live = self.wards.get(&number).and_then(|ward| ward.live.upgrade());
            if let Some(live) = live {
                docket.eject(&live, rule);
            }
        }
        self.note(docket.fresh());
    }

    /// Each interval without an ejection makes the next one shorter.
    fn forgive(&mut self, now: Duration) {
        for ward in self.wards.values_mut().filter(|one| one.times > 0) {
            let State::Free(since) = &mut ward.state else {
                continue;
            };
            let since = since.get_or_insert(now);
            while ward.times > 0 && *since + self.rules.interval <= now {
                *since += self.rules.interval;
                ward.times -= 1;
            }
        }
    }

    fn sentence(&mut self, now: Duration, chance: &mut impl FnMut() -> f64) -> Vec<Ejection> {
        let mut sentenced = Vec::new();
        for (number, ward) in &mut self.wards {
            let State::Fresh(rule) = ward.state else {
                continue;
            };
            let lasts = length(&self.rules, ward.times, chance());
            ward.state = State::Until(now + lasts);
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

impl Ward {
    fn new(server: &Server) -> Self {
        Self {
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
    fn pardon(&self) {
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
