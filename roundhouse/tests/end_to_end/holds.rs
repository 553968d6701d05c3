//! A mass withdrawal that no operator made, and an operator who rejects it, over real processes.

use hyper::StatusCode;
use model::{Author, Change, FleetName};
use registry::testing::RedisServer;
use registry::{Commit, Options};

use crate::support::{Http, Load, eventually, run};
use crate::up::Up;

#[tokio::test]
async fn a_rejected_withdrawal_is_undone_and_costs_no_request() {
    let redis = RedisServer::start();
    let url = redis.url();
    let up = Up::start(&["--servers", "3", "--balancers", "2", "--registry", &url]);
    let http = Http::new();
    for id in ["s1", "s2", "s3"] {
        eventually("the servers are up", || async {
            up.health_of(&http, id).await == "up"
        })
        .await;
    }
    let load = Load::start(&up.balancers, 4);
    load.proceeds(100).await;

    let registry = registry::open(&Options::new(url.as_str(), FleetName::standard()));
    let name = "discovery".into();
    let keys = ["default/s1", "default/s2", "default/s3"].map(|key| key.parse().expect("a key"));
    let changes = keys.map(|key| Change::Server(key, None)).to_vec();
    let commit = Commit::new(Author::Source { name }, changes);
    let withdrawn = registry.expect("a URL").commit(commit).await;
    withdrawn.expect("a commit");
    let holders = || async {
        let holds = http.get(&format!("{}/v1/holds", up.admin)).await.json();
        holds[0]["balancers"].as_array().map_or(0, Vec::len)
    };
    eventually("both balancers hold it back", || async {
        holders().await == 2
    })
    .await;
    load.proceeds(100).await;

    let command = ["hold", "reject", "default", "--wait", "--admin", &up.admin];
    let (code, output, errors) = run(&command);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        output.starts_with("rejected default by revision ")
            && output.ends_with(": 3 servers restored\n"),
        "{output}"
    );
    eventually("nobody holds anything back", || async {
        holders().await == 0
    })
    .await;
    let status = http.get(&format!("{}/v1/status", up.admin)).await.json();
    assert!(
        !status["alarms"].to_string().contains("held back"),
        "{status}"
    );
    for id in ["s1", "s2", "s3"] {
        eventually("they are probed anew", || async {
            up.health_of(&http, id).await == "up"
        })
        .await;
    }
    load.proceeds(100).await;
    load.stop_without_failures().await;
    let revisions = http
        .get(&format!("{}/v1/revisions?limit=1", up.admin))
        .await;
    assert_eq!(revisions.status, StatusCode::OK);
    assert!(
        revisions.body.contains("holds/default/reject"),
        "{}",
        revisions.body
    );
}
