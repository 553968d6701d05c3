//! When the certificates expire that this balancer shows.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tokio::sync::watch;

use crate::adoption::Published;

/// Those of the latest table.
#[derive(Debug)]
pub(crate) struct Expiries(pub(crate) watch::Receiver<Published>);

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tls = Arc::clone(&self.0.borrow().tls);
        let help = "When a certificate expires, in seconds since 1970";
        let name = "certificate_not_after_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((certificate, source), not_after) in tls.expiries() {
            metric
                .encode_family(&[("certificate", certificate.as_str()), ("source", source)])?
                .encode_gauge(not_after)?;
        }
        Ok(())
    }
}
