//! Pools as a table: how each chooses its servers, reaches and inspects them.

use client::{PoolServers, Shown};
use model::{CheckKind, HealthCheck, Pool, PoolTls, Sticky, StickyKind};

use crate::cli::output::{columns, counts};
use crate::cli::words::word;

/// The pools, in the order of their names.
pub(in crate::cli) fn text(pools: &[Shown<Pool>]) -> String {
    let header = [
        "NAME",
        "ALGORITHM",
        "PROTOCOL",
        "TLS",
        "STICKY",
        "HEALTH",
        "SERVERS",
    ];
    columns(header, pools.iter().map(row).collect())
}

fn row(shown: &Shown<Pool>) -> [String; 7] {
    let pool = &shown.value;
    [
        pool.id.to_string(),
        word(&pool.algorithm),
        word(&pool.protocol),
        tls(&pool.tls).to_owned(),
        sticky(&pool.sticky),
        health(&pool.health),
        shown.servers.as_ref().map(servers).unwrap_or_default(),
    ]
}

fn tls(tls: &PoolTls) -> &'static str {
    match (tls.enabled, tls.verify) {
        (false, _) => "",
        (true, true) => "verified",
        (true, false) => "unverified",
    }
}

fn sticky(sticky: &Sticky) -> String {
    match sticky.kind {
        StickyKind::None => String::new(),
        kind if sticky.name.is_empty() => word(&kind),
        kind => format!("{} {}", word(&kind), sticky.name),
    }
}

fn health(check: &HealthCheck) -> String {
    let asked = match check.kind {
        CheckKind::Http => check.path.as_str(),
        CheckKind::Grpc => check.service.as_str(),
        CheckKind::Tcp | CheckKind::None => "",
    };
    let kind = word(&check.kind);
    format!("{kind} {asked}").trim_end().to_owned()
}

fn servers(servers: &PoolServers) -> String {
    let PoolServers {
        total,
        up,
        down,
        unknown,
    } = *servers;
    counts(total, &[(up, "up"), (down, "down"), (unknown, "unknown")])
}
