//! The commands of pools against a running fleet.

use std::fs;

use crate::operators::{Fleet, one_line};

fn row(listed: &str, name: &str) -> String {
    let mut rows = listed.lines();
    let row = rows.find(|row| row.split(' ').next() == Some(name));
    let cells: Vec<_> = row.expect(listed).split_whitespace().collect();
    cells.join(" ")
}

#[test]
fn a_pool_is_made_changed_listed_shown_and_removed() {
    let fleet = Fleet::start();
    let added =
        fleet.output("pool set web --algorithm p2c --health-path /up --sticky cookie:lb --wait");
    assert!(added.starts_with("added pool web by revision "), "{added}");
    let set = fleet.output("pool set web --health tcp --retries 1 --wait");
    assert!(set.starts_with("set pool web by revision "), "{set}");
    for command in [
        "pool set web",
        "pool set web --retries 1",
        "pool set web --health tcp --wait",
    ] {
        let same = fleet.output(command);
        let told = set.replace("set pool web by", "nothing to change in pool web at");
        assert_eq!(same, told, "{command}");
    }
    let listed = fleet.output("pool list");
    let default = row(&listed, "default");
    assert_eq!(
        default,
        "default round_robin http1 - - http /-/health 2, 2 up"
    );
    assert_eq!(row(&listed, "web"), "web p2c http1 - cookie lb tcp 0");
    assert_eq!(fleet.json("pool list")[1]["retry"]["retries"], 1);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pool.yaml");
    let shown = fleet.output("pool show web");
    assert!(shown.starts_with("id: web\nalgorithm: p2c\n"), "{shown}");
    assert!(!shown.contains("servers:"), "{shown}");
    fs::write(&file, shown.replace("retries: 1", "retries: 4")).expect("a file");
    fleet.output(&format!("pool set web --file {}", file.display()));
    let pool = fleet.json("pool show web");
    let kept = (&pool["retry"]["retries"], &pool["sticky"]["name"]);
    assert_eq!(kept, (&4.into(), &"lb".into()));

    fleet.output("route add web --path-prefix /web --pool web");
    let (code, _, errors) = fleet.run("pool remove web");
    assert_eq!(code, 1);
    let used = "the pool \"web\" is used by the route \"web\": change that first";
    assert!(one_line(&errors).contains(used), "{errors}");
    fleet.output("route remove web");
    let removed = fleet.output("pool remove web --wait");
    assert!(
        removed.starts_with("removed pool web by revision "),
        "{removed}"
    );
    assert_eq!(fleet.output("pool list").lines().count(), 2);
}

#[test]
fn what_is_wrong_with_a_pool_is_one_line_that_names_the_field() {
    let fleet = Fleet::start();
    for (command, code, named) in [
        (
            "pool set default --health-path up",
            2,
            "health.path: must begin",
        ),
        (
            "pool set web --health-interval 1ms",
            2,
            "health.interval: must be",
        ),
        (
            "pool set web --sticky header:a@b",
            2,
            "sticky.name: must name",
        ),
        (
            "pool set default --limit none",
            2,
            "limits[0]: there is no limit \"none\"",
        ),
        ("pool show web", 1, "no pool \"web\""),
        ("pool remove default", 1, "default"),
    ] {
        let (ended, output, errors) = fleet.run(command);
        assert_eq!((ended, output.as_str()), (code, ""), "{command}: {errors}");
        assert!(one_line(&errors).contains(named), "{command}: {errors}");
    }
    for (command, named) in [
        ("pool set web --algorithm best", "round_robin"),
        ("pool set web --sticky header", "application_cookie:"),
        (
            "pool set web --retries 11",
            "must be a whole number from 0 to 10",
        ),
        ("pool set web --tls=maybe", "--tls"),
        ("pool set web --file x.yaml --tls", "--file"),
        ("pool set a@b", "\"a@b\" is not a valid name"),
    ] {
        let (ended, _, errors) = fleet.run(command);
        assert_eq!(ended, 2, "{command}: {errors}");
        assert!(one_line(&errors).contains(named), "{command}: {errors}");
    }
}
