//! The server that a key belongs to, by the ring of `ip_hash` and `hash`, whatever algorithm the pool has: the same at every balancer.
//!
//! Servers that drain are on the ring as long as they keep their clients. Nothing tells an old client's key from a new one's, so that
//! they get both.

use std::sync::Arc;

use model::{Health, ServerState};

use super::{Binding, Bound};
use crate::Server;
use crate::pick::Ring;
use crate::tier::{Member, Tiers, WEIGHT_PARTS};

/// Servers of a key's own order that are looked at.
const PROPOSED_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Affinity {
    members: Vec<Member>,
    ring: Ring,
}

impl Affinity {
    /// That of a pool's servers; the same as before where they are.
    pub(super) fn new(
        pool: &model::Pool,
        servers: &[Arc<Server>],
        tiers: &Tiers,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let members = members(pool, servers, tiers);
        if let Some(before) = before.filter(|before| before.members == members) {
            return Arc::clone(before);
        }
        let ring = Ring::of_servers(&members, servers);
        Arc::new(Self { members, ring })
    }

    /// Takes the first server of the key's own order that may have the request.
    pub(super) fn bind(&self, key: u64, binding: &Binding<'_>) -> Bound {
        let mut passed = [0; PROPOSED_MAX];
        for length in 0..PROPOSED_MAX {
            let Some(place) = self.ring.find(key, &passed[..length]) else {
                break;
            };
            match binding.bind(self.members[place].index) {
                Bound::Elsewhere => passed[length] = place as u32,
                bound => return bound,
            }
        }
        Bound::Elsewhere
    }
}

/// Those that may be picked, and those that drain and keep their clients, with their whole weights: each balancer counts slow starts by
/// its own clock, and they must agree.
fn members(pool: &model::Pool, servers: &[Arc<Server>], tiers: &Tiers) -> Vec<Member> {
    let keeps = |server: &Server| {
        pool.sticky.outlasts_drain()
            && server.state() == ServerState::Draining
            && server.health() != Health::Down
            && server.weight() > 0
    };
    let mut picked = tiers.members.iter().map(|member| member.index).peekable();
    let mut members = Vec::with_capacity(tiers.members.len());
    for (index, server) in servers.iter().enumerate() {
        // Both come in the order of creation.
        let is_member = picked.next_if_eq(&index).is_some();
        if is_member || keeps(server) {
            members.push(Member {
                index,
                age: server.age(),
                number: server.number(),
                weight: u32::from(server.weight()) * WEIGHT_PARTS,
            });
        }
    }
    members
}
