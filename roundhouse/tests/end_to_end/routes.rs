//! The commands of routes, lists of networks and listeners against a running fleet.

use std::fs;

use crate::operators::{Fleet, one_line};

/// What was set is set again, which changes nothing and is told so.
pub(crate) fn set_again(fleet: &Fleet, command: &str, set: &str, name: &str) {
    let told = set.replace(
        &format!("set {name} by"),
        &format!("nothing to change in {name} at"),
    );
    assert_ne!(told, set);
    assert_eq!(fleet.output(command), told, "{command}");
}

#[test]
fn a_route_is_added_listed_shown_changed_and_removed() {
    let fleet = Fleet::start();
    let added = fleet.output(
        "route add api --host shop.example.com --path-prefix /api --method GET --header x-beta=1 --pool default --priority 5 --wait",
    );
    assert!(added.starts_with("added route api by revision "), "{added}");
    let listed = fleet.output("route list");
    let row: Vec<_> = listed
        .lines()
        .nth(1)
        .expect("a row")
        .split_whitespace()
        .collect();
    let expected = [
        "api",
        "5",
        "shop.example.com",
        "/api/*",
        "GET",
        "x-beta=1",
        "pool",
        "default",
    ];
    assert_eq!(row, expected, "{listed}");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("route.yaml");
    let shown = fleet.output("route show api");
    assert!(shown.starts_with("id: api\npriority: 5\n"), "{shown}");
    fs::write(&file, shown.replace("priority: 5", "priority: 7")).expect("a file");
    let command = format!("route set api --file {}", file.display());
    let set = fleet.output(&command);
    assert!(set.starts_with("set route api by revision "), "{set}");
    set_again(&fleet, &command, &set, "route api");
    let route = &fleet.json("route show api");
    assert_eq!(
        (&route["priority"], &route["match"]["methods"][0]),
        (&7.into(), &"GET".into())
    );

    fs::write(&file, "action: {answer: {status: 404}}\n").expect("a file");
    fleet.output(&format!("route add gone --file {}", file.display()));
    let explained = fleet.output("route explain http://shop.example.com/api/x --header x-beta=1");
    assert!(
        explained.starts_with("route api takes /api/x: pool default\n\nROUTE "),
        "{explained}"
    );
    let explained = fleet.json("route explain http://shop.example.com/api/x --method POST");
    assert_eq!(explained["route"], "gone");
    let command = "route set api --path /only --split default=9";
    set_again(&fleet, command, &fleet.output(command), "route api");
    assert_eq!(
        fleet.json("route show api")["match"]["path"]["exact"],
        "/only"
    );
    assert_eq!(fleet.output("route list").lines().count(), 3);
    let removed = fleet.output("route remove api --wait");
    assert!(
        removed.starts_with("removed route api by revision "),
        "{removed}"
    );
    let fleet_file = fleet.output("export");
    assert!(fleet_file.contains("routes:\n- id: gone\n"), "{fleet_file}");
}

#[test]
fn a_list_is_made_changed_and_named_by_a_listener() {
    let fleet = Fleet::start();
    let added = fleet.output("networks add bad 192.0.2.0/24 198.51.100.7");
    assert!(
        added.starts_with("added to list bad by revision "),
        "{added}"
    );
    let again = fleet.output("networks add bad 198.51.100.7/32");
    assert!(
        again.starts_with("nothing to change in list bad at revision "),
        "{again}"
    );
    fleet.output("networks remove bad 192.0.2.0/24");
    let shown = fleet.json("networks show bad");
    assert_eq!(shown["networks"], serde_json::json!(["198.51.100.7/32"]));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.txt");
    fs::write(
        &file,
        "# known to be bad\n203.0.113.0/24 # all of it\n\n2001:db8::/32\n",
    )
    .expect("a file");
    let command = format!("networks set bad --file {}", file.display());
    set_again(&fleet, &command, &fleet.output(&command), "list bad");
    let listed = fleet.output("networks list");
    assert!(
        listed
            .lines()
            .nth(1)
            .is_some_and(|row| row.starts_with("bad   2 ")),
        "{listed}"
    );

    let command = "listener set http --deny bad --deny 198.51.100.0/24 --wait";
    let set = fleet.output(command);
    assert!(set.starts_with("set listener http by revision "), "{set}");
    set_again(&fleet, command, &set, "listener http");
    fs::write(&file, fleet.output("listener show http")).expect("a file");
    let command = format!("listener set http --file {}", file.display());
    set_again(&fleet, &command, &set, "listener http");
    let listed = fleet.output("listener list");
    assert!(
        listed.contains("http  -      bad, 198.51.100.0/24"),
        "{listed}"
    );
    let (code, _, errors) = fleet.run("networks remove bad");
    assert_eq!(code, 1);
    assert!(
        one_line(&errors).contains("is used by the listener \"http\""),
        "{errors}"
    );
    fleet.output("listener set http");
    fleet.output("networks remove bad");
    fleet.output("listener remove http");
    assert_eq!(fleet.output("listener list").lines().count(), 1);
    assert_eq!(fleet.output("networks list").lines().count(), 1);
}

#[test]
fn what_is_wrong_with_a_route_or_a_list_is_one_line() {
    let fleet = Fleet::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.txt");
    fs::write(&file, "192.0.2.0/24\n192.0.2.0/33\n").expect("a file");
    let bad = format!("networks set bad --file {}", file.display());
    let route = folder.path().join("route.yaml");
    fs::write(&route, "id: other\naction: {pool: default}\n").expect("a file");
    let other = format!("route add api --file {}", route.display());
    for (command, code, named) in [
        (
            "route add api --pool nowhere",
            2,
            "action.pool: there is no pool \"nowhere\"",
        ),
        ("route show api", 1, "no route \"api\""),
        ("route remove api", 1, "no route \"api\""),
        (
            "listener set htps --deny 10.0.0.0/8",
            2,
            "id: must be \"http\", for the address of --listen, or \"https\"",
        ),
        ("networks show bad", 1, "no list \"bad\""),
        ("networks remove bad 10.0.0.0/8", 1, "no list \"bad\""),
        (bad.as_str(), 2, "line 2: \"192.0.2.0/33\" is not a network"),
        (other.as_str(), 2, "its id is \"other\", and not \"api\""),
    ] {
        let (ended, output, errors) = fleet.run(command);
        assert_eq!((ended, output.as_str()), (code, ""), "{command}: {errors}");
        assert!(one_line(&errors).contains(named), "{command}: {errors}");
    }
    for (command, named) in [
        ("route add api", "--pool"),
        ("route add api --pool a --split b=1", "--split"),
        (
            "route add api --pool a --path /a --path-prefix /b",
            "--path-prefix",
        ),
        ("route add api --file x.yaml --path /a", "--file"),
        ("route add api --split web", "web=90"),
        ("networks set bad", "--file"),
        ("networks add bad 10.0.0.0/33", "not a network"),
    ] {
        let (ended, _, errors) = fleet.run(command);
        assert_eq!(ended, 2, "{command}: {errors}");
        assert!(errors.contains(named), "{command}: {errors}");
    }
}
