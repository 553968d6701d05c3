//! A Redis that cannot be the registry: every role says so in one line, with what to do, and goes on trying.

use model::{Epoch, FleetName, RevisionId, Snapshot};
use registry::StateFile;
use registry::testing::{OldRedis, RedisServer};

use crate::support::{Http, Process, eventually, run};

/// The roles that need a registry, and the flags with which each takes free ports.
const ROLES: [(&str, &[&str]); 4] = [
    ("balancer", &["--listen", "--ops"]),
    ("orchestrator", &["--ops"]),
    ("admin-api", &["--listen", "--ops"]),
    (
        "up",
        &[
            "--listen",
            "--balancer-ops",
            "--admin",
            "--orchestrator-ops",
            "--server-listen",
        ],
    ),
];

/// Starts every role on this registry, and waits until each has said why it will not do.
async fn every_role_says(url: &str, why: &str) {
    for (role, listeners) in ROLES {
        let mut arguments = vec![role, "--registry", url];
        for flag in listeners {
            arguments.extend([flag, "127.0.0.1:0"]);
        }
        let mut process = Process::start(&arguments);
        eventually(&format!("{role} says {why:?}"), || async {
            process.errors().contains(why)
        })
        .await;
        let errors = process.errors();
        let lines = errors.lines().filter(|line| line.contains(why));
        let address = url.trim_start_matches("redis://");
        assert!(
            lines.clone().all(|line| line.contains(address)),
            "{role}: {errors}"
        );
        assert_eq!(lines.count(), 1, "{role}: {errors}");
        if role != "up" {
            is_not_ready(&process, why).await;
        }
        process.signal("TERM");
        process.ended();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    let snapshot = Snapshot::first(Epoch::random(), RevisionId::random());
    StateFile::save(&file, &FleetName::standard(), &snapshot).expect("a file");
    let file = file.to_str().expect("a path in text");
    let (code, _, errors) = run(&["restore-from", file, "--registry", url]);
    assert_eq!(code, 1, "{errors}");
    let told = errors.trim_end();
    assert!(told.contains(why) && !told.contains('\n'), "{errors}");
}

/// Who asks whether it is ready is told the same.
async fn is_not_ready(process: &Process, why: &str) {
    let http = Http::new();
    let line = process.line_with(&["http://"]);
    let ops = crate::support::urls(&line).last().expect("an address");
    eventually("it is not ready, and says why", || async {
        let answer = http.get(&format!("{ops}/readyz")).await;
        answer.status.is_server_error() && answer.body.contains(why)
    })
    .await;
}

#[tokio::test]
async fn a_replica_is_refused_by_every_role() {
    let master = RedisServer::start();
    let replica = master.replica();
    let why = "it is a replica, which takes no writes: name its master, or have it found by";
    every_role_says(&replica.url(), why).await;
}

#[tokio::test]
async fn a_redis_that_is_too_old_is_refused_by_every_role() {
    let old = OldRedis::start("6.0.16");
    let why = "it is a Redis 6.0.16, and 6.2 is the oldest that will do: upgrade it";
    every_role_says(&old.url(), why).await;
    let older = OldRedis::start("5.0.14");
    every_role_says(&older.url(), "it is older than Redis 6.2: upgrade it").await;
}
