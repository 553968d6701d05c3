//! Following a memory registry, on paused time.

use std::net::SocketAddr;

use model::{
    Author, Change, Collection, Epoch, InstanceId, Origin, Pool, PoolId, Position, Revision,
    RevisionId, Server, Snapshot,
};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    Commit, Committed, Committing, LEASE, Leading, Memory, Reading, StateFile, Store, StoreKey,
};

struct Following {
    views: watch::Receiver<Arc<View>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    fn start(registry: &Arc<Memory>, options: FollowOptions) -> Self {
        let (sender, views) = watch::channel(Arc::default());
        let stop = CancellationToken::new();
        let registry = Arc::clone(registry) as Arc<dyn Registry>;
        let task = tokio::spawn(follow(registry, options, sender, stop.clone()));
        Self { views, stop, task }
    }

    async fn until(&mut self, wanted: impl Fn(&View) -> bool) -> Arc<View> {
        let view = self.views.wait_for(|view| wanted(view));
        let limit = Duration::from_secs(60);
        let view = timeout(limit, view)
            .await
            .expect("such a view comes in time");
        Arc::clone(&view.expect("the follower runs"))
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the follower ends in order");
    }
}

fn options() -> FollowOptions {
    FollowOptions::new("main".parse().expect("a name"))
}

fn operator() -> Author {
    Author::Operator {
        name: "test".into(),
    }
}

fn put(id: &str) -> Change {
    let address: SocketAddr = "10.0.0.1:80".parse().expect("an address");
    Change::put_server(Server::new(
        PoolId::standard(),
        id.parse().expect("an id"),
        address,
    ))
}

async fn commit(registry: &Memory, change: Change) -> Committed {
    let commit = Commit::new(operator(), vec![change]);
    registry.commit(commit).await.expect("a commit")
}

async fn seeded(revision: u64) -> Arc<Memory> {
    let registry = Arc::new(Memory::new());
    let seed = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(revision),
        id: RevisionId::random(),
    });
    assert!(registry.seed(&seed).await.expect("a seed"));
    commit(&registry, Change::put_pool(Pool::new(PoolId::standard()))).await;
    registry
}

fn holds(view: &View, position: Position) -> bool {
    let snapshot = view.snapshot.as_ref();
    snapshot.is_some_and(|snapshot| snapshot.position == position)
}

