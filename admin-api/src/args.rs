//! The admin API's flags.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use certificates::{SealKeyError, SealTo};
use registry::Durability;

/// How the admin API is started.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub registry: registry::Options,

    /// Where operators reach the API. Any address but a loopback one needs --token-file.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = runtime::address)]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are served. Nowhere where it is not given.
    #[arg(long, value_name = "ADDR", value_parser = runtime::address)]
    pub ops: Option<SocketAddr>,

    /// The file with the tokens that are let in: one of at least 16 characters a line, as "token" or "name:token"; '#' begins a
    /// comment.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// How many of Redis's replicas must have a change before it is acknowledged, and how long they are waited for, as in
    /// `wait=1,timeout=1s`; or `none`. The answer says whether they had it.
    #[arg(
        long,
        value_name = "none|wait=N[,timeout=TIME]",
        default_value = "none"
    )]
    pub durability: Durability,

    /// The public half of the balancers' seal key, as `roundhouse seal-key public FILE` prints it. By it the private keys of
    /// certificates are sealed; without it only sealed ones are taken.
    // What is wrong with it is said by `check`, which does not repeat it: it may be the secret half.
    #[arg(long, value_name = "KEY", value_parser = |key: &str| Ok::<_, Infallible>(key.parse::<SealTo>()))]
    pub seal_to: Option<Result<SealTo, SealKeyError>>,
}
