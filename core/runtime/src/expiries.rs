//! Until when certificates are valid, told in the same words by every role that has some.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

/// Writes the end of each certificate, in seconds since 1970.
///
/// # Errors
/// Where the encoder takes no more.
pub fn encode_expiries<L: EncodeLabelSet>(
    mut encoder: DescriptorEncoder<'_>,
    expiries: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let name = "certificate_not_after_seconds";
    let help = "Until when each certificate is valid, in seconds since 1970";
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, not_after) in expiries {
        metric.encode_family(&labels)?.encode_gauge(&not_after)?;
    }
    Ok(())
}
