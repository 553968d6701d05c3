//! Takes the lease, renews it, and gives it back: drives the pure lease over the registry and the clock.

use std::time::Duration;

use rand::rngs::SmallRng;
use registry::{HEARTBEAT_PERIOD, Head, LEASE, Leadership, Lease, LeaseRequest, RegistryError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, Tenure};

/// What giving the lease back may take.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// The loop that campaigns and leads. Everybody else reads the tenure it publishes.
pub(crate) struct Leader {
    fleet: Fleet,
    lease: Lease,
    tenure: watch::Sender<Option<Tenure>>,
    refused: watch::Receiver<Option<Leadership>>,
    /// Where the registry stood at the last answer.
    head: Option<Head>,
    anchor: Instant,
}

impl Leader {
    pub(crate) fn new(fleet: Fleet, tenure: watch::Sender<Option<Tenure>>) -> Self {
        let random: SmallRng = rand::make_rng();
        Self {
            lease: Lease::new(fleet.instance, random),
            refused: fleet.refused.subscribe(),
            fleet,
            tenure,
            head: None,
            anchor: Instant::now(),
        }
    }

    /// Runs until `stop`; the lease is given back then, so that another takes over at once.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.await_head().await;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.turn() => {}
            }
        }
        self.tenure.send_replace(None);
        if let Some(LeaseRequest::Release(term)) = self.lease.resign() {
            let release = self.fleet.registry.release(self.fleet.instance, term);
            match timeout(RELEASE_LIMIT, release).await {
                Ok(Ok(())) => tracing::info!(%term, "gave the lease back"),
                _ => tracing::warn!(%term, "could not give the lease back; it runs out by itself"),
            }
        }
    }

    /// There is nothing to lead before there is a head; whoever asks too early asks again much later. Not
    /// seeing one is no reason not to ask in the end.
    async fn await_head(&mut self) {
        let seen = self
            .fleet
            .views
            .wait_for(|view| view.registry_position.is_some());
        let _ = timeout(HEARTBEAT_PERIOD, seen).await;
    }

    /// One request where one is due, and the wait for the next.
    async fn turn(&mut self) {
        if let Some(request) = self.lease.request(self.anchor.elapsed()) {
            let answer = self.ask(request).await;
            let head = answer.as_ref().map(Option::as_ref).map_err(|_| ());
            self.lease.answered(head, self.anchor.elapsed());
            self.head = answer.ok().flatten();
        }
        self.publish();
        let due = self.lease.due();
        let wake = self.lease.sure_until().map_or(due, |until| due.min(until));
        // An end of certainty that has passed is published already.
        let wake = if wake <= self.anchor.elapsed() {
            due
        } else {
            wake
        };
        tokio::select! {
            () = sleep_until(self.anchor + wake) => {}
            Ok(()) = self.refused.changed() => self.refused(),
        }
        self.publish();
    }

    fn refused(&mut self) {
        if let Some(leadership) = *self.refused.borrow_and_update() {
            self.lease.refused(leadership, self.anchor.elapsed());
        }
    }

    /// Waits for an answer for no longer than the leadership is certain.
    async fn ask(&mut self, request: LeaseRequest) -> Result<Option<Head>, ()> {
        let now = self.anchor.elapsed();
        let sure = self.lease.sure_until().filter(|until| *until > now);
        let limit = self.anchor + sure.unwrap_or(now + LEASE);
        match timeout_at(limit, self.send(request)).await {
            Ok(Ok(head)) => Ok(head),
            Ok(Err(error)) => {
                tracing::debug!(%error, ?request, "the lease's request failed");
                Err(())
            }
            Err(_) => Err(()),
        }
    }

    async fn send(&self, request: LeaseRequest) -> Result<Option<Head>, RegistryError> {
        let (registry, instance) = (&self.fleet.registry, self.fleet.instance);
        match request {
            LeaseRequest::Acquire => registry.acquire(instance, LEASE).await,
            LeaseRequest::Renew(term) => registry.renew(instance, term, LEASE).await,
            LeaseRequest::Release(term) => registry.release(instance, term).await.map(|()| None),
        }
    }

    /// Tells the others where a leadership begins or ends.
    fn publish(&mut self) {
        let leadership = self.lease.leadership(self.anchor.elapsed());
        let former = *self.tenure.borrow();
        if former.map(|tenure| tenure.leadership) == leadership {
            return;
        }
        let head = self.head.as_ref();
        let tenure = leadership.zip(head).map(|(leadership, head)| Tenure {
            leadership,
            since: head.position,
        });
        self.announce(former, tenure);
        self.tenure.send_replace(tenure);
    }

    fn announce(&self, former: Option<Tenure>, tenure: Option<Tenure>) {
        let metrics = &self.fleet.metrics;
        metrics.leading.set(i64::from(tenure.is_some()));
        match (former, tenure) {
            (_, Some(tenure)) => {
                let term = tenure.leadership.term;
                metrics.term.set(i64::try_from(term.0).unwrap_or(i64::MAX));
                tracing::info!(%term, "leading");
            }
            (Some(former), None) => {
                tracing::warn!(term = %former.leadership.term, "no longer leading");
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Epoch, InstanceId, Position, Revision, RevisionId, Snapshot, Term};
    use registry::{Committing, Memory, Reading, TAKEOVER};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::metrics::Metrics;

    /// A registry that holds a fleet.
    async fn registry() -> Arc<Memory> {
        let registry = Arc::new(Memory::new());
        let position = Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        };
        let seeded = registry.seed(&Snapshot::empty(position)).await;
        assert_eq!(seeded, Ok(true));
        registry
    }

    struct Candidate {
        tenure: watch::Receiver<Option<Tenure>>,
        refused: watch::Sender<Option<Leadership>>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Candidate {
        fn start(registry: &Arc<Memory>) -> Self {
            let tenure = watch::Sender::default();
            let fleet = Fleet {
                registry: Arc::<Memory>::clone(registry),
                instance: InstanceId::random(),
                views: watch::Sender::default().subscribe(),
                tenure: tenure.subscribe(),
                refused: watch::Sender::default(),
                metrics: Metrics::register(&mut prometheus_client::registry::Registry::default()),
            };
            let stop = CancellationToken::new();
            Self {
                tenure: tenure.subscribe(),
                refused: fleet.refused.clone(),
                task: tokio::spawn(Leader::new(fleet, tenure).run(stop.clone())),
                stop,
            }
        }

        fn leads(&self) -> bool {
            self.tenure.borrow().is_some()
        }

        async fn becomes_leader(&mut self) -> Tenure {
            let led = self.tenure.wait_for(Option::is_some).await;
            led.expect("it runs").expect("it leads")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_until_it_is_killed_and_the_other_takes_over_as_the_lease_ends() {
        let registry = registry().await;
        let mut first = Candidate::start(&registry);
        let term = first.becomes_leader().await.leadership.term;
        let mut second = Candidate::start(&registry);
        tokio::time::sleep(20 * LEASE).await;
        assert!(first.leads() && !second.leads());

        first.task.abort();
        let killed = Instant::now();
        let tenure = second.becomes_leader().await;
        assert_eq!(tenure.leadership.term, term.next());
        assert!(killed.elapsed() <= TAKEOVER, "{:?}", killed.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stops_leaves_the_lease_free() {
        let registry = registry().await;
        let mut first = Candidate::start(&registry);
        first.becomes_leader().await;
        first.stop.cancel();
        first.task.await.expect("it ends");
        let head = registry.head().await.expect("it answers").expect("a head");
        assert_eq!(head.leader, None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_write_was_refused_leads_no_more_until_it_has_the_lease_anew() {
        let registry = registry().await;
        let mut only = Candidate::start(&registry);
        let former = only.becomes_leader().await.leadership;
        only.refused.send_replace(Some(former));
        let stood_down = only.tenure.wait_for(Option::is_none).await;
        stood_down.expect("it runs");
        let again = only.becomes_leader().await;
        assert_eq!(again.leadership.term, former.term.next());
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_refusal_of_a_former_term_deposes_nobody() {
        let registry = registry().await;
        let mut only = Candidate::start(&registry);
        let leadership = only.becomes_leader().await.leadership;
        let former = Leadership {
            term: Term(0),
            ..leadership
        };
        only.tenure.mark_unchanged();
        only.refused.send_replace(Some(former));
        tokio::time::sleep(20 * LEASE).await;
        assert!(!only.tenure.has_changed().expect("it runs"));
    }
}
