//! One orchestrator: binds its port, starts its loops, and says when it is ready.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, Origin};
use registry::recovery::RECOVERY_WAIT;
use registry::{FollowOptions, Registry, RegistryError, View};
use runtime::{BindError, Supervisor};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::Args;
use crate::driver::drive;
use crate::expiry::Expiry;
use crate::fleet::{Fleet, Tenure};
use crate::leader::Leader;
use crate::metrics::Metrics;
use crate::presence;
use crate::reconcile::auditing::{Auditing, Tally};
use crate::reconcile::balancers::Counting;
use crate::reconcile::forgetting::Forgetting;
use crate::reconcile::health::{Hints, Inspection};
use crate::reconcile::quorum;
use crate::reconcile::recovery::Recovery;
use crate::reconcile::registrations::Registrations;
use crate::reconcile::secrets::Secrets;
use crate::reconcile::suspicions;

/// The name of the state's copy in `--state-dir`.
const STATE_FILE: &str = "orchestrator.json";

/// Why an orchestrator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("--ops: {0}")]
    Ops(BindError),
}

/// A running orchestrator. Its loops belong to the supervisor, and end with its stop token.
#[derive(Debug)]
pub struct Orchestrator {
    ops: SocketAddr,
    instance: InstanceId,
    views: watch::Receiver<Arc<View>>,
    tenure: watch::Receiver<Option<Tenure>>,
}

/// The ends of the channels that the loops write to.
struct Sources {
    views: watch::Sender<Arc<View>>,
    tenure: watch::Sender<Option<Tenure>>,
}

