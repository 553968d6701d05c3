use client::{BalancerView, HoldView, ServerView, Status};
use serde_json::{Value, json};

use super::*;

const INSTANCE: &str = "6f6cbf4c-3b1c-4e4c-9f0b-0a4c4b8f9a11";

fn lines(text: &str) -> Vec<String> {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(squeeze).collect()
}

fn status(change: impl FnOnce(&mut Value)) -> Status {
    let mut status = json!({
        "epoch": INSTANCE, "revision": 12, "desired": 9, "leader": INSTANCE, "term": 3, "connected": true,
        "registry_revision": 12, "pools": 1,
        "servers": {"total": 3, "up": 2, "down": 1, "unknown": 0, "draining": 0, "disabled": 0},
        "balancers": [
            {"id": INSTANCE, "advertise": "127.0.0.1:8000", "revision": 12, "lag": 0, "lost": false},
            {"id": INSTANCE, "advertise": "127.0.0.1:8001", "revision": 11, "lag": 1, "lost": false},
        ],
        "orchestrators": [{"id": INSTANCE, "advertise": "127.0.0.1:8200", "revision": 11, "lag": 1, "lost": false}],
        "alarms": [],
    });
    change(&mut status);
    serde_json::from_value(status).expect("a status")
}

#[test]
fn the_status_is_readable_at_a_glance() {
    let text = status::text(&status(|_| {}));
    assert_eq!(
        lines(&text),
        [
            "registry connected, revision 12, last changed by revision 9",
            "leader 127.0.0.1:8200, term 3",
            "balancers 2, 1 behind",
            "orchestrators 1",
            "pools 1",
            "servers 3, 2 up, 1 down",
        ]
    );
}

#[test]
fn the_status_ends_with_what_somebody_should_look_at() {
    let text = status::text(&status(|status| {
        status["leader"] = Value::Null;
        status["balancers"] = Value::Null;
        status["alarms"] =
            json!([{"kind": "unreachable", "subject": "registry", "detail": "no answer"}]);
    }));
    let lines = lines(&text);
    assert_eq!(lines[1], "leader none");
    assert_eq!(
        lines[2],
        "balancers not known: the registry cannot be asked"
    );
    assert_eq!(
        lines[6..],
        ["", "ALARM CONCERNS WHAT", "unreachable registry no answer"]
    );
}

#[test]
fn servers_are_listed_in_aligned_columns() {
    let server = |id: &str, reason: &str| -> ServerView {
        let view = json!({"pool": "default", "id": id, "address": "10.0.0.5:80", "weight": 1, "state": "active",
            "health": "down", "reason": reason, "revision": 7});
        serde_json::from_value(view).expect("a server")
    };
    let text = servers::text(&[server("s1", ""), server("long-name", "status 503")]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "POOL     ID         ADDRESS      WEIGHT  ZONE  STATE   HEALTH  WHY"
    );
    assert_eq!(
        lines[1],
        "default  s1         10.0.0.5:80  1       -     active  down    -"
    );
    assert_eq!(
        lines[2],
        "default  long-name  10.0.0.5:80  1       -     active  down    status 503"
    );
}

#[test]
fn a_balancers_remarks_say_what_is_not_as_it_should_be() {
    let position = json!({"epoch": INSTANCE, "revision": 4, "id": INSTANCE});
    let balancer: BalancerView = serde_json::from_value(json!({
        "id": INSTANCE, "advertise": "10.0.0.1:8000", "region": "", "zone": "", "revision": null, "epoch": null,
        "lag": null, "origin": "disk", "age": "9s", "lost": true,
        "leaving": [{"server": "default/s1", "incarnation": 3, "in_flight": 2}],
        "nacks": [{"collection": "servers", "key": "default/bad", "reason": "nonsense"}],
        "holds": [{"pool": "default", "position": position, "servers": ["default/s2", "default/s3"]}],
        "ejected": ["default/s9"],
    }))
    .expect("a balancer");
    let text = balancers::text(&[balancer]);
    let expected = "10.0.0.1:8000 - - - 9s ago lost, works from its own disk, 2 in flight to default/s1, \
        holds 2 servers of default, has ejected default/s9, cannot apply servers default/bad ";
    assert_eq!(lines(&text)[1], format!("{expected}{INSTANCE}"));
}

#[test]
fn a_hold_says_what_is_held_back_and_by_whom() {
    let holder = |advertise: &str| json!({"id": INSTANCE, "advertise": advertise, "revision": 7});
    let hold: HoldView = serde_json::from_value(json!({
        "pool": "web", "epoch": INSTANCE, "revision": 8, "servers": ["web/s2", "web/s3"],
        "total": 9, "balancers": [holder("10.0.0.1:8000"), holder("10.0.0.2:8000")],
    }))
    .expect("a hold");
    assert_eq!(
        lines(&holds::text(&[hold])),
        [
            "POOL UP TO REVISION SERVERS HELD BY",
            "web 8 s2, s3, and 7 more 10.0.0.1:8000, 10.0.0.2:8000"
        ]
    );
}

#[test]
fn a_hold_of_very_many_servers_is_one_short_row() {
    let servers: Vec<_> = (0..100).map(|number| format!("web/s{number}")).collect();
    let hold: HoldView = serde_json::from_value(json!({
        "pool": "web", "epoch": INSTANCE, "revision": 8, "servers": servers, "total": 1000, "balancers": [],
    }))
    .expect("a hold");
    assert_eq!(
        lines(&holds::text(&[hold]))[1],
        "web 8 s0, s1, s2, s3, s4, and 995 more -"
    );
}
