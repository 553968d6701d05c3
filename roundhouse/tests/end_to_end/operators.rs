//! The operators' commands against a running fleet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::support::{DEADLINE, Process, free_address, run};
use crate::up::Up;

/// A running `roundhouse up`, with the addresses that these tests need.
pub(crate) struct Fleet {
    _process: Process,
    admin: String,
    balancer: String,
    server: String,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        let up = Up::start(&["--servers", "2", "--balancers", "1"]);
        Self {
            _process: up.process,
            admin: up.admin,
            balancer: up.balancers[0].clone(),
            server: up.servers[0].clone(),
        }
    }

    /// Runs a command on this fleet: exit code, standard output, standard error.
    pub(crate) fn run(&self, command: &str) -> (i32, String, String) {
        run_on(&self.admin, command)
    }

    /// Runs a command that must succeed.
    pub(crate) fn output(&self, command: &str) -> String {
        let (code, output, errors) = self.run(command);
        assert_eq!((code, errors.as_str()), (0, ""), "{command}");
        output
    }

    pub(crate) fn json(&self, command: &str) -> Value {
        let output = self.output(&format!("{command} --output json"));
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }
}

/// The same on the fleet of this admin API.
fn run_on(admin: &str, command: &str) -> (i32, String, String) {
    let mut arguments: Vec<_> = command.split(' ').collect();
    arguments.extend(["--admin", admin]);
    run(&arguments)
}

/// Sends a request whose answer nobody waits for yet.
fn begin(method: &str, url: &str, path: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}

/// The first bytes of an answer.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Waits until a server has a request in flight.
fn eventually_busy(server: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !answer(&mut begin("GET", server, "/-/load")).ends_with("\n1\n") {
        assert!(
            Instant::now() < deadline,
            "no request ever reached {server}"
        );
    }
}

pub(crate) fn one_line(errors: &str) -> &str {
    let line = errors.trim_end();
    assert!(
        line.starts_with("roundhouse: ") && !line.contains('\n'),
        "not one line: {errors:?}"
    );
    line
}

#[test]
fn where_nothing_is_held_back_there_is_nothing_to_confirm() {
    let fleet = Fleet::start();
    let holds = fleet.output("holds");
    assert!(
        holds.starts_with("POOL ") && holds.lines().count() == 1,
        "{holds}"
    );
    let (code, _, errors) = fleet.run("hold confirm default");
    assert_eq!(code, 1);
    assert!(one_line(&errors).contains("hold"), "{errors}");
}

#[test]
fn tables_are_for_people_and_json_is_for_scripts() {
    let fleet = Fleet::start();
    let status = fleet.output("status");
    assert!(
        status.contains("balancers      1\n") && status.contains("2 up"),
        "{status}"
    );
    let servers = fleet.output("servers --pool default");
    assert_eq!(servers.lines().count(), 3, "{servers}");
    assert!(servers.starts_with("POOL "), "{servers}");
    assert!(
        fleet
            .output("balancers")
            .contains(fleet.balancer.trim_start_matches("http://"))
    );

    assert_eq!(fleet.json("status")["servers"]["up"], 2);
    assert_eq!(fleet.json("servers")[1]["id"], "s2");
    assert_eq!(fleet.json("balancers")[0]["lost"], false);
}

#[test]
fn a_server_is_added_drained_and_removed() {
    let fleet = Fleet::start();
    let address = free_address();
    let added = fleet.output(&format!(
        "server add {address} --id s9 --weight 3 --zone z --max-connections 25 --backup --wait"
    ));
    assert!(
        added.starts_with(&format!("added default/s9 at {address} by revision ")),
        "{added}"
    );
    let listed = &fleet.json("servers")[2];
    assert_eq!(
        (&listed["weight"], &listed["zone"]),
        (&3.into(), &"z".into())
    );
    assert_eq!(
        (&listed["max_connections"], &listed["backup"]),
        (&25.into(), &true.into())
    );
    let drained = fleet.output("server drain s9 --wait");
    assert!(
        drained.starts_with("default/s9 is drained since revision "),
        "{drained}"
    );
    assert_eq!(fleet.json("servers")[2]["state"], "draining");
    assert_eq!(
        fleet.json("server remove s9 --wait drained")["wait"]["done"],
        true
    );
    assert_eq!(fleet.json("servers").as_array().map(Vec::len), Some(2));
}

#[test]
fn a_refusal_is_one_line_and_exit_code_1() {
    let fleet = Fleet::start();
    let taken = fleet.server.trim_start_matches("http://");
    for (command, named) in [
        (format!("server add {taken}"), "default/s1"),
        ("server drain s99".to_owned(), "s99"),
        ("server remove s99 --pool nowhere".to_owned(), "nowhere"),
        ("servers --pool nowhere".to_owned(), "nowhere"),
    ] {
        let (code, output, errors) = fleet.run(&command);
        assert_eq!((code, output.as_str()), (1, ""), "{command}: {errors}");
        assert!(one_line(&errors).contains(named), "{command}: {errors}");
    }
}

