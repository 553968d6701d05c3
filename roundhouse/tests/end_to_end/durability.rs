//! `--durability` over a real Redis and its replica: what a person sees of it.

use registry::testing::RedisServer;

use crate::support::run;
use crate::up::Up;

/// A fleet whose changes one replica must have.
fn up(redis: &RedisServer, durability: &str) -> Up {
    let url = redis.url();
    Up::start(&[
        "--servers",
        "1",
        "--balancers",
        "1",
        "--registry",
        &url,
        "--durability",
        durability,
    ])
}

/// Runs a command on the fleet: exit code, standard output, standard error.
fn on(up: &Up, command: &str) -> (i32, String, String) {
    let mut arguments: Vec<_> = command.split(' ').collect();
    arguments.extend(["--admin", &up.admin]);
    run(&arguments)
}

#[test]
fn a_change_that_no_replica_has_is_made_and_the_command_says_so() {
    let redis = RedisServer::start();
    let up = up(&redis, "wait=1,timeout=20ms");
    for (command, done) in [
        ("server add 127.0.0.1:1 --id s9", "added default/s9 at "),
        ("server drain s9", "default/s9 is draining since "),
        ("server activate s9", "default/s9 is active since "),
        ("server remove s9", "removed default/s9 by "),
        ("revision restore 1", "restored the state of revision 1 by "),
    ] {
        let (code, output, errors) = on(&up, command);
        assert_eq!(code, 0, "{command}: {errors}");
        assert!(output.contains(done), "{command}: {output}");
        assert!(
            errors.starts_with("roundhouse: the ")
                && errors.contains(" was made, but a failover may lose it: ")
                && errors.trim_end().ends_with(
                    "0 of 1 replicas (no more replicas said within 20ms that they have it)"
                )
                && errors.lines().count() == 1,
            "{command}: {errors}"
        );
    }
}

#[test]
fn a_change_that_a_replica_has_needs_no_word() {
    let redis = RedisServer::start();
    let _replica = redis.replica();
    let up = up(&redis, "wait=1,timeout=5s");
    let (code, output, errors) = on(&up, "server add 127.0.0.1:1 --id s9 --output json");
    assert_eq!((code, errors.as_str()), (0, ""));
    let answer: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    let durability = &answer["durability"];
    assert_eq!(
        (&durability["reached"], &durability["done"]),
        (&1.into(), &true.into())
    );
}
