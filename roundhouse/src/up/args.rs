//! The flags of `roundhouse up`, and what follows from them for each role.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use certificates::{SealKey, SealKeys, SealTo};
use clap::FromArgMatches;

use super::NoPort;
use crate::cli::seal_key;

const LISTEN: &str = "--listen";
const LISTEN_TLS: &str = "--listen-tls";
const BALANCER_OPS: &str = "--balancer-ops";
const SERVER_LISTEN: &str = "--server-listen";

/// A role, some flag of which has another name here, where several roles have one of that name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Renamed {
    Balancer,
    Orchestrator,
    AdminApi,
    DemoServer,
}

/// The flags of `roundhouse up`. With port 0 in an address each role takes a free port.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) registry: registry::Options,

    /// How many servers to balance. With 0 the pool `default` is empty.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = runtime::whole_number::<u16>(0..=1000))]
    pub(super) servers: u16,

    /// How many balancers.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = runtime::whole_number::<u16>(1..=100))]
    pub(super) balancers: u16,

    /// Worker threads of each balancer; as many as there are cores where it is not given.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<NonZero<usize>>(1..=1024))]
    threads: Option<NonZero<usize>>,

    /// Where the first balancer listens; the others on the ports after it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = runtime::address)]
    listen: SocketAddr,

    /// Where the first balancer serves within TLS, the others on the ports after it; nowhere where it is not given.
    #[arg(long, value_name = "ADDR", value_parser = runtime::address)]
    listen_tls: Option<SocketAddr>,

    /// A file with secret seal keys, by the first of which the admin API seals, and by all of which the balancers open. Without it one is
    /// made, which lasts as long as this process, unless the certificates would last longer.
    #[arg(long, value_name = "FILE")]
    seal_key_file: Option<PathBuf>,

    /// A folder with certificates of the balancers' own: NAME.pem is a chain, NAME.key its private key.
    #[arg(long, value_name = "DIR")]
    certificate_dir: Option<PathBuf>,

    /// Where the first balancer's /livez, /readyz and /metrics are; the others' on the ports after it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8100", value_parser = runtime::address)]
    balancer_ops: SocketAddr,

    /// Where the admin API listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = runtime::address)]
    admin: SocketAddr,

    /// The file with the admin API's tokens; needed where it listens on another address than a loopback one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// How many of Redis's replicas must have a change before the admin API acknowledges it, and how long they are waited for, as
    /// in `wait=1,timeout=1s`; or `none`.
    #[arg(
        long,
        value_name = "none|wait=N[,timeout=TIME]",
        default_value = "none"
    )]
    durability: registry::Durability,

    /// Where the orchestrator's /livez, /readyz and /metrics are.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8200", value_parser = runtime::address)]
    orchestrator_ops: SocketAddr,

    /// Where the first server listens; the others on the ports after it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001", value_parser = runtime::address)]
    server_listen: SocketAddr,

    /// Where the balancers and the orchestrator keep their copies of the state, a folder each.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// What private keys of certificates are sealed to, and opened by besides the keys of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Seal {
    to: Option<SealTo>,
    keys: SealKeys,
}

impl Seal {
    /// One that nobody can open any more once this process has ended.
    fn fleeting() -> Self {
        let key = SealKey::generate();
        Self {
            to: Some(key.public().clone()),
            keys: key.into(),
        }
    }
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

    pub(super) fn admin(&self, seal: &Seal) -> admin_api::Args {
        admin_api::Args {
            registry: self.registry.clone(),
            listen: self.admin,
            token_file: self.token_file.clone(),
            durability: self.durability,
            seal_to: seal.to.clone().map(Ok),
            ..defaults()
        }
    }

    /// Whether these flags can be followed, before anything is opened.
    pub(super) fn check(&self) -> Result<Seal, String> {
        let seal = self.seal()?;
        let admin = self.admin(&seal);
        admin
            .check()
            .map_err(|error| renamed(Renamed::AdminApi, &error))?;
        let balancers =
            (0..self.balancers).try_for_each(|index| self.balancer(index, &seal).map(drop));
        let servers =
            || (0..self.servers).try_for_each(|index| self.server(index, self.admin).map(drop));
        balancers
            .and_then(|()| servers())
            .map_err(|error| error.to_string())?;
        Ok(seal)
    }

    /// What private keys are sealed to, and opened by.
    fn seal(&self) -> Result<Seal, String> {
        let Some(file) = &self.seal_key_file else {
            // What outlives this process has to be opened by what does too.
            let is_lasting = !self.registry.is_within_process() || self.state_dir.is_some();
            return Ok(if is_lasting {
                Seal::default()
            } else {
                Seal::fleeting()
            });
        };
        let keys = seal_key::read(file);
        let keys = keys.map_err(|error| format!("--seal-key-file {}: {error}", file.display()))?;
        Ok(Seal {
            to: keys.public().next().cloned(),
            keys: SealKeys::default(),
        })
    }

    pub(super) fn balancer(&self, index: u16, seal: &Seal) -> Result<balancer::Args, NoPort> {
        let defaults: balancer::Args = defaults();
        let listen_tls = self.listen_tls.map(|it| after(LISTEN_TLS, it, index));
        Ok(balancer::Args {
            registry: self.registry.clone(),
            listen: after(LISTEN, self.listen, index)?,
            listen_tls: listen_tls.transpose()?,
            seal_key_file: self.seal_key_file.clone(),
            seal_keys: seal.keys.clone(),
            certificate_dir: self.certificate_dir.clone(),
            ops: after(BALANCER_OPS, self.balancer_ops, index)?,
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
    ) -> Result<demo_servers::Args, NoPort> {
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
            ..demo_servers::Args::new(
                number.to_string(),
                after(SERVER_LISTEN, self.server_listen, index)?,
            )
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
fn after(flag: &'static str, address: SocketAddr, ports: u16) -> Result<SocketAddr, NoPort> {
    if address.port() == 0 {
        return Ok(address);
    }
    match address.port().checked_add(ports) {
        Some(port) => Ok(SocketAddr::new(address.ip(), port)),
        None => Err(NoPort { flag, address }),
    }
}

/// What a role says, with the names that its flags have here.
pub(super) fn renamed(role: Renamed, said: &impl Display) -> String {
    let said = said.to_string();
    let (own, here) = match role {
        Renamed::Balancer => ("--ops", BALANCER_OPS),
        Renamed::Orchestrator => ("--ops", "--orchestrator-ops"),
        Renamed::AdminApi => (LISTEN, "--admin"),
        Renamed::DemoServer => (LISTEN, SERVER_LISTEN),
    };
    let is_whole =
        |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
    match said.strip_prefix(own) {
        Some(rest) if is_whole(rest) => format!("{here}{rest}"),
        _ => said,
    }
}
