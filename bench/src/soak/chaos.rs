//! What befalls the fleet: trouble of random kinds at random times, and a membership that changes at even distances.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use super::victim::{Mood, Victim};
use crate::Error;
use crate::admin::{Admin, CHANGE_EACH};

/// Between one server's trouble and the next one's.
const PEACE: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(1500);

/// How long a trouble lasts.
const TROUBLE: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(12);

/// How often each thing befell the fleet.
pub(super) type Troubles = BTreeMap<&'static str, u64>;

/// The one who does it.
#[derive(Debug)]
pub(super) struct Chaos<'a> {
    /// All servers, of which any may be in trouble.
    victims: &'a [Victim],
    guests: Vec<Guest<'a>>,
    /// How many may be in trouble at the same time.
    troubled_max: usize,
    /// When which server is to be well again.
    recoveries: Vec<(Instant, usize)>,
    random: &'a mut StdRng,
    troubles: Troubles,
}

/// A server that comes and goes, in whatever mood it is.
#[derive(Debug)]
struct Guest<'a> {
    address: SocketAddrV4,
    victim: &'a Victim,
    is_member: bool,
}

impl<'a> Chaos<'a> {
    /// The guests are the last of the servers.
    pub(super) fn new(
        victims: &'a [Victim],
        guests: &[SocketAddrV4],
        troubled_max: usize,
        random: &'a mut StdRng,
    ) -> Self {
        Self {
            victims,
            guests: victims[victims.len() - guests.len()..]
                .iter()
                .zip(guests)
                .map(|(victim, address)| Guest {
                    address: *address,
                    victim,
                    is_member: false,
                })
                .collect(),
            troubled_max,
            recoveries: Vec::new(),
            random,
            troubles: Troubles::new(),
        }
    }

    /// Goes on until then, and says what it did. Fails where the admin API refuses a change.
    pub(super) fn reign(&mut self, admin: &Admin, end: Instant) -> Result<Troubles, Error> {
        let mut next_change = Instant::now();
        let mut next_trouble = next_change + PEACE.start;
        while next_change < end {
            self.recover(next_change);
            if next_trouble <= next_change {
                self.trouble(next_change);
                next_trouble += self.random.random_range(PEACE);
            }
            self.change(admin)?;
            next_change += CHANGE_EACH;
            thread::sleep(next_change.saturating_duration_since(Instant::now()));
        }
        self.victims
            .iter()
            .for_each(|victim| victim.set(Mood::Well));
        Ok(std::mem::take(&mut self.troubles))
    }

    fn recover(&mut self, now: Instant) {
        let (over, lasting): (Vec<_>, Vec<_>) =
            self.recoveries.drain(..).partition(|(at, _)| *at <= now);
        self.recoveries = lasting;
        for (_, index) in over {
            self.victims[index].set(Mood::Well);
        }
    }

    fn trouble(&mut self, now: Instant) {
        if self.recoveries.len() >= self.troubled_max {
            return;
        }
        let index = self.random.random_range(0..self.victims.len());
        if !self.victims[index].is_well() {
            return;
        }
        let mood = Mood::TROUBLES[self.random.random_range(0..Mood::TROUBLES.len())];
        self.victims[index].set(mood);
        let lasts = self.random.random_range(TROUBLE);
        self.recoveries.push((now + lasts, index));
        *self.troubles.entry(mood.name()).or_default() += 1;
    }

    /// Adds a guest that is away, or removes one that is there.
    fn change(&mut self, admin: &Admin) -> Result<(), Error> {
        let index = self.random.random_range(0..self.guests.len());
        let id = format!("guest{index}");
        let guest = &mut self.guests[index];
        if guest.is_member {
            admin.remove(&id)?;
        } else {
            admin.add(&id, guest.address)?;
        }
        guest.is_member = !guest.is_member;
        let what = match guest.victim.is_well() {
            true => "membership changes of well servers",
            false => "membership changes of servers in trouble",
        };
        *self.troubles.entry(what).or_default() += 1;
        Ok(())
    }
}