impl Orchestrator {
    /// Binds the port, then starts every loop on the supervisor.
    ///
    /// # Errors
    /// One line that says why it could not start.
    pub async fn start(
        args: Args,
        registry: Arc<dyn Registry>,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        let listener = runtime::bind(args.ops).await.map_err(StartError::Ops)?;
        // A listener that was just bound has an address.
        let ops = listener.local_addr().unwrap_or(args.ops);
        let metrics = runtime::Metrics::new();
        let (fleet, sources) = prepare(registry, &metrics);
        serve(listener, metrics, &fleet, supervisor);
        follow(&args, &fleet, sources.views, supervisor);
        lead(&fleet, sources.tenure, &args, ops, supervisor);
        inspect(&fleet, &args, supervisor);
        keep_house(&fleet, &args, supervisor);
        Ok(Self {
            ops,
            instance: fleet.instance,
            views: fleet.views,
            tenure: fleet.tenure,
        })
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    pub fn address(&self) -> SocketAddr {
        self.ops
    }

    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Whether it leads at this moment.
    pub fn leads(&self) -> bool {
        self.tenure.borrow().is_some()
    }

    /// Returns once it follows the registry.
    pub async fn ready(&self) {
        let mut views = self.views.clone();
        // The follower outlives whoever waits for it; where it does not, the process ends.
        let _ = views.wait_for(|view| readiness(view).is_ok()).await;
    }
}

fn prepare(registry: Arc<dyn Registry>, metrics: &runtime::Metrics) -> (Fleet, Sources) {
    let sources = Sources {
        views: watch::Sender::default(),
        tenure: watch::Sender::default(),
    };
    let expiry = Expiry {
        views: sources.views.subscribe(),
        chains: Arc::default(),
    };
    let fleet = Fleet {
        registry,
        instance: InstanceId::random(),
        views: sources.views.subscribe(),
        tenure: sources.tenure.subscribe(),
        refused: watch::Sender::default(),
        doubts: Arc::default(),
        metrics: metrics.register(Metrics::register),
        chains: Arc::clone(&expiry.chains),
        found: watch::Sender::default(),
    };
    metrics.register(|registry| registry.register_collector(Box::new(expiry)));
    (fleet, sources)
}

fn serve(listener: TcpListener, metrics: runtime::Metrics, fleet: &Fleet, supervisor: &Supervisor) {
    let (views, registry) = (fleet.views.clone(), Arc::clone(&fleet.registry));
    let ready = move || readiness(&views.borrow()).and_then(|()| ability(&*registry));
    let router = runtime::ops_router(metrics, ready);
    let ops = runtime::serve_ops(listener, router, supervisor.stop_token());
    supervisor.spawn("orchestrator ops", ops);
}

fn follow(args: &Args, fleet: &Fleet, views: watch::Sender<Arc<View>>, supervisor: &Supervisor) {
    let options = FollowOptions {
        state_file: args.state_dir.as_ref().map(|dir| dir.join(STATE_FILE)),
        audit: true,
        doubts: Arc::clone(&fleet.doubts),
        ..FollowOptions::new(args.registry.fleet.clone())
    };
    let registry = Arc::clone(&fleet.registry);
    let follow = registry::follow(registry, options, views, supervisor.stop_token());
    supervisor.spawn("orchestrator follower", follow);
}

fn lead(
    fleet: &Fleet,
    tenure: watch::Sender<Option<Tenure>>,
    args: &Args,
    ops: SocketAddr,
    supervisor: &Supervisor,
) {
    let leader = Leader::new(fleet.clone(), tenure).within(args.lease);
    supervisor.spawn("orchestrator leader", leader.run(supervisor.stop_token()));
    let advertise = args
        .advertise
        .clone()
        .unwrap_or_else(|| runtime::reachable(ops));
    let presence = presence::run(fleet.clone(), advertise, supervisor.stop_token());
    supervisor.spawn("orchestrator presence", presence);
}

fn inspect(fleet: &Fleet, args: &Args, supervisor: &Supervisor) {
    let (doubts, suspected) = mpsc::channel(suspicions::QUEUE_LENGTH);
    let lapsed = watch::Sender::new(BTreeSet::new());
    let voices = watch::Sender::default();
    let hints = Hints {
        suspicions: suspected,
        lapsed: lapsed.subscribe(),
        voices: voices.subscribe(),
    };
    let stop = || supervisor.stop_token();
    let quorum = quorum::run(fleet.clone(), voices, stop());
    supervisor.spawn("orchestrator quorum", quorum);
    let inspection = Inspection::new(fleet.clone(), hints, args.probe_concurrency);
    supervisor.spawn("orchestrator inspection", inspection.run(stop()));
    let suspicions = suspicions::run(fleet.clone(), doubts, stop());
    supervisor.spawn("orchestrator suspicions", suspicions);
    let registrations = Registrations::new(fleet.clone(), lapsed, args.forget_after);
    let registrations = drive(registrations, fleet.tenure.clone(), stop());
    supervisor.spawn("orchestrator registrations", registrations);
}

fn keep_house(fleet: &Fleet, args: &Args, supervisor: &Supervisor) {
    let stop = || supervisor.stop_token();
    let wait = recovery_wait(&args.registry);
    let recovery = Recovery::new(fleet.clone(), wait, args.default_health_path.clone());
    let recovery = drive(recovery, fleet.views.clone(), stop());
    supervisor.spawn("orchestrator recovery", recovery);
    let forgetting = Forgetting::new(fleet.clone(), args.forget_after);
    let forgetting = drive(forgetting, fleet.tenure.clone(), stop());
    supervisor.spawn("orchestrator forgetting", forgetting);
    let counting = Counting {
        fleet: fleet.clone(),
    };
    let counting = drive(counting, fleet.tenure.clone(), stop());
    supervisor.spawn("orchestrator counting", counting);
    let secrets = drive(Secrets::new(fleet.clone()), fleet.views.clone(), stop());
    supervisor.spawn("orchestrator secrets", secrets);
    let auditing = drive(Auditing::new(fleet.clone()), fleet.tenure.clone(), stop());
    supervisor.spawn("orchestrator auditing", auditing);
    let tally = Tally {
        fleet: fleet.clone(),
    };
    let tally = drive(tally, fleet.views.clone(), stop());
    supervisor.spawn("orchestrator tally", tally);
}

/// A registry within this process has no memory to lose: what it lacks, nobody has ever had.
fn recovery_wait(options: &registry::Options) -> Duration {
    if options.is_within_process() {
        Duration::ZERO
    } else {
        RECOVERY_WAIT
    }
}

/// Whether it follows the registry.
fn readiness(view: &View) -> Result<(), String> {
    match (view.connected, view.origin) {
        (true, Origin::Registry) if !view.head_missing => Ok(()),
        (true, _) if view.head_missing => Err("the registry holds no fleet yet".into()),
        (connected, _) => Err(match &view.trouble {
            Some(trouble) => trouble.to_string(),
            None if connected => "the registry has not been read yet".into(),
            None => "the registry has not been reached yet".into(),
        }),
    }
}

/// Whether it could lead: one that stands by without the rights for it would be of no use when it has to.
fn ability(registry: &dyn Registry) -> Result<(), String> {
    let is_right = |it: &RegistryError| matches!(it, RegistryError::MissingRight { .. });
    let missing = registry.troubles().into_iter().filter(is_right);
    let missing: Vec<_> = missing.map(|it| it.to_string()).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.join("; "))
    }
}
