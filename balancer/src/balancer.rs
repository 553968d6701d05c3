//! One balancer: binds its ports, starts its workers and what feeds them, and says when it is ready.

mod parts;
mod sockets;
mod thread;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use model::InstanceId;
use registry::Registry;
use runtime::{BindError, Supervisor};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::handover::TakeOverError;
use crate::listen::{Entrance, Inherited, Turn};
use crate::sync::{Identity, Standing, ready};
use crate::tls::Disk;

use parts::Parts;
use sockets::Sockets;

/// The name of the last good state in `--state-dir`.
const STATE_FILE: &str = "balancer.json";

/// Why a balancer could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("--listen: {0}")]
    Listen(BindError),
    #[error("--listen-tls: {0}")]
    ListenTls(BindError),
    #[error("--ops: {0}")]
    Ops(BindError),
    #[error("cannot use listening sockets: {0}")]
    Sockets(io::Error),
    #[error("--handover {}: {source}", path.display())]
    Handover { path: PathBuf, source: io::Error },
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    #[error("{0}")]
    SealKeys(String),
    #[error("cannot start worker threads: {source}")]
    Threads { source: io::Error },
}

/// A running balancer. Its threads and tasks belong to the supervisor, and end after its stop token.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    ops: SocketAddr,
    instance: InstanceId,
    standing: watch::Receiver<Standing>,
    turn: watch::Receiver<Turn>,
    /// Whether another one served at this address before.
    has_predecessor: bool,
}

impl Balancer {
    /// Binds the ports, then starts the workers and the tasks on the supervisor.
    ///
    /// # Errors
    /// One line that says why it could not start.
    pub async fn start(
        args: Args,
        registry: Arc<dyn Registry>,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        Self::start_on(Inherited::default(), args, registry, supervisor).await
    }

    /// The same on ports that whoever starts the process has bound, as far as there are such.
    ///
    /// # Errors
    /// One line that says why it could not start.
    pub async fn start_on(
        inherited: Inherited,
        args: Args,
        registry: Arc<dyn Registry>,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        let instance = InstanceId::random();
        let disk = disk(&args)?;
        let mut sockets = Sockets::open(&args, inherited, instance).await?;
        let estate = sockets.keep().map_err(StartError::Sockets)?;
        let address = sockets.clients[0].local_addr().unwrap_or(args.listen);
        let secure = sockets.secure.first();
        let tls_address = secure.and_then(|one| one.local_addr().ok());
        let ops = sockets.ops.local_addr().unwrap_or(args.ops);
        let identity = identity(&args, instance, address);
        let parts = Parts::new(&args, registry, identity, &sockets, supervisor);
        let has_predecessor = sockets.predecessor.is_some();
        parts.serve_ops(sockets.ops)?;
        let (suspecting, questions) = parts.start_tasks(disk);
        parts.keep(estate, sockets.predecessor);
        parts.open_when_ready();
        let http = (sockets.clients, sockets.kept_elsewhere);
        let https = (sockets.secure, sockets.secure_kept_elsewhere);
        let doors = [(Entrance::Http, http), (Entrance::Https, https)];
        parts.start_workers(doors, &suspecting, &questions)?;
        Ok(Self {
            address,
            tls_address,
            ops,
            instance,
            standing: parts.membership.standing.subscribe(),
            turn: parts.turn.subscribe(),
            has_predecessor,
        })
    }

    /// Where clients are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients are served within TLS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops
    }

    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Returns once this process accepts clients: at once, unless others than this process have bound its port.
    pub async fn accepting(&self) {
        let mut turn = self.turn.clone();
        // Where the tasks end before, the process ends.
        let _ = turn.wait_for(|turn| *turn != Turn::Before).await;
    }

    /// Returns once clients may come.
    pub async fn ready(&self) {
        ready(self.standing.clone()).await;
    }

    /// Tells systemd when clients may come, and when the service ends, which it does not where a successor serves.
    pub(crate) fn give_notice(&self, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let (standing, turn) = (self.standing.clone(), self.turn.clone());
        // Taking over has been said already, before the predecessor could end.
        let is_first = !self.has_predecessor;
        async move {
            if is_first && stop.run_until_cancelled(ready(standing)).await.is_some() {
                runtime::notify_ready();
            }
            stop.cancelled().await;
            if *turn.borrow() != Turn::After {
                runtime::notify_stopping();
            }
        }
    }
}

/// What of TLS is in files, of which the seal keys must be there.
fn disk(args: &Args) -> Result<Disk, StartError> {
    let (seal_keys, directory) = (
        args.seal_key_file.as_deref(),
        args.certificate_dir.as_deref(),
    );
    let mut disk = Disk::new(seal_keys, args.seal_keys.clone(), directory);
    disk.begin().map_err(StartError::SealKeys)?;
    Ok(disk)
}

fn identity(args: &Args, instance: InstanceId, address: SocketAddr) -> Identity {
    let advertise = args.advertise.clone();
    Identity {
        instance,
        fleet: args.registry.fleet.clone(),
        advertise: advertise.unwrap_or_else(|| runtime::reachable(address)),
        host: runtime::host_name(),
        region: args.region.clone(),
        zone: args.zone.clone(),
        state_file: args
            .state_dir
            .as_ref()
            .map(|directory| directory.join(STATE_FILE)),
    }
}
