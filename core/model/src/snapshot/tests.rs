//! What becomes of a fleet's state, element by element.

use serde_json::json;

use super::*;

fn snapshot() -> Snapshot {
    Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    })
}

fn server(key: &str, created: u64, incarnation: u64) -> Entry {
    let (pool, id) = key.split_once('/').expect("a key");
    Entry {
        collection: Collection::Servers,
        key: key.into(),
        value: Some(
            json!({"revision": created, "created": created, "incarnation": incarnation,
            "value": {"pool": pool, "id": id, "address": "10.0.0.1:80"}}),
        ),
    }
}

fn verdict(key: &str, incarnation: u64) -> Entry {
    Entry {
        collection: Collection::Health,
        key: key.into(),
        value: Some(json!({"revision": 9, "created": 9, "incarnation": 9,
            "value": {"incarnation": incarnation, "health": "up"}})),
    }
}

#[test]
fn servers_are_listed_in_the_order_of_creation_and_pools_do_not_mix() {
    let mut snapshot = snapshot();
    for entry in [
        server("a/s10", 2, 2),
        server("a/s9", 3, 3),
        server("a-b/s1", 1, 1),
        server("b/s1", 1, 1),
    ] {
        snapshot.apply(&entry);
    }
    let pool = "a".parse().expect("a name");
    let ids: Vec<_> = snapshot
        .servers_of(&pool)
        .iter()
        .map(|server| server.value.id.to_string())
        .collect();
    assert_eq!(ids, ["s10", "s9"]);
}

#[test]
fn servers_are_judged_as_each_alone_is() {
    let mut snapshot = snapshot();
    for entry in [
        verdict("a/s0", 1),
        server("a/s1", 7, 7),
        verdict("a/s1", 7),
        verdict("a/s2", 2),
        server("a/s3", 4, 5),
        verdict("a/s3", 4),
        server("a/s4", 3, 3),
        server("a-b/s5", 1, 1),
        verdict("a-b/s5", 1),
    ] {
        snapshot.apply(&entry);
    }
    let pool = "a".parse().expect("a name");
    let expected = snapshot.servers_of(&pool).into_iter().map(|server| {
        let health = snapshot.health_of(&server.value.key());
        (server, health)
    });
    let judged = snapshot.judged_servers_of(&pool);
    assert_eq!(judged, expected.collect::<Vec<_>>());
    let health: Vec<Health> = judged.into_iter().map(|(_, health)| health).collect();
    assert_eq!(health, [Health::Unknown, Health::Unknown, Health::Up]);
}

#[test]
fn a_verdict_on_an_old_incarnation_says_nothing() {
    let mut snapshot = snapshot();
    let key: ServerKey = "a/s1".parse().expect("a key");
    snapshot.apply(&server("a/s1", 2, 2));
    snapshot.apply(&verdict("a/s1", 2));
    assert_eq!(snapshot.health_of(&key), Health::Up);
    snapshot.apply(&server("a/s1", 2, 5));
    assert_eq!(snapshot.health_of(&key), Health::Unknown);
}

#[test]
fn a_removed_server_takes_its_verdict_with_it() {
    let mut snapshot = snapshot();
    snapshot.apply(&server("a/s1", 2, 2));
    snapshot.apply(&verdict("a/s1", 2));
    snapshot.apply(&Entry {
        value: None,
        ..server("a/s1", 2, 2)
    });
    assert!(snapshot.health.is_empty() && snapshot.servers.is_empty());
}

#[test]
fn nonsense_is_reported_by_name_and_the_last_good_element_stays() {
    let mut snapshot = snapshot();
    snapshot.apply(&server("a/s1", 2, 2));
    snapshot.apply(&Entry {
        value: Some(json!("nonsense")),
        ..server("a/s1", 2, 2)
    });
    assert_eq!(snapshot.servers.len(), 1);
    assert_eq!(snapshot.faults.len(), 1);
    assert_eq!(snapshot.faults[0].key, "a/s1");
    snapshot.apply(&server("a/s1", 2, 3));
    assert!(
        snapshot.faults.is_empty(),
        "a good element clears its fault"
    );
}

#[test]
fn a_server_written_by_hand_is_held_to_every_rule_but_a_newer_versions_field() {
    let with = |field: &str, value: serde_json::Value| {
        let mut entry = server("a/s1", 2, 2);
        let stamped = entry.value.as_mut().expect("a value");
        stamped["value"][field] = value;
        entry
    };
    for (field, value) in [
        ("address", json!("0.0.0.0:0")),
        ("address", json!("10.0.0.1:0")),
        ("weight", json!(1001)),
        ("zone", json!("z".repeat(64))),
    ] {
        let mut snapshot = snapshot();
        snapshot.apply(&with(field, value));
        assert!(snapshot.servers.is_empty(), "{field}");
        let reason = &snapshot.faults[0].reason;
        assert!(reason.starts_with(field), "{reason}");
    }
    let mut snapshot = snapshot();
    snapshot.apply(&with("from_the_future", json!(1)));
    assert!(snapshot.servers.len() == 1 && snapshot.faults.is_empty());
}
