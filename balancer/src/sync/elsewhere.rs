//! Reads who the other balancers are and what they have in flight, where limits are shared among all, or some pool's servers are compared
//! by it, and only then.

use std::time::Duration;

use model::{Instance, Role};
use policy::{Elsewhere, Fading, Table, Told};
use rand::RngExt;
use registry::{LOST_AFTER, REPORT_PERIOD};
use tokio::time::{Instant, timeout};

use super::Membership;

/// What one reading may take.
const READING_WITHIN: Duration = Duration::from_secs(2);

/// A report counts in full until the next one should have come.
const FADING: Fading = Fading {
    fresh: REPORT_PERIOD.saturating_mul(2),
    gone: LOST_AFTER,
    half_life: REPORT_PERIOD,
};

/// What was read last.
struct Read {
    others: Vec<Instance>,
    at: Instant,
}

impl Membership {
    /// Reads once a period until no worker serves any more.
    pub(crate) async fn look_elsewhere_always(self) {
        tokio::select! {
            () = self.look_elsewhere() => {}
            () = self.served.cancelled() => {}
        }
    }

    async fn look_elsewhere(&self) {
        let mut tables = self.tables.subscribe();
        loop {
            let wanted = tables.wait_for(|published| looks_elsewhere(&published.table));
            if wanted.await.is_err() {
                return std::future::pending().await;
            }
            self.look_while_wanted().await;
        }
    }

    async fn look_while_wanted(&self) {
        let mut elsewhere = Elsewhere::default();
        let mut read = Read {
            others: Vec::new(),
            at: Instant::now(),
        };
        let mut told_at = Instant::now();
        loop {
            if let Ok(Ok(instances)) = timeout(READING_WITHIN, self.registry.instances()).await {
                let others = self.other_balancers(instances);
                let live = others.iter().filter(|other| other.age < LOST_AFTER);
                let live = u32::try_from(live.count() + 1);
                self.note_balancers(live.unwrap_or(u32::MAX));
                read = Read {
                    others,
                    at: Instant::now(),
                };
            }
            let table = self.tables.borrow().table.clone();
            read.tell(&mut elsewhere, told_at.elapsed(), &table);
            told_at = Instant::now();
            if !looks_elsewhere(&table) {
                return;
            }
            let period = REPORT_PERIOD.mul_f64(rand::rng().random_range(0.8..1.2));
            tokio::time::sleep(period).await;
        }
    }

    /// Divides limits by so many balancers, and keeps the number with the state for a start without the registry.
    pub(super) fn note_balancers(&self, live: u32) {
        self.ledger.set_live(live);
        self.balancers
            .send_if_modified(|known| known.replace(live) != Some(live));
    }

    fn other_balancers(&self, mut instances: Vec<Instance>) -> Vec<Instance> {
        let own = self.identity.instance;
        instances.retain(|one| one.report.role == Role::Balancer && one.report.instance != own);
        instances
    }
}

/// Whether the table makes something of the other balancers.
fn looks_elsewhere(table: &Table) -> bool {
    table.compares_by_fleet() || table.limits().next().is_some()
}

impl Read {
    /// What cannot be read anew grows older.
    fn tell(&self, elsewhere: &mut Elsewhere, elapsed: Duration, table: &Table) {
        let since = self.at.elapsed();
        let told = self.others.iter().map(|other| Told {
            age: other.age + since,
            loads: &other.report.loads,
        });
        let told: Vec<Told<'_>> = told.filter(|told| told.age < LOST_AFTER).collect();
        elsewhere.take_in(&told, FADING, elapsed, table);
    }
}
