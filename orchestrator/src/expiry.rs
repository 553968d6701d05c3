//! Until when the fleet's certificates are valid: told at each scrape, and counted where it is not for long.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use certificates::Chain;
use model::{CertificateId, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use registry::View;
use tokio::sync::watch;

/// What tells it of the view's certificates.
#[derive(Debug)]
pub(crate) struct Expiry {
    pub(crate) views: watch::Receiver<Arc<View>>,
}

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = Arc::clone(&self.views.borrow());
        let help = "Until when each certificate is valid, in seconds since 1970";
        let name = "certificate_not_after_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (id, chain) in view.snapshot.iter().flat_map(|snapshot| chains(snapshot)) {
            let labels = [("certificate", id.as_str())];
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_gauge(&chain.not_after_seconds())?;
        }
        Ok(())
    }
}

/// How many certificates have expired, will soon, or are not valid yet.
pub(crate) fn troubled(snapshot: &Snapshot, now: SystemTime) -> usize {
    let troubled = chains(snapshot).filter(|(_, chain)| chain.trouble(now).is_some());
    troubled.count()
}

/// One that cannot be read is no certificate's to tell of: balancers report it by name.
fn chains(snapshot: &Snapshot) -> impl Iterator<Item = (&CertificateId, Chain)> {
    let certificates = snapshot.certificates.iter();
    certificates.filter_map(|(id, it)| Some((id, Chain::parse(&it.value.chain).ok()?)))
}
