//! Bad input gets one clear line and the right exit code.

use crate::support::{Process, run};

fn one_line(errors: &str) -> &str {
    let line = errors.trim_end();
    assert!(
        !line.is_empty() && !line.contains('\n'),
        "not one line: {errors:?}"
    );
    line
}

#[test]
fn an_unknown_flag_is_named_in_one_line() {
    for role in [
        "up",
        "balancer",
        "orchestrator",
        "admin-api",
        "demo-server",
        "status",
    ] {
        let (code, _, errors) = run(&[role, "--no-such-flag"]);
        assert_eq!(code, 2, "{role}: {errors}");
        assert!(
            one_line(&errors).contains("--no-such-flag"),
            "{role}: {errors}"
        );
    }
}

#[test]
fn a_bad_value_is_named_with_its_flag() {
    for arguments in [
        ["balancer", "--listen", "nonsense"],
        ["balancer", "--threads", "0"],
        ["balancer", "--fleet", "no spaces"],
        ["balancer", "--registry", "ftp://x"],
        ["up", "--servers", "many"],
        ["up", "--servers", "-1"],
        ["balancer", "--head-timeout", "0s"],
        ["balancer", "--keep-alive-timeout", "0s"],
        ["balancer", "--max-fields", "101"],
        ["balancer", "--trusted-proxies", "10.0.0.0/33"],
        ["orchestrator", "--forget-after", "0s"],
        ["orchestrator", "--lease", "100ms"],
        ["admin-api", "--durability", "wait=0"],
        ["up", "--durability", "replicated"],
    ] {
        let (code, _, errors) = run(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {errors}");
        let line = one_line(&errors);
        assert!(
            line.contains(arguments[1]) && line.contains(arguments[2]),
            "{arguments:?}: {line}"
        );
    }
}

#[test]
fn a_bad_value_is_told_what_it_must_be() {
    let port = "must be an IP address and a port, such as 127.0.0.1:8000";
    let servers = "must be a whole number from 0 to 1000";
    let (code, _, errors) = run(&["server", "add", "10.0.0.1:80", "--weight", "x"]);
    assert_eq!(code, 2, "{errors}");
    let line = one_line(&errors);
    assert!(
        line.contains("--weight") && line.contains(servers),
        "{line}"
    );
    for (arguments, rule) in [
        (["balancer", "--listen", "localhost:8000"], port),
        (["admin-api", "--ops", "8000"], port),
        (["up", "--server-listen", "here"], port),
        (["up", "--servers", "many"], servers),
        (["up", "--servers", "1001"], servers),
        (
            ["balancer", "--threads", "0"],
            "must be a whole number from 1 to 1024",
        ),
        (
            ["balancer", "--head-timeout", "0s"],
            "must be at least 10ms",
        ),
        (["orchestrator", "--lease", "2m"], "must be from 1s to 1m"),
        (
            ["admin-api", "--durability", "1"],
            "must be none, or a number of replicas such as wait=1 or wait=1,timeout=500ms",
        ),
        (
            ["balancer", "--trusted-proxies", "10.0.0.1/8"],
            "it must be 10.0.0.0/8, or 10.0.0.1 for that host alone",
        ),
    ] {
        let (code, _, errors) = run(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {errors}");
        assert!(one_line(&errors).contains(rule), "{arguments:?}: {errors}");
    }
}

/// Each command has a flag whose value breaks a rule, which one line names with the flag.
fn refuses_each(cases: &[(&str, &str, &str)]) {
    for (command, flag, rule) in cases {
        let arguments: Vec<_> = command.split(' ').collect();
        let (code, _, errors) = run(&arguments);
        assert_eq!(code, 2, "{command}: {errors}");
        let line = one_line(&errors);
        assert!(
            line.contains(flag) && line.contains(rule),
            "{command}: {line}"
        );
    }
}

#[test]
fn a_bad_number_of_a_command_is_named_with_its_flag_and_its_bounds() {
    let above_zero = "must be a whole number from 1 to 4294967295";
    let count = "must be a whole number from 0 to 4294967295";
    let priority = "must be a whole number from -2147483648 to 2147483647";
    let revision = "must be a whole number from 0 to 18446744073709551615";
    refuses_each(&[
        (
            "server add a:1 --max-connections -1",
            "--max-connections",
            count,
        ),
        (
            "limit set a --requests x/1s",
            "--requests",
            "such as 100/1s",
        ),
        ("limit set a --requests 5/x", "--requests", "such as 100/1s"),
        (
            "limit set a --requests 5/1s --burst x",
            "--burst",
            above_zero,
        ),
        ("limit set a --concurrent 0", "--concurrent", above_zero),
        ("route add a --pool b --priority x", "--priority", priority),
        ("revision list --limit x", "--limit", "from 1 to 1000"),
        ("revision list --before x", "--before", revision),
        ("revision restore x", "<REVISION>", revision),
        ("hold confirm web --revision x", "--revision", revision),
    ]);
}

#[test]
fn a_bad_word_of_a_command_is_named_with_its_flag_and_what_it_must_be() {
    let duration = "is not a duration such as \"2s\"";
    let address = "must be an IP address, such as 192.0.2.7";
    refuses_each(&[
        ("server add a:1 --pool a/b", "--pool", "is not a valid name"),
        ("server remove s1 --wait gone", "--wait", "applied, drained"),
        ("server drain s1 --wait --timeout 30", "--timeout", duration),
        (
            "limit set a --concurrent 1 --by moon",
            "--by",
            "must be client",
        ),
        ("limit set a", "--requests <N/TIME>", "--concurrent <N>"),
        ("route explain http://a/ --client b", "--client", address),
        (
            "route explain http://a/ --method a/b",
            "--method",
            "must be a method as requests write it",
        ),
        (
            "pool set a --health udp",
            "--health",
            "http, tcp, grpc, none",
        ),
        ("listener set http --health=x", "--health", "true, false"),
        (
            "status --admin x",
            "--admin",
            "such as http://127.0.0.1:8080",
        ),
        ("status --output x", "--output", "table, json"),
    ]);
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let port = address.split(':').nth(1).expect("a port");
    for (role, flag) in [
        ("balancer", "--listen"),
        ("balancer", "--ops"),
        ("orchestrator", "--ops"),
        ("admin-api", "--listen"),
        ("admin-api", "--ops"),
        ("demo-server", "--listen"),
        ("up", "--listen"),
        ("up", "--balancer-ops"),
        ("up", "--admin"),
        ("up", "--orchestrator-ops"),
        ("up", "--server-listen"),
    ] {
        let mut arguments = vec![role, flag, &address];
        let others = match role {
            "demo-server" => &[][..],
            "up" => &[
                "--listen",
                "--balancer-ops",
                "--admin",
                "--orchestrator-ops",
                "--server-listen",
            ],
            "balancer" => &["--listen", "--ops"],
            "orchestrator" => &["--ops"],
            _ => &["--listen"],
        };
        for other in others.iter().filter(|other| **other != flag) {
            arguments.extend([*other, "127.0.0.1:0"]);
        }
        if matches!(role, "balancer" | "orchestrator" | "admin-api") {
            arguments.extend(["--registry", "redis://127.0.0.1:1"]);
        }
        let (code, _, errors) = run(&arguments);
        assert_eq!(code, 1, "{arguments:?}: {errors}");
        let said = format!("roundhouse: {flag}: port {port} of 127.0.0.1 is already in use");
        assert!(
            errors.lines().any(|line| line.starts_with(&said)),
            "{arguments:?}: {errors}"
        );
    }
}

#[test]
fn limits_that_contradict_each_other_are_refused_wherever_they_are_given() {
    let (code, _, errors) = run(&["balancer", "--max-head-bytes", "4096"]);
    assert_eq!(code, 2, "{errors}");
    let line = one_line(&errors);
    assert!(
        line.contains("--max-request-line 8192 is more than --max-head-bytes 4096"),
        "{line}"
    );
}

#[test]
fn a_list_in_the_environment_is_read_like_one_on_the_command_line() {
    let complaint = |list: &str| {
        let variables = [("ROUNDHOUSE_TRUSTED_PROXIES", list)];
        let mut process = Process::start_with(&["balancer", "--registry", "memory"], &variables);
        assert_eq!(process.ended().code(), Some(2));
        // What it wrote is read by a thread that may be behind, also in the middle of a line.
        while !process.errors().ends_with('\n') {
            std::thread::yield_now();
        }
        process.errors()
    };
    let wrong = complaint("10.0.0.0/8,nobody");
    assert!(
        wrong.contains("ROUNDHOUSE_TRUSTED_PROXIES") && wrong.contains("nobody"),
        "{wrong}"
    );
    let right = complaint("10.0.0.0/8,192.0.2.7");
    assert!(right.contains("within one process"), "{right}");
}

#[test]
fn a_misspelt_variable_is_warned_of_and_those_of_the_tools_around_are_not() {
    let errors = |variable: &str| {
        let variables = [(variable, "x")];
        let mut process = Process::start_with(&["balancer", "--no-such-flag"], &variables);
        assert_eq!(process.ended().code(), Some(2));
        // What it wrote is read by a thread that may be behind.
        while !process.errors().contains("--no-such-flag") {
            std::thread::yield_now();
        }
        process.errors()
    };
    let first = |variable| errors(variable).lines().next().map(str::to_owned);
    assert_eq!(
        first("ROUNDHOUSE_LISTNE").as_deref(),
        Some("roundhouse: ROUNDHOUSE_LISTNE is not read; ROUNDHOUSE_LISTEN would be")
    );
    for variable in [
        "ROUNDHOUSE_ADMIN_PORT",
        "ROUNDHOUSE_ADMIN_TOKEN",
        "ROUNDHOUSE_BALANCER_PORTS",
        "ROUNDHOUSE_FUZZ_SANITIZER",
        "ROUNDHOUSE_IMAGE",
        "ROUNDHOUSE_PROFILE",
        "ROUNDHOUSE_SEED",
        "ROUNDHOUSE_SIMULATION_SCHEDULES",
        "ROUNDHOUSE_SIMULATION_SEED",
        "ROUNDHOUSE_PORT",
        "ROUNDHOUSE_SERVICE_HOST",
    ] {
        one_line(&errors(variable));
    }
}

#[test]
fn ports_that_do_not_exist_are_refused_before_anything_starts() {
    for flag in ["--listen", "--balancer-ops", "--server-listen"] {
        let (code, _, errors) = run(&["up", flag, "127.0.0.1:65535"]);
        assert_eq!(code, 2, "{flag}: {errors}");
        let said = format!("{flag} 127.0.0.1:65535: ");
        assert!(one_line(&errors).contains(&said), "{flag}: {errors}");
    }
}

#[test]
fn a_role_on_its_own_is_refused_a_registry_that_no_other_finds() {
    for role in ["balancer", "orchestrator", "admin-api"] {
        for registry in [&[][..], &["--registry", "memory"]] {
            let (code, _, errors) = run(&[&[role], registry].concat());
            assert_eq!(code, 2, "{role} {registry:?}: {errors}");
            let line = one_line(&errors);
            assert!(
                line.contains("within one process") && line.contains("--registry redis://"),
                "{line}"
            );
        }
    }
    let mut process = Process::start_with(
        &["admin-api", "--listen", "127.0.0.1:0"],
        &[("ROUNDHOUSE_REGISTRY", "memory")],
    );
    assert_eq!(
        process.ended().code(),
        Some(2),
        "the environment counts too"
    );
}

#[test]
fn a_second_balancer_on_the_same_port_is_refused() {
    let first = Process::start(&[
        "balancer",
        "--listen",
        "127.0.0.1:0",
        "--ops",
        "127.0.0.1:0",
        "--registry",
        "redis://127.0.0.1:1",
    ]);
    let line = first.line_with(&["http://"]);
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .expect("an address");
    let (code, _, errors) = run(&[
        "balancer",
        "--listen",
        address,
        "--ops",
        "127.0.0.1:0",
        "--registry",
        "redis://127.0.0.1:1",
    ]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("in use"), "{errors}");
}

#[test]
fn the_admin_api_refuses_an_open_door() {
    let (code, _, errors) = run(&["admin-api", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 2, "{errors}");
    assert!(one_line(&errors).contains("--token-file"), "{errors}");
    let (code, _, errors) = run(&["up", "--admin", "0.0.0.0:0"]);
    assert_eq!(code, 2, "{errors}");
    let line = one_line(&errors);
    assert!(
        line.contains("--admin 0.0.0.0:0 ") && line.contains("--token-file"),
        "{line}"
    );
}

#[test]
fn replicas_of_a_registry_within_the_process_are_not_waited_for() {
    let (code, _, errors) = run(&["up", "--durability", "wait=1"]);
    assert_eq!(code, 2, "{errors}");
    let line = one_line(&errors);
    assert!(
        line.contains("--durability wait=1,timeout=1s: ") && line.contains("has no replicas"),
        "{line}"
    );
}

#[test]
fn an_admin_api_that_is_away_is_named() {
    let (code, _, errors) = run(&["status", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(code, 3, "{errors}");
    assert!(one_line(&errors).contains("127.0.0.1:1"), "{errors}");
}
