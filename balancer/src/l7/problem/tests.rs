//! Every problem has an answer.

use std::time::SystemTime;

use super::*;
use crate::codec::{Answer, HttpDate, Version, write_answer};

/// Every variant of an enum without fields. One that is missing here does not compile.
macro_rules! every {
    ($type:ident: $($variant:ident)*) => {{
        let known = |one: $type| match one {
            $($type::$variant => one,)*
        };
        [$($type::$variant),*].map(known)
    }};
}

fn refusals() -> impl Iterator<Item = Refusal> {
    every!(Refusal: RequestLine RequestLineTooLong Version Target Connect Trace FieldName FieldValue LineEnd TooManyFields HeadTooLong Host ContentLength BodyTooLong TransferEncoding UnknownCoding Imitation Connection MaxForwards Expectation).into_iter()
}

fn bad_bodies() -> impl Iterator<Item = BadBody> {
    every!(BadBody: ChunkSize ChunkExtension ChunkEnd Trailer TrailersTooLong TooLong Truncated)
        .into_iter()
}

fn bad_responses() -> impl Iterator<Item = BadResponse> {
    every!(BadResponse: StatusLine Field TooLong ContentLength TransferEncoding Connection UnaskedUpgrade TooManyInterim Malformed).into_iter()
}

fn bad_paths() -> impl Iterator<Item = BadPath> {
    every!(BadPath: NotAbsolute Encoding Nul Ambiguous).into_iter()
}

fn problems() -> Vec<Problem> {
    // Each names the one behind it, so that a new one has to be put somewhere.
    let next = |problem: Problem| match problem {
        Problem::Refused(_) | Problem::BadBody(_) => Some(Problem::SlowHead),
        Problem::SlowHead => Some(Problem::SlowBody),
        Problem::SlowBody => Some(Problem::Misdirected),
        Problem::Misdirected => Some(Problem::CutOff),
        Problem::CutOff => Some(Problem::Denied),
        Problem::Denied => Some(Problem::RouteDenied),
        Problem::RouteDenied => Some(Problem::RateLimited { after: 7 }),
        Problem::RateLimited { after } => Some(Problem::ConcurrencyLimited { after }),
        Problem::ConcurrencyLimited { .. } => Some(Problem::PathNotNormal),
        Problem::PathNotNormal => Some(Problem::NoPool),
        Problem::NoPool => Some(Problem::UnknownPool),
        Problem::UnknownPool => Some(Problem::NoServer),
        Problem::NoServer => Some(Problem::CircuitOpen),
        Problem::CircuitOpen => Some(Problem::QueueFull),
        Problem::QueueFull => Some(Problem::QueueTimeout),
        Problem::QueueTimeout => Some(Problem::NoConnection),
        Problem::NoConnection => Some(Problem::ConnectionLost),
        Problem::ConnectionLost => Some(Problem::Timeout),
        Problem::Timeout => Some(Problem::Drained),
        Problem::Drained => Some(Problem::HeadCutShort),
        Problem::HeadCutShort
        | Problem::BadPath(_)
        | Problem::BadResponse(_)
        | Problem::BadResponseBody(_) => None,
    };
    let plain = std::iter::successors(Some(Problem::SlowHead), |problem| next(*problem));
    let fields = refusals()
        .map(Problem::Refused)
        .chain(bad_bodies().map(Problem::BadBody))
        .chain(bad_paths().map(Problem::BadPath))
        .chain(bad_responses().map(Problem::BadResponse))
        .chain(bad_bodies().map(Problem::BadResponseBody));
    plain.chain(fields).collect()
}

#[test]
fn every_problem_is_answered_with_the_phrase_of_its_status() {
    for problem in problems() {
        let mut out = Vec::new();
        let answer = Answer {
            status: problem.status(),
            token: problem.token(),
            text: &problem.text(),
            version: Version::Http11,
            keep_alive: problem.may_keep_alive(),
            head_only: false,
            date: &HttpDate::at(SystemTime::UNIX_EPOCH),
            request_id: b"",
            retry_after: problem.retry_after(),
            lines: b"",
        };
        write_answer(&answer, &mut out);
        let head = String::from_utf8(out).expect("text");
        let (line, _) = head.split_once("\r\n").expect("a status line");
        assert!(!line.ends_with(" Error"), "{problem:?}: {line}");
    }
}
