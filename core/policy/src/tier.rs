//! Who may be picked at all: the servers that are up; else the backups that are up; else those of which nothing is known.
//!
//! Where most of a pool is down while some of it is up, the verdicts are more likely wrong than right, and the few that are left would be
//! crushed: then all are used. Where nothing is up there is nobody to protect, and requests are refused at once rather than made to
//! wait for servers that do not answer. Backups have no part in that: they neither hide that most others are down nor make it look so, and
//! where no other is up they take over. A single request takes one sooner, where it has tried the others or they are ejected: that they
//! do not answer is known a while before anybody has found them to be down.

use std::sync::Arc;

use model::Health;

use crate::Server;

/// The parts of a weight of 1, so that a server which has just come up can get less than its share.
pub(crate) const WEIGHT_PARTS: u32 = 100;

/// In a smaller pool it is likelier that servers are really down than that so few verdicts are wrong.
const PANICS_FROM: usize = 4;

/// One that may be picked: its index among the pool's servers, its age and incarnation, and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) index: usize,
    /// Sorts by creation.
    pub(crate) age: (model::Revision, u32),
    pub(crate) number: u64,
    /// In hundredths of the weight that an operator gave; never zero.
    pub(crate) weight: u32,
}

/// Those that may be picked, in the order of creation.
pub(crate) type Members = Arc<[Member]>;

/// Who may be picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tiers {
    pub(crate) members: Members,
    /// Backups that are up, where the members are no backups: for requests that can have no member.
    pub(crate) reserve: Members,
}

impl Tiers {
    /// Whether the server at this place may be picked, and is not in reserve.
    pub(crate) fn has_member(&self, place: usize) -> bool {
        let found = self
            .members
            .binary_search_by_key(&place, |member| member.index);
        found.is_ok()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(self.reserve.iter())
    }
}

/// Chooses those that may be picked among a pool's servers, which come in the order of creation. `panic_threshold` is the share that must
/// not be down; `weight` says how many parts each gets.
pub(crate) fn tiers(
    servers: &[Arc<Server>],
    panic_threshold: f64,
    weight: impl Fn(&Server) -> u32,
) -> Tiers {
    let wanted = servers
        .iter()
        .enumerate()
        .filter(|(_, server)| server.is_wanted());
    let wanted: Vec<(usize, &Server)> = wanted
        .map(|(index, server)| (index, server.as_ref()))
        .collect();
    let others = wanted.iter().copied();
    let others: Vec<(usize, &Server)> = others.filter(|(_, server)| !server.is_backup()).collect();
    let chosen = if panics(&others, panic_threshold) {
        others
    } else {
        first_tier(&wanted)
    };
    let are_backups = chosen.first().is_none_or(|(_, server)| server.is_backup());
    let reserve = match are_backups {
        true => Vec::new(),
        false => tier(&wanted, Health::Up, true),
    };
    let member = |(index, server): (usize, &Server)| Member {
        index,
        age: server.age(),
        number: server.number(),
        weight: weight(server).max(1),
    };
    Tiers {
        members: chosen.into_iter().map(member).collect(),
        reserve: reserve.into_iter().map(member).collect(),
    }
}

/// The first of the tiers that is not empty.
fn first_tier<'a>(wanted: &[(usize, &'a Server)]) -> Vec<(usize, &'a Server)> {
    let tiers = [
        (Health::Up, false),
        (Health::Up, true),
        (Health::Unknown, false),
        (Health::Unknown, true),
    ];
    let mut tiers = tiers
        .into_iter()
        .map(|(health, backup)| tier(wanted, health, backup));
    tiers.find(|tier| !tier.is_empty()).unwrap_or_default()
}

fn tier<'a>(
    wanted: &[(usize, &'a Server)],
    health: Health,
    backup: bool,
) -> Vec<(usize, &'a Server)> {
    let is_of =
        |(_, server): &(usize, &Server)| server.health() == health && server.is_backup() == backup;
    wanted.iter().copied().filter(is_of).collect()
}

/// Whether too many of those that are no backups are down to believe it.
fn panics(others: &[(usize, &Server)], threshold: f64) -> bool {
    let of = |health| {
        let is_so = |(_, server): &&(usize, &Server)| server.health() == health;
        others.iter().filter(is_so).count()
    };
    let not_down = (others.len() - of(Health::Down)) as f64;
    others.len() >= PANICS_FROM && of(Health::Up) > 0 && not_down < threshold * others.len() as f64
}
