//! The flags of `roundhouse up`, and what follows from them for each role.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use clap::FromArgMatches;

use super::StartError;

/// The flags of `roundhouse up`. With port 0 in an address each role takes a free port.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) registry: registry::Options,

    /// How many servers to balance. With 0 the pool `default` is empty.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(super) servers: u16,

    /// How many balancers.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) balancers: u16,

    /// Worker threads of each balancer; as many as there are cores where it is not given.
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

    /// Where the first balancer listens; the others on the ports after it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,

    /// Where the first balancer's /livez, /readyz and /metrics are; the others' on the ports after it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8100")]
    balancer_ops: SocketAddr,

    /// Where the admin API listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    admin: SocketAddr,

    /// The file with the admin API's tokens; needed where it listens on another address than a loopback one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Where the orchestrator's /livez, /readyz and /metrics are.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8200")]
    orchestrator_ops: SocketAddr,

    /// Where the first server listens; the others on the ports after it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001")]
    server_listen: SocketAddr,

    /// Where the balancers and the orchestrator keep their copies of the state, a folder each.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Args {
    pub(super) fn orchestrator(&self) -> orchestrator::Args {
        orchestrator::Args {
            registry: self.registry.clone(),
            ops: self.orchestrator_ops,
            state_dir: self
                .state_dir
                .as_ref()
                .map(|folder| folder.join("orchestrator")),
            default_health_path: "/-/health".into(),
            ..defaults()
        }
    }

    pub(super) fn admin(&self) -> admin_api::Args {
        admin_api::Args {
            registry: self.registry.clone(),
            listen: self.admin,
            token_file: self.token_file.clone(),
            ..defaults()
        }
    }

    pub(super) fn balancer(&self, index: u16) -> Result<balancer::Args, StartError> {
        let defaults: balancer::Args = defaults();
        Ok(balancer::Args {
            registry: self.registry.clone(),
            listen: after(self.listen, index)?,
            ops: after(self.balancer_ops, index)?,
            threads: self.threads.or(defaults.threads),
            state_dir: self
                .state_dir
                .as_ref()
                .map(|folder| folder.join(format!("balancer-{}", index + 1))),
            ..defaults
        })
    }

    pub(super) fn server(
        &self,
        index: u16,
        admin: SocketAddr,
    ) -> Result<demo_servers::Args, StartError> {
        let number = index + 1;
        Ok(demo_servers::Args {
            id: Some(
                format!("s{number}")
                    .parse()
                    .expect("a letter and a number are a name"),
            ),
            register: Some(
                format!("http://{admin}")
                    .parse()
                    .expect("an address makes a URL"),
            ),
            token_file: self.token_file.clone(),
            ..demo_servers::Args::new(number.to_string(), after(self.server_listen, index)?)
        })
    }
}

/// A role's flags where none is given.
fn defaults<A: clap::Args + FromArgMatches>() -> A {
    let command = A::augment_args(clap::Command::new("defaults").no_binary_name(true));
    let matches = command.get_matches_from(Vec::<String>::new());
    A::from_arg_matches(&matches).expect("every flag of a role has a default")
}

/// The address so many ports on; port 0 stays, since it stands for any.
fn after(address: SocketAddr, ports: u16) -> Result<SocketAddr, StartError> {
    if address.port() == 0 {
        return Ok(address);
    }
    let port = address
        .port()
        .checked_add(ports)
        .ok_or(StartError::Port(address))?;
    Ok(SocketAddr::new(address.ip(), port))
}
