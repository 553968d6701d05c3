//! The command line.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use crate::compare::Plans;
use crate::control::{ProbesArgs, PropagationArgs, SuspicionArgs};
use crate::peers::{Peer, Places};
use crate::soak::SoakArgs;

/// Measures Roundhouse on this machine.
#[derive(clap::Parser, Debug)]
#[command(name = "bench", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the cases and write the page.
    Compare(CompareArgs),
    /// Write the page again from results.json.
    Page {
        /// The folder that has it.
        #[arg(long, default_value = "docs/benchmarks")]
        output: PathBuf,
    },
    /// Keep a balancer under load in the midst of trouble.
    Soak(SoakArgs),
    /// Measure what it costs to probe ten thousand servers, and what it costs balancers that a thousand of them flap.
    Probes(ProbesArgs),
    /// Measure how soon a change is in force everywhere, and what a resync costs everybody else.
    Propagation(PropagationArgs),
    /// Measure how soon a server that failed one request at one balancer gets no more from any.
    Suspicion(SuspicionArgs),
    /// Be the server behind the proxies.
    Origin {
        address: SocketAddrV4,
        /// Listen at every loopback address with that port.
        #[arg(long)]
        everywhere: bool,
    },
    /// Be the bare byte relay.
    Relay {
        address: SocketAddr,
        server: SocketAddr,
    },
    /// Be the client.
    Load {
        /// As JSON.
        plan: String,
    },
}

/// How the comparison is run.
#[derive(clap::Args, Debug)]
pub(crate) struct CompareArgs {
    /// How often everyone's turn comes in each case; nearly twice as often where figures vary more than others'.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,

    /// How long each turn is measured, after a third of that to warm up.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,

    /// The cases to run, by name; all where none is given.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,

    /// Whom to compare.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Peer::ALL)]
    pub(crate) peers: Vec<Peer>,

    /// Two rounds of a second: to see that it works, not to learn anything.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where README.md, results.json and cpu.svg are written. Cases of an earlier run that this one leaves out are not kept.
    #[arg(long, default_value = "docs/benchmarks")]
    pub(crate) output: PathBuf,

    /// The binary that is measured.
    #[arg(long, default_value = "target/release/roundhouse")]
    pub(crate) roundhouse: PathBuf,

    /// The Envoy binary.
    #[arg(long, default_value = "envoy")]
    pub(crate) envoy: PathBuf,

    /// Where configurations and logs go.
    #[arg(long, default_value = "target/bench")]
    pub(crate) work: PathBuf,
}

impl CompareArgs {
    pub(crate) fn plans(&self) -> std::io::Result<Plans> {
        let (rounds, seconds) = if self.quick {
            (2, 1.0)
        } else {
            (self.rounds, self.seconds)
        };
        // nginx takes a path as relative to its own folder.
        std::fs::create_dir_all(&self.work)?;
        Ok(Plans {
            rounds,
            warm_up: Duration::from_secs_f64(seconds / 3.0),
            duration: Duration::from_secs_f64(seconds),
            places: Places {
                roundhouse: self.roundhouse.clone(),
                envoy: self.envoy.clone(),
                bench: std::env::current_exe()?,
                work: self.work.canonicalize()?,
            },
        })
    }
}
