//! Sticky sessions with a browser's ways: curl keeps the cookies, in a fleet of processes on a real Redis.

use std::path::PathBuf;
use std::process::Command;

use hyper::{Method, StatusCode};

use crate::processes::Fleet;
use crate::support::{Http, eventually, run};

/// A client with a jar of cookies of its own.
struct Browser {
    _folder: tempfile::TempDir,
    jar: PathBuf,
}

impl Browser {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let jar = folder.path().join("jar");
        std::fs::write(&jar, "").expect("a file");
        let _folder = folder;
        Self { _folder, jar }
    }

    /// What is answered, which has to be 200.
    fn get(&self, url: &str) -> String {
        let jar = self.jar.to_str().expect("a path in text");
        let output = Command::new("curl")
            .args([
                "-sS",
                "--fail",
                "--max-time",
                "30",
                "-b",
                jar,
                "-c",
                jar,
                url,
            ])
            .output()
            .expect("curl runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{url}: {errors}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// The value of the balancer's cookie.
    fn cookie(&self) -> Option<String> {
        let jar = std::fs::read_to_string(&self.jar).expect("a jar");
        let line = jar.lines().find(|line| line.contains("\troundhouse-"))?;
        assert!(line.starts_with("#HttpOnly_127.0.0.1\t"), "{line}");
        line.split('\t').next_back().map(str::to_owned)
    }
}

/// A fleet whose pool `default` is sticky by the balancers' cookie.
async fn sticky_fleet(http: &Http) -> Fleet {
    let fleet = Fleet::start().await;
    let pool = format!("{}/v1/pools/default?wait=applied", fleet.admin.url);
    let sticky = r#"{"sticky":{"kind":"cookie"},"timeouts":{"drain":"8s"}}"#;
    let answer = http.send(Method::PATCH, &pool, sticky).await;
    assert_eq!(answer.expect("an answer").status, StatusCode::OK);
    for url in fleet.urls() {
        // The leader makes the secret once it sees that a pool needs one.
        eventually("there are cookies", || async {
            let browser = Browser::new();
            browser.get(&url);
            browser.cookie().is_some()
        })
        .await;
    }
    fleet
}

fn command(fleet: &Fleet, arguments: &[&str]) -> String {
    let arguments = [arguments, &["--admin", &fleet.admin.url]].concat();
    let (code, output, errors) = run(&arguments);
    assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}");
    output
}

/// Asks every balancer some times.
fn answers(fleet: &Fleet, browser: &Browser) -> Vec<String> {
    let urls = fleet.urls();
    let asked = urls.iter().cycle().take(8);
    asked.map(|url| browser.get(url)).collect()
}

#[tokio::test]
async fn a_browser_stays_with_its_server_through_every_balancer_until_that_fails() {
    let http = Http::new();
    let fleet = sticky_fleet(&http).await;
    let browser = Browser::new();
    let first = browser.get(&fleet.urls()[0]);
    let cookie = browser.cookie();
    assert_eq!(answers(&fleet, &browser), vec![first.clone(); 8]);
    assert_eq!(browser.cookie(), cookie);

    let rotated = command(&fleet, &["secret", "rotate", "sticky", "--wait"]);
    assert!(
        rotated.starts_with("rotated the secret sticky by revision "),
        "{rotated}"
    );
    assert_eq!(answers(&fleet, &browser), vec![first.clone(); 8]);
    assert_ne!(browser.cookie(), cookie, "of the new key");

    let index = usize::from(first == "Hello from Server 2");
    let failing = format!("{}/-/fail", fleet.servers[index].url);
    http.post(&failing, "").await;
    let second = browser.get(&fleet.urls()[1]);
    assert_ne!(second, first);
    http.post(&failing.replace("fail", "recover"), "").await;
    fleet.serves(&http, 2).await;
    assert_eq!(answers(&fleet, &browser), vec![second; 8]);
}

#[tokio::test]
async fn a_drained_server_has_lost_its_browsers_and_nobody_sees_the_secret() {
    let http = Http::new();
    let fleet = sticky_fleet(&http).await;
    let browser = Browser::new();
    let first = browser.get(&fleet.urls()[0]);
    let own = first.strip_prefix("Hello from Server ").expect("a server");
    let drain = ["server", "drain", own];
    command(&fleet, &drain);
    assert_eq!(
        browser.get(&fleet.urls()[0]),
        first,
        "it keeps those who are with it"
    );
    command(&fleet, &[&drain[..], &["--wait"]].concat());
    let after = answers(&fleet, &browser);
    assert!(!after.contains(&first), "{after:?}");

    let stored = fleet
        .redis
        .command(&["HGET", "roundhouse:{main}:secrets", "sticky"]);
    let digits = |text: &str| text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let key = stored
        .split(|it: char| !it.is_ascii_alphanumeric())
        .find(|it| digits(it));
    let key = key.unwrap_or_else(|| panic!("no key in {stored}"));
    for path in ["export", "revisions", "status", "pools", "balancers"] {
        let answer = http.get(&format!("{}/v1/{path}", fleet.admin.url)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.body.contains(key), "{path}: {}", answer.body);
    }
    for process in [&fleet.admin, &fleet.orchestrator] {
        assert!(!process.process.errors().contains(key));
    }
}
