//! A registry of either kind to try promises on, and what the promises are made of.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Author, Change, Collection, Epoch, FleetName, Health, InstanceId, PoolId, Position, Report,
    Revision, RevisionId, Role, Server, ServerKey, Snapshot, Verdict,
};
use registry::testing::RedisServer;
use registry::{
    Announcement, Commit, Committed, Head, Memory, Options, Registry, Snapshotted, StoreKey,
    Stream, open,
};

/// How long anything that should happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A registry, and a way around it.
pub(crate) struct Fixture {
    pub(crate) registry: Arc<dyn Registry>,
    behind: Behind,
}

enum Behind {
    Memory(Arc<Memory>),
    Redis(RedisServer),
}

impl Fixture {
    pub(crate) fn in_memory() -> Self {
        let memory = Arc::new(Memory::new());
        Self {
            registry: memory.clone(),
            behind: Behind::Memory(memory),
        }
    }

    pub(crate) fn in_redis() -> Self {
        let server = RedisServer::start();
        Self {
            registry: connect(&server.url()),
            behind: Behind::Redis(server),
        }
    }

    /// A new one of the same kind.
    pub(crate) fn another(&self) -> Self {
        match &self.behind {
            Behind::Memory(_) => Self::in_memory(),
            Behind::Redis(_) => Self::in_redis(),
        }
    }

    /// Writes or removes a stored element past the registry.
    pub(crate) fn tamper(&self, collection: Collection, key: &str, stored: Option<&str>) {
        match &self.behind {
            Behind::Memory(memory) => memory.tamper(|store| store.tamper(collection, key, stored)),
            Behind::Redis(server) => {
                let hash = format!("roundhouse:{{main}}:{collection}");
                match stored {
                    Some(stored) => server.command(&["HSET", &hash, key, stored]),
                    None => server.command(&["HDEL", &hash, key]),
                };
            }
        }
    }

    /// Loses what is known of the instances, as an eviction does.
    pub(crate) fn evict_instances(&self) {
        match &self.behind {
            Behind::Memory(memory) => memory.tamper(|store| store.evict(StoreKey::Instances)),
            Behind::Redis(server) => {
                server.command(&["DEL", "roundhouse:{main}:instances"]);
            }
        }
    }

    /// Has the lease last for an hour more, as it does when the registry's clock is set back.
    pub(crate) fn prolong_lease(&self) {
        match &self.behind {
            Behind::Memory(memory) => memory.tamper(|store| store.prolong_lease(HOUR)),
            Behind::Redis(server) => {
                let hour = HOUR.as_millis().to_string();
                server.command(&["PEXPIRE", "roundhouse:{main}:lease", &hour]);
            }
        }
    }

    /// Seeds a fleet with the pool `default`, and says where it stands.
    pub(crate) async fn seed(&self) -> Position {
        let snapshot = first_snapshot();
        assert!(self.registry.seed(&snapshot).await.expect("an answer"));
        snapshot.position
    }

    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Committed {
        let commit = Commit::new(operator(), changes);
        self.registry.commit(commit).await.expect("a commit")
    }

    pub(crate) async fn head(&self) -> Head {
        let head = self.registry.head().await.expect("an answer");
        head.expect("a head")
    }

    pub(crate) async fn snapshot(&self) -> Snapshotted {
        let snapshot = self.registry.snapshot().await.expect("an answer");
        snapshot.expect("a snapshot")
    }

    /// Takes the lease and says in which term.
    pub(crate) async fn lead(&self, instance: InstanceId) -> Head {
        let head = self.registry.acquire(instance, LONG).await;
        head.expect("an answer").expect("nobody leads yet")
    }

    /// A commit as the leader of the present term would make it.
    pub(crate) async fn leaders_commit(
        &self,
        instance: InstanceId,
        changes: Vec<Change>,
    ) -> Commit {
        let head = self.head().await;
        let author = Author::Leader {
            instance,
            term: head.term,
        };
        Commit {
            epoch: Some(head.position.epoch),
            ..Commit::new(author, changes)
        }
    }
}

/// A lease or registration that does not run out within a test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn connect(url: &str) -> Arc<dyn Registry> {
    let options = Options::new(url, FleetName::standard());
    open(&options).expect("a URL")
}

pub(crate) fn operator() -> Author {
    let name = "test".into();
    Author::Operator { name }
}

/// A fleet at revision 1 that holds the pool `default` and nothing else.
pub(crate) fn first_snapshot() -> Snapshot {
    Snapshot::first(Epoch::random(), RevisionId::random())
}

pub(crate) fn pool_id(name: &str) -> PoolId {
    name.parse().expect("a name")
}

pub(crate) fn server_key(id: &str) -> ServerKey {
    ServerKey::new(PoolId::standard(), id.parse().expect("a name"))
}

pub(crate) fn server(id: &str, port: u16) -> Server {
    let key = server_key(id);
    let address = format!("10.0.0.1:{port}").parse().expect("an address");
    Server::new(key.pool, key.server, address)
}

pub(crate) fn put(id: &str, port: u16) -> Change {
    Change::put_server(server(id, port))
}

pub(crate) fn remove(id: &str) -> Change {
    Change::Server(server_key(id), None)
}

pub(crate) fn verdict(id: &str, incarnation: Revision, health: Health) -> Change {
    let verdict = Verdict {
        incarnation,
        health,
        reason: "status 503".into(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    Change::Verdict(server_key(id), Some(verdict))
}

pub(crate) fn report(instance: InstanceId) -> Report {
    Report::new(instance, Role::Balancer, "127.0.0.1:8000")
}

/// The next message, which must come.
pub(crate) async fn next<T>(stream: &mut Box<dyn Stream<T>>) -> T {
    let message = tokio::time::timeout(DEADLINE, stream.next()).await;
    message.expect("a message in time").expect("a subscription")
}

/// The next announcement, which must be a delta.
pub(crate) async fn next_delta(stream: &mut Box<dyn Stream<Announcement>>) -> model::Delta {
    match next(stream).await {
        Announcement::Delta(delta) => delta,
        Announcement::Heartbeat(head) => panic!("a heartbeat: {head:?}"),
    }
}

/// Asks again until something is there.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let answer = tokio::time::timeout(DEADLINE, asking).await;
    answer.unwrap_or_else(|_| panic!("never came: {what}"))
}
