//! When the certificates expire that this balancer shows.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use runtime::encode_expiries;
use tokio::sync::watch;

use crate::adoption::Published;

/// Those of the latest table.
#[derive(Debug)]
pub(crate) struct Expiries(pub(crate) watch::Receiver<Published>);

impl Collector for Expiries {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tls = Arc::clone(&self.0.borrow().tls);
        let expiries = tls
            .expiries()
            .iter()
            .map(|((certificate, source), not_after)| {
                let labels = [("certificate", certificate.as_str()), ("source", *source)];
                (labels, *not_after)
            });
        encode_expiries(encoder, expiries)
    }
}
