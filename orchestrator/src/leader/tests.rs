//! Candidates over one registry: who leads, until when, and who is next.

use std::sync::Arc;

use model::{Epoch, FleetName, InstanceId, Position, Revision, RevisionId, Snapshot, Term};
use registry::testing::RedisServer;
use registry::{FollowOptions, LEASE, Memory, Options, Registry, Store, TAKEOVER, View};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::metrics::Metrics;

/// So long that whoever leads must have been told that it may.
const NEVER: Duration = Duration::from_secs(3600);

/// What nothing here takes unless it is broken.
const LIMIT: Duration = Duration::from_secs(30);

/// A registry that holds a fleet.
async fn registry() -> Arc<dyn Registry> {
    seeded(Arc::new(Memory::new())).await
}

async fn seeded(registry: Arc<dyn Registry>) -> Arc<dyn Registry> {
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
    views: watch::Receiver<Arc<View>>,
    tenure: watch::Receiver<Option<Tenure>>,
    refused: watch::Sender<Option<Leadership>>,
    doubts: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Candidate {
    /// One that hears nothing of the registry but the answers to what it asks.
    fn start(registry: &Arc<dyn Registry>) -> Self {
        let views = watch::Sender::default().subscribe();
        Self::start_with(registry, views, CancellationToken::new(), |lease| lease)
    }

    /// The same with a lease of this length.
    fn start_within(registry: &Arc<dyn Registry>, takeover: Duration) -> Self {
        let views = watch::Sender::default().subscribe();
        let stop = CancellationToken::new();
        Self::start_with(registry, views, stop, |lease| lease.within(takeover))
    }

    /// One that follows the registry, and asks for the lease once, and then only when told that it is free.
    fn start_following(registry: &Arc<dyn Registry>) -> Self {
        let (views, stop) = (watch::Sender::default(), CancellationToken::new());
        let shown = views.subscribe();
        let options = FollowOptions::new(FleetName::standard());
        tokio::spawn(registry::follow(
            Arc::clone(registry),
            options,
            views,
            stop.clone(),
        ));
        Self::start_with(registry, shown, stop, |lease| lease.asking_each(NEVER))
    }

    fn start_with(
        registry: &Arc<dyn Registry>,
        views: watch::Receiver<Arc<View>>,
        stop: CancellationToken,
        edit: impl FnOnce(Lease) -> Lease,
    ) -> Self {
        let tenure = watch::Sender::default();
        let fleet = Fleet {
            registry: Arc::clone(registry),
            instance: InstanceId::random(),
            views: views.clone(),
            tenure: tenure.subscribe(),
            refused: watch::Sender::default(),
            doubts: Arc::default(),
            metrics: Metrics::register(&mut prometheus_client::registry::Registry::default()),
            chains: Arc::default(),
            found: watch::Sender::default(),
        };
        let (held, refused) = (tenure.subscribe(), fleet.refused.clone());
        let doubts = Arc::clone(&fleet.doubts);
        let mut leader = Leader::new(fleet, tenure);
        leader.lease = edit(leader.lease);
        Self {
            views,
            tenure: held,
            refused,
            doubts,
            task: tokio::spawn(leader.run(stop.clone())),
            stop,
        }
    }

    async fn hears_of(&mut self, instance: InstanceId) {
        let named = |view: &Arc<View>| view.leader.is_some_and(|it| it.instance == instance);
        let heard = timeout(LIMIT, self.views.wait_for(named)).await;
        heard.expect("in time").expect("it follows");
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
    let lengths = [TAKEOVER, Duration::from_secs(1), Duration::from_secs(20)];
    for takeover in lengths {
        let registry = registry().await;
        let mut first = Candidate::start_within(&registry, takeover);
        let term = first.becomes_leader().await.leadership.term;
        let mut second = Candidate::start_within(&registry, takeover);
        tokio::time::sleep(20 * takeover).await;
        assert!(first.leads() && !second.leads());

        first.task.abort();
        let killed = Instant::now();
        let tenure = second.becomes_leader().await;
        assert_eq!(tenure.leadership.term, term.next());
        assert!(killed.elapsed() <= takeover, "{:?}", killed.elapsed());
    }
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

#[tokio::test(start_paused = true)]
async fn one_whose_lease_is_gone_makes_sure_at_once_that_not_all_else_is() {
    let memory = Arc::new(Memory::new());
    let registry = seeded(Arc::<Memory>::clone(&memory)).await;
    let mut only = Candidate::start(&registry);
    only.becomes_leader().await;
    let doubted = only.doubts.notified();
    tokio::pin!(doubted);
    let sure = timeout(20 * LEASE, doubted.as_mut()).await;
    assert!(sure.is_err(), "it leads");
    memory.tamper(|store| *store = Store::default());
    let doubted = timeout(HEARTBEAT_PERIOD, doubted).await;
    doubted.expect("by its next renewal");
}

/// One leads, and two stand by and have heard so; it ends in order, and one of the two leads.
async fn another_is_told(registry: Arc<dyn Registry>) {
    let mut first = Candidate::start_following(&registry);
    let former = first.becomes_leader().await.leadership;
    let mut others = [(); 2].map(|()| Candidate::start_following(&registry));
    for other in &mut others {
        other.hears_of(former.instance).await;
    }
    first.stop.cancel();
    first.task.await.expect("it ends");
    let [second, third] = &mut others;
    let next = async {
        tokio::select! {
            tenure = second.becomes_leader() => tenure,
            tenure = third.becomes_leader() => tenure,
        }
    };
    let next = timeout(LIMIT, next).await.expect("it is told");
    assert_eq!(next.leadership.term, former.term.next());
    for other in &mut others {
        other.hears_of(next.leadership.instance).await;
    }
    assert!(others.iter().filter(|other| other.leads()).count() == 1);
}

#[tokio::test]
async fn who_stands_by_is_told_of_a_lease_given_back_within_the_process() {
    another_is_told(registry().await).await;
}

#[tokio::test]
async fn who_stands_by_is_told_of_a_lease_given_back_to_a_redis() {
    let redis = RedisServer::start();
    let options = Options::new(redis.url().as_str(), FleetName::standard());
    let registry = registry::open(&options).expect("a URL");
    another_is_told(seeded(registry).await).await;
}
