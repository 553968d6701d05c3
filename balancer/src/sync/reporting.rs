//! What this balancer says of itself: each second, and at once when someone may be waiting for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Position, Report, Role, ServerKey, ServerLoad};
use rand::RngExt;
use registry::{REPORT_PERIOD, RegistryError};
use runtime::Backoff;
use tokio::time::timeout;

use super::Membership;

/// What one call of the registry may take.
const CALL_WITHIN: Duration = Duration::from_secs(2);

/// The pause after a report that was not taken. It grows up to the period between reports.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How often the requests in flight to servers that leave are looked at, while there are any.
const LEAVING_LOOK_EACH: Duration = Duration::from_millis(10);

/// Ejected servers that a report names, at most.
const EJECTED_MAX: usize = 100;

/// What someone may wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Awaited {
    applied: Option<Position>,
    /// Whether each server that leaves has nothing in flight, and no clients that stay with it.
    idle: BTreeMap<ServerKey, (ServerLoad, bool)>,
}

impl Awaited {
    fn of(report: &Report) -> Self {
        Self {
            applied: report.applied,
            idle: idle(&report.leaving),
        }
    }

    fn is_idle(&self) -> bool {
        self.idle.values().all(|(_, idle)| *idle)
    }
}

fn idle(leaving: &BTreeMap<ServerKey, ServerLoad>) -> BTreeMap<ServerKey, (ServerLoad, bool)> {
    let idle = leaving.iter().map(|(key, load)| {
        let nothing = ServerLoad {
            in_flight: 0,
            ..*load
        };
        (key.clone(), (nothing, load.in_flight == 0 && !load.sticky))
    });
    idle.collect()
}

impl Membership {
    /// Reports until no worker serves any more, then says goodbye.
    pub(crate) async fn report_always(self) {
        tokio::select! {
            () = self.report_each_change() => {}
            () = self.served.cancelled() => {}
        }
        let deregistered = timeout(
            CALL_WITHIN,
            self.registry.deregister(self.identity.instance),
        )
        .await;
        if !matches!(deregistered, Ok(Ok(()))) {
            tracing::warn!("could not deregister; this balancer is forgotten by itself");
        }
        self.gone.cancel();
    }

    async fn report_each_change(&self) {
        let mut standing = self.standing.subscribe();
        let mut told = Awaited::default();
        let mut backoff = Backoff::new(FIRST_PAUSE, REPORT_PERIOD);
        loop {
            standing.borrow_and_update();
            let report = self.compose();
            let awaited = Awaited::of(&report);
            if !self.send(&report, awaited != told).await {
                // Whatever changes meanwhile, a registry that refuses is not asked in a hurry.
                let pause = backoff.next_pause(&mut rand::rng());
                tokio::time::sleep(pause).await;
                continue;
            }
            backoff.reset();
            told = awaited;
            let period = REPORT_PERIOD.mul_f64(rand::rng().random_range(0.8..1.2));
            tokio::select! {
                // Writers outlive this task.
                _ = standing.changed() => {}
                () = tokio::time::sleep(period) => {}
                () = self.leaving_changed(&told), if !told.is_idle() => {}
            }
        }
    }

    /// Returns when another server that leaves has nothing in flight.
    async fn leaving_changed(&self, told: &Awaited) {
        loop {
            tokio::time::sleep(LEAVING_LOOK_EACH).await;
            let leaving = self.tables.borrow().table.leaving(self.started.elapsed());
            if idle(&leaving) != told.idle {
                return;
            }
        }
    }

    /// Reports how it stands; false where the registry did not take it.
    pub(super) async fn report(&self, announce: bool) -> bool {
        self.send(&self.compose(), announce).await
    }

    async fn send(&self, report: &Report, announce: bool) -> bool {
        let sent_at = self.started.elapsed();
        let sent = timeout(CALL_WITHIN, self.registry.report(report, announce)).await;
        let sent = sent.unwrap_or(Err(RegistryError::Unanswered {
            operation: "reporting",
        }));
        if let Ok(shown) = sent {
            self.propagation
                .hear(sent_at, shown, self.started.elapsed());
        }
        self.standing.send_if_modified(|standing| {
            let unreported = sent.as_ref().err().map(ToString::to_string);
            let changed = standing.unreported != unreported;
            standing.unreported = unreported;
            changed
        });
        sent.is_ok()
    }

    fn compose(&self) -> Report {
        // First what is applied, then what is in flight: a zero must be at least as late as the position that it stands beside.
        let standing = self.standing.borrow().clone();
        let table = Arc::clone(&self.tables.borrow().table);
        let identity = &self.identity;
        Report {
            host: identity.host.clone(),
            region: identity.region.clone(),
            zone: identity.zone.clone(),
            applied: standing.applied,
            began: standing.began,
            origin: standing.origin,
            leaving: table.leaving(self.started.elapsed()),
            loads: table.fleet_loads(),
            nacks: standing.nacks.named,
            more_nacks: standing.nacks.more,
            holds: standing.holds,
            ejected: table
                .ejected()
                .take(EJECTED_MAX)
                .map(|server| server.key().clone())
                .collect(),
            beside: standing.beside,
            ..Report::new(
                identity.instance,
                Role::Balancer,
                identity.advertise.clone(),
            )
        }
        .troubled(&self.registry.troubles())
    }
}
