//! What this orchestrator says of itself in the registry, and that it says goodbye.

use std::time::Duration;

use model::{Nacks, Report, Role};
use registry::REPORT_PERIOD;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::driver::jittered;
use crate::fleet::{Fleet, Found};

/// What one call of the registry may take.
const LIMIT: Duration = Duration::from_secs(1);

/// Between two reports, at least: where many servers fail at once, their verdicts go together.
const PAUSE: Duration = Duration::from_millis(50);

/// Reports until `stop`, then deregisters.
pub(crate) async fn run(fleet: Fleet, advertise: String, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = report_always(&fleet, &advertise) => {}
    }
    if !matches!(
        timeout(LIMIT, fleet.registry.deregister(fleet.instance)).await,
        Ok(Ok(()))
    ) {
        tracing::warn!("could not deregister; the report is forgotten by itself");
    }
}

/// Reports each period, and at once where the leader may count on what was found.
async fn report_always(fleet: &Fleet, advertise: &str) {
    let mut found = fleet.found.subscribe();
    let mut told = None;
    loop {
        let probes = found.borrow_and_update().clone();
        let news = probes != told;
        if report(fleet, advertise, probes.clone(), news).await {
            told = probes;
        }
        let reported = Instant::now();
        tokio::select! {
            () = sleep(jittered(REPORT_PERIOD)) => {}
            Ok(()) = found.changed() => sleep_until(reported + PAUSE).await,
        }
    }
}

/// Whether the registry has taken it.
async fn report(fleet: &Fleet, advertise: &str, probes: Found, announce: bool) -> bool {
    let view = fleet.view();
    let snapshot = view.snapshot.as_ref();
    let faults = snapshot
        .into_iter()
        .flat_map(|snapshot| snapshot.element_faults());
    let nacks = Nacks::of(faults.chain(&view.damage));
    let report = Report {
        host: runtime::host_name(),
        // Nobody counts on a copy that may lack what is not gone.
        applied: snapshot
            .filter(|_| view.tainted.is_empty())
            .map(|snapshot| snapshot.position),
        origin: view.origin,
        nacks: nacks.named,
        more_nacks: nacks.more,
        probes,
        ..Report::new(fleet.instance, Role::Orchestrator, advertise)
    }
    .troubled(&fleet.registry.troubles());
    // One that cannot report is seen to be silent.
    let reported = timeout(LIMIT, fleet.registry.report(&report, announce)).await;
    matches!(reported, Ok(Ok(_)))
}
