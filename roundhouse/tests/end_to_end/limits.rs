//! Limits in a fleet of processes: made by command, held to by every balancer, counted in a real Redis.

use std::fs;

use hyper::StatusCode;

use crate::operators;
use crate::processes::Fleet;
use crate::routes::set_again;
use crate::support::{Http, run};

#[test]
fn a_limit_is_set_listed_shown_named_and_removed() {
    let fleet = operators::Fleet::start();
    let command = "limit set api --requests 100/10s --burst 20 --concurrent 5 --by client --by header:X-Api-Key --wait";
    let set = fleet.output(command);
    assert!(set.starts_with("set limit api by revision "), "{set}");
    set_again(&fleet, command, &set, "limit api");
    let listed = fleet.output("limit list");
    let row: Vec<_> = listed
        .lines()
        .nth(1)
        .expect("a row")
        .split_whitespace()
        .collect();
    let expected = [
        "api",
        "client,",
        "header:X-Api-Key",
        "100/10s",
        "20",
        "5",
        "leased",
        "share",
        "-",
        "-",
    ];
    assert_eq!(row, expected, "{listed}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("limit.yaml");
    let shown = fleet.output("limit show api");
    assert!(shown.starts_with("id: api\nby:\n- client\n"), "{shown}");
    fs::write(&file, shown.replace("burst: 20", "burst: 30")).expect("a file");
    let command = format!("limit set api --file {}", file.display());
    set_again(&fleet, &command, &fleet.output(&command), "limit api");
    assert_eq!(fleet.json("limit show api")["burst"], 30);
    fleet.output("route add web --path-prefix / --pool default --limit api");
    let listed = fleet.output("limit list");
    assert!(listed.trim_end().ends_with("  route web"), "{listed}");
    let listed = &fleet.json("limit list")[0];
    let (id, burst, users) = (&listed["id"], &listed["burst"], &listed["used_by"]);
    assert_eq!((id, burst), (&"api".into(), &30.into()));
    assert_eq!(*users, serde_json::json!(["route web"]));
    let (code, _, errors) = fleet.run("limit remove api");
    let told = "roundhouse: the limit \"api\" is used by the route \"web\": change that first\n";
    assert_eq!((code != 0, errors.as_str()), (true, told));
    fleet.output("route remove web");
    let removed = fleet.output("limit remove api --wait");
    assert!(
        removed.starts_with("removed limit api by revision "),
        "{removed}"
    );
}

#[tokio::test]
async fn an_exact_limit_holds_over_the_processes_of_a_fleet() {
    let fleet = Fleet::start().await;
    let command = |words: &str| {
        let mut arguments: Vec<_> = words.split(' ').collect();
        arguments.extend(["--admin", &fleet.admin.url]);
        let (code, _, errors) = run(&arguments);
        assert_eq!((code, errors.as_str()), (0, ""), "{words}");
    };
    let file = fleet.state.path().join("limit.yaml");
    // A deadline that a slow machine keeps too.
    let limit = "by: [client]\nrequests: 5\nper: 1h\nmode: exact\ndeadline: 10s\n";
    fs::write(&file, limit).expect("a file");
    command(&format!("limit set api --file {}", file.display()));
    command("route add limited --path-prefix /limited --pool default --limit api --wait");
    let http = Http::new();
    let urls = fleet.urls();
    let mut statuses = Vec::new();
    for turn in 0..8 {
        let url = format!("{}/limited", urls[turn % urls.len()]);
        statuses.push(http.get(&url).await.status);
    }
    let (passed, refused) = statuses.split_at(5);
    assert_eq!(passed, [StatusCode::OK; 5]);
    assert_eq!(refused, [StatusCode::TOO_MANY_REQUESTS; 3]);
}
