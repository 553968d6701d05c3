//! A Redis behind a Unix socket.

use registry::testing::RedisServer;
use registry::{Commit, RegistryError};

use crate::fixture::{connect, first_snapshot, next_delta, operator, put};

#[tokio::test]
async fn a_registry_behind_a_unix_socket_is_one_like_any_other() {
    let mut server = RedisServer::start_with(&["--unixsocket", "redis.sock"]);
    let url = format!("unix://{}/redis.sock?db=2", server.directory().display());
    let registry = connect(&url);
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let mut changes = registry.announcements().await.expect("a subscription");
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let committed = registry.commit(commit).await.expect("a commit");
    assert_eq!(
        next_delta(&mut changes).await.position(),
        committed.position
    );
    assert!(server.command(&["INFO", "keyspace"]).contains("db2:"));
    server.kill();
    let away = registry.head().await.expect_err("it is away");
    let said = away.to_string();
    assert!(matches!(away, RegistryError::Unreachable { .. }), "{said}");
    assert!(
        said.contains("redis.sock") && !said.contains('\n'),
        "{said}"
    );
}

#[tokio::test]
async fn a_user_and_password_go_through_a_unix_socket_and_are_not_shown() {
    let server = RedisServer::start_with(&["--unixsocket", "redis.sock"]);
    server.command(&[
        "ACL", "SETUSER", "someone", "on", ">se cret", "~*", "&*", "+@all",
    ]);
    let place = format!("unix://{}/redis.sock", server.directory().display());
    let right = connect(&format!("{place}?user=someone&pass=se%20cret"));
    assert_eq!(right.head().await, Ok(None));
    let wrong = connect(&format!("{place}?user=someone&pass=hunter2"));
    let said = wrong
        .head()
        .await
        .expect_err("a wrong password")
        .to_string();
    assert!(
        said.contains("refused the user or password") && !said.contains("hunter2"),
        "{said}"
    );
}
