//! Servers that registered themselves: a missed renewal makes one suspect, and a long silence of one that
//! is down removes it.
//!
//! A missed renewal alone takes nothing down: it may be the admin API that is away. The probe decides.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{
    Author, Change, Collection, Health, Instance, Registration, ServerKey, Snapshot,
    format_duration,
};
use registry::{Commit, CommitError, Leadership, Silences};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::Reconciler;
use crate::fleet::Fleet;

/// Compares the renewed leases with the servers.
pub(crate) struct Registrations {
    fleet: Fleet,
    /// The servers that missed a renewal, for the inspection.
    lapsed: watch::Sender<BTreeSet<ServerKey>>,
    forget_after: Duration,
    silences: Silences<ServerKey>,
    anchor: Instant,
}

/// What follows from the registrations as they are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    lapsed: BTreeSet<ServerKey>,
    /// Silent for long, and down: to be removed.
    departed: Vec<ServerKey>,
    /// Leases without a server, not renewed any more.
    orphaned: Vec<ServerKey>,
}

impl Reconciler for Registrations {
    const PERIOD: Duration = Duration::from_secs(1);

    async fn reconcile(&mut self) {
        let leadership = self.fleet.leadership();
        let findings = match &leadership {
            Some(leadership) => self.find(leadership).await,
            None => Some(Findings::default()),
        };
        // Where the registry does not answer, what was found last stands.
        let Some(findings) = findings else { return };
        if let Some(leadership) = &leadership {
            for key in &findings.orphaned {
                self.remove_registration(key, leadership).await;
            }
        }
        self.lapsed.send_if_modified(|lapsed| {
            let changed = *lapsed != findings.lapsed;
            *lapsed = findings.lapsed;
            changed
        });
    }
}

impl Registrations {
    pub(crate) fn new(
        fleet: Fleet,
        lapsed: watch::Sender<BTreeSet<ServerKey>>,
        forget_after: Duration,
    ) -> Self {
        Self {
            fleet,
            lapsed,
            forget_after,
            silences: Silences::default(),
            anchor: Instant::now(),
        }
    }

    /// Looks at everything, and removes the servers that have departed.
    async fn find(&mut self, leadership: &Leadership) -> Option<Findings> {
        let registrations = self.fleet.registry.registrations().await.ok()?;
        let ages = registrations.iter().map(|it| (it.key.clone(), it.age));
        self.silences.observe(ages, self.anchor.elapsed());
        let snapshot = self.fleet.snapshot(leadership)?;
        let is_silent = |key: &ServerKey| self.silences.of(key) > self.forget_after;
        let mut findings = judge(&registrations, &snapshot, is_silent);
        if !findings.departed.is_empty() {
            findings.spare_held(&self.fleet.registry.instances().await.ok()?);
        }
        if !findings.departed.is_empty() {
            self.remove(&findings.departed, leadership, &snapshot).await;
        }
        Some(findings)
    }

