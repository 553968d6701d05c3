//! The protocol cases over real sockets: what may reach a server, and what may come back.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, Message, Tee, Wire, eventually, field};

/// Balancers that are tried at the same time: each takes a moment to end.
const AT_A_TIME: usize = 32;

/// How long the balancer waits for what a server leaves out: long for whatever does come.
const LEFT_OUT_AFTER: Duration = Duration::from_secs(3);

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

/// Whether the balancer has understood the client to speak HTTP/2: its first word is a frame of settings (RFC 9113, 3.4).
fn begins_with_settings(answer: &[u8]) -> bool {
    answer.get(3..9) == Some(&[4, 0, 0, 0, 0, 0])
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
    let goes_on_in_http2 = begins_with_settings(answer);
    let answer = String::from_utf8_lossy(answer);
    let verdict = match (forwarded.is_empty(), answer.is_empty()) {
        (false, _) => "F",
        (true, true) => "C",
        // Where no request came of it, nothing could be forwarded.
        (true, false) if goes_on_in_http2 && provoked.ended => "F",
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
    let bytes = without_ids(&bytes);
    for text in texts(case, "unsent") {
        if bytes.contains(text) {
            return Err(format!("{text:?} was sent in {bytes:?}"));
        }
    }
    Ok(())
}

/// The bytes without the balancer's own ids of requests, in which chance writes whatever two digits are looked for.
fn without_ids(bytes: &str) -> String {
    let is_own = |line: &&str| {
        let id = line.strip_prefix("X-Request-Id: ").map(str::trim_end);
        id.is_some_and(|id| id.len() == 36 && id.matches('-').count() == 4)
    };
    let lines = bytes.split_inclusive("\r\n");
    lines.filter(|line| !is_own(line)).collect()
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

/// What a server does once it has sent its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Closes,
    Stays,
}

/// A server that answers `/bad` with a case's bytes, everything else rightly.
struct Misbehaving {
    server: Upstream,
    /// How many requests came behind such bytes, on the same connection.
    reuses: Arc<AtomicUsize>,
}

impl Misbehaving {
    async fn start(bytes: Vec<u8>, then: Then) -> Self {
        let reuses = Arc::default();
        let counted = Arc::clone(&reuses);
        let server = Upstream::start(move |link: Link| {
            misbehave(link, bytes.clone(), then, Arc::clone(&counted))
        });
        Self {
            server: server.await,
            reuses,
        }
    }

    /// Whether the next request came on the same connection where that is in order, and only there.
    fn judge_reuse(&self, in_order: bool) -> Result<(), String> {
        match (self.reuses.load(Ordering::SeqCst), in_order) {
            (0, false) | (1.., true) => Ok(()),
            (0, true) => Err("a connection that is in order was not used again".into()),
            (1.., false) => Err("the next request came on the same connection".into()),
        }
    }
}

async fn misbehave(mut link: Link, bytes: Vec<u8>, then: Then, reuses: Arc<AtomicUsize>) {
    let mut has_misbehaved = false;
    // No request has a body but the one that is never whole.
    while let Some(head) = link.head().await {
        reuses.fetch_add(usize::from(has_misbehaved), Ordering::SeqCst);
        if !head.contains(" /bad ") {
            let body = Vec::new();
            link.answer(&Message { head, body }, "right").await;
            continue;
        }
        has_misbehaved = true;
        // The balancer may have heard enough before the end.
        let _ = link.wire.stream.write_all(&bytes).await;
        if then == Then::Closes {
            let _ = link.wire.stream.shutdown().await;
            link.wire.rest().await;
        }
    }
}

/// What a client sends for a case.
fn asking(case: &Value) -> String {
    let (method, length, sent) = match text(case, "request") {
        "GET without a body" => ("GET", "", 0),
        "HEAD without a body" => ("HEAD", "", 0),
        "POST with Content-Length 100000 of which 5000 bytes are sent" => {
            ("POST", "Content-Length: 100000\r\n", 5000)
        }
        other => panic!("nobody knows how to send a {other}"),
    };
    let body = "x".repeat(sent);
    format!("{method} /bad HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reply_becomes_something_that_a_client_may_see() {
    judge_replies(Then::Closes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_only_after_a_reply_in_order() {
    judge_replies(Then::Stays).await;
}

async fn judge_replies(then: Then) {
    let judged = stream::iter(cases("replies.jsonl")).map(|case| judge_reply_case(case, then));
    let wrong = judged.buffered(AT_A_TIME).filter_map(future::ready);
    let wrong: Vec<String> = wrong.collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with what comes of a case.
async fn judge_reply_case(case: Value, then: Then) -> Option<String> {
    let bad = Misbehaving::start(raw(&case), then).await;
    let mut pool = pool();
    if then == Then::Stays {
        pool.timeouts.response = LEFT_OUT_AFTER;
        pool.timeouts.idle = LEFT_OUT_AFTER;
    }
    let fleet = Fleet::at(pool, &[bad.server.address], &["--threads", "1"]).await;
    let got = provoke_reply(&fleet, &case).await;
    let next = client::get(fleet.address(), "/next").await;
    let judged = judge_got(&case, &got, then).and_then(|()| judge_next(&next));
    let in_order = is_in_order(&case, &got, then);
    let judged = judged.and_then(|()| bad.judge_reuse(in_order));
    if judged.is_ok() && !in_order {
        let what = format!("the connection of {} has ended", case["id"]);
        eventually(&what, || bad.server.open() <= 1).await;
    }
    let problem = judged.err()?;
    Some(format!("{} ({}): {problem}", case["id"], case["what"]))
}

async fn provoke_reply(fleet: &Fleet, case: &Value) -> String {
    let request = asking(case);
    let mut client = fleet.client().await;
    client.send(&request).await;
    judge_reply(&mut client, request.starts_with("HEAD ")).await
}

fn judge_got(case: &Value, got: &str, then: Then) -> Result<(), String> {
    // Nothing is wrong with half a head before its time is over.
    let is_half = !raw(case).windows(4).any(|four| four == b"\r\n\r\n");
    let got = match (then, got) {
        (Then::Stays, "504") if is_half => "502",
        _ => got,
    };
    let expected = expectations(case);
    let is_right = |one: &&str| got.starts_with(one) || one.starts_with(got);
    if expected.iter().any(is_right) {
        return Ok(());
    }
    Err(format!("{got:?} is not among {expected:?}"))
}

fn judge_next(next: &Message) -> Result<(), String> {
    if (next.status(), next.text()) == (200, "right".into()) && !next.head.contains("X-Evil") {
        return Ok(());
    }
    Err(format!("the next request got {next:?}"))
}

/// Of the cases that were given, those whose reply is passed on whole although the server's connection is out of step.
const OUT_OF_STEP: [&str; 3] = ["S09", "S31", "S33"];

/// Whether the server's connection may serve another request after what the client got.
fn is_in_order(case: &Value, got: &str, then: Then) -> bool {
    let is_broken = ["502", "504", "trunc"].contains(&got);
    let is_unusable = case["unusable"] == true || OUT_OF_STEP.contains(&text(case, "id"));
    then == Then::Stays && !is_broken && !is_unusable
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
