//! A fleet kept in a file: exported, changed, applied, and taken back, by the commands.

use std::fs;

use crate::support::run;
use crate::up::Up;

/// Runs a command on the fleet: exit code, standard output, standard error.
fn on(up: &Up, command: &str, file: &str) -> (i32, String, String) {
    let mut arguments: Vec<_> = command.split(' ').collect();
    if !file.is_empty() {
        arguments.extend(["--file", file]);
    }
    arguments.extend(["--admin", &up.admin]);
    run(&arguments)
}

#[test]
fn a_fleet_is_exported_changed_applied_and_restored() {
    let up = Up::start(&["--servers", "2", "--balancers", "1"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("fleet.yaml");
    let path = file.to_str().expect("text");
    let output = |command: &str, file: &str| {
        let (code, output, errors) = on(&up, command, file);
        assert_eq!((code, errors.as_str()), (0, ""), "{command}");
        output
    };
    let export = output("export", "");
    assert!(export.starts_with("pools:\n"), "{export}");
    fs::write(&file, &export).expect("a file");
    let nothing = output("apply --prune", path);
    assert!(nothing.starts_with("nothing to change at "), "{nothing}");
    output("route add late --path-prefix /late --pool default", "");
    let pruned = output("apply --prune --wait", path);
    assert!(pruned.starts_with("- routes late\n"), "{pruned}");
    assert_eq!(output("export", ""), export);
    let changed = export.replacen("weight: 1\n", "weight: 7\n", 1);
    fs::write(&file, &changed).expect("a file");
    let dry = output("apply --dry-run", path);
    assert!(dry.contains("    /weight: 1 -> 7\nwould change"), "{dry}");
    let applied = output("apply --wait", path);
    assert!(
        applied.ends_with(": 0 created, 1 changed, 0 removed\n"),
        "{applied}"
    );
    assert_eq!(output("export", ""), changed);
    let revisions = output("revision list --limit 2", "");
    let first = revisions.lines().nth(1).expect("a revision");
    assert!(first.contains("PUT /v1/import"), "{revisions}");
    let before = revisions
        .lines()
        .nth(2)
        .and_then(|line| line.split(' ').next());
    let before = before.expect("the revision before");
    let restored = output(&format!("revision restore {before} --wait"), "");
    assert!(restored.contains("    /weight: 7 -> 1\n"), "{restored}");
    assert_eq!(output("export", ""), export);
    let (code, _, errors) = on(&up, "revision restore 999999", "");
    assert_eq!(code, 1);
    assert!(
        errors.contains("there is no revision 999999 yet"),
        "{errors}"
    );
    fs::write(&file, "servers:\n- {pool: default, id: s1, weight: 1}\n").expect("a file");
    let (code, _, errors) = on(&up, "apply", path);
    let told = "roundhouse: servers[default/s1].address: is required\n";
    assert_eq!((code, errors.as_str()), (2, told));
    let bad = "servers:\n- {pool: web, id: s1, address: \"10.0.0.1:80\", weight: x}\n- {pool: web, id: s2, adress: \"10.0.0.2:80\"}\n";
    fs::write(&file, bad).expect("a file");
    let (code, _, errors) = on(&up, "apply", path);
    let told = "roundhouse: servers[web/s1].weight: must be a whole number from 0 to 1000\n\
        roundhouse: servers[web/s2].address: is required\n\
        roundhouse: servers[web/s1].pool: there is no pool \"web\"\n";
    assert_eq!((code, errors.as_str()), (2, told));
    let (code, _, errors) = on(&up, "apply", "no-such-file.yaml");
    assert_eq!(code, 2);
    assert!(
        errors.starts_with("roundhouse: no-such-file.yaml: "),
        "{errors}"
    );
}
