use std::io::Write;
use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "roundhouse", version)]
struct Whole {
    #[arg(long, global = true, default_value = "info")]
    log: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Balancer(Balancer),
    Server {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Debug, Subcommand)]
enum Action {
    Add {
        address: String,
        #[arg(long, default_value_t = 1)]
        weight: u16,
    },
}

#[derive(Debug, Args)]
struct Balancer {
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    #[arg(long)]
    registry: String,
    #[arg(long)]
    threads: Option<usize>,
    #[arg(long)]
    quiet: bool,
    #[arg(long)]
    tag: Vec<String>,
}

#[derive(Debug, Parser)]
#[command(name = "balancer")]
struct Alone {
    #[command(flatten)]
    balancer: Balancer,
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn try_parse<T: Parser>(line: &str, variables: &[(&str, &str)]) -> Result<T, Refusal> {
    let arguments = line.split(' ').map(OsString::from).collect();
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    parse_from(arguments, &environment)
}

fn balancer(line: &str, variables: &[(&str, &str)]) -> (String, Balancer) {
    match try_parse::<Whole>(line, variables).expect(line) {
        Whole {
            log,
            role: Role::Balancer(balancer),
        } => (log, balancer),
        other => panic!("not a balancer: {other:?}"),
    }
}

fn complaint<T: Parser + std::fmt::Debug>(line: &str, variables: &[(&str, &str)]) -> String {
    match try_parse::<T>(line, variables).expect_err(line) {
        Refusal::Wrong(complaint) => {
            assert!(!complaint.contains('\n'), "{complaint:?}");
            complaint
        }
        Refusal::Shown(text) => panic!("help instead of a line: {text}"),
    }
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let file = file("registry = 'file'\nthreads = 3\ntag = ['a', 'b']\nlog = 'debug'");
    let line = format!("roundhouse balancer --config {}", file.path().display());
    let (log, from_file) = balancer(&line, &[]);
    assert_eq!(
        (log.as_str(), from_file.registry.as_str()),
        ("debug", "file")
    );
    assert_eq!(
        (from_file.threads, from_file.tag),
        (Some(3), vec!["a".into(), "b".into()])
    );

    let variables = [
        ("ROUNDHOUSE_REGISTRY", "variable"),
        ("ROUNDHOUSE_LOG", "warn"),
    ];
    let (log, from_variable) = balancer(&line, &variables);
    assert_eq!(
        (log.as_str(), from_variable.registry.as_str()),
        ("warn", "variable")
    );

    let (log, from_flag) = balancer(&format!("{line} --registry flag --log trace"), &variables);
    assert_eq!(
        (log.as_str(), from_flag.registry.as_str()),
        ("trace", "flag")
    );
}

#[test]
fn the_file_can_be_named_by_the_environment_and_before_the_subcommand() {
    let file = file("registry = 'file'");
    let path = file.path().to_str().unwrap();
    let (_, first) = balancer("roundhouse balancer", &[("ROUNDHOUSE_CONFIG", path)]);
    let (_, second) = balancer(&format!("roundhouse --config {path} balancer"), &[]);
    assert_eq!(
        (first.registry.as_str(), second.registry.as_str()),
        ("file", "file")
    );
}

#[test]
fn a_subcommands_table_goes_before_the_top_and_serves_the_roles_own_binary_too() {
    let file = file("registry = 'top'\n[balancer]\nregistry = 'table'\nlisten = '127.0.0.1:9'");
    let path = file.path().display();
    let (_, whole) = balancer(&format!("roundhouse balancer --config {path}"), &[]);
    let alone: Alone = try_parse(&format!("balancer --config {path}"), &[]).unwrap();
    for balancer in [whole, alone.balancer] {
        assert_eq!(
            (balancer.registry.as_str(), balancer.listen.port()),
            ("table", 9)
        );
    }
}

#[test]
fn nested_subcommands_have_nested_tables() {
    let file = file("[server.add]\nweight = 7");
    let line = format!(
        "roundhouse server add 10.0.0.1:80 --config {}",
        file.path().display()
    );
    let parsed = try_parse::<Whole>(&line, &[]).unwrap();
    let Role::Server {
        action: Action::Add { address, weight },
    } = parsed.role
    else {
        panic!("not a server: {parsed:?}");
    };
    assert_eq!((address.as_str(), weight), ("10.0.0.1:80", 7));
}

#[test]
fn a_switch_takes_a_truth_and_an_empty_variable_counts_as_unset() {
    let quiet = |value| {
        let variables = [
            ("ROUNDHOUSE_QUIET", value),
            ("ROUNDHOUSE_REGISTRY", "memory"),
        ];
        balancer("roundhouse balancer", &variables).1.quiet
    };
    assert_eq!(
        (quiet("1"), quiet("true"), quiet("no"), quiet("")),
        (true, true, false, false)
    );
}

#[test]
fn what_is_wrong_is_said_in_one_line_that_names_flag_and_value() {
    let ok = [("ROUNDHOUSE_REGISTRY", "memory")];
    let line = complaint::<Whole>("roundhouse balancer --listne x", &ok);
    assert!(
        line.contains("--listne") && line.contains("--listen"),
        "{line}"
    );
    let line = complaint::<Whole>("roundhouse balancer --listen here", &ok);
    assert!(line.contains("--listen") && line.contains("here"), "{line}");
    let line = complaint::<Whole>("roundhouse balancer", &[]);
    assert!(line.contains("--registry"), "{line}");
    let line = complaint::<Whole>("roundhouse ballancer", &[]);
    assert!(line.contains("ballancer"), "{line}");
}

#[test]
fn a_value_that_begins_with_a_minus_is_refused_by_its_flag() {
    let ok = [("ROUNDHOUSE_REGISTRY", "memory")];
    for (flags, value) in [("--threads -1", "-1"), ("--listen -5s --quiet", "-5s")] {
        let line = complaint::<Whole>(&format!("roundhouse balancer {flags}"), &ok);
        let flag = flags.split(' ').next().unwrap();
        assert!(
            line.starts_with(&format!("invalid value '{value}' for '{flag} ")),
            "{line}"
        );
    }
    let line = complaint::<Whole>("roundhouse balancer -1", &ok);
    assert!(line.contains("'-1'"), "{line}");
}

#[test]
fn a_bad_value_names_the_place_it_comes_from() {
    let ok = ("ROUNDHOUSE_REGISTRY", "memory");
    let line = complaint::<Whole>("roundhouse balancer", &[ok, ("ROUNDHOUSE_LISTEN", "here")]);
    assert!(line.starts_with("ROUNDHOUSE_LISTEN: "), "{line}");
    assert!(line.contains("--listen") && line.contains("here"), "{line}");
    let file = file("threads = 'many'");
    let path = file.path().display().to_string();
    let line = complaint::<Whole>(&format!("roundhouse balancer --config {path}"), &[ok]);
    assert!(
        line.starts_with(&path) && line.contains("--threads"),
        "{line}"
    );
    let flag = balancer(
        &format!("roundhouse balancer --config {path} --threads 2"),
        &[ok],
    );
    assert_eq!(
        flag.1.threads,
        Some(2),
        "a value that is not used does no harm"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_table() {
    let ok = [("ROUNDHOUSE_REGISTRY", "memory")];
    for (text, expected) in [
        ("listne = 'x'", "unknown key \"listne\":"),
        (
            "[balancer]\nlistne = 'x'",
            "unknown key \"listne\" in [balancer]:",
        ),
        (
            "[server.add]\nwieght = 1",
            "unknown key \"wieght\" in [server.add]:",
        ),
        ("[ballancer]\nlisten = 'x'", "unknown key \"ballancer\":"),
        ("listen =", "line 1: "),
        ("[balancer.listen]\nx = 1", "must be a text"),
        ("listen = ['a', 'b']", "--listen takes one value"),
    ] {
        let file = file(text);
        let line = format!("roundhouse balancer --config {}", file.path().display());
        let complaint = complaint::<Whole>(&line, &ok);
        assert!(complaint.contains(expected), "{complaint}");
    }
    let complaint = complaint::<Whole>("roundhouse balancer --config /does/not/exist", &ok);
    assert!(
        complaint.contains("--config /does/not/exist"),
        "{complaint}"
    );
}

#[test]
fn help_says_what_is_required() {
    match try_parse::<Whole>("roundhouse server add --help", &[]) {
        Err(Refusal::Shown(text)) => {
            let text = text.to_string();
            assert!(text.contains("add [OPTIONS] <ADDRESS>"), "{text}");
        }
        other => panic!("not help: {other:?}"),
    }
}

#[test]
fn help_shows_no_value_of_the_environment() {
    let variables = [("ROUNDHOUSE_REGISTRY", "redis://user:secret@host")];
    match try_parse::<Whole>("roundhouse balancer --help", &variables) {
        Err(Refusal::Shown(text)) => {
            let text = text.to_string();
            assert!(
                text.contains("--listen") && !text.contains("secret"),
                "{text}"
            );
        }
        other => panic!("not help: {other:?}"),
    }
}
