use client::{BalancerView, HoldView, Rejected, RevisionView, ServerView, Status, WholeChange};
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
            {"id": INSTANCE, "advertise": "127.0.0.1:8001", "revision": 11, "lag": 1, "lost": false, "stale": true},
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
            "balancers 2, 1 behind, 1 stale",
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
fn the_status_of_a_fleet_of_which_nothing_was_read_says_so() {
    let text = status::text(&status(|status| {
        for field in [
            "epoch",
            "revision",
            "desired",
            "leader",
            "term",
            "registry_revision",
            "pools",
            "servers",
        ] {
            status[field] = Value::Null;
        }
        status["connected"] = false.into();
    }));
    let lines = lines(&text);
    assert_eq!(lines[0], "registry not connected, no revision known");
    assert_eq!(lines[4..], ["pools not known", "servers not known"]);
}

#[test]
fn hundreds_of_alarms_of_one_kind_are_ten_rows_and_hide_no_others() {
    let fault = |number| json!({"kind": "fault", "subject": format!("servers web/s{number}"), "detail": "nonsense"});
    let mut alarms: Vec<_> = (0..200).map(fault).collect();
    let lost =
        json!({"kind": "lost", "subject": "balancer 10.0.0.1:8000", "detail": "silent for 9s"});
    alarms.insert(100, lost);
    let text = status::text(&status(|status| status["alarms"] = json!(alarms)));
    let lines = lines(&text);
    assert_eq!(lines.len(), 8 + 10 + 2, "{text}");
    assert_eq!(
        lines[17..],
        [
            "fault servers web/s9 nonsense",
            "fault - and 190 more",
            "lost balancer 10.0.0.1:8000 silent for 9s"
        ]
    );
}

/// What a balancer reports that names this many elements which it cannot apply, and counts the others.
fn nacks(balancer: usize, named: usize, more: usize) -> Vec<Value> {
    let subject = format!("balancer 10.0.0.{balancer}:8000");
    let nack = |number| json!({"kind": "nack", "subject": subject, "detail": format!("s{number}"), "count": 1});
    let rest = (more > 0)
        .then(|| json!({"kind": "nack", "subject": subject, "detail": "and more", "count": more}));
    (0..named).map(nack).chain(rest).collect()
}

fn alarm_lines(alarms: &[Value]) -> Vec<String> {
    let text = status::text(&status(|status| status["alarms"] = json!(alarms)));
    lines(&text).split_off(8)
}

#[test]
fn each_balancer_that_cannot_apply_something_is_named_however_much_others_cannot() {
    let two = [nacks(1, 100, 100), nacks(2, 3, 0)].concat();
    let lines = alarm_lines(&two);
    let subjects = |number| {
        let subject = format!("nack balancer 10.0.0.{number}:8000 ");
        lines
            .iter()
            .filter(|line| line.starts_with(&subject))
            .count()
    };
    assert_eq!((subjects(1), subjects(2)), (7, 3), "{lines:?}");
    assert_eq!(lines[0], "nack balancer 10.0.0.1:8000 s0");
    assert_eq!(lines[10..], ["nack - and 193 more"]);
}

#[test]
fn what_a_balancer_counts_and_does_not_name_is_counted() {
    assert_eq!(
        alarm_lines(&nacks(1, 100, 101))[10..],
        ["nack - and 191 more"]
    );
    let few = alarm_lines(&nacks(1, 3, 12));
    assert_eq!(few[3..], ["nack balancer 10.0.0.1:8000 and more"]);
}