#[test]
fn a_value_that_breaks_a_rule_is_one_line_and_exit_code_2() {
    let fleet = Fleet::start();
    for (command, named) in [
        ("server add nonsense", "address: "),
        ("server add 10.0.0.1:0", "address: "),
        ("server add 10.0.0.1:80 --weight 1001", "--weight"),
    ] {
        let (code, output, errors) = fleet.run(command);
        assert_eq!((code, output.as_str()), (2, ""), "{command}: {errors}");
        assert!(errors.contains(named), "{command}: {errors}");
    }
}

#[test]
fn a_drained_server_is_activated_again() {
    let fleet = Fleet::start();
    fleet.output("server drain s1 --wait");
    let (code, _, errors) = fleet.run(&format!(
        "server add {}",
        fleet.server.trim_start_matches("http://")
    ));
    assert_eq!(code, 1);
    assert!(one_line(&errors).contains("activate"), "{errors}");
    let activated = fleet.output("server activate s1 --wait");
    assert!(
        activated.starts_with("default/s1 is active since revision "),
        "{activated}"
    );
    assert_eq!(fleet.json("servers")[0]["state"], "active");
}

#[test]
fn a_wait_that_runs_out_names_who_is_waited_for_and_is_exit_code_4() {
    let fleet = Fleet::start();
    fleet.output("server remove s2 --wait applied");
    answer(&mut begin("POST", &fleet.server, "/-/slow?ms=4000"));
    let _running = begin("GET", &fleet.balancer, "/");
    eventually_busy(&fleet.server);
    let (code, output, errors) = fleet.run("server drain s1 --wait --timeout 300ms");
    assert_eq!(code, 4, "{errors}");
    assert!(output.contains("default/s1 is draining"), "{output}");
    assert!(
        one_line(&errors).contains(fleet.balancer.trim_start_matches("http://")),
        "{errors}"
    );
}

#[test]
fn a_wait_for_a_server_that_is_brought_back_ends_at_once_with_exit_code_1() {
    let fleet = Fleet::start();
    answer(&mut begin("POST", &fleet.server, "/-/slow?ms=60000"));
    fleet.output("server drain s2 --wait");
    let _running = begin("GET", &fleet.balancer, "/");
    eventually_busy(&fleet.server);
    let before = fleet.json("status")["desired"].clone();
    for (command, change, gone, bring_back) in [
        (
            "server drain s1 --wait --timeout 1h",
            "drain",
            "draining",
            "server activate s1".to_owned(),
        ),
        (
            "server remove s1 --wait drained --timeout 1h",
            "removal",
            "",
            format!("revision restore {before}"),
        ),
    ] {
        let state = || {
            let servers = fleet.json("servers");
            let mut servers = servers.as_array().expect("a list").iter();
            let server = servers.find(|server| server["id"] == "s1");
            server.map_or_else(String::new, |it| it["state"].as_str().expect("text").into())
        };
        let admin = fleet.admin.clone();
        let waiting = std::thread::spawn(move || run_on(&admin, command));
        let deadline = Instant::now() + DEADLINE;
        while state() != gone {
            assert!(Instant::now() < deadline, "{command} was not made");
        }
        fleet.output(&bring_back);
        let (code, output, errors) = waiting.join().expect("no panic");
        assert_eq!((code, output.as_str()), (1, ""), "{errors}");
        let by = &fleet.json("status")["desired"];
        let said = format!(
            "roundhouse: the {change} of default/s1 was undone: \
             default/s1 was brought back by revision {by}, so it does not drain"
        );
        assert_eq!(one_line(&errors), said);
    }
}

#[test]
fn watch_prints_a_line_for_every_change_until_it_is_interrupted() {
    let fleet = Fleet::start();
    let mut watch = Process::start(&["watch", "--admin", &fleet.admin]);
    watch.line_with(&["the fleet is at revision "]);
    fleet.output(&format!("server add {} --id s9", free_address()));
    watch.line_with(&["by operator: server default/s9 at "]);
    watch.line_with(&["by the leader: server default/s9 is down"]);
    fleet.output("server remove s9");
    watch.line_with(&["by operator: server default/s9 removed"]);
    watch.signal("INT");
    assert!(watch.ended().success(), "{}", watch.errors());
}

#[test]
fn a_health_check_says_by_its_exit_code_how_a_url_answers() {
    let fleet = Fleet::start();
    let away = format!("http://{}/", free_address());
    for (url, expected) in [
        (format!("{}/", fleet.balancer), 0),
        (format!("{}/-/health", fleet.server), 0),
        (format!("{}/-/nothing", fleet.server), 1),
        (away, 3),
    ] {
        let (code, _, errors) = run(&["healthcheck", &url]);
        assert_eq!(code, expected, "{url}: {errors}");
        assert!(code == 0 || one_line(&errors).contains(&url), "{errors}");
    }
}
