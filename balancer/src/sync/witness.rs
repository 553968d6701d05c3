//! What the balancer itself has seen of the servers: set against a storm of `down` verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Revision, ServerKey};
use policy::Live;
use registry::Witness;
use tokio::sync::watch;

use super::Membership;
use crate::adoption::Published;

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
    fn good_answers(
        &self,
        servers: &BTreeMap<ServerKey, Revision>,
    ) -> BTreeMap<ServerKey, Duration> {
        let published = self.tables.borrow();
        let now = self.started.elapsed();
        let answer = |live: &Arc<Live>| {
            let ago = live.since_good_answer(now)?;
            let asked = servers.get(live.key()) == Some(&live.incarnation());
            asked.then(|| (live.key().clone(), ago))
        };
        let lives = published.table.servers().map(|server| server.live());
        lives.filter_map(answer).collect()
    }
}