    /// One commit for all, so that the balancers' guard sees how many they are.
    async fn remove(&self, departed: &[ServerKey], leadership: &Leadership, snapshot: &Snapshot) {
        let author = Author::Source {
            name: "registrations".into(),
        };
        let removals = departed.iter().cloned();
        let changes = removals.map(|key| Change::Server(key, None)).collect();
        let silence = format_duration(self.forget_after);
        let commit = Commit {
            leadership: Some(*leadership),
            expected: Some(snapshot.desired),
            reason: format!("registration not renewed for {silence}, and down"),
            ..Commit::new(author, changes)
        };
        match self.fleet.registry.commit(commit).await {
            Ok(_) => {
                for server in departed {
                    tracing::info!(%server, "removed: its registration ran out long ago, and it is down");
                }
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => {
                self.fleet.metrics.commit_failures.inc();
                self.fleet.failed(*leadership, &error);
                tracing::warn!(%error, "servers whose registrations ran out could not be removed");
            }
        }
    }

    /// One that is not removed now is found again.
    async fn remove_registration(&self, key: &ServerKey, leadership: &Leadership) {
        let registry = &self.fleet.registry;
        if let Err(error) = registry.remove_registration_for(leadership, key).await {
            self.fleet.failed(*leadership, &error);
            tracing::debug!(%error, server = %key, "the registration could not be removed");
        }
    }
}

impl Findings {
    /// Removes nothing from a pool of which some balancer holds something back: it may not believe that the server is down.
    fn spare_held(&mut self, instances: &[Instance]) {
        let holds = instances.iter().flat_map(|it| &it.report.holds);
        let held: BTreeSet<_> = holds.map(|hold| &hold.pool).collect();
        self.departed.retain(|key| !held.contains(&key.pool));
    }
}

/// `is_silent` is whether a server's lease has not been renewed for long.
fn judge(
    registrations: &[Registration],
    snapshot: &Snapshot,
    is_silent: impl Fn(&ServerKey) -> bool,
) -> Findings {
    let mut findings = Findings::default();
    // What only a newer version can read is for a newer leader to take out.
    let is_readable = |each: &&Registration| {
        let key = each.key.to_string();
        !snapshot.unread.contains(Collection::Servers, &key)
    };
    let expired = registrations.iter().filter(|each| each.is_expired());
    for registration in expired.filter(is_readable) {
        let key = registration.key.clone();
        if !snapshot.servers.contains_key(&key) {
            findings.orphaned.push(key);
            continue;
        }
        let down = snapshot.health_of(&key) == Health::Down;
        if down && is_silent(&key) {
            findings.departed.push(key.clone());
        }
        findings.lapsed.insert(key);
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        Epoch, Hold, InstanceId, Position, Report, Revision, RevisionId, Role, Server, Stamped,
        Verdict,
    };
    use registry::{Committing, Leading, Memory, Reading};

    use super::*;
    use crate::metrics::Metrics;

    const SECOND: Duration = Duration::from_secs(1);

    fn stamped<T>(value: T) -> Arc<Stamped<T>> {
        Arc::new(Stamped::new(Revision(1), value))
    }

    fn key(name: &str) -> ServerKey {
        format!("default/{name}").parse().expect("a key")
    }

    /// Servers `up` and `down`, which are that.
    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::empty(Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        });
        for (name, health) in [("up", Health::Up), ("down", Health::Down)] {
            let key = key(name);
            let address = "127.0.0.1:80".parse().expect("an address");
            let server = Server::new(key.pool.clone(), key.server.clone(), address);
            let verdict = Verdict {
                incarnation: Revision(1),
                health,
                reason: String::new(),
                silent_ms: 0,
                unknown: model::Unknown::default(),
            };
            snapshot.servers.insert(key.clone(), stamped(server));
            snapshot.health.insert(key, stamped(verdict));
        }
        snapshot
    }

    fn registration(name: &str, age: Duration) -> Registration {
        Registration {
            key: key(name),
            age,
            lifetime: 3 * SECOND,
        }
    }

    #[test]
    fn a_renewed_registration_is_left_alone() {
        let registrations = [registration("up", SECOND), registration("gone", SECOND)];
        let findings = judge(&registrations, &snapshot(), |_| false);
        assert_eq!(findings, Findings::default());
    }

    #[test]
    fn a_missed_renewal_makes_a_server_suspect() {
        let registrations = [registration("up", 4 * SECOND)];
        let findings = judge(&registrations, &snapshot(), |_| false);
        assert_eq!(findings.lapsed, [key("up")].into());
        assert!(findings.departed.is_empty());
    }

    #[test]
    fn after_a_long_silence_only_a_server_that_is_down_is_removed() {
        let registrations = [
            registration("up", 61 * SECOND),
            registration("down", 61 * SECOND),
        ];
        let findings = judge(&registrations, &snapshot(), |_| true);
        assert_eq!(findings.departed, [key("down")]);
    }

    #[test]
    fn where_a_balancer_holds_something_back_nothing_is_removed() {
        let registrations = [registration("down", 61 * SECOND)];
        let departed = |holds: Vec<Hold>| {
            let report = Report {
                holds,
                ..Report::new(InstanceId::random(), Role::Balancer, "b:80")
            };
            let age = SECOND;
            let mut findings = judge(&registrations, &snapshot(), |_| true);
            findings.spare_held(&[Instance { report, age }]);
            findings.departed
        };
        let hold = |pool: &str| Hold::new(pool.parse().expect("a name"), snapshot().position);
        assert_eq!(departed(vec![hold("default"), hold("web")]), []);
        assert_eq!(departed(vec![hold("web")]), [key("down")]);
    }

    #[test]
    fn a_lease_that_ran_out_without_a_server_is_removed() {
        let registrations = [registration("gone", 4 * SECOND)];
        let findings = judge(&registrations, &snapshot(), |_| false);
        assert_eq!(findings.orphaned, [key("gone")]);
        assert!(findings.lapsed.is_empty());
    }

    #[test]
    fn a_server_that_only_a_newer_version_can_read_keeps_its_lease_and_its_place() {
        let mut snapshot = snapshot();
        for name in ["newer", "down"] {
            let unreadable = format!(
                r#"{{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{{"pool":"default","id":"{name}","address":"host:80","state":"warming"}}}}"#
            );
            let key = key(name).to_string();
            snapshot.apply_stored(Collection::Servers, key.as_bytes(), unreadable.as_bytes());
        }
        assert_eq!(snapshot.unread.len(), 2);
        let registrations = ["newer", "down"].map(|name| registration(name, 61 * SECOND));
        let findings = judge(&registrations, &snapshot, |_| true);
        assert_eq!(findings, Findings::default());
    }

    fn registrations(registry: &Arc<Memory>) -> Registrations {
        let fleet = Fleet {
            registry: Arc::<Memory>::clone(registry),
            instance: InstanceId::random(),
            views: watch::Sender::default().subscribe(),
            tenure: watch::Sender::default().subscribe(),
            refused: watch::Sender::default(),
            doubts: Arc::default(),
            metrics: Metrics::register(&mut prometheus_client::registry::Registry::default()),
            chains: Arc::default(),
            found: watch::Sender::default(),
        };
        Registrations::new(fleet, watch::Sender::default(), 60 * SECOND)
    }

    async fn lead(registry: &Memory) -> Leadership {
        let instance = InstanceId::random();
        let taken = registry.acquire(instance, 600 * SECOND).await;
        let head = taken.expect("an answer").expect("nobody else leads");
        Leadership {
            instance,
            epoch: head.position.epoch,
            term: head.term,
        }
    }

    #[tokio::test]
    async fn one_that_was_paused_through_a_take_over_removes_no_server() {
        let registry = Arc::new(Memory::new());
        let snapshot = snapshot();
        assert_eq!(registry.seed(&snapshot).await, Ok(true));
        let servers = async || {
            let read = registry.snapshot().await.expect("an answer");
            read.expect("a fleet").snapshot.servers.len()
        };
        let former = lead(&registry).await;
        let released = registry.release(former.instance, former.term).await;
        released.expect("an answer");
        let present = lead(&registry).await;
        let departed = [key("down")];
        let late = registrations(&registry);
        late.remove(&departed, &former, &snapshot).await;
        assert_eq!(servers().await, 2);
        assert_eq!(*late.fleet.refused.borrow(), Some(former));
        late.remove(&departed, &present, &snapshot).await;
        assert_eq!(servers().await, 1);
    }
}
