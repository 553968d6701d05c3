//! A simulated balancer: the table that its workers use, and the requests that count on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Position, Revision, ServerKey, ServerLoad, ServerState, Snapshot};

use crate::call::balancer_load::Load;
use crate::call::{Address, Event};
use crate::node::Part;
use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Balancer {
    /// What every worker uses.
    table: Option<Arc<Snapshot>>,
    /// Every position that this life ever worked with.
    pub(crate) positions: Vec<Position>,
    pub(crate) swapping: bool,
    pub(crate) mute: bool,
    from_disk: bool,
    /// Where its first table stood, if that was the registry's own.
    pub(crate) began: Option<Position>,
    pub(crate) in_flight: BTreeMap<Load, u64>,
    /// Every server that this life ever had in its table, with its last incarnation.
    known: BTreeMap<ServerKey, Revision>,
}

impl Balancer {
    pub(crate) fn restart(&mut self, from_disk: bool) {
        *self = Self {
            mute: self.mute,
            from_disk,
            ..Self::default()
        };
    }

    /// One that at times cannot say how busy it is.
    pub(crate) fn mute() -> Self {
        Self {
            mute: true,
            ..Self::default()
        }
    }

    pub(crate) fn applied(&self) -> Option<Position> {
        self.table.as_ref().map(|table| table.position)
    }

    /// Whether this is what every worker uses.
    pub(crate) fn works_with(&self, state: &Snapshot) -> bool {
        self.table.as_deref() == Some(state)
    }

    /// What it says of each server that takes no new request.
    pub(crate) fn leaving(&self) -> BTreeMap<ServerKey, ServerLoad> {
        let gone = self
            .known
            .iter()
            .filter(|(key, incarnation)| !self.takes(key, **incarnation));
        let load = |(key, incarnation): (&ServerKey, &Revision)| {
            let load = (key.clone(), *incarnation);
            let load = ServerLoad {
                incarnation: *incarnation,
                in_flight: self.in_flight.get(&load).copied().unwrap_or(0),
                sticky: false,
            };
            (key.clone(), load)
        };
        gone.map(load).collect()
    }

    pub(crate) fn takes(&self, key: &ServerKey, incarnation: Revision) -> bool {
        let server = self.table.as_ref().and_then(|table| table.servers.get(key));
        server.is_some_and(|server| {
            server.incarnation == incarnation && server.value.state == ServerState::Active
        })
    }
}

impl World {
    fn balancer(&mut self, at: Address) -> Option<&mut Balancer> {
        if !self.is_current(at) {
            return None;
        }
        match &mut self.nodes[at.node].part {
            Part::Balancer(balancer) => Some(balancer),
            Part::Orchestrator(_) => None,
        }
    }

    /// Every worker lets go of older tables.
    pub(crate) fn swap(&mut self, at: Address) {
        let follower = &self.nodes[at.node].follower;
        let table = follower.in_force().cloned();
        let is_whole = follower.holds().is_empty();
        let Some(balancer) = self.balancer(at) else {
            return;
        };
        balancer.swapping = false;
        let Some(table) = table else { return };
        let follower = &self.nodes[at.node].follower;
        self.ledger.check_table(follower, &table);
        let balancer = self.balancer(at).expect("it was there");
        for (key, server) in &table.servers {
            balancer.known.insert(key.clone(), server.incarnation);
        }
        if balancer.positions.is_empty() && is_whole && !balancer.from_disk {
            balancer.began = Some(table.position);
        }
        let moved = balancer.applied() != Some(table.position);
        if moved {
            balancer.positions.push(table.position);
        }
        balancer.table = Some(table);
        if moved {
            self.send_report(at);
        }
        if self.chance(0.7) {
            self.save(at);
        }
    }

    pub(crate) fn begin(&mut self, at: Address) {
        let Some(balancer) = self.balancer(at) else {
            return;
        };
        let table = balancer.table.clone();
        let next = self.milliseconds(100..700);
        self.after(next, Event::Begin(at));
        let Some(table) = table else { return };
        let servers = table.servers.iter();
        let active = servers.filter(|(_, server)| server.value.state == ServerState::Active);
        let loads: Vec<Load> = active
            .map(|(key, it)| (key.clone(), it.incarnation))
            .collect();
        if loads.is_empty() {
            return;
        }
        let load = loads[self.below(loads.len())].clone();
        let balancer = self.balancer(at).expect("it was there");
        *balancer.in_flight.entry(load.clone()).or_default() += 1;
        let end = self.milliseconds(5..1_500);
        self.after(end, Event::Finish(at, load));
    }

    pub(crate) fn finish(&mut self, at: Address, load: &Load) {
        let Some(balancer) = self.balancer(at) else {
            return;
        };
        let count = balancer.in_flight.get_mut(load).expect("it began");
        *count -= 1;
        if *count == 0 {
            balancer.in_flight.remove(load);
            if !balancer.takes(&load.0, load.1) {
                self.send_report(at);
            }
        }
    }
}
