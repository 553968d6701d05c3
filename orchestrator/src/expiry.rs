//! Until when the fleet's certificates are valid: told at each scrape, and counted where it is not for long.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use certificates::Chains;
use model::Snapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use registry::View;
use runtime::encode_expiries;
use tokio::sync::watch;

/// What tells it of the view's certificates.
#[derive(Debug)]
pub(crate) struct Expiry {
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) chains: Arc<Chains>,
}

impl Collector for Expiry {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = Arc::clone(&self.views.borrow());
        let snapshot = view.snapshot.iter();
        let chains: Vec<_> = snapshot
            .map(|snapshot| self.chains.of(&snapshot.certificates))
            .collect();
        let expiries = chains.iter().flat_map(|chains| chains.iter());
        let expiries =
            expiries.map(|(id, chain)| ([("certificate", id.as_str())], chain.not_after_seconds()));
        encode_expiries(encoder, expiries)
    }
}

/// How many certificates have expired, will soon, or are not valid yet.
pub(crate) fn troubled(chains: &Chains, snapshot: &Snapshot, now: SystemTime) -> usize {
    let chains = chains.of(&snapshot.certificates);
    let troubled = chains.values().filter(|chain| chain.trouble(now).is_some());
    troubled.count()
}
