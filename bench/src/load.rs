//! The client: keeps connections busy for a time, and reports what came back and what the proxy used for it.
//!
//! Closed loop: each connection asks again as soon as it was answered, which finds the most that can be had. Open
//! loop: requests fall due at a fixed rate whether or not earlier ones were answered, and each is timed from when it
//! was due, so that a proxy that stalls is charged for all that waited meanwhile (no coordinated omission).

mod client;
mod h2load;
mod idle;
mod response;
mod schedule;
mod stream;
mod timer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::identity::HOST;
use crate::usage::{Cpu, Memory};
use client::Client;

pub(crate) use h2load::Streaming;
pub(crate) use idle::hold;
pub(crate) use response::{Progress, Reader};

/// The longest time that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// The longest that is waited for requests to be answered before anything counts.
const WARM_UP_MAX: Duration = Duration::from_secs(30);

/// What is asked of the proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The path; where there are several, each has its number in place of `{}`.
    pub(crate) target: String,
    /// How many targets are asked for by turns.
    pub(crate) targets: usize,
    /// Bytes of the request's body; a GET where there are none.
    pub(crate) body_bytes: usize,
    /// Whether each request has a connection of its own.
    pub(crate) close: bool,
    /// How a connection within TLS begins; there is no TLS where it is not given.
    pub(crate) tls: Option<Sessions>,
}

/// How connections within TLS begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sessions {
    /// Each with a full handshake.
    New,
    /// With a ticket of an earlier one, where there is one.
    Resumed,
}

/// A load, as the comparison hands it to the process that carries it out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) request: Request,
    /// What is shown there within TLS: a file in PEM.
    pub(crate) certificate: Option<PathBuf>,
    /// Requests a second; as many as there can be where it is not given.
    pub(crate) rate: Option<f64>,
    /// How long it goes on before anything counts.
    pub(crate) warm_up: Duration,
    /// How many requests must have been answered before, so that a connection to every server is there.
    pub(crate) warm_up_requests: u64,
    /// How long is counted.
    pub(crate) duration: Duration,
    /// The process whose use is counted.
    pub(crate) watch: u32,
}

/// What a load found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    /// Requests that were answered with success.
    pub(crate) requests: u64,
    /// Those that were not.
    pub(crate) failures: u64,
    /// Those that were answered on a connection which went on with the session of an earlier one.
    pub(crate) resumed: u64,
    /// Processor time of the watched process, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// The share of it that was user time.
    pub(crate) user_share: f64,
    /// Where the client tells them.
    pub(crate) latencies: Option<Latencies>,
    /// The most memory that the watched process ever had, in KiB.
    pub(crate) peak_kib: u64,
}

/// How long requests took, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latencies {
    /// Half of them took no longer.
    pub(crate) p50_us: f64,
    /// All but one of a hundred took no longer.
    pub(crate) p99_us: f64,
    /// All but one of a thousand took no longer.
    pub(crate) p999_us: f64,
    /// None took longer.
    pub(crate) max_us: f64,
}

/// What is counted while a load goes on.
#[derive(Debug)]
pub(crate) struct Meter {
    requests: u64,
    failures: u64,
    resumed: u64,
    /// In nanoseconds.
    latencies: Histogram<u64>,
}

impl Meter {
    fn new() -> Self {
        let latencies = Histogram::new_with_max(LATENCY_MAX.as_nanos() as u64, 3);
        Self {
            requests: 0,
            failures: 0,
            resumed: 0,
            latencies: latencies.expect("three digits up to a minute are possible"),
        }
    }

    fn succeeded(&mut self, took: Duration, is_resumed: bool) {
        self.requests += 1;
        self.resumed += u64::from(is_resumed);
        self.latencies.saturating_record(took.as_nanos() as u64);
    }

    fn failed(&mut self) {
        self.failures += 1;
    }

    /// A request that was due for so long and was never sent: it would have taken longer still.
    fn unsent(&mut self, overdue: Duration) {
        self.latencies.saturating_record(overdue.as_nanos() as u64);
    }

    fn latencies(&self) -> Latencies {
        Latencies {
            p50_us: self.microseconds(0.5),
            p99_us: self.microseconds(0.99),
            p999_us: self.microseconds(0.999),
            max_us: self.microseconds(1.0),
        }
    }

    fn microseconds(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Request {
    /// One for a target, without TLS, on a connection that is kept.
    pub(crate) fn get(target: &str) -> Self {
        Self {
            target: target.into(),
            targets: 1,
            body_bytes: 0,
            close: false,
            tls: None,
        }
    }

    /// As it is written to an address, for each target.
    fn texts(&self, address: SocketAddr) -> Vec<Vec<u8>> {
        let host = match self.tls {
            None => address.to_string(),
            Some(_) => format!("{HOST}:{}", address.port()),
        };
        let targets = 0..self.targets;
        let targets = targets.map(|number| self.target.replace("{}", &number.to_string()));
        targets.map(|target| self.text(&target, &host)).collect()
    }

    fn text(&self, target: &str, host: &str) -> Vec<u8> {
        let method = if self.body_bytes == 0 { "GET" } else { "POST" };
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        if self.body_bytes > 0 {
            text += &format!("Content-Length: {}\r\n", self.body_bytes);
        }
        if self.close {
            text += "Connection: close\r\n";
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + self.body_bytes, b'x');
        bytes
    }
}

/// Goes on for its time, and longer where too few have been answered.
fn warm_up(client: &mut Client, plan: &Plan) -> Result<(), Error> {
    let deadline = Instant::now() + WARM_UP_MAX;
    loop {
        client.run_until(Instant::now() + plan.warm_up)?;
        if client.meter.requests >= plan.warm_up_requests || Instant::now() > deadline {
            return Ok(());
        }
    }
}

/// Carries a load out. Fails where the proxy cannot be reached, or the watched process is gone.
pub(crate) fn run(plan: &Plan) -> Result<Report, Error> {
    let mut client = Client::connect(plan)?;
    warm_up(&mut client, plan)?;
    let (began, before) = (Instant::now(), Cpu::of(plan.watch)?);
    client.meter = Meter::new();
    client.run_until(began + plan.duration)?;
    let (took, cpu) = (began.elapsed(), Cpu::of(plan.watch)?.since(before));
    client.count_overdue(began + took);
    let meter = client.meter;
    Ok(Report {
        seconds: took.as_secs_f64(),
        requests: meter.requests,
        failures: meter.failures,
        resumed: meter.resumed,
        cpu_ns: cpu.total_ns,
        user_share: cpu.user_share(),
        latencies: Some(meter.latencies()),
        peak_kib: Memory::of(plan.watch)?.peak,
    })
}

#[cfg(test)]
mod tests;
