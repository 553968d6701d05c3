//! Servers that are brought back while somebody waits for them to drain.

use model::{Entry, ServerState, Stamped};

use super::*;

/// A revision that leaves the server in this state.
fn written(revision: u64, incarnation: u64, state: ServerState, address: SocketAddr) -> Delta {
    let mut server = Server::new(key().pool, key().server, address);
    server.state = state;
    let stamped = Stamped::new(Revision(incarnation), server);
    let value = Some(serde_json::to_value(stamped).expect("JSON"));
    of_servers(revision, value)
}

fn of_servers(revision: u64, value: Option<serde_json::Value>) -> Delta {
    Delta {
        entries: vec![Entry {
            collection: Collection::Servers,
            key: key().to_string(),
            value,
        }],
        ..delta(position(revision))
    }
}

fn active(revision: u64) -> Delta {
    written(revision, 2, ServerState::Active, address())
}

/// The outcome where every balancer would say that it is drained.
fn outcome(log: &[Delta]) -> Outcome {
    let fleet = [loaded(balancer(1, Some(position(5))), 2, 0)];
    judged_with(&mut Waiter::new(drain(2)), &fleet, log)
}

fn undone(by: u64) -> Outcome {
    Outcome::Undone {
        by: Revision(by),
        reason: format!("default/s1 was brought back by revision {by}, so it does not drain"),
    }
}

#[test]
fn a_server_that_was_made_active_again_does_not_drain() {
    let disabled = written(6, 2, ServerState::Disabled, address());
    assert_eq!(outcome(std::slice::from_ref(&disabled)), Outcome::Done);
    let log = [disabled, active(7)];
    assert_eq!(outcome(&log), undone(7));
    let used_again = balancer(1, Some(position(7)));
    let mut waiter = Waiter::new(drain(2));
    let in_use = judged_with(&mut waiter, &[used_again], &log);
    assert_eq!(in_use, undone(7));
    assert!(waiter.needs_log());
}

#[test]
fn a_server_that_was_removed_and_put_in_anew_does_not_drain_in_whatever_state_it_is() {
    for state in [ServerState::Active, ServerState::Draining] {
        assert_eq!(outcome(&[written(6, 6, state, address())]), undone(6));
    }
    let removed_again = of_servers(7, None);
    let log = [active(6), removed_again];
    assert_eq!(outcome(&log), undone(6));
}

#[test]
fn another_server_of_the_same_name_keeps_none_from_draining() {
    let elsewhere = "10.0.0.2:80".parse().expect("an address");
    let other = written(6, 6, ServerState::Active, elsewhere);
    assert_eq!(outcome(&[other]), Outcome::Done);
}

#[test]
fn an_entry_that_cannot_be_read_may_bring_a_server_back() {
    let value = serde_json::json!({"revision": 6, "value": "nonsense"});
    assert_eq!(outcome(&[of_servers(6, Some(value))]), undone(6));
}

#[test]
fn the_log_is_read_for_each_revision_that_may_bring_the_server_back_whoever_lags() {
    let fleet = [balancer(1, Some(position(4)))];
    let listed_at = |waiter: &mut Waiter, at: Position| {
        waiter.list(Listing {
            position: Some(at),
            ..listing(1, &fleet)
        });
        waiter.needs_log()
    };
    let mut waiter = Waiter::new(drain(2));
    assert!(!listed_at(&mut waiter, position(5)));
    assert!(listed_at(&mut waiter, position(6)));
    waiter.learn(Some(&[delta(position(6))]));
    assert_eq!(laggards(waiter.outcome()).len(), 1);
    assert!(!listed_at(&mut waiter, position(6)), "it is known");
    assert!(listed_at(&mut waiter, position(7)));
    let mut other = Waiter::new(Goal::Applied(position(5)));
    assert!(!listed_at(&mut other, position(6)), "nothing undoes it");
}

/// A registry with one balancer, which says no more than that a server was in use once, and the goal of that
/// server's drain.
async fn draining() -> (Arc<Memory>, Goal) {
    let (registry, _) = registry().await;
    let incarnation = commit(&registry, Some(ServerState::Active)).await;
    let drained = commit(&registry, Some(ServerState::Draining)).await;
    let goal = drain_at(drained, incarnation.revision.0);
    (registry, goal)
}

/// Writes the server, or removes it.
async fn commit(registry: &Memory, state: Option<ServerState>) -> Position {
    let server = state.map(|state| Server {
        state,
        ..Server::new(key().pool, key().server, address())
    });
    let author = Author::Operator {
        name: "test".into(),
    };
    let change = match server {
        Some(server) => Change::put_server(server),
        None => Change::Server(key(), None),
    };
    let committed = registry.commit(Commit::new(author, vec![change])).await;
    committed.expect("a commit").position
}

/// How a wait ends during which these commits are made.
async fn ends(registry: &Memory, goal: &Goal, commits: &[Option<ServerState>]) -> Outcome {
    let start = Instant::now();
    let wait = wait_for(registry, goal, start + Duration::from_secs(30));
    let bring_back = async {
        tokio::time::sleep(Duration::from_millis(1_111)).await;
        for state in commits {
            commit(registry, *state).await;
        }
    };
    let (outcome, ()) = tokio::join!(wait, bring_back);
    assert!(start.elapsed() < Duration::from_secs(2), "{outcome:?}");
    outcome.expect("an answer")
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_once_where_the_server_is_made_active_again_though_a_balancer_says_nothing()
{
    let (registry, goal) = draining().await;
    let outcome = ends(&registry, &goal, &[Some(ServerState::Active)]).await;
    assert_eq!(outcome, undone(goal.position().revision.0 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_once_where_the_server_is_put_in_anew_though_a_balancer_says_nothing() {
    let (registry, goal) = draining().await;
    let outcome = ends(&registry, &goal, &[None, Some(ServerState::Active)]).await;
    assert_eq!(outcome, undone(goal.position().revision.0 + 2));
}
