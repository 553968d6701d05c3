//! The protocol cases over real sockets: what may reach a server, and what may come back.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, Tee, Wire, field};

/// Balancers that are tried at the same time: each takes a moment to end.
const AT_A_TIME: usize = 32;

/// Those that were given, then our own.
fn cases(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol-cases");
    let own = format!("own-{file}");
    let texts = [file, &own].map(|file| {
        let text = std::fs::read_to_string(folder.join(file)).expect("the cases");
        assert!(text.lines().count() > 10, "{file} has its cases");
        text
    });
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect()
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {case}"))
}

/// The bytes, of which each is a character of Latin-1.
fn raw(case: &Value) -> Vec<u8> {
    let byte = |character: char| u8::try_from(u32::from(character)).expect("Latin-1");
    text(case, "raw").chars().map(byte).collect()
}

fn texts<'a>(case: &'a Value, name: &str) -> Vec<&'a str> {
    let list = case[name].as_array();
    let list = list.into_iter().flatten();
    list.map(|one| one.as_str().expect("text")).collect()
}

fn expectations(case: &Value) -> Vec<&str> {
    let list = case["expect"].as_array().expect("a list");
    list.iter().map(|one| one.as_str().expect("text")).collect()
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    /// Each request's head and body.
    requests: Vec<(String, Vec<u8>)>,
    /// Every byte of a connection that came, also of what never became a request.
    bytes: Tee,
}

/// What came of a client's bytes.
struct Provoked {
    answer: Vec<u8>,
    /// Whether the balancer ended the connection.
    ended: bool,
    forwarded: Vec<(String, Vec<u8>)>,
    /// Every byte that reached the server.
    sent: Vec<u8>,
}

async fn recording(seen: &Arc<Mutex<Seen>>) -> Upstream {
    let seen = Arc::clone(seen);
    Upstream::start(move |mut link: Link| {
        let seen = Arc::clone(&seen);
        link.wire.tee = Some(Arc::clone(&seen.lock().expect("a lock").bytes));
        async move {
            while let Some(request) = link.request().await {
                let recorded = (request.head.clone(), request.body.clone());
                seen.lock().expect("a lock").requests.push(recorded);
                link.answer(&request, "forwarded").await;
            }
        }
    })
    .await
}

/// Sends the bytes through a balancer of their own. What reached the server is known for certain, since it is asked for only once that
/// balancer has ended and the server has read all its connections to their ends.
async fn provoke(bytes: &[u8], may_say_nothing: bool) -> Provoked {
    let seen = Arc::default();
    let server = recording(&seen).await;
    let fleet = Fleet::at(pool(), &[server.address], &["--threads", "1"]).await;
    let (answer, ended) = converse(&fleet, bytes, may_say_nothing).await;
    fleet.end().await;
    server.has_heard_all().await;
    let mut seen = seen.lock().expect("a lock");
    let sent = std::mem::take(&mut *seen.bytes.lock().expect("a lock"));
    Provoked {
        answer,
        ended,
        forwarded: std::mem::take(&mut seen.requests),
        sent,
    }
}

/// Sends the bytes, and reads answers until the balancer ends the connection: after a refusal by itself, otherwise once the
/// client has closed its side. No silence is taken for an end, however long it lasts. False where there is no end.
async fn converse(fleet: &Fleet, bytes: &[u8], may_say_nothing: bool) -> (Vec<u8>, bool) {
    let mut client = fleet.client().await;
    client.send(bytes).await;
    let until_ended = async {
        while !may_say_nothing && !has_final_head(&client.read) && client.more().await {}
        if !by_balancer(&client.read) {
            // One that is closed already cannot be closed again.
            let _ = client.stream.shutdown().await;
        }
        while client.more().await {}
    };
    let ended = timeout(LIMIT / 2, until_ended).await.is_ok();
    (client.read, ended)
}

