//! An event in one line for people.

use model::Author;
use serde_json::Value;

/// What happened. An event that this version does not know is shown as it is.
pub(super) fn describe(kind: &str, data: &Value) -> String {
    match kind {
        "hello" => hello(data),
        "change" => change(data),
        "reset" => format!(
            "the history goes on elsewhere: revision {}",
            data["revision"]
        ),
        "leader" => leader(data),
        "lagged" => format!("{} events were missed", data["missed"]),
        "balancer" | "orchestrator" | "admin" => instance(kind, data),
        _ => format!("{kind} {data}"),
    }
}

fn hello(data: &Value) -> String {
    let registry = match data["connected"].as_bool() {
        Some(false) => ", not connected to the registry",
        _ => "",
    };
    let leader = data["leader"].as_str().unwrap_or("none");
    match data["revision"].as_u64() {
        Some(revision) => format!("the fleet is at revision {revision}, leader {leader}{registry}"),
        None => format!("the fleet's state is not known yet{registry}"),
    }
}

fn change(data: &Value) -> String {
    let changes = data["changes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let changes: Vec<_> = changes
        .iter()
        .filter(|it| !is_implied(it, changes))
        .map(element)
        .collect();
    let author = author(&data["author"]);
    format!(
        "revision {} by {author}: {}",
        data["revision"],
        changes.join("; ")
    )
}

/// A server that goes takes its verdict with it.
fn is_implied(change: &Value, changes: &[Value]) -> bool {
    let removed = |other: &Value| {
        other["collection"] == "servers"
            && other["value"].is_null()
            && other["key"] == change["key"]
    };
    change["collection"] == "health" && changes.iter().any(removed)
}

fn author(author: &Value) -> String {
    match serde_json::from_value(author.clone()) {
        Ok(Author::Operator { name } | Author::Source { name }) => name,
        Ok(Author::Leader { .. }) => "the leader".to_owned(),
        Err(_) => "somebody".to_owned(),
    }
}

fn element(change: &Value) -> String {
    let value = &change["value"];
    let key = text(&change["key"]);
    let collection = text(&change["collection"]);
    let noun = match collection {
        "pools" => "pool",
        "servers" => "server",
        "holds" => "ruling on",
        "routes" => "route",
        "listeners" => "listener",
        "networks" => "list of networks",
        "limits" => "limit",
        "certificates" => "certificate",
        "secrets" => "secret",
        other => other,
    };
    match collection {
        _ if value.is_null() && collection == "health" => format!("server {key} is unknown"),
        _ if value.is_null() => format!("{noun} {key} removed"),
        "servers" => {
            let (address, state) = (text(&value["address"]), text(&value["state"]));
            format!(
                "server {key} at {address}, weight {}, {state}",
                value["weight"]
            )
        }
        "health" => health(key, value),
        _ => format!("{noun} {key} changed"),
    }
}

fn health(key: &str, verdict: &Value) -> String {
    let health = text(&verdict["health"]);
    match text(&verdict["reason"]) {
        "" => format!("server {key} is {health}"),
        reason => format!("server {key} is {health} ({reason})"),
    }
}

fn leader(data: &Value) -> String {
    match data["leader"].as_str() {
        Some(leader) => format!("leader {leader}, term {}", data["term"]),
        None => "no leader".to_owned(),
    }
}

fn instance(kind: &str, data: &Value) -> String {
    let name = [&data["advertise"], &data["id"]]
        .map(text)
        .into_iter()
        .find(|name| !name.is_empty());
    format!(
        "{kind} {} {}",
        name.unwrap_or("of no name"),
        text(&data["what"])
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_says_who_did_what() {
        let server = json!({"pool": "default", "id": "s9", "address": "10.0.0.9:80", "weight": 1, "state": "active"});
        let data = json!({"revision": 13, "author": {"kind": "operator", "name": "deploy"}, "changes": [
            {"collection": "servers", "key": "default/s9", "value": server},
            {"collection": "servers", "key": "default/s1", "value": null},
            {"collection": "health", "key": "default/s1", "value": null},
            {"collection": "pools", "key": "api", "value": {"id": "api"}},
        ]});
        assert_eq!(
            describe("change", &data),
            "revision 13 by deploy: server default/s9 at 10.0.0.9:80, weight 1, active; \
             server default/s1 removed; pool api changed"
        );
    }

    #[test]
    fn a_verdict_says_why() {
        let leader = json!({"kind": "leader", "instance": "6f6cbf4c-3b1c-4e4c-9f0b-0a4c4b8f9a11", "term": 3});
        let data = json!({"revision": 14, "author": leader, "changes": [
            {"collection": "health", "key": "default/s2", "value": {"health": "down", "reason": "status 503"}},
        ]});
        assert_eq!(
            describe("change", &data),
            "revision 14 by the leader: server default/s2 is down (status 503)"
        );
    }

    #[test]
    fn instances_and_leaders_are_named() {
        let data =
            json!({"what": "lost", "id": "x", "role": "balancer", "advertise": "10.0.0.1:8000"});
        assert_eq!(describe("balancer", &data), "balancer 10.0.0.1:8000 lost");
        assert_eq!(
            describe("leader", &json!({"leader": null, "term": null})),
            "no leader"
        );
        let hello = json!({"revision": 7, "leader": "x", "connected": false});
        assert_eq!(
            describe("hello", &hello),
            "the fleet is at revision 7, leader x, not connected to the registry"
        );
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_is() {
        assert_eq!(
            describe("new_thing", &json!({"a": 1})),
            "new_thing {\"a\":1}"
        );
        assert_eq!(
            describe("change", &json!("nonsense")),
            "revision null by somebody: "
        );
    }
}