#[tokio::test(start_paused = true)]
async fn each_commit_is_followed_without_any_time_passing() {
    let registry = seeded(1).await;
    let mut following = Following::start(&registry, options());
    following
        .until(|view| view.origin == Origin::Registry)
        .await;
    let start = Instant::now();
    for id in ["s1", "s2", "s3"] {
        let committed = commit(&registry, put(id)).await;
        let view = following
            .until(|view| holds(view, committed.position))
            .await;
        assert_eq!(view.registry_position, Some(committed.position));
        assert!(view.connected && !view.head_missing);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_view_says_whether_it_is_current_and_when_its_revisions_were_committed() {
    let registry = seeded(1).await;
    let mut following = Following::start(&registry, options());
    let view = following.until(|view| view.current).await;
    assert_eq!((view.current_until, view.dated.len()), (None, 0));
    let committed = commit(&registry, put("s1")).await;
    let view = following
        .until(|view| holds(view, committed.position))
        .await;
    let revisions: Vec<_> = view.dated.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions, [committed.position.revision]);

    // More at once than a subscriber may be behind.
    let heard = Instant::now();
    let mut last = committed;
    for _ in 0..1000 {
        commit(
            &registry,
            Change::Server("default/s1".parse().unwrap(), None),
        )
        .await;
        last = commit(&registry, put("s1")).await;
    }
    let view = following.until(|view| !view.current).await;
    assert_eq!(view.current_until, Some(heard));
    let view = following.until(|view| view.current).await;
    assert!(holds(&view, last.position));
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_without_memory_is_said_to_be_so_and_found_once_it_has_one() {
    let registry = Arc::new(Memory::new());
    let mut following = Following::start(&registry, options());
    let view = following.until(|view| view.head_missing).await;
    assert!(view.snapshot.is_none() && view.connected);
    let seed = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    registry.seed(&seed).await.expect("a seed");
    let view = following.until(|view| holds(view, seed.position)).await;
    assert!(!view.head_missing);
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_names_the_leader_and_leaves_the_snapshot_alone() {
    let registry = seeded(1).await;
    let mut following = Following::start(&registry, options());
    let before = following.until(|view| view.snapshot.is_some()).await;
    let instance = InstanceId::random();
    let head = registry.acquire(instance, LEASE).await.expect("an answer");
    let term = head.expect("the lease").term;
    registry
        .renew(instance, term, LEASE)
        .await
        .expect("an answer");
    let after = following.until(|view| view.leader.is_some()).await;
    let leader = after.leader.expect("a leader");
    assert_eq!((leader.instance, leader.term), (instance, term));
    let (before, after) = (before.snapshot.as_ref(), after.snapshot.as_ref());
    assert!(Arc::ptr_eq(before.unwrap(), after.unwrap()));
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_doubted_is_seen_to_be_empty_at_once() {
    let registry = seeded(1).await;
    let options = options();
    let doubts = Arc::clone(&options.doubts);
    let mut following = Following::start(&registry, options);
    following.until(|view| view.snapshot.is_some()).await;
    registry.tamper(|store| *store = Store::default());
    let emptied = Instant::now();
    doubts.notify_one();
    following.until(|view| view.head_missing).await;
    // Time that stands still unless everybody waits for it.
    assert_eq!(emptied.elapsed(), Duration::ZERO);
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_followed_is_there_at_the_next_start_before_the_registry_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let options = FollowOptions {
        state_file: Some(path.clone()),
        ..options()
    };
    let registry = seeded(1).await;
    let mut following = Following::start(&registry, options.clone());
    let committed = commit(&registry, put("s1")).await;
    following
        .until(|view| holds(view, committed.position))
        .await;
    following.stop().await;

    let empty = Arc::new(Memory::new());
    let mut following = Following::start(&empty, options);
    let view = following.until(|view| view.head_missing).await;
    assert!(holds(&view, committed.position));
    assert_eq!((view.origin, view.registry_position), (Origin::Disk, None));
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_fleets_state_is_not_served_and_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let registry = seeded(1).await;
    let foreign = registry.snapshot().await.unwrap().unwrap().snapshot;
    let other = "staging".parse().expect("a name");
    StateFile::save(&path, &other, &foreign).expect("a file");
    let options = FollowOptions {
        state_file: Some(path.clone()),
        ..options()
    };
    let fleet = options.fleet.clone();
    let mut following = Following::start(&Arc::new(Memory::new()), options.clone());
    let view = following.until(|view| view.head_missing).await;
    assert!(view.snapshot.is_none());
    following.stop().await;

    let mut following = Following::start(&registry, options);
    following.until(|view| view.snapshot.is_some()).await;
    following.stop().await;
    assert!(
        StateFile::load(&path, &fleet)
            .expect("its own now")
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_mass_withdrawal_is_held_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = FollowOptions {
        state_file: Some(directory.path().join("state.json")),
        guard: true,
        ..options()
    };
    let registry = seeded(1).await;
    for id in ["s1", "s2"] {
        commit(&registry, put(id)).await;
    }
    let mut following = Following::start(&registry, options.clone());
    following.until(|view| view.snapshot.is_some()).await;
    let servers = ["s1", "s2"].map(|id| format!("default/{id}").parse().expect("a key"));
    let removals = servers.map(|key| Change::Server(key, None)).to_vec();
    let source = Author::Source { name: "dns".into() };
    let removed = registry
        .commit(Commit::new(source, removals))
        .await
        .expect("a commit");
    following.until(|view| holds(view, removed.position)).await;
    following.stop().await;

    let mut following = Following::start(&registry, options);
    let view = following
        .until(|view| view.origin == Origin::Registry)
        .await;
    assert_eq!(view.snapshot.as_ref().map(|it| it.servers.len()), Some(2));
    assert_eq!(view.holds.len(), 1);
    assert_eq!(view.holds[0].size(), 2);
    following.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_state_does_not_replace_a_good_one_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let options = FollowOptions {
        state_file: Some(path.clone()),
        ..options()
    };
    let registry = seeded(1).await;
    commit(&registry, put("s1")).await;
    let committed = commit(&registry, put("s2")).await;
    let mut following = Following::start(&registry, options.clone());
    following
        .until(|view| holds(view, committed.position))
        .await;
    following.stop().await;
    let load = || StateFile::load(&path, &options.fleet).expect("a state");
    let good = load().expect("a state");

    registry.tamper(|store| store.tamper(Collection::Servers, "default/s1", None));
    let changed = commit(&registry, put("s3")).await;
    registry.tamper(|store| store.evict(StoreKey::Log));
    let mut following = Following::start(&registry, options.clone());
    let view = following.until(|view| !view.damage.is_empty()).await;
    assert!(holds(&view, changed.position));
    following.stop().await;
    assert_eq!(load(), Some(good));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_written_without_waiting_for_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let options = FollowOptions {
        state_file: Some(path.clone()),
        ..options()
    };
    let on_disk = || {
        let loaded = StateFile::load(&path, &options.fleet).expect("a state or none");
        loaded.map(|loaded| loaded.snapshot.position)
    };
    let registry = seeded(1).await;
    let first = commit(&registry, put("s1")).await;
    let mut following = Following::start(&registry, options.clone());
    following.until(|view| holds(view, first.position)).await;
    while on_disk() != Some(first.position) {
        tokio::task::yield_now().await;
    }

    let last = commit(&registry, put("s2")).await;
    following.until(|view| holds(view, last.position)).await;
    let stopped = Instant::now();
    following.stop().await;
    // Time that stands still unless everybody waits for it.
    assert_eq!(stopped.elapsed(), Duration::ZERO);
    assert_eq!(on_disk(), Some(last.position));
}

#[tokio::test(start_paused = true)]
async fn how_many_balancers_live_is_kept_with_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let (counted, balancers) = watch::channel(None);
    let options = FollowOptions {
        state_file: Some(path.clone()),
        balancers,
        ..options()
    };
    let on_disk = || {
        let loaded = StateFile::load(&path, &options.fleet).expect("a state or none");
        loaded.map(|loaded| loaded.balancers)
    };
    let registry = seeded(1).await;
    let committed = commit(&registry, put("s1")).await;
    let mut following = Following::start(&registry, options.clone());
    following
        .until(|view| holds(view, committed.position))
        .await;
    while on_disk().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(on_disk(), Some(None));
    counted.send_replace(Some(4));
    while on_disk() != Some(Some(4)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(counted);
    following.stop().await;
    assert_eq!(on_disk(), Some(Some(4)));
}

#[tokio::test(start_paused = true)]
async fn who_audits_names_what_other_hands_wrote_within_seconds() {
    let registry = seeded(1).await;
    let committed = commit(&registry, put("s1")).await;
    let options = FollowOptions {
        audit: true,
        ..options()
    };
    let mut following = Following::start(&registry, options);
    following
        .until(|view| holds(view, committed.position))
        .await;
    let written = Instant::now();
    registry.tamper(|store| store.tamper(Collection::Servers, "default/s1", Some("nonsense{")));
    let named = |view: &View| {
        let snapshot = view.snapshot.as_ref().expect("a state");
        snapshot
            .faults
            .iter()
            .any(|fault| fault.key == "default/s1")
    };
    let view = following.until(named).await;
    assert!(written.elapsed() < Duration::from_secs(10));
    let snapshot = view.snapshot.as_ref().expect("a state");
    assert_eq!(snapshot.servers.len(), 1, "the last good one stays");
    assert_eq!(view.damage.len(), 1);
    following.stop().await;
}
