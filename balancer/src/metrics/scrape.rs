//! The sum of all threads' counters, and the table's own numbers, in Prometheus' words.

mod limits;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{PoolId, RouteId};
use parking_lot::Mutex;
use policy::{Cause, Ledger, Rule};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tokio::sync::watch;

use super::counters::{
    BUCKETS, Counters, Ejected, Handshakes, NoRetry, PoolCounters, RouteCounters,
};
use crate::adoption::{Adopted, Published};
use crate::sync::Propagation;
use crate::tls::Made;

/// What is read at each scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) threads: Vec<Arc<Counters>>,
    pub(crate) tables: watch::Receiver<Published>,
    pub(crate) adopted: Arc<Adopted>,
    pub(crate) ejected: Arc<Ejected>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) propagation: Arc<Propagation>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.encode_pools(encoder)?;
        self.encode_routes(encoder)?;
        self.encode_limits(encoder)?;
        self.encode_connections(encoder)?;
        self.encode_failures(encoder)?;
        self.encode_handshakes(encoder)?;
        self.encode_waiting(encoder)?;
        self.encode_servers(encoder)?;
        self.encode_table(encoder)?;
        self.encode_touch(encoder)
    }
}

impl Scrape {
    fn sum(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        let value = |thread: &Arc<Counters>| counter(thread).load(Ordering::Relaxed);
        self.threads.iter().map(value).sum()
    }

    fn pools(&self) -> BTreeMap<PoolId, PoolCounters> {
        let mut pools: BTreeMap<PoolId, PoolCounters> = BTreeMap::new();
        for thread in &self.threads {
            for one in thread.pools.lock().iter() {
                pools
                    .entry(one.id.clone())
                    .or_insert_with(|| PoolCounters::new(one.number, one.id.clone()))
                    .add(one);
            }
        }
        pools
    }

    fn encode_pools(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let pools = self.pools();
        let answers = pools.iter().flat_map(|(id, pool)| {
            let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"].into_iter();
            let labels = move |class| [("pool", id.as_str()), ("class", class)];
            classes
                .zip(pool.classes)
                .map(move |(class, value)| (labels(class), value))
        });
        let help = "Requests answered, by pool and class of the status";
        counters(encoder, "requests", help, answers)?;
        let help = "Time from a request's head to the end of its answer";
        let mut metric =
            encoder.encode_descriptor("request_seconds", help, None, MetricType::Histogram)?;
        for (id, pool) in &pools {
            let bounds = BUCKETS
                .iter()
                .map(|micros| *micros as f64 / 1e6)
                .chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(pool.latency).collect();
            let sum = pool.latency_sum.as_secs_f64();
            let count = pool.latency.iter().sum();
            metric
                .encode_family(&[("pool", id.as_str())])?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn encode_routes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut routes: BTreeMap<RouteId, RouteCounters> = BTreeMap::new();
        for thread in &self.threads {
            for one in thread.routes.lock().iter() {
                if let Some(id) = &one.id {
                    let sum = routes.entry(id.clone()).or_default();
                    sum.requests += one.requests;
                    sum.denied += one.denied;
                }
            }
        }
        let values = |value: fn(&RouteCounters) -> u64| {
            let labelled = move |(id, one): (_, _)| ([("route", RouteId::as_str(id))], value(one));
            routes.iter().map(labelled)
        };
        let help = "Requests that a route claimed";
        counters(encoder, "route_requests", help, values(|one| one.requests))?;
        let help = "Those of them that the route's firewall refused";
        counters(encoder, "route_denied", help, values(|one| one.denied))
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let accepted = self.sum(|thread| &thread.accepted);
        let open = accepted.saturating_sub(self.sum(|thread| &thread.closed));
        counter(
            encoder,
            "connections",
            "Client connections accepted",
            accepted,
        )?;
        gauge(
            encoder,
            "connections_open",
            "Client connections that are open",
            open,
        )
    }

    fn encode_failures(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let tries = self.sum(|thread| &thread.tries);
        counter(
            encoder,
            "tries",
            "Requests sent to servers, retries included",
            tries,
        )?;
        let retries = Cause::ALL.iter().enumerate().map(|(index, cause)| {
            let value = self.sum(|thread| &thread.retries[index]);
            ([("cause", cause.as_str())], value)
        });
        counters(
            encoder,
            "retries",
            "Tries made again, by what failed",
            retries,
        )?;
        let refused = NoRetry::ALL.iter().enumerate().map(|(index, reason)| {
            let value = self.sum(|thread| &thread.retries_refused[index]);
            ([("reason", reason.as_str())], value)
        });
        let help = "Tries that were not made again though they might have been, by reason";
        counters(encoder, "retries_refused", help, refused)?;
        let cut_short = self.sum(|thread| &thread.cut_short);
        let help = "Answers that the server broke off in the middle";
        counter(encoder, "responses_cut_short", help, cut_short)?;
        let refusals = self.by_reason(|thread| &thread.refusals);
        let help = "Requests that the balancer answered by itself, by reason";
        counters(encoder, "refusals", help, refusals)?;
        let endings = self.by_reason(|thread| &thread.endings);
        let help = "Client connections that the balancer ended without a refusal, by reason";
        counters(encoder, "connections_ended", help, endings)
    }

    fn encode_handshakes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "TLS handshakes with clients that were made, by version and whether a session was resumed";
        counters(
            encoder,
            "tls_handshakes",
            help,
            self.made(|one| &one.clients_tls),
        )?;
        let failed = self.by_reason(|thread| &thread.clients_tls.failed);
        let help = "TLS handshakes with clients that failed, by reason";
        counters(encoder, "tls_handshakes_failed", help, failed)?;
        let help = "TLS handshakes with servers that were made, by version and whether a session was resumed";
        counters(
            encoder,
            "server_tls_handshakes",
            help,
            self.made(|one| &one.servers_tls),
        )?;
        let failed = self.by_reason(|thread| &thread.servers_tls.failed);
        let help = "TLS handshakes with servers that failed, by reason";
        counters(encoder, "server_tls_handshakes_failed", help, failed)
    }

