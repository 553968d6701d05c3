//! One balancer: binds its ports, starts its workers and what feeds them, and says when it is ready.

mod thread;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use model::InstanceId;
use registry::Registry;
use runtime::{BindError, Metrics, Supervisor};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::adoption::{Adopted, Adoption};
use crate::crowd::Crowd;
use crate::listen::bind;
use crate::metrics::{Counters, Scrape};
use crate::settings::Settings;
use crate::suspecting::{Suspecting, suspecting};
use crate::sync::{Findings, Identity, Membership, Standing};
use crate::upstream::Common;

use thread::{Serving, WorkerStart, work};

/// The name of the last good state in `--state-dir`.
const STATE_FILE: &str = "balancer.json";

/// Why a balancer could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("--listen: {0}")]
    Listen(BindError),
    #[error("--ops: {0}")]
    Ops(BindError),
    #[error("cannot start worker threads: {source}")]
    Threads { source: io::Error },
}

/// A running balancer. Its threads and tasks belong to the supervisor, and end after its stop token.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    ops: SocketAddr,
    instance: InstanceId,
    standing: watch::Receiver<Standing>,
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
        let workers = args.workers();
        let listeners = bind(args.listen, workers).map_err(StartError::Listen)?;
        let address = listeners[0].local_addr().unwrap_or(args.listen);
        let ops_listener = runtime::bind(args.ops).await;
        let ops_listener = ops_listener.map_err(StartError::Ops)?;
        let ops = ops_listener.local_addr().unwrap_or(args.ops);
        let membership = Membership {
            registry,
            identity: Arc::new(identity(&args, address)),
            tables: watch::Sender::default(),
            adopted: Arc::new(Adopted::new(workers)),
            standing: watch::Sender::default(),
            ejected: Arc::default(),
            started: Instant::now(),
            served: CancellationToken::new(),
        };
        let threads: Vec<Arc<Counters>> = (0..workers).map(|_| Arc::default()).collect();
        serve_ops(ops_listener, &membership, &threads, supervisor);
        let suspecting = start_tasks(&membership, supervisor);
        start_workers(
            &args,
            listeners,
            &threads,
            &membership,
            &suspecting,
            supervisor,
        )?;
        Ok(Self {
            address,
            ops,
            instance: membership.identity.instance,
            standing: membership.standing.subscribe(),
        })
    }

    /// Where clients are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        Some(self.ops)
    }

    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Returns once clients may come.
    pub async fn ready(&self) {
        let mut standing = self.standing.clone();
        // Where the tasks end before, the process ends.
        let _ = standing
            .wait_for(|standing| standing.readiness.check().is_ok())
            .await;
    }
}

fn identity(args: &Args, address: SocketAddr) -> Identity {
    let advertise = args.advertise.clone();
    Identity {
        instance: InstanceId::random(),
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

fn serve_ops(
    listener: tokio::net::TcpListener,
    membership: &Membership,
    threads: &[Arc<Counters>],
    supervisor: &Supervisor,
) {
    let metrics = Metrics::new();
    let scrape = Scrape {
        threads: threads.to_vec(),
        tables: membership.tables.subscribe(),
        adopted: Arc::clone(&membership.adopted),
        ejected: Arc::clone(&membership.ejected),
    };
    metrics.register(|registry| {
        let registry = registry.sub_registry_with_prefix("balancer");
        registry.register_collector(Box::new(scrape));
    });
    let standing = membership.standing.subscribe();
    let stop = supervisor.stop_token();
    let ready = move || {
        if stop.is_cancelled() {
            return Err("it is stopping".to_owned());
        }
        standing.borrow().check()
    };
    // Whoever watches it sees that it is stopping, until it has stopped.
    let router = runtime::ops_router(metrics, ready);
    supervisor.spawn(
        "balancer ops",
        runtime::serve_ops(listener, router, membership.served.clone()),
    );
}

fn start_tasks(membership: &Membership, supervisor: &Supervisor) -> Suspecting {
    let (suspecting, seen) = suspecting();
    let (views, shown) = watch::channel(Arc::default());
    supervisor.spawn("balancer follower", membership.clone().follow(views));
    let (findings, found) = watch::channel(Findings::default());
    supervisor.spawn(
        "balancer stand-in",
        membership.clone().stand_in(shown.clone(), findings),
    );
    supervisor.spawn("balancer tables", membership.clone().publish(shown, found));
    supervisor.spawn("balancer reports", membership.clone().report_always());
    supervisor.spawn(
        "balancer loads elsewhere",
        membership.clone().look_elsewhere_always(),
    );
    supervisor.spawn(
        "balancer ejections",
        membership.clone().eject_always(suspecting.clone()),
    );
    supervisor.spawn(
        "balancer suspicions",
        membership.clone().suspect_always(seen),
    );
    suspecting
}

fn start_workers(
    args: &Args,
    listeners: Vec<TcpListener>,
    threads: &[Arc<Counters>],
    membership: &Membership,
    suspecting: &Suspecting,
    supervisor: &Supervisor,
) -> Result<(), StartError> {
    let workers = listeners.len();
    let settings = Settings::new(membership.started, args);
    let crowd = Arc::new(Crowd::new(
        args.max_connections.get(),
        NonZero::new(args.max_connections_per_client),
    ));
    let left = Arc::new(AtomicUsize::new(workers));
    let common = Arc::new(Common::default());
    for (index, listener) in listeners.into_iter().enumerate() {
        let start = WorkerStart {
            settings: settings.clone(),
            crowd: Arc::clone(&crowd),
            listener,
            counters: Arc::clone(&threads[index]),
            suspecting: suspecting.clone(),
            common: Arc::clone(&common),
            adoption: Adoption::new(
                membership.tables.subscribe(),
                Arc::clone(&membership.adopted),
                index,
            ),
            drain_timeout: args.drain_timeout,
            stop: supervisor.stop_token(),
            serving: Serving {
                left: Arc::clone(&left),
                served: membership.served.clone(),
            },
        };
        supervisor
            .spawn_thread(format!("balancer worker {index}"), move || work(start))
            .map_err(|source| StartError::Threads { source })?;
    }
    Ok(())
}
