//! What is counted of limits.

use std::collections::BTreeMap;
use std::fmt;

use model::LimitId;
use prometheus_client::encoding::DescriptorEncoder;

use super::super::counters::LimitCounters;
use super::{Scrape, counters, gauge};

impl Scrape {
    pub(super) fn encode_limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut limits: BTreeMap<LimitId, LimitCounters> = BTreeMap::new();
        for thread in &self.threads {
            for one in thread.limits.lock().iter() {
                let sum = limits
                    .entry(one.id.clone())
                    .or_insert_with(|| LimitCounters::new(one.id.clone()));
                sum.add(one);
            }
        }
        let outcomes = limits.iter().flat_map(|(id, one)| {
            let values = [
                ("passed", one.passed),
                ("rate", one.rate),
                ("concurrent", one.concurrent),
            ];
            let labelled = move |(outcome, value)| {
                let labels = [("limit", id.as_str()), ("outcome", outcome)];
                (labels, value)
            };
            values.map(labelled)
        });
        let help = "Requests that were held to a limit: those that passed it, and those that it refused, by why";
        counters(encoder, "limit_requests", help, outcomes)?;
        let untold = limits
            .iter()
            .map(|(id, one)| ([("limit", id.as_str())], one.untold));
        let help = "Requests that this balancer counted alone, since the new keys of their limit were too many to tell the registry of";
        counters(encoder, "limit_requests_untold", help, untold)?;
        let keys = self.ledger.keys() as u64;
        gauge(
            encoder,
            "limit_keys",
            "Keys that limits are counted for at present",
            keys,
        )?;
        let help = "Balancers that limits are divided by where the registry does not answer";
        gauge(encoder, "limit_balancers", help, self.ledger.live().into())?;
        let help = "1 while limits are counted without the registry, since it did not answer";
        gauge(encoder, "limits_alone", help, self.ledger.is_away().into())
    }
}