    fn made(
        &self,
        of: impl Fn(&Counters) -> &Handshakes,
    ) -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> {
        let mut sums: BTreeMap<Made, u64> = BTreeMap::new();
        for thread in &self.threads {
            for (made, value) in of(thread).made.lock().iter() {
                *sums.entry(*made).or_default() += value;
            }
        }
        let labelled = |(made, value): (Made, u64)| {
            let resumed = if made.resumed { "true" } else { "false" };
            ([("version", made.version), ("resumed", resumed)], value)
        };
        sums.into_iter().map(labelled)
    }

    /// The sums of what is counted by reason.
    fn by_reason(
        &self,
        counted: impl Fn(&Counters) -> &Mutex<BTreeMap<&'static str, u64>>,
    ) -> impl Iterator<Item = ([(&'static str, &'static str); 1], u64)> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for thread in &self.threads {
            for (reason, value) in counted(thread).lock().iter() {
                *sums.entry(reason).or_default() += value;
            }
        }
        let labelled = |(reason, value)| ([("reason", reason)], value);
        sums.into_iter().map(labelled)
    }

    fn encode_servers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let table = Arc::clone(&self.tables.borrow().table);
        let family = |value: fn(&policy::Live) -> u64| {
            table.servers().map(move |server| {
                let key = server.key();
                let labels = [("pool", key.pool.as_str()), ("server", key.server.as_str())];
                (labels, value(server.live()))
            })
        };
        let help = "Requests in flight to a server, tunnels included";
        gauges(
            encoder,
            "server_in_flight",
            help,
            family(policy::Live::in_flight),
        )?;
        let help = "Connections to a server that are open or about to be";
        let connections = family(policy::Live::connections);
        gauges(encoder, "server_connections", help, connections)?;
        let help = "Tries that a server answered";
        counters(
            encoder,
            "server_answers",
            help,
            family(policy::Live::answered),
        )?;
        let help = "Tries that a server failed";
        counters(
            encoder,
            "server_failures",
            help,
            family(policy::Live::failed),
        )?;
        let help = "Whether this balancer has ejected a server on its own evidence";
        let ejected = family(|live| u64::from(live.is_ejected()));
        gauges(encoder, "server_ejected", help, ejected)?;
        let ejections = Rule::ALL
            .iter()
            .zip(&self.ejected.0)
            .map(|(rule, count)| ([("rule", rule.as_str())], count.load(Ordering::Relaxed)));
        let help = "Ejections of servers, by the rule that they broke";
        counters(encoder, "ejections", help, ejections)
    }

    fn encode_waiting(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let table = Arc::clone(&self.tables.borrow().table);
        let waiting = table.pools().map(|pool| {
            let waiting = pool.admission().waiting() as u64;
            ([("pool", pool.id().as_str())], waiting)
        });
        let help =
            "Requests that wait for a server, since each has as many connections in use as it may";
        gauges(encoder, "requests_waiting", help, waiting)
    }

    fn encode_table(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let published = self.tables.borrow().clone();
        let generation = published.generation;
        counter(
            encoder,
            "tables",
            "Tables published to the worker threads",
            generation,
        )?;
        let adopted = self.adopted.by_all().min(generation);
        let help = "Tables that every worker thread has taken over";
        counter(encoder, "tables_adopted", help, adopted)?;
        let position = published.table.position();
        let revision = position.map_or(0, |position| position.revision.0);
        gauge(
            encoder,
            "table_revision",
            "The revision of the latest table",
            revision,
        )
    }

    fn encode_touch(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stale = u64::from(self.tables.borrow().stale);
        let help = "1 while clients are turned away, since the registry has been out of reach for longer than --stale-limit";
        gauge(encoder, "stale", help, stale)?;
        let Some(error) = self.propagation.error() else {
            return Ok(());
        };
        let help = "By how much propagation_seconds may be wrong at present: half of a round trip to the registry";
        encoder
            .encode_descriptor("propagation_error_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&error.as_secs_f64())
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&value)
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        metric
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
    }
    Ok(())
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