/// Whether there is the head of an answer that is not an interim one.
fn has_final_head(answers: &[u8]) -> bool {
    let answers = String::from_utf8_lossy(answers);
    let heads = answers
        .split_inclusive("\r\n\r\n")
        .filter(|part| part.ends_with("\r\n\r\n"));
    heads
        .into_iter()
        .any(|head| !head.starts_with("HTTP/1.1 1"))
}

/// Whether the balancer answered itself, and not with success.
fn by_balancer(answers: &[u8]) -> bool {
    String::from_utf8_lossy(answers).contains("Roundhouse-Reason: ")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_gets_a_verdict_that_is_right() {
    let judged = stream::iter(cases("requests.jsonl")).map(judge_case);
    let wrong = judged.buffered(AT_A_TIME).filter_map(future::ready);
    let wrong: Vec<String> = wrong.collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What is wrong with what comes of a case.
async fn judge_case(case: Value) -> Option<String> {
    let may_say_nothing = expectations(&case).contains(&"C");
    let provoked = provoke(&raw(&case), may_say_nothing).await;
    let judged = judge_request(&case, &provoked);
    let problem = judged.and_then(|()| judge_bytes(&case, &provoked)).err()?;
    let answer = String::from_utf8_lossy(&provoked.answer);
    let (id, what, forwarded) = (&case["id"], &case["what"], &provoked.forwarded);
    Some(format!("{id} ({what}): {problem}\n{answer}\n{forwarded:?}"))
}

fn judge_request(case: &Value, provoked: &Provoked) -> Result<(), String> {
    let Provoked {
        answer, forwarded, ..
    } = provoked;
    let by_balancer = by_balancer(answer);
    let answer = String::from_utf8_lossy(answer);
    let verdict = match (forwarded.is_empty(), answer.is_empty()) {
        (false, _) => "F",
        (true, true) => "C",
        (true, false) if answer.starts_with("HTTP/1.1 2") => "L",
        (true, false) => "R",
    };
    if !expectations(case).contains(&verdict) {
        return Err(format!("{verdict} is not among {:?}", expectations(case)));
    }
    if verdict == "R" && !(by_balancer && provoked.ended) {
        return Err("a refusal names its reason, and the connection ends".into());
    }
    let most = case["max_forwarded"].as_u64().expect("a number");
    if forwarded.len() as u64 > most {
        return Err(format!("{} requests went on, {most} may", forwarded.len()));
    }
    forwarded
        .iter()
        .try_for_each(|(head, body)| judge_forwarded(head, body))
}

/// What holds for the bytes that reached the server, whether a request came of them or not.
fn judge_bytes(case: &Value, provoked: &Provoked) -> Result<(), String> {
    let answer = String::from_utf8_lossy(&provoked.answer);
    if expectations(case) == ["R"] && !provoked.sent.is_empty() {
        return Err("bytes of a refused request went on".into());
    }
    let status = case["status"]
        .as_u64()
        .map(|status| format!("HTTP/1.1 {status} "));
    if status.is_some_and(|status| !answer.starts_with(&status)) {
        return Err("it has another status".into());
    }
    let reason = case["reason"].as_str();
    let reason = reason.map(|reason| format!("\r\nRoundhouse-Reason: {reason}\r\n"));
    if reason.is_some_and(|reason| !answer.contains(&reason)) {
        return Err("it has another reason".into());
    }
    let bytes = String::from_utf8_lossy(&provoked.sent);
    for text in texts(case, "sent") {
        if !bytes.contains(text) {
            return Err(format!("{text:?} was not sent in {bytes:?}"));
        }
    }
    for text in texts(case, "unsent") {
        if bytes.contains(text) {
            return Err(format!("{text:?} was sent in {bytes:?}"));
        }
    }
    Ok(())
}

/// What holds for whatever is forwarded.
fn judge_forwarded(head: &str, body: &[u8]) -> Result<(), String> {
    let require = |holds: bool, rule: &str| {
        if holds {
            Ok(())
        } else {
            Err(format!("{rule}: {head}"))
        }
    };
    let line = head.lines().next().unwrap_or_default();
    require(line.ends_with(" HTTP/1.1"), "it is HTTP/1.1")?;
    require(field(head, "host").is_some(), "it has one Host")?;
    let (length, coding) = (
        field(head, "content-length"),
        field(head, "transfer-encoding"),
    );
    require(length.is_none() || coding.is_none(), "it has one framing")?;
    require(
        body.is_empty() || length.is_some() || coding.is_some(),
        "its body is framed",
    )?;
    require(
        length.is_none_or(|length| length.bytes().all(|byte| byte.is_ascii_digit())),
        "its length is a number",
    )?;
    require(
        coding.is_none_or(|coding| coding == "chunked"),
        "its coding is chunked",
    )?;
    require(
        field(head, "x-forwarded-for").is_some(),
        "the balancer has seen it",
    )?;
    for name in [
        "connection",
        "keep-alive",
        "te",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
    ] {
        let allowed = name == "connection" && field(head, "upgrade").is_some();
        require(
            field(head, name).is_none() || allowed,
            "no field is hop-by-hop",
        )?;
    }
    let names = head
        .lines()
        .skip(1)
        .map(|line| line.split(':').next().unwrap_or_default());
    let is_token = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    require(names.into_iter().all(is_token), "names are tokens")
}

/// Answers `/bad` with these bytes and closes, everything else rightly.
async fn misbehaving(bytes: Vec<u8>) -> Upstream {
    Upstream::start(move |mut link: Link| {
        let bytes = bytes.clone();
        async move {
            while let Some(request) = link.request().await {
                if request.head.contains(" /bad ") {
                    // The balancer may have heard enough before the end.
                    let _ = link.wire.stream.write_all(&bytes).await;
                    return;
                }
                link.answer(&request, "right").await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reply_becomes_something_that_a_client_may_see() {
    let mut wrong = Vec::new();
    for case in cases("replies.jsonl") {
        let server = misbehaving(raw(&case)).await;
        let fleet = Fleet::at(pool(), &[server.address], &["--threads", "1"]).await;
        let head_only = text(&case, "request").starts_with("HEAD");
        let mut client = fleet.client().await;
        let method = if head_only { "HEAD" } else { "GET" };
        client
            .send(format!("{method} /bad HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let got = judge_reply(&mut client, head_only).await;
        let expected = expectations(&case);
        let right = expected
            .iter()
            .any(|one| got.starts_with(one) || one.starts_with(&got));
        if !right {
            wrong.push(format!(
                "{} ({}): {got:?} is not among {expected:?}",
                case["id"], case["what"]
            ));
        }
        let next = client::get(fleet.address(), "/next").await;
        if (next.status(), next.text()) != (200, "right".into()) || next.head.contains("X-Evil") {
            wrong.push(format!("{}: the next request got {next:?}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the client saw: a status, or `trunc`. The same connection must be in step, if it goes on.
async fn judge_reply(client: &mut Wire, head_only: bool) -> String {
    let mut head = client.head().await;
    let mut interim = 0;
    while let Some(text) = head
        .as_deref()
        .filter(|head| head.starts_with("HTTP/1.1 1") && !head.starts_with("HTTP/1.1 101"))
    {
        assert!(!text.contains("X-Evil"), "{text}");
        interim += 1;
        assert!(interim <= 32, "interim answers have a bound");
        head = client.head().await;
    }
    let Some(head) = head else {
        return "trunc".into();
    };
    assert!(!head.contains("X-Evil"), "{head}");
    let status = head[9..12].to_owned();
    // Put back, to be read with its body.
    let read = std::mem::take(&mut client.read);
    client.read = [format!("{head}\r\n\r\n").into_bytes(), read].concat();
    let bare = head_only || status == "304" || status == "204";
    if client.message(bare).await.is_none() {
        return "trunc".into();
    }
    if field(&head, "connection").as_deref() != Some("close") {
        let next = client.get("/next").await;
        assert_eq!((next.status(), next.text()), (200, "right".into()));
    }
    status
}