#[test]
fn more_balancers_than_lines_are_a_line_each_up_to_a_bound() {
    let fleet = |size| -> Vec<_> { (1..=size).flat_map(|number| nacks(number, 2, 0)).collect() };
    let lines = alarm_lines(&fleet(25));
    assert_eq!(
        lines[24..],
        ["nack balancer 10.0.0.25:8000 s0", "nack - and 25 more"]
    );
    let lines = alarm_lines(&fleet(130));
    assert_eq!(lines[100..], ["nack - and 160 more"]);
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

fn balancer(more: &Value) -> BalancerView {
    let mut balancer = json!({
        "id": INSTANCE, "advertise": "10.0.0.1:8000", "region": "", "zone": "", "revision": null, "epoch": null,
        "lag": 3, "lag_ms": 61250, "stale": false, "origin": "registry", "age": "9s", "lost": false,
        "leaving": [], "nacks": [], "holds": [],
    });
    let fields = more.as_object().expect("fields").clone();
    balancer.as_object_mut().expect("an object").extend(fields);
    serde_json::from_value(balancer).expect("a balancer")
}

#[test]
fn a_balancers_remarks_say_what_is_not_as_it_should_be() {
    let position = json!({"epoch": INSTANCE, "revision": 4, "id": INSTANCE});
    let balancer = balancer(&json!({
        "stale": true, "origin": "disk", "lost": true,
        "leaving": [{"server": "default/s1", "incarnation": 3, "in_flight": 2, "sticky": true}],
        "nacks": [{"collection": "servers", "key": "default/bad", "reason": "nonsense"}],
        "more_nacks": {"servers": 12},
        "holds": [{"pool": "default", "position": position, "servers": ["default/s2", "default/s3"]}],
        "ejected": ["default/s9"],
    }));
    let text = balancers::text(&[balancer]);
    let expected = "10.0.0.1:8000 - - 3 1m 1s 250ms 9s ago lost, works from its own disk, 2 in flight to default/s1, still sends clients to default/s1, \
        holds 2 servers of default, has ejected default/s9, cannot apply servers default/bad, and 12 more ";
    assert_eq!(lines(&text)[1], format!("{expected}{INSTANCE}"));
}

#[test]
fn many_remarks_of_one_kind_on_a_balancer_hide_no_others() {
    let nack = |number| json!({"collection": "servers", "key": format!("web/s{number}"), "reason": "nonsense"});
    let nacks: Vec<_> = (0..100).map(nack).collect();
    let ejected: Vec<_> = (0..20).map(|number| format!("web/e{number}")).collect();
    let text = balancers::text(&[balancer(&json!({
        "nacks": nacks, "more_nacks": {"servers": 12, "routes": 5}, "ejected": ejected,
    }))]);
    let expected = "has ejected web/e0, web/e1, web/e2, and 17 more, \
        cannot apply servers web/s0, servers web/s1, servers web/s2, and 114 more";
    assert!(lines(&text)[1].contains(expected), "{text}");
}

#[test]
fn a_rejection_says_how_much_was_put_back() {
    let said = |restored: Value| {
        let answer = json!({"pool": "web", "revision": 9, "restored": restored, "ruling": {}});
        let rejected: Rejected = serde_json::from_value(answer).expect("a rejection");
        hold::rejected(&rejected)
    };
    assert_eq!(said(json!([])), "rejected web by revision 9");
    assert_eq!(
        said(json!(["web/s1"])),
        "rejected web by revision 9: 1 server restored"
    );
    assert_eq!(
        said(json!(["web/s1", "web/s2"])),
        "rejected web by revision 9: 2 servers restored"
    );
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

#[test]
fn a_revision_is_one_row_that_says_who_changed_what_and_why() {
    let change = |key: &str| json!({"collection": "servers", "key": key, "before": null, "after": {}, "diff": []});
    let keys = ["web/s1", "web/s2", "web/s3", "web/s4", "web/s5"];
    let revision: RevisionView = serde_json::from_value(json!({
        "revision": 8, "epoch": INSTANCE, "id": INSTANCE, "time": "2026-11-26T02:06:22.000Z",
        "author": {"kind": "operator", "name": "ana"}, "reason": "PUT\n/v1/import",
        "changes": keys.map(change),
    }))
    .expect("a revision");
    assert_eq!(
        lines(&revision::text(&[revision])),
        [
            "REVISION TIME AUTHOR REASON CHANGES",
            "8 2026-11-26T02:06:22.000Z ana PUT /v1/import servers web/s1, servers web/s2, servers web/s3, and 2 more"
        ]
    );
}

fn shown<T: client::Element>(element: &Value) -> client::Shown<T> {
    let mut element = element.clone();
    element["revision"] = json!(7);
    element["created"] = json!(5);
    serde_json::from_value(element).expect("an element")
}

#[test]
fn a_route_is_one_row_that_says_what_it_claims_and_does() {
    let routes = [
        json!({"id": "all", "action": {"pool": "web"}}),
        json!({"id": "api", "priority": 5, "action": {"split": {"pools": [
            {"pool": "web", "weight": 90}, {"pool": "canary", "weight": 10}]}},
            "match": {"hosts": ["shop.example.com", "*.shop.example.com"], "path": {"prefix": "/api"},
            "methods": ["GET", "HEAD"], "scheme": "https", "networks": ["10.0.0.0/8"],
            "headers": [{"name": "x-beta"}, {"name": "x-v", "value": {"prefix": "2."}}],
            "query": [{"name": "debug", "value": "absent"}]}}),
        json!({"id": "old", "match": {"path": {"exact": "/old"}}, "action": {"redirect": {}}}),
    ];
    let routes: Vec<_> = routes.iter().map(shown).collect();
    assert_eq!(
        lines(&route::table::text(&routes)),
        [
            "NAME PRIORITY HOSTS PATH METHODS CONDITIONS ACTION",
            "all 0 - - - - pool web",
            "api 5 shop.example.com, *.shop.example.com /api/* GET, HEAD \
                https, x-beta, x-v=2.*, ?no debug, 10.0.0.0/8 split web 90, canary 10",
            "old 0 - = /old - - redirect 308",
        ]
    );
}

#[test]
fn an_explanation_says_where_a_request_goes_and_why_not_elsewhere() {
    let explained = |change: &Value| {
        let mut explained = json!({
            "route": "api", "action": {"pool": "web"}, "is_let_in": true, "path": "/api/x",
            "pools": [{"pool": "web", "share": 1.0}], "left_out": 0, "considered": [
                {"route": "beta", "priority": 5, "unmet": ["headers.x-beta"]},
                {"route": "api", "priority": 0, "unmet": []},
                {"route": "rest", "priority": 0, "unmet": [], "outranked_by": "hosts"},
            ],
        });
        let fields = change.as_object().expect("fields").clone();
        explained.as_object_mut().expect("an object").extend(fields);
        let explained = serde_json::from_value(explained).expect("an explanation");
        route::explain::text(&explained)
    };
    assert_eq!(
        lines(&explained(&json!({"left_out": 4}))),
        [
            "route api takes /api/x: pool web",
            "",
            "ROUTE PRIORITY WHY",
            "beta 5 does not claim it by headers.x-beta",
            "api 0 takes it",
            "rest 0 claims it, but comes later by hosts",
            "and 4 more",
        ]
    );
    let closed = explained(&json!({"is_let_in": false, "considered": []}));
    assert_eq!(
        closed,
        "route api takes /api/x: pool web, whose firewall refuses the client"
    );
    let shares = |pools: Value| {
        let split = json!({"split": {"pools": [{"pool": "web", "weight": 9}, {"pool": "new", "weight": 1}]}});
        explained(&json!({"action": split, "pools": pools, "considered": []}))
    };
    let client = shares(json!([{"pool": "web", "share": 1.0}]));
    assert_eq!(client, "route api takes /api/x: pool web, of a split");
    let chance = shares(json!([{"pool": "web", "share": 0.9}, {"pool": "new", "share": 0.1}]));
    assert_eq!(
        chance,
        "route api takes /api/x: pool web (90.0%) or new (10.0%)"
    );
    let none = explained(&json!({"route": null, "action": null, "considered": []}));
    assert_eq!(none, "no route claims /api/x: the pool default answers");
}

#[test]
fn lists_of_networks_and_listeners_are_listed_in_short() {
    let list = json!({"id": "office", "size": 200_000});
    let listed = networks::text(&[shown(&list)]);
    assert_eq!(
        lines(&listed),
        ["NAME NETWORKS REVISION", "office 200000 7"]
    );
    let many = ["10.0.0.0/8", "a", "b", "c", "d", "e", "f"];
    let listener = json!({"id": "http", "firewall": {"allow": [], "deny": many}});
    let watched = json!({"id": "https", "health": true});
    assert_eq!(
        lines(&listener::text(&[shown(&listener), shown(&watched)])),
        [
            "NAME ALLOW DENY HEALTH",
            "http - 10.0.0.0/8, a, b, c, d, and 2 more -",
            "https - - answers"
        ]
    );
}

#[test]
fn a_pool_is_one_row_that_says_how_its_servers_are_chosen_reached_and_inspected() {
    let plain = json!({"id": "default", "servers": {"total": 3, "up": 2, "down": 1, "unknown": 0}});
    let grpc = json!({"id": "grpc", "algorithm": "least_connections", "protocol": "h2", "tls": {"enabled": true},
        "sticky": {"kind": "header", "name": "X-User"}, "health": {"kind": "grpc", "service": "shop.v1.Orders"}});
    let tcp = json!({"id": "tcp", "tls": {"enabled": true, "verify": false}, "sticky": {"kind": "cookie"},
        "health": {"kind": "tcp"}, "servers": {"total": 0, "up": 0, "down": 0, "unknown": 0}});
    assert_eq!(
        lines(&pool::table::text(&[
            shown(&plain),
            shown(&grpc),
            shown(&tcp)
        ])),
        [
            "NAME ALGORITHM PROTOCOL TLS STICKY HEALTH SERVERS",
            "default round_robin http1 - - http / 3, 2 up, 1 down",
            "grpc least_connections h2 verified header X-User grpc shop.v1.Orders -",
            "tcp round_robin http1 unverified cookie tcp 0",
        ]
    );
}

#[test]
fn limits_are_listed_by_what_they_bound() {
    let by = json!(["client", {"header": "X-Api-Key"}]);
    let api = json!({"id": "api", "by": by, "requests": 100, "per": "10s", "concurrent": 5});
    let busy = json!({"id": "busy", "concurrent": 9});
    let slow = json!({"id": "slow", "requests": 1, "per": "1m", "burst": 3, "mode": "exact",
        "without_registry": "closed", "exempt": ["10.0.0.0/8", "192.0.2.7"]});
    let names = ["route a", "route b", "route c", "pool web"];
    let names = names.map(str::to_owned).to_vec();
    let users = [("api", names), ("slow", vec!["pool web".into()])];
    let users =
        users.map(|(limit, users)| (limit.parse::<model::LimitId>().expect("a name"), users));
    let limits = [&api, &busy, &slow].map(shown::<model::Limit>);
    let limits = limit::with_users(limits.into(), users.into());
    assert_eq!(
        lines(&limit::table::text(&limits)),
        [
            "NAME BY REQUESTS BURST CONCURRENT MODE ALONE EXEMPT USED BY",
            "api client, header:X-Api-Key 100/10s 100 5 leased share - route a, route b, route c, and 1 more",
            "busy - - - 9 - - - -",
            "slow - 1/1m 3 - exact 50ms closed 2 pool web",
        ]
    );
}

fn whole(more: &Value) -> WholeChange {
    let mut whole = json!({
        "revision": 8, "changed": true, "changes": [
            {"collection": "pools", "key": "web", "change": "created",
                "diff": [{"path": "", "before": null, "after": {"id": "web"}}]},
            {"collection": "servers", "key": "web/s1", "change": "changed",
                "diff": [{"path": "/weight", "before": 1, "after": 5}, {"path": "/zone", "before": "", "after": "b"}]},
            {"collection": "servers", "key": "web/s2", "change": "removed",
                "diff": [{"path": "", "before": {"id": "s2"}, "after": null}]},
        ],
    });
    let fields = more.as_object().expect("fields").clone();
    whole.as_object_mut().expect("an object").extend(fields);
    serde_json::from_value(whole).expect("a change")
}

#[test]
fn a_change_of_the_whole_names_each_element_and_each_field_that_differs() {
    let told = whole::text(&whole(&json!({})), "applied fleet.yaml");
    let mut lines: Vec<_> = told.lines().collect();
    assert_eq!(
        lines.pop(),
        Some("applied fleet.yaml by revision 8: 1 created, 1 changed, 1 removed")
    );
    assert_eq!(
        lines,
        [
            "+ pools web",
            "~ servers web/s1",
            "    /weight: 1 -> 5",
            "    /zone: \"\" -> \"b\"",
            "- servers web/s2",
        ]
    );
    let dry = whole::text(&whole(&json!({"dry_run": true})), "applied fleet.yaml");
    let last = "would change revision 8: 1 created, 1 changed, 1 removed";
    assert_eq!(dry.lines().last(), Some(last));
    let nothing = whole(&json!({"changed": false, "changes": []}));
    let nothing = whole::text(&nothing, "applied fleet.yaml");
    assert_eq!(nothing, "nothing to change at revision 8");
}
