//! Every listed protocol case, at the codec's level: its verdict, what holds of whatever is passed
//! on, and the same verdict however the bytes are cut.

use std::path::Path;

use serde::Deserialize;

use super::checker::{self, Message};
use super::invariants;
use super::proxy::{Outcome, Reply, relay, serve};
use crate::l7::codec::{Asked, Version};

#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    what: String,
    raw: String,
    expect: Vec<String>,
    #[serde(default)]
    max_forwarded: usize,
    #[serde(default)]
    request: String,
    /// The status of a refusal.
    status: Option<u16>,
    /// What must be among the bytes that are forwarded.
    #[serde(default)]
    sent: Vec<String>,
    /// What must not.
    #[serde(default)]
    unsent: Vec<String>,
    /// The server's connection must not be used again.
    #[serde(default)]
    unusable: bool,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let narrow = |letter| u8::try_from(u32::from(letter)).expect("latin-1");
        self.raw.chars().map(narrow).collect()
    }

    fn allows(&self, verdict: &str) -> bool {
        self.expect.iter().any(|allowed| allowed == verdict)
    }
}

/// Those that were given, then our own.
fn cases(file: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol-cases");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let text = read(file) + &read(&format!("own-{file}"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every way to cut `bytes` in two, and single bytes; a sample of them where they are many.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let stride = (bytes.len() / 2_000).max(1) * if bytes.len() > 4_000 { 199 } else { 1 };
    let pairs = (1..bytes.len())
        .step_by(stride)
        .map(|at| vec![&bytes[..at], &bytes[at..]]);
    pairs.chain([bytes.chunks(1).collect()])
}

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome { forwarded, .. } if !forwarded.is_empty() => "F",
        Outcome {
            refused: Some(_), ..
        } => "R",
        Outcome {
            answered_here: 1.., ..
        } => "L",
        _ => "C",
    }
}

#[test]
fn every_request_gets_a_right_verdict_and_leaves_clean() {
    for case in cases("requests.jsonl") {
        let outcome = serve([case.bytes().as_slice()]);
        let name = format!("{} {}: {outcome:?}", case.id, case.what);
        assert!(case.allows(verdict(&outcome)), "{name}");
        assert!(outcome.forwarded.len() <= case.max_forwarded, "{name}");
        for bytes in &outcome.forwarded {
            let (message, rest) = checker::read_request(bytes);
            assert!(message.whole && rest.is_empty(), "{name}");
        }
        let refused = outcome.refused.filter(|_| outcome.forwarded.is_empty());
        assert!(case.status.is_none() || case.status == refused, "{name}");
        let forwarded = outcome.forwarded.concat();
        let is_sent = |text: &String| contains(&forwarded, text.as_bytes());
        assert!(case.sent.iter().all(is_sent), "{name}");
        assert!(!case.unsent.iter().any(is_sent), "{name}");
    }
}

#[test]
fn every_request_gets_the_same_verdict_however_it_is_cut() {
    for case in cases("requests.jsonl") {
        let bytes = case.bytes();
        let whole = serve([bytes.as_slice()]);
        for pieces in cuts(&bytes) {
            let first = pieces[0].len();
            assert_eq!(serve(pieces), whole, "{} cut at {first}", case.id);
        }
    }
}

fn asked(case: &Case) -> Asked {
    Asked {
        head_only: case.request.starts_with("HEAD"),
        upgrade: None,
    }
}

fn last_message(reply: &Reply, asked: Asked) -> Message {
    let mut rest = reply.written.as_slice();
    loop {
        let bodiless = asked.head_only;
        let (message, after) = if bodiless {
            checker::read_head(rest)
        } else {
            checker::read(rest, !reply.keep_alive)
        };
        if !message.status().starts_with('1') {
            return message;
        }
        rest = after;
    }
}

fn reply_verdict(reply: &Reply, asked: Asked) -> String {
    if reply.bad_gateway {
        return "502".to_owned();
    }
    let message = last_message(reply, asked);
    match message.has("transfer-encoding") {
        _ if reply.truncated => "trunc".to_owned(),
        true => format!("{}te", message.status()),
        false => message.status().to_owned(),
    }
}

#[test]
fn every_reply_gets_a_right_verdict_and_leaves_clean() {
    for case in cases("replies.jsonl") {
        let asked = asked(&case);
        let reply = relay([case.bytes().as_slice()], asked, Version::Http11);
        let verdict = reply_verdict(&reply, asked);
        assert!(
            case.allows(&verdict),
            "{} {}: {verdict}",
            case.id,
            case.what
        );
        assert!(!contains(&reply.written, b"X-Evil"), "{}", case.id);
        let listed = ["S01", "S05", "S07", "S09", "S31"].contains(&case.id.as_str());
        let leaves_more = listed || case.unusable;
        assert!(
            !(leaves_more && reply.reusable),
            "{} is used again",
            case.id
        );
    }
}

#[test]
fn every_reply_gets_the_same_verdict_however_it_is_cut() {
    for case in cases("replies.jsonl") {
        let bytes = case.bytes();
        let asked = asked(&case);
        let whole = relay([bytes.as_slice()], asked, Version::Http11);
        for pieces in cuts(&bytes) {
            let first = pieces[0].len();
            let mut cut = relay(pieces, asked, Version::Http11);
            // What follows a whole message shows that its connection is unfit, sooner or later.
            cut.reusable = whole.reusable;
            if whole.truncated {
                // How far it came before it was broken off depends on the pieces.
                cut.written.clone_from(&whole.written);
            }
            assert_eq!(cut, whole, "{} cut at {first}", case.id);
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

#[test]
fn every_promise_holds_of_every_listed_case() {
    for case in cases("requests.jsonl") {
        invariants::requests(&case.bytes());
        invariants::readings(&case.bytes());
    }
    for case in cases("replies.jsonl") {
        invariants::responses(&case.bytes());
        invariants::readings(&case.bytes());
    }
}
