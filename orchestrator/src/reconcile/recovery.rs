//! Gives a registry without memory one, and makes lost writes again: drives the pure rules of `registry`.
//!
//! What happens is decided there. Here it is done, and said: to the log once for each change, and to the
//! metrics for as long as it lasts.

use std::sync::Arc;
use std::time::Duration;

use model::{Delta, Epoch, Origin, PoolId, RevisionId, Snapshot};
use registry::View;
use registry::recovery::{self, OwnCopy, Step};
use tokio::time::Instant;

use crate::driver::Reconciler;
use crate::fleet::Fleet;
use crate::metrics::Alarm;

/// Watches over the registry's memory.
pub(crate) struct Recovery {
    fleet: Fleet,
    candidate: recovery::Recovery,
    /// The health check's path of a new fleet's pool.
    first_path: String,
    /// The last thing that was said about a registry without memory.
    said: Option<String>,
    /// The last thing that was said about lost revisions that cannot be made again.
    replay_said: Option<String>,
    /// The lost revisions that have been made again.
    replayed: Option<Arc<[Delta]>>,
    anchor: Instant,
}

impl Reconciler for Recovery {
    const PERIOD: Duration = Duration::from_millis(250);

    async fn reconcile(&mut self) {
        let view = self.fleet.view();
        if view.head_missing {
            self.recover(&view).await;
            return;
        }
        self.candidate.reset();
        self.fleet.metrics.alarm(Alarm::MemoryLost, 0);
        self.said = None;
        match &view.abandoned {
            Some(abandoned) => self.replay(abandoned).await,
            None => self.replay_said = None,
        }
    }
}

impl Recovery {
    /// `wait` is how long to listen for instances before a head is made.
    pub(crate) fn new(fleet: Fleet, wait: Duration, first_path: String) -> Self {
        Self {
            fleet,
            candidate: recovery::Recovery::new(wait),
            first_path,
            said: None,
            replay_said: None,
            replayed: None,
            anchor: Instant::now(),
        }
    }

    async fn recover(&mut self, view: &View) {
        let own = view.snapshot.as_deref().map(|snapshot| OwnCopy {
            snapshot,
            is_whole: view.tainted.is_empty(),
        });
        let Ok(instances) = self.fleet.registry.instances().await else {
            self.candidate.reset();
            return;
        };
        let fresh = (Epoch::random(), RevisionId::random());
        let now = self.anchor.elapsed();
        let step = self.candidate.observe(&instances, own, fresh, now);
        if matches!(step, Step::Leave(_) | Step::Alarm(_)) && !self.is_headless().await {
            // Another one made the fleet since this one looked, and somebody has read it already.
            self.candidate.reset();
            return;
        }
        let alarmed = matches!(step, Step::Alarm(_));
        self.fleet
            .metrics
            .alarm(Alarm::MemoryLost, usize::from(alarmed));
        match step {
            Step::Wait => {}
            Step::Initialise(mut snapshot) => {
                self.set_first_path(&mut snapshot);
                if self.seed(&snapshot).await {
                    tracing::info!("a new fleet: created the pool `default`");
                }
            }
            Step::Reseed(snapshot) => {
                if self.seed(&snapshot).await {
                    let position = snapshot.position;
                    if self.begins_anew(view) {
                        tracing::info!(%position, "went on from the own copy");
                    } else {
                        tracing::warn!(%position, "the registry had lost its memory: restored the own copy");
                    }
                }
            }
            Step::Leave(position) => self.say(format!(
                "the registry has lost its memory; another orchestrator holds {position} and will restore it"
            )),
            Step::Alarm(position) => self.say(format!(
                "the registry has lost its memory, and no orchestrator holds a whole copy of the last position seen, \
                 {position}: an operator has to restore it: roundhouse restore-from FILE, with the \
                 state file of an orchestrator or a balancer"
            )),
        }
    }

    /// Whether the registry holds no head still.
    async fn is_headless(&self) -> bool {
        matches!(self.fleet.registry.head().await, Ok(None))
    }

    /// Whether the registry began with this process, which has lost nothing by it.
    fn begins_anew(&self, view: &View) -> bool {
        view.origin != Origin::Registry && !self.fleet.registry.outlives_process()
    }

    fn set_first_path(&self, snapshot: &mut Snapshot) {
        if let Some(pool) = snapshot.pools.get_mut(&PoolId::standard()) {
            let pool = &mut Arc::make_mut(pool).value;
            pool.health.path.clone_from(&self.first_path);
        }
    }

    /// Whether it was this one that gave the registry a head.
    async fn seed(&mut self, snapshot: &Snapshot) -> bool {
        match self.fleet.registry.seed(snapshot).await {
            Ok(seeded) => seeded,
            Err(error) => {
                self.say(format!("the registry's memory cannot be restored: {error}"));
                false
            }
        }
    }

    fn say(&mut self, text: String) {
        say_once(&mut self.said, text);
    }

