//! What a balancer is made of, and how each part is started.

use std::io;
use std::net::TcpListener;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use registry::Registry;
use runtime::{Metrics, Supervisor};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::sockets::Sockets;
use super::thread::{Serving, WorkerStart, work};
use crate::Args;
use crate::adoption::{Adopted, Adoption};
use crate::condition::Condition;
use crate::crowd::Crowd;
use crate::handover::{Estate, Keeper, Predecessor};
use crate::limiting::{Limiting, Question, questions};
use crate::listen::{Door, Entrance, Listening, Turn, advance, deal};
use crate::metrics::{Counters, Expiries, Scrape};
use crate::settings::{Settings, clients_max, warn_of_few_clients};
use crate::suspecting::{Suspecting, suspecting};
use crate::sync::{Findings, Identity, Membership, Propagation, Standing, ready};
use crate::tls::{Disk, Files, follow_files};
use crate::upstream::SharedIdle;

/// How long clients wait at sockets that were passed to this process until it is ready; then they are told why it is not.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the parts share.
pub(super) struct Parts<'a> {
    args: &'a Args,
    pub(super) membership: Membership,
    /// Each worker's.
    threads: Vec<Arc<Counters>>,
    pub(super) turn: watch::Sender<Turn>,
    /// Whether another process serves at the same sockets.
    has_predecessor: bool,
    /// Ends the ops endpoints.
    ops_end: CancellationToken,
    supervisor: &'a Supervisor,
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        args: &'a Args,
        registry: Arc<dyn Registry>,
        identity: Identity,
        sockets: &Sockets,
        supervisor: &'a Supervisor,
    ) -> Self {
        let predecessor = sockets.predecessor.as_ref();
        let workers = args.workers();
        let membership = Membership {
            registry,
            identity: Arc::new(identity),
            tables: watch::Sender::default(),
            adopted: Arc::new(Adopted::new(workers)),
            ejected: Arc::default(),
            ledger: Arc::default(),
            balancers: watch::Sender::default(),
            propagation: Arc::new(Propagation::new()),
            listens_on_tls: !sockets.secure.is_empty(),
            stale_limit: args.stale_limit,
            standing: watch::Sender::new(Standing {
                // The first report says it already: then both are there.
                beside: predecessor.into_iter().flat_map(Predecessor::all).collect(),
                ..Standing::default()
            }),
            started: Instant::now(),
            served: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        Self {
            args,
            threads: (0..workers).map(|_| Arc::default()).collect(),
            turn: watch::Sender::new(match predecessor.is_some() || sockets.kept_elsewhere {
                true => Turn::Before,
                false => Turn::Ours,
            }),
            has_predecessor: predecessor.is_some(),
            ops_end: membership.served.child_token(),
            membership,
            supervisor,
        }
    }

    pub(super) fn serve_ops(&self, listener: TcpListener) -> Result<(), StartError> {
        // A listener that was passed to this process may wait.
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener))
            .map_err(StartError::Sockets)?;
        let condition = self.condition();
        let router = runtime::ops_router(self.metrics(), move || condition.check());
        let mut turn = self.turn.subscribe();
        let has_predecessor = self.has_predecessor;
        let stop = self.supervisor.stop_token();
        // Whoever watches it sees that it is stopping, until it has stopped.
        let end = self.ops_end.clone();
        self.supervisor.spawn("balancer ops", async move {
            // Until then the one before answers there.
            let ours = async {
                !has_predecessor || turn.wait_for(|turn| *turn != Turn::Before).await.is_ok()
            };
            if stop.run_until_cancelled(ours).await == Some(true) {
                runtime::serve_ops(listener, router, end).await;
            }
            stop.cancelled().await;
        });
        Ok(())
    }

    fn metrics(&self) -> Metrics {
        let metrics = Metrics::new();
        let scrape = Scrape {
            threads: self.threads.clone(),
            tables: self.membership.tables.subscribe(),
            adopted: Arc::clone(&self.membership.adopted),
            ejected: Arc::clone(&self.membership.ejected),
            ledger: Arc::clone(&self.membership.ledger),
            propagation: Arc::clone(&self.membership.propagation),
        };
        let seconds = self.membership.propagation.seconds();
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("balancer");
            let help = "Time from a revision's commit until every worker thread has applied it, in the registry's own time";
            registry.register("propagation_seconds", help, seconds);
            registry.register_collector(Box::new(scrape));
        });
        let expiries = Expiries(self.membership.tables.subscribe());
        metrics.register(|registry| registry.register_collector(Box::new(expiries)));
        metrics
    }

    fn condition(&self) -> Condition {
        Condition {
            standing: self.membership.standing.subscribe(),
            turn: self.turn.subscribe(),
            stop: self.supervisor.stop_token(),
        }
    }

    pub(super) fn start_tasks(&self, disk: Disk) -> (Suspecting, mpsc::Sender<Question>) {
        let (membership, supervisor) = (&self.membership, self.supervisor);
        let files = self.follow_files(disk);
        let (suspecting, seen) = suspecting();
        let (views, shown) = watch::channel(Arc::default());
        supervisor.spawn("balancer follower", membership.clone().follow(views));
        let (findings, found) = watch::channel(Findings::default());
        supervisor.spawn(
            "balancer stand-in",
            membership.clone().stand_in(shown.clone(), findings),
        );
        supervisor.spawn(
            "balancer tables",
            membership.clone().publish(shown.clone(), found, files),
        );
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
        let (questions, asked) = questions();
        supervisor.spawn(
            "balancer limits",
            membership.clone().meter_always(asked, shown),
        );
        (suspecting, questions)
    }

    /// Looks at what of TLS is in files before anything is served, and from then on.
    fn follow_files(&self, mut disk: Disk) -> watch::Receiver<Arc<Files>> {
        disk.look();
        let (seen, files) = watch::channel(disk.files());
        if !disk.is_empty() {
            let following = follow_files(disk, seen);
            self.supervisor.spawn("balancer certificates", following);
        }
        files
    }

    /// Sees to what is handed over, to this process and by it.
    pub(super) fn keep(&self, estate: Option<Estate>, predecessor: Option<Predecessor>) {
        let (Some(estate), Some(path)) = (estate, &self.args.handover) else {
            return;
        };
        let keeper = Keeper {
            path: path.clone(),
            instance: self.membership.identity.instance,
            turn: self.turn.clone(),
            standing: self.membership.standing.clone(),
            supervisor: self.supervisor.clone(),
            ops_end: self.ops_end.clone(),
            gone: self.membership.gone.clone(),
            estate: Mutex::new(Some(Arc::new(estate))),
            earlier: Mutex::default(),
        };
        let keeping = Arc::new(keeper).keep(predecessor);
        self.supervisor.spawn("balancer handover", keeping);
    }

    /// Begins to accept from sockets that were passed to this process, and that no other serves: clients wait there as they did
    /// before it was started, and none is told that there is no table yet, unless that takes long.
    pub(super) fn open_when_ready(&self) {
        if self.has_predecessor || *self.turn.borrow() != Turn::Before {
            return;
        }
        let (standing, turn) = (self.membership.standing.subscribe(), self.turn.clone());
        let stop = self.supervisor.stop_token();
        self.supervisor.spawn("balancer opening", async move {
            let ready = timeout(READY_WITHIN, ready(standing));
            if stop.run_until_cancelled(ready).await.is_some() {
                advance(&turn, Turn::Before, Turn::Ours);
            }
            stop.cancelled().await;
        });
    }

    /// Fires when no more clients are taken in: at the stop, or as much later as was asked for. A successor has its listeners at once.
    fn closing(&self) -> CancellationToken {
        let (stop, delay) = (self.supervisor.stop_token(), self.args.shutdown_delay);
        if delay.is_zero() {
            return stop;
        }
        let closing = CancellationToken::new();
        let mut turn = self.turn.subscribe();
        self.supervisor.spawn("balancer closing", {
            let closing = closing.clone();
            async move {
                stop.cancelled().await;
                let _ = timeout(delay, turn.wait_for(|turn| *turn == Turn::After)).await;
                closing.cancel();
            }
        });
        closing
    }

    pub(super) fn start_workers(
        &self,
        doors: impl IntoIterator<Item = (Entrance, (Vec<TcpListener>, bool))>,
        suspecting: &Suspecting,
        questions: &mpsc::Sender<Question>,
    ) -> Result<(), StartError> {
        let workers = self.threads.len();
        let files_max = runtime::open_files_max();
        let settings = Settings::new(self.membership.started, self.args, files_max);
        let asked = self.args.max_connections;
        let clients_max = clients_max(asked, files_max);
        warn_of_few_clients(asked, clients_max, files_max);
        let per_client_max = NonZero::new(self.args.max_connections_per_client);
        let crowd = Arc::new(Crowd::new(clients_max, per_client_max));
        let shared_idle = Arc::new(SharedIdle::default());
        let left = Arc::new(AtomicUsize::new(workers));
        let closing = self.closing();
        let dealt = deal_all(doors, workers).map_err(StartError::Sockets)?;
        for (index, listeners) in dealt.into_iter().enumerate() {
            let start = WorkerStart {
                settings: settings.clone(),
                crowd: Arc::clone(&crowd),
                condition: self.condition(),
                door: Door {
                    listeners,
                    turn: self.turn.clone(),
                    stop: closing.clone(),
                },
                counters: Arc::clone(&self.threads[index]),
                suspecting: suspecting.clone(),
                limiting: Limiting::new(
                    Arc::clone(&self.membership.ledger),
                    questions.clone(),
                    Arc::clone(&self.threads[index]),
                ),
                shared_idle: Arc::clone(&shared_idle),
                adoption: Adoption::new(
                    self.membership.tables.subscribe(),
                    Arc::clone(&self.membership.adopted),
                    index,
                ),
                drain_timeout: self.args.drain_timeout,
                serving: Serving {
                    left: Arc::clone(&left),
                    served: self.membership.served.clone(),
                },
            };
            self.supervisor
                .spawn_thread(format!("balancer worker {index}"), move || work(start))
                .map_err(|source| StartError::Threads { source })?;
        }
        Ok(())
    }
}

/// Each worker's share of the listeners, of which whoever passed some to this process may keep them open.
fn deal_all(
    doors: impl IntoIterator<Item = (Entrance, (Vec<TcpListener>, bool))>,
    workers: usize,
) -> io::Result<Vec<Vec<Listening<TcpListener>>>> {
    let mut dealt: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for (entrance, (sockets, kept_elsewhere)) in doors {
        for (share, sockets) in dealt.iter_mut().zip(deal(sockets, workers)?) {
            share.extend(sockets.into_iter().map(|socket| Listening {
                socket,
                entrance,
                kept_elsewhere,
            }));
        }
    }
    Ok(dealt)
}
