//! What the balancer itself has seen of the servers: set against a storm of `down` verdicts.

use std::time::{Duration, Instant};

use model::{Revision, ServerKey};
use registry::Witness;
use tokio::sync::watch;

use super::Membership;
use crate::adoption::Published;

/// How recent a success must be.
const RECENT: Duration = Duration::from_secs(10);

/// The servers that answered of late.
#[derive(Debug)]
pub(crate) struct Successes {
    tables: watch::Receiver<Published>,
    started: Instant,
}

impl Successes {
    pub(crate) fn new(membership: &Membership) -> Self {
        Self {
            tables: membership.tables.subscribe(),
            started: membership.started,
        }
    }
}

impl Witness for Successes {
    fn has_answered(&self, server: &ServerKey, incarnation: Revision) -> bool {
        let published = self.tables.borrow();
        let pool = published.table.pool(&server.pool);
        let mut lives = pool
            .into_iter()
            .flat_map(|pool| pool.servers())
            .map(|server| server.live());
        let now = self.started.elapsed();
        lives.any(|live| {
            live.key() == server
                && live.incarnation() == incarnation
                && live.has_answered_within(RECENT, now)
        })
    }
}
