//! What this orchestrator says of itself in the registry, and that it says goodbye.

use std::time::Duration;

use model::{Report, Role};
use registry::REPORT_PERIOD;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::driver::jittered;
use crate::fleet::Fleet;

/// What one call of the registry may take.
const LIMIT: Duration = Duration::from_secs(1);

/// The most elements that a report names.
const NACKS_MAX: usize = 100;

/// Reports until `stop`, then deregisters.
pub(crate) async fn run(fleet: Fleet, advertise: String, stop: CancellationToken) {
    while !stop.is_cancelled() {
        report(&fleet, &advertise).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(jittered(REPORT_PERIOD)) => {}
        }
    }
    if !matches!(
        timeout(LIMIT, fleet.registry.deregister(fleet.instance)).await,
        Ok(Ok(()))
    ) {
        tracing::warn!("could not deregister; the report is forgotten by itself");
    }
}

async fn report(fleet: &Fleet, advertise: &str) {
    let view = fleet.view();
    let snapshot = view.snapshot.as_ref();
    let faults = snapshot
        .into_iter()
        .flat_map(|snapshot| snapshot.element_faults());
    let troubles = fleet.registry.troubles();
    let report = Report {
        instance: fleet.instance,
        role: Role::Orchestrator,
        advertise: advertise.to_owned(),
        host: runtime::host_name(),
        region: String::new(),
        zone: String::new(),
        applied: snapshot.map(|snapshot| snapshot.position),
        began: None,
        origin: view.origin,
        leaving: std::collections::BTreeMap::new(),
        nacks: faults
            .chain(&view.damage)
            .take(NACKS_MAX)
            .cloned()
            .collect(),
        holds: Vec::new(),
        troubles: troubles
            .iter()
            .take(NACKS_MAX)
            .map(ToString::to_string)
            .collect(),
        beside: [].into(),
    };
    // Nobody waits for an orchestrator; and one that cannot report is seen to be silent.
    let _ = timeout(LIMIT, fleet.registry.report(&report, false)).await;
}
