//! Ejections' course: how long each lasts, whose time is over, and who stands out, decided off the request path; each new one is said.

use std::time::Duration;

use model::SuspicionKind;
use policy::{Ejection, Pool};
use rand::RngExt;
use tokio::time::MissedTickBehavior;

use super::Membership;
use crate::suspecting::Suspecting;

/// How often it is looked what is to be decided.
const SETTLE_EACH: Duration = Duration::from_millis(50);

impl Membership {
    /// Sees to ejections until no worker serves any more.
    pub(crate) async fn eject_always(self, suspecting: Suspecting) {
        let mut looks = tokio::time::interval(SETTLE_EACH);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = self.served.cancelled() => return,
            }
            let table = self.tables.borrow().table.clone();
            let now = self.started.elapsed();
            let chance = || rand::rng().random_range(0.0..1.0);
            for pool in table.pools() {
                for ejection in pool.admission().ejections().settle(now, chance) {
                    self.say(pool, &ejection, &suspecting);
                }
            }
        }
    }

    /// Counts an ejection, and has the leader look at the server: whether others eject it too is not for this balancer to say.
    fn say(&self, pool: &Pool, ejection: &Ejection, suspecting: &Suspecting) {
        self.ejected.count(ejection.rule);
        let mut servers = pool.servers().iter();
        let Some(server) = servers.find(|one| one.live().number() == ejection.server) else {
            return;
        };
        let (rule, lasts) = (ejection.rule.as_str(), ejection.lasts);
        tracing::warn!(server = %server.key(), rule, ?lasts, "ejected, as this balancer sees it");
        suspecting.suspect(server, SuspicionKind::Outlier);
    }
}
