//! What can be set when an orchestrator starts. What concerns the fleet is in the registry instead.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{Pool, PoolId, validate_pool};

/// With none at all everything would be forgotten at once.
const FORGET_AFTER_MIN: Duration = Duration::from_millis(1);

/// The flags of `roundhouse orchestrator`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub registry: registry::Options,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8200", value_parser = runtime::address)]
    pub ops: SocketAddr,

    /// The address under which it is listed; that of --ops where none is given.
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,

    /// Where it keeps a copy of the fleet's state, from which a registry that lost its memory is restored.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How many servers are probed at the same time, at most. Room for 32 more is kept for servers that a
    /// balancer suspects.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = runtime::whole_number::<usize>(1..=65_536))]
    pub probe_concurrency: usize,

    /// How long an instance, or a server that registered itself and is down, may be silent before it is
    /// forgotten.
    #[arg(long, value_name = "DURATION", default_value = model::format_duration(registry::FORGET_AFTER), value_parser = model::duration_from(FORGET_AFTER_MIN))]
    pub forget_after: Duration,

    /// The health check's path of the pool `default`, where this orchestrator is the one to create it.
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = health_path)]
    pub default_health_path: String,

    /// Within what time after a leader's sudden end another orchestrator leads: the same for all of a fleet. It is renewed each
    /// third of it, and each second at least.
    #[arg(long, value_name = "DURATION", default_value = model::format_duration(registry::TAKEOVER), value_parser = lease)]
    pub lease: Duration,
}

fn lease(text: &str) -> Result<Duration, String> {
    let (least, most) = registry::TAKEOVER_BOUNDS;
    match model::parse_duration(text) {
        Ok(lease) if !(least..=most).contains(&lease) => {
            let [least, most] = [least, most].map(model::format_duration);
            Err(format!("must be from {least} to {most}"))
        }
        read => read,
    }
}

fn health_path(text: &str) -> Result<String, String> {
    let mut pool = Pool::new(PoolId::standard());
    pool.health.path = text.into();
    match validate_pool(&pool) {
        Ok(()) => Ok(pool.health.path),
        Err(problems) => {
            let rules = problems.into_iter().map(|problem| problem.rule);
            Err(rules.collect::<Vec<_>>().join("; "))
        }
    }
}
