//! What can be set when a balancer starts. What concerns the fleet is in the registry instead.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// The most worker threads.
const THREADS_MAX: usize = 1024;

/// The flags of `roundhouse balancer`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub registry: registry::Options,

    /// Where clients are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8100")]
    pub ops: SocketAddr,

    /// Worker threads; as many as there are cores where none is given.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZero<usize>>,

    /// Where it keeps the last good state, from which it starts while the registry is away.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The address at which clients reach it, as it is listed; that of --listen where none is given,
    /// with the host's name for an unspecified one.
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,

    /// The region it is in, as it is listed.
    #[arg(long, value_name = "REGION", default_value = "")]
    pub region: String,

    /// The zone it is in, as it is listed.
    #[arg(long, value_name = "ZONE", default_value = "")]
    pub zone: String,

    /// How long requests under way may still take when it is asked to end. Clients that had begun to connect are still served; no
    /// more can begin.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = model::parse_duration)]
    pub drain_timeout: Duration,

    /// How long a request's head may take from its first byte to its last.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = model::parse_duration)]
    pub head_timeout: Duration,

    /// How long a client's connection may wait for its next request.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = model::parse_duration)]
    pub keep_alive_timeout: Duration,

    /// Client connections at the same time, at most.
    #[arg(long, value_name = "N", default_value = "65536")]
    pub max_connections: NonZero<usize>,
}

impl Args {
    /// The number of worker threads.
    pub(crate) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.threads.unwrap_or_else(cores).get()
    }
}

fn threads(text: &str) -> Result<NonZero<usize>, String> {
    match text.parse() {
        Ok(threads) if threads <= NonZero::new(THREADS_MAX).expect("not zero") => Ok(threads),
        _ => Err(format!("must be a number from 1 to {THREADS_MAX}")),
    }
}
