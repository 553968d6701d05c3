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
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let port = address.split(':').nth(1).expect("a port");
    for (role, flag) in [
        ("balancer", "--listen"),
        ("balancer", "--ops"),
        ("admin-api", "--listen"),
        ("demo-server", "--listen"),
    ] {
        let (code, _, errors) = run(&[role, flag, &address]);
        assert_eq!(code, 1, "{role}: {errors}");
        assert!(
            errors
                .lines()
                .any(|line| line.contains(port) && line.contains("in use")),
            "{role} {flag}: {errors}"
        );
    }
}

#[test]
fn a_second_balancer_on_the_same_port_is_refused() {
    let first = Process::start(&[
        "balancer",
        "--listen",
        "127.0.0.1:0",
        "--ops",
        "127.0.0.1:0",
    ]);
    let line = first.line_with(&["http://"]);
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .expect("an address");
    let (code, _, errors) = run(&["balancer", "--listen", address, "--ops", "127.0.0.1:0"]);
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
    assert!(one_line(&errors).contains("--token-file"), "{errors}");
}

#[test]
fn an_admin_api_that_is_away_is_named() {
    let (code, _, errors) = run(&["status", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(code, 3, "{errors}");
    assert!(one_line(&errors).contains("127.0.0.1:1"), "{errors}");
}
