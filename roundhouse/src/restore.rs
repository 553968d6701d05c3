//! `roundhouse restore-from FILE`: an operator gives a registry that has lost its memory a copy of it.
//!
//! Orchestrators do so by themselves where one of them holds the last position that anybody saw. Where none
//! does, what is lost is for a person to decide.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use model::{Epoch, RevisionId, Snapshot};
use registry::{OpenError, Registry, RegistryError, StateFile, StateFileError, recovery};
use runtime::complain;

/// The command's arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The state file of an orchestrator or a balancer, as it is in its --state-dir.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    registry: registry::Options,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    File(#[from] StateFileError),
    #[error("there is no state file {}", .0.display())]
    NoFile(PathBuf),
    #[error("the runtime cannot be started: {0}")]
    Start(std::io::Error),
    #[error("the registry holds a fleet: nothing was restored")]
    Occupied,
    #[error("nothing is known to be restored: {0}")]
    Registry(#[from] RegistryError),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Open(_) => 2,
            _ => 1,
        })
    }
}

/// Runs the command to its end.
pub(crate) fn run(args: &Args) -> ExitCode {
    match restore(args) {
        Ok(snapshot) => {
            println!("{}", describe(&snapshot));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure);
            failure.exit_code()
        }
    }
}

fn restore(args: &Args) -> Result<Snapshot, Failure> {
    let registry = registry::open_shared(&args.registry)?;
    let copy = StateFile::load(&args.file, &args.registry.fleet)?;
    let copy = copy.ok_or_else(|| Failure::NoFile(args.file.clone()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    runtime.block_on(seed(registry, &copy.snapshot))
}

async fn seed(registry: Arc<dyn Registry>, copy: &Snapshot) -> Result<Snapshot, Failure> {
    let instances = registry.instances().await?;
    let fresh = (Epoch::random(), RevisionId::random());
    let snapshot = recovery::restored(copy, &instances, fresh);
    match registry.seed(&snapshot).await? {
        true => Ok(snapshot),
        false => Err(Failure::Occupied),
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let unread = match snapshot.unread.len() {
        0 => String::new(),
        unread => format!(" and {unread} elements that only a newer version can read"),
    };
    format!(
        "restored: pools {}, servers {}{unread}, as revision {} of a new epoch, {}",
        snapshot.pools.len(),
        snapshot.servers.len(),
        snapshot.position.revision,
        snapshot.position.epoch,
    )
}
