//! What each role's Redis user may do, and what it may not, by the very users that a deployment has.

use model::{Collection, FleetName, Health, InstanceId, Revision, Suspicion, SuspicionKind, Term};
use registry::testing::{RedisServer, keeps_roles_apart, password_of};
use registry::{Announcement, Commit, CommitError, Options, Registry, RegistryError, open};
use std::sync::Arc;
use std::time::Duration;

use crate::fixture::{
    LONG, connect, first_snapshot, next, next_delta, operator, put, report, server_key, verdict,
};

/// A fleet's Redis with its users, and each role's registry on it.
struct Users {
    server: RedisServer,
    balancer: Arc<dyn Registry>,
    orchestrator: Arc<dyn Registry>,
    admin: Arc<dyn Registry>,
}

impl Users {
    /// With a fleet of one pool, seeded by the orchestrator.
    async fn start() -> Self {
        let server = RedisServer::with_users(&FleetName::standard());
        let users = Self {
            balancer: connect(&server.url_of("balancer")),
            orchestrator: connect(&server.url_of("orchestrator")),
            admin: connect(&server.url_of("admin")),
            server,
        };
        let seeded = users.orchestrator.seed(&first_snapshot()).await;
        assert_eq!(seeded, Ok(true));
        users
    }

    /// What a person gets who sends a command as one of the users.
    fn by_hand(&self, user: &str, words: &[&str]) -> Result<String, String> {
        let client = redis::Client::open(self.server.url_of(user)).expect("a URL");
        let mut connection = client.get_connection().expect("the server is running");
        let answer = redis::cmd(words[0]).arg(&words[1..]).query(&mut connection);
        let answer: Result<redis::Value, _> = answer;
        match answer {
            Ok(value) => Ok(format!("{value:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn refuses_by_hand(&self, user: &str, words: &[&str]) {
        let answer = self.by_hand(user, words);
        let refused = answer.as_ref().is_err_and(|error| error.contains("NoPerm"));
        assert!(refused, "{user}: {words:?}: {answer:?}");
    }
}

fn lacks_right<T: std::fmt::Debug>(result: Result<T, RegistryError>) {
    let error = result.expect_err("the right is not granted");
    assert!(
        matches!(error, RegistryError::MissingRight { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_balancer_follows_the_fleet() {
    let users = Users::start().await;
    let mut changes = users
        .balancer
        .announcements()
        .await
        .expect("a subscription");
    let before = users
        .balancer
        .snapshot()
        .await
        .expect("an answer")
        .expect("a fleet");
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    users.admin.commit(commit).await.expect("a commit");
    let announced = next_delta(&mut changes).await;
    let position = before.head.position;
    let logged = users.balancer.log_after(position).await.expect("an answer");
    assert_eq!(logged.expect("a known position"), [announced]);
    assert_eq!(users.balancer.history(9).await.expect("history").len(), 1);
    assert!(users.balancer.head().await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_balancer_reports_suspects_and_deregisters() {
    let users = Users::start().await;
    let mut reports = users.admin.reports().await.expect("a subscription");
    let mut suspicions = users
        .orchestrator
        .suspicions()
        .await
        .expect("a subscription");
    let instance = InstanceId::random();
    users
        .balancer
        .report(&report(instance), true)
        .await
        .expect("a report");
    assert_eq!(next(&mut reports).await, instance);
    assert_eq!(users.admin.instances().await.expect("instances").len(), 1);
    let suspicion = Suspicion {
        instance,
        server: server_key("a"),
        incarnation: Revision(1),
        kind: SuspicionKind::Connect,
    };
    users
        .balancer
        .suspect(&suspicion)
        .await
        .expect("a suspicion");
    assert_eq!(next(&mut suspicions).await, suspicion);
    users.balancer.deregister(instance).await.expect("an end");
    assert_eq!(users.orchestrator.instances().await, Ok(vec![]));
}

#[tokio::test]
async fn a_balancer_cannot_change_the_fleet() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot keep a balancer from writing what it reads");
    }
    let users = Users::start().await;
    let before = users.admin.snapshot().await;
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let refused = users.balancer.commit(commit).await.expect_err("no right");
    let CommitError::Registry(RegistryError::MissingRight { reason }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.starts_with("committing: "), "{reason}");
    lacks_right(users.balancer.acquire(InstanceId::random(), LONG).await);
    lacks_right(users.balancer.release(InstanceId::random(), Term(0)).await);
    lacks_right(users.balancer.seed(&first_snapshot()).await);
    lacks_right(
        users
            .balancer
            .renew_registration(&server_key("a"), LONG)
            .await,
    );
    lacks_right(users.balancer.remove_registration(&server_key("a")).await);
    assert_eq!(users.admin.snapshot().await, before);
}

#[tokio::test]
async fn a_balancer_takes_tokens_of_limits() {
    let users = Users::start().await;
    let take = crate::buckets::take("api", 1, 0, 2);
    let taken = users.balancer.take(&[take]).await.expect("an answer");
    assert_eq!(taken[0].granted, 2);
}

#[tokio::test]
async fn a_balancer_cannot_write_or_announce_by_hand() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot keep a balancer from writing what it reads");
    }
    let users = Users::start().await;
    for collection in Collection::ALL {
        let hash = format!("roundhouse:{{main}}:{collection}");
        users.refuses_by_hand("balancer", &["HSET", &hash, "default/x", "{}"]);
        users.refuses_by_hand("balancer", &["HDEL", &hash, "default"]);
    }
    for words in [
        ["HSET", "roundhouse:{main}:head", "leader", "me"].as_slice(),
        &["PUBLISH", "roundhouse:{main}:changes", "{}"],
        &["SUBSCRIBE", "roundhouse:{main}:suspicions"],
        &["SET", "roundhouse:{main}:lease", "me"],
        &["SET", "roundhouse:{main}:instances", "me"],
        &["SET", "roundhouse:{main}:limit", "me"],
        &["SET", "roundhouse:{other}:limit:api:0", "1"],
        &["DEL", "roundhouse:{main}:limit:api:0"],
        &["XADD", "roundhouse:{main}:log", "*", "delta", "{}"],
        &["DEL", "roundhouse:{main}:instances"],
        &["HGETALL", "roundhouse:{other}:servers"],
        &["FLUSHALL"],
        &["CONFIG", "SET", "maxmemory", "1"],
    ] {
        users.refuses_by_hand("balancer", words);
    }
}

#[tokio::test]
async fn an_orchestrator_leads() {
    let users = Users::start().await;
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    users.admin.commit(commit).await.expect("a commit");
    let mut changes = users
        .orchestrator
        .announcements()
        .await
        .expect("a subscription");
    let leader = InstanceId::random();
    let taken = users
        .orchestrator
        .acquire(leader, LONG)
        .await
        .expect("an answer");
    let head = taken.expect("nobody leads yet");
    let author = model::Author::Leader {
        instance: leader,
        term: head.term,
    };
    let commit = Commit {
        epoch: Some(head.position.epoch),
        ..Commit::new(author, vec![verdict("a", Revision(2), Health::Up)])
    };
    users.orchestrator.commit(commit).await.expect("a commit");
    assert_eq!(next_delta(&mut changes).await.revision, Revision(3));
    let renewed = users.orchestrator.renew(leader, head.term, LONG).await;
    assert!(renewed.expect("an answer").is_some());
    assert!(matches!(
        next(&mut changes).await,
        Announcement::Heartbeat(_)
    ));
    users
        .orchestrator
        .release(leader, head.term)
        .await
        .expect("an answer");
    assert_eq!(users.orchestrator.registrations().await, Ok(vec![]));
    assert_eq!(users.orchestrator.warnings().await, Ok(vec![]));
}

#[tokio::test]
async fn an_admin_commits_registers_and_forgets() {
    let users = Users::start().await;
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    users.admin.commit(commit).await.expect("a commit");
    let key = server_key("a");
    users
        .admin
        .renew_registration(&key, LONG)
        .await
        .expect("a renewal");
    assert_eq!(
        users
            .admin
            .registrations()
            .await
            .expect("registrations")
            .len(),
        1
    );
    users
        .admin
        .remove_registration(&key)
        .await
        .expect("an answer");
    let instance = InstanceId::random();
    users
        .balancer
        .report(&report(instance), false)
        .await
        .expect("a report");
    assert_eq!(users.admin.forget(instance).await, Ok(true));
    assert_eq!(users.admin.history(9).await.expect("history").len(), 1);
    assert_eq!(users.admin.warnings().await, Ok(vec![]));
}

#[tokio::test]
async fn an_admin_asks_replicas_and_says_where_it_may_not() {
    let users = Users::start().await;
    let reached = async |id: &str| {
        let commit = Commit::new(operator(), vec![put(id, 1)]);
        let made = users.admin.commit_to_replicas(commit).await;
        let (_, way) = made.expect("a commit");
        way.reached(1, Duration::from_millis(1)).await
    };
    assert_eq!(reached("a").await, Ok(0));
    users.server.grant("admin", "-wait");
    let error = reached("b").await.expect_err("no right");
    assert!(
        error.to_string().contains("waiting for replicas"),
        "{error}"
    );
    lacks_right::<u64>(Err(error.clone()));
    assert_eq!(users.admin.troubles(), [error]);
    users.server.grant("admin", "+wait");
    assert_eq!(reached("c").await, Ok(0));
    assert_eq!(users.admin.troubles(), []);
    users.refuses_by_hand("balancer", &["WAIT", "0", "1"]);
}

#[tokio::test]
async fn an_admin_cannot_take_the_lease() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot say beforehand what a user may do");
    }
    let users = Users::start().await;
    let before = users.admin.head().await;
    lacks_right(users.admin.acquire(InstanceId::random(), LONG).await);
    assert_eq!(users.admin.head().await, before);
    let leader = InstanceId::random();
    let taken = users
        .orchestrator
        .acquire(leader, LONG)
        .await
        .expect("an answer");
    let term = taken.expect("nobody leads yet").term;
    // Also where it could not take it anyway: whoever stands by has to learn it before the leader is gone.
    lacks_right(users.admin.acquire(InstanceId::random(), LONG).await);
    lacks_right(users.admin.renew(leader, term, LONG).await);
    users.refuses_by_hand("admin", &["SET", "roundhouse:{main}:lease", "me"]);
    users.refuses_by_hand("admin", &["DEL", "roundhouse:{main}:lease"]);
}

#[tokio::test]
async fn what_a_user_may_not_do_is_known_until_it_may() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot say beforehand what a user may do");
    }
    let users = Users::start().await;
    assert_eq!(users.admin.troubles(), []);
    let taking = || users.admin.acquire(InstanceId::random(), LONG);
    let refused = taking().await.expect_err("no right");
    lacks_right(taking().await);
    let publishing = users.balancer.seed(&first_snapshot()).await;
    assert_eq!(
        users.balancer.troubles(),
        [publishing.expect_err("no right")]
    );
    let said = refused.to_string();
    assert_eq!(users.admin.troubles(), [refused]);
    assert!(
        said.contains("lacks a right that this role needs: taking the lease"),
        "{said}"
    );
    users.server.grant("admin", "+set");
    taking().await.expect("an answer");
    assert_eq!(users.admin.troubles(), []);
}

#[tokio::test]
async fn a_fleet_that_is_out_of_reach_is_named() {
    let users = Users::start().await;
    let options = Options::new(
        users.server.url_of("balancer").as_str(),
        "other".parse().expect("a name"),
    );
    let elsewhere = open(&options).expect("a URL");
    let said = async |what: &str| {
        let troubles = elsewhere.troubles();
        let said = troubles.iter().map(ToString::to_string);
        let said: Vec<_> = said.filter(|text| text.contains(what)).collect();
        assert_eq!(said.len(), 1, "{what}: {troubles:?}");
        assert!(said[0].contains("lacks a right"), "{said:?}");
        assert!(said[0].contains("roundhouse:{other}:"), "{said:?}");
    };
    lacks_right(elsewhere.snapshot().await);
    said("reading the snapshot").await;
    lacks_right(elsewhere.head().await);
    said("reading the head").await;
    let position = first_snapshot().position;
    lacks_right(elsewhere.log_after(position).await);
    said("reading the log").await;
    lacks_right(elsewhere.announcements().await.map(drop));
    said("subscribing").await;
    let suspicion = Suspicion {
        instance: InstanceId::random(),
        server: server_key("a"),
        incarnation: Revision(1),
        kind: SuspicionKind::Connect,
    };
    lacks_right(elsewhere.suspect(&suspicion).await);
    said("saying a suspicion").await;
    lacks_right(elsewhere.report(&report(InstanceId::random()), true).await);
    let troubles = elsewhere.troubles();
    assert_eq!(troubles.len(), 6, "{troubles:?}");
}

#[tokio::test]
async fn no_role_reaches_beyond_its_fleet() {
    let users = Users::start().await;
    for user in ["orchestrator", "admin"] {
        for words in [
            ["HSET", "roundhouse:{other}:servers", "default/x", "{}"].as_slice(),
            &["HGETALL", "roundhouse:{other}:servers"],
            &["PUBLISH", "roundhouse:{other}:changes", "{}"],
            &["FLUSHALL"],
            &["CONFIG", "SET", "maxmemory", "1"],
            &["ACL", "LIST"],
        ] {
            users.refuses_by_hand(user, words);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_in_those_words_and_not_repeated() {
    let users = Users::start().await;
    let address = users.server.address();
    for credentials in ["admin:hunter2@", "nobody:hunter2@", ":hunter2@", ""] {
        let registry = connect(&format!("redis://{credentials}{address}"));
        let error = registry.head().await.expect_err("the wrong password");
        assert!(
            matches!(error, RegistryError::WrongPassword { .. }),
            "{error:?}"
        );
        let said = format!("{error} {error:?} {registry:?}");
        assert!(said.contains("refused the user or password"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let shown = format!("{:?}", users.admin);
    assert!(!shown.contains(&password_of("admin")), "{shown}");
}

#[tokio::test]
async fn a_commit_that_may_not_be_announced_is_not_made_by_half() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot say beforehand what a user may do");
    }
    let server = RedisServer::start();
    let registry = connect(&server.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let before = registry.snapshot().await;
    server.command(&[
        "ACL",
        "SETUSER",
        "muted",
        "on",
        ">secret",
        "~*",
        "+@all",
        "resetchannels",
    ]);
    let muted = connect(&format!("redis://muted:secret@{}", server.address()));
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let refused = muted
        .commit(commit)
        .await
        .expect_err("no right to announce");
    assert!(
        matches!(
            refused,
            CommitError::Registry(RegistryError::MissingRight { .. })
        ),
        "{refused:?}"
    );
    assert_eq!(registry.snapshot().await, before);
    lacks_right(muted.announcements().await.map(drop));
}
