//! What can be set when a balancer starts. What concerns the fleet is in the registry instead.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// The most worker threads.
const THREADS_MAX: u64 = 1024;

/// The most client connections: more than a process can have.
const CONNECTIONS_MAX: u64 = 1 << 30;

/// The shortest time for a client: the clock of a worker counts no shorter ones.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// The flags of `roundhouse balancer`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub registry: registry::Options,

    /// Where clients are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = runtime::address)]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8100", value_parser = runtime::address)]
    pub ops: SocketAddr,

    /// Worker threads; as many as there are cores where none is given.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<NonZero<usize>>(1..=THREADS_MAX))]
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
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = model::duration_from(TIMEOUT_MIN))]
    pub head_timeout: Duration,

    /// How long a client's connection may wait for its next request.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = model::duration_from(TIMEOUT_MIN))]
    pub keep_alive_timeout: Duration,

    /// Client connections at the same time, at most.
    #[arg(long, value_name = "N", default_value = "65536", value_parser = runtime::whole_number::<NonZero<usize>>(1..=CONNECTIONS_MAX))]
    pub max_connections: NonZero<usize>,
}

impl Args {
    /// The number of worker threads.
    pub(crate) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.threads.unwrap_or_else(cores).get()
    }
}