    /// Makes lost revisions again while this one leads, each once.
    async fn replay(&mut self, abandoned: &Arc<[Delta]>) {
        let done = |replayed: &Arc<[Delta]>| Arc::ptr_eq(replayed, abandoned);
        let Some(leadership) = self.fleet.leadership() else {
            return;
        };
        if self.replayed.as_ref().is_some_and(done) {
            return;
        }
        let fleet = &self.fleet;
        let registry = fleet.registry.as_ref();
        let leading = || fleet.leadership().filter(|now| *now == leadership);
        match recovery::replay_lost(registry, abandoned, leading).await {
            Ok(made) => {
                self.replay_said = None;
                if made > 0 {
                    tracing::warn!(
                        made,
                        "made changes again that the registry had lost in a failover"
                    );
                }
                if self.fleet.leadership() == Some(leadership) {
                    self.replayed = Some(Arc::clone(abandoned));
                }
            }
            Err(error) => {
                fleet.failed(leadership, &error);
                let text = format!("lost changes cannot be made again: {error}");
                say_once(&mut self.replay_said, text);
            }
        }
    }
}

/// Logs an error, unless it is the one that was said last.
fn say_once(said: &mut Option<String>, text: String) {
    if said.as_ref() != Some(&text) {
        tracing::error!("{text}");
        *said = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use model::{Author, Collection, Entry, InstanceId, Position, Report, Role, Term};
    use registry::{Committing, Leadership, Memory, Reporting, Store};
    use tokio::sync::watch;
    use tracing::{Level, Metadata, span};

    use super::*;
    use crate::fleet::Tenure;
    use crate::metrics::Metrics;

    fn report(snapshot: &Snapshot) -> Report {
        Report {
            applied: Some(snapshot.position),
            origin: Origin::Registry,
            ..Report::new(InstanceId::random(), Role::Balancer, "127.0.0.1:8000")
        }
    }

    /// One that has just looked, and saw no head.
    fn late(registry: &Arc<Memory>) -> Recovery {
        let view = View {
            head_missing: true,
            ..View::default()
        };
        looking_at(registry, view)
    }

    fn looking_at(registry: &Arc<Memory>, view: View) -> Recovery {
        let fleet = Fleet {
            registry: Arc::<Memory>::clone(registry),
            instance: InstanceId::random(),
            views: watch::Sender::new(Arc::new(view)).subscribe(),
            tenure: watch::Sender::default().subscribe(),
            refused: watch::Sender::default(),
            doubts: Arc::default(),
            metrics: Metrics::register(&mut prometheus_client::registry::Registry::default()),
            chains: Arc::default(),
            found: watch::Sender::default(),
        };
        Recovery::new(fleet, Duration::ZERO, "/".into())
    }

    #[tokio::test]
    async fn a_fleet_that_another_one_made_meanwhile_is_no_lost_memory() {
        let registry = Arc::new(Memory::new());
        let first = Snapshot::first(Epoch::random(), RevisionId::random());
        assert_eq!(registry.seed(&first).await, Ok(true));
        let reported = registry.report(&report(&first), false).await;
        reported.expect("the registry takes it");
        let mut late = late(&registry);
        late.reconcile().await;
        assert_eq!(late.said, None);

        registry.tamper(|store| *store = Store::default());
        let reported = registry.report(&report(&first), false).await;
        reported.expect("the registry takes it");
        late.reconcile().await;
        let said = late.said.expect("an alarm");
        assert!(said.contains("restore-from"), "{said}");
    }

    /// The removal of a pool in the revision after this position, which was lost.
    fn lost(start: Position) -> Delta {
        let revision = start.revision.next();
        Delta {
            epoch: start.epoch,
            revision,
            id: RevisionId::random(),
            previous: start.id,
            desired: revision,
            author: Author::Operator { name: "ana".into() },
            entries: vec![Entry {
                collection: Collection::Pools,
                key: "web".into(),
                value: None,
            }],
            time: None,
        }
    }

    #[tokio::test]
    async fn that_lost_changes_cannot_be_made_again_is_said_once_while_it_lasts() {
        let registry = Arc::new(Memory::new());
        let first = Snapshot::first(Epoch::random(), RevisionId::random());
        assert_eq!(registry.seed(&first).await, Ok(true));
        let mut recovery = looking_at(
            &registry,
            View {
                abandoned: Some([lost(first.position)].into()),
                ..View::default()
            },
        );
        // It believes that it leads; the registry knows better.
        recovery.fleet.tenure = watch::Sender::new(Some(Tenure {
            leadership: Leadership {
                instance: recovery.fleet.instance,
                epoch: first.position.epoch,
                term: Term(7),
            },
            since: first.position,
        }))
        .subscribe();
        let errors = Errors::default();
        let counting = tracing::subscriber::set_default(errors.clone());
        for _ in 0..3 {
            recovery.reconcile().await;
        }
        drop(counting);
        assert_eq!(errors.0.load(Ordering::Relaxed), 1);
        assert!(recovery.replay_said.is_some());

        recovery.fleet.views = watch::Sender::new(Arc::default()).subscribe();
        recovery.reconcile().await;
        assert_eq!(recovery.replay_said, None);
    }

    /// Counts what is logged as an error.
    #[derive(Clone, Default)]
    struct Errors(Arc<AtomicUsize>);

    impl tracing::Subscriber for Errors {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::ERROR
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }
}
