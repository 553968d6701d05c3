//! Somebody who changes the membership all the while, and remembers what of it was acknowledged.
//!
//! A change that was acknowledged must be there in the end. One that was refused, or not answered, may have been made or not.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use model::{ServerKey, Snapshot};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::shared::http::Http;

/// The pause between two changes.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a field of a server may be in the end; nothing where the server may be missing.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: u32,
    pub(crate) refused: u32,
    possible: BTreeMap<(String, &'static str), Vec<Option<Value>>>,
}

/// One change: a field of a server is to become this.
struct Change {
    server: String,
    field: &'static str,
    value: Value,
    method: Method,
    body: Value,
}

pub(crate) struct Operator {
    stop: CancellationToken,
    working: JoinHandle<Ledger>,
}

impl Operator {
    pub(crate) fn start(admin: String) -> Self {
        let stop = CancellationToken::new();
        let working = tokio::spawn(work(admin, stop.clone()));
        Self { stop, working }
    }

    /// Begins no other change.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What came of them, once the last one has ended.
    pub(crate) async fn ended(self) -> Ledger {
        self.stop();
        self.working.await.expect("the operator does not panic")
    }
}

async fn work(admin: String, stop: CancellationToken) -> Ledger {
    let http = Http::new();
    let mut ledger = Ledger::new();
    for number in 0.. {
        let change = Change::number(number);
        ledger.tried(&change);
        let path = format!("{admin}/v1/pools/default/servers/{}", change.server);
        let body = change.body.to_string();
        let answer = timeout(PATIENCE, http.send(change.method.clone(), &path, &body)).await;
        match answer {
            Ok(Ok(answer)) if answer.status.is_success() => ledger.acknowledged(change),
            _ => ledger.refused += 1,
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(PAUSE) => {}
        }
    }
    ledger
}

impl Change {
    /// In turn: one server is drained or made active again, one gets another weight, and one more is added.
    fn number(number: u32) -> Self {
        let patch = |server: &str, field, value: Value| Self {
            server: server.into(),
            field,
            method: Method::PATCH,
            body: json!({field: value}),
            value,
        };
        let round = number / 3;
        match number % 3 {
            0 if round.is_multiple_of(2) => patch("s2", "state", json!("draining")),
            0 => patch("s2", "state", json!("active")),
            1 => patch("s1", "weight", json!(2 + round % 5)),
            _ => Self {
                server: format!("extra-{round}"),
                field: "state",
                value: json!("disabled"),
                method: Method::PUT,
                body: json!({"address": format!("127.9.{}.{}:9", round / 200, 1 + round % 200), "state": "disabled"}),
            },
        }
    }

    fn place(&self) -> (String, &'static str) {
        (self.server.clone(), self.field)
    }
}

impl Ledger {
    fn new() -> Self {
        let known = |server: &str, field, value| ((server.to_owned(), field), vec![Some(value)]);
        Self {
            acknowledged: 0,
            refused: 0,
            possible: BTreeMap::from([
                known("s1", "weight", json!(1)),
                known("s2", "state", json!("active")),
            ]),
        }
    }

    fn tried(&mut self, change: &Change) {
        let possible = self.possible.entry(change.place());
        let possible = possible.or_insert_with(|| vec![None]);
        possible.push(Some(change.value.clone()));
    }

    fn acknowledged(&mut self, change: Change) {
        self.acknowledged += 1;
        self.possible
            .insert(change.place(), vec![Some(change.value)]);
    }

    /// Whether all that was acknowledged is there, but for a server that somebody else changed since.
    pub(crate) fn check(&self, snapshot: &Snapshot, changed: &str) {
        let own = self
            .possible
            .iter()
            .filter(|((server, _), _)| server != changed);
        for ((server, field), possible) in own {
            let key: ServerKey = format!("default/{server}").parse().expect("a key");
            let found = snapshot.servers.get(&key).map(|found| {
                let value = serde_json::to_value(&found.value).expect("a server is JSON");
                value[field].clone()
            });
            assert!(
                possible.contains(&found),
                "{server}: its {field} is {found:?}, and can only be {possible:?}"
            );
        }
    }
}
