//! The gRPC health checking protocol, as far as one call needs it: `grpc.health.v1.Health/Check`.
//!
//! Each of its two messages has a single field, so that they are written and read here without generated code.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, TE, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Version};

use crate::Failure;
use crate::h2_connection::Answer;

const PATH: &str = "/grpc.health.v1.Health/Check";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The tag of field 1 of `HealthCheckRequest`, which holds bytes: the service's name.
const SERVICE: u8 = 1 << 3 | 2;

/// The tag of field 1 of `HealthCheckResponse`, which holds a number: the status.
const STATUS: u64 = 1 << 3;

/// `ServingStatus` of that status.
const SERVING: u64 = 1;

/// The bytes before each message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// A status code of gRPC, by which a call ends.
/// <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND: there is no such service",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED: there is no health service",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        let Self(number) = self;
        let name = usize::try_from(*number).ok().and_then(|at| NAMES.get(at));
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "{number}"),
        }
    }
}

/// The call's head and its one message. `authority` is host and port.
pub(crate) fn call(
    scheme: &Scheme,
    authority: &str,
    service: &str,
) -> Result<(Request<()>, Bytes), Failure> {
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("{scheme}://{authority}{PATH}"))
        .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(TE, HeaderValue::from_static("trailers"))
        .header(USER_AGENT, HeaderValue::from_static("roundhouse-probe"))
        .body(())
        .map_err(|error| Failure::Request(error.to_string()))?;
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(SERVICE);
        put_number(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len())
        .map_err(|_| Failure::Request("the service's name is too long".into()))?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(&message);
    Ok((request, framed.freeze()))
}

/// Whether the answer says that the service is serving.
pub(crate) fn judge(answer: &Answer) -> Result<(), Failure> {
    if answer.status != 200 {
        return Err(Failure::Status(answer.status));
    }
    let kind = answer.fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Err(Failure::NotGrpc("its content type is another one"));
    }
    // Where there is no message, the status may stand in the head.
    let status = status_in(&answer.trailers).or_else(|| status_in(&answer.fields));
    match status.ok_or(Failure::NotGrpc("it has no grpc-status"))? {
        Code(0) => judge_message(&answer.body),
        code => Err(Failure::GrpcStatus(code)),
    }
}

fn status_in(fields: &HeaderMap) -> Option<Code> {
    let value = fields.get(GRPC_STATUS)?.to_str().ok()?;
    value.parse().ok().map(Code)
}

fn judge_message(body: &[u8]) -> Result<(), Failure> {
    const BAD: Failure = Failure::NotGrpc("its message cannot be read");
    let (prefix, message) = body.split_at_checked(PREFIX).ok_or(BAD)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || usize::try_from(length) != Ok(message.len()) {
        return Err(BAD);
    }
    match serving_status(message).ok_or(BAD)? {
        SERVING => Ok(()),
        0 => Err(Failure::NotServing("UNKNOWN")),
        2 => Err(Failure::NotServing("NOT_SERVING")),
        3 => Err(Failure::NotServing("SERVICE_UNKNOWN")),
        _ => Err(Failure::NotServing("a status that is not known")),
    }
}

/// The status in a `HealthCheckResponse`: what it has not is zero, and what it has besides is passed over.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_number(&mut message)?;
        match tag & 7 {
            0 => {
                let number = take_number(&mut message)?;
                if tag == STATUS {
                    status = number;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(take_number(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Seven bits a byte, the lowest first, the highest bit set where more follow.
fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn take_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8], trailer: Option<&'static str>) -> Answer {
        let kind = HeaderValue::from_static("application/grpc+proto");
        let status = trailer.map(|text| (GRPC_STATUS, HeaderValue::from_static(text)));
        Answer {
            status: 200,
            fields: [(CONTENT_TYPE, kind)].into_iter().collect(),
            body: body.to_vec(),
            trailers: status.into_iter().collect(),
        }
    }

    fn said(body: &[u8], trailer: Option<&'static str>) -> String {
        match judge(&answer(body, trailer)) {
            Ok(()) => "serving".into(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn each_serving_status_is_called_by_its_name() {
        for (message, wanted) in [
            (&[8, 1][..], "serving"),
            (&[], "gRPC health is UNKNOWN"),
            (&[8, 2], "gRPC health is NOT_SERVING"),
            (&[8, 3], "gRPC health is SERVICE_UNKNOWN"),
            (&[8, 9], "gRPC health is a status that is not known"),
            // Fields of a later version, of each kind, around it.
            (
                &[
                    16, 0x80, 1, 26, 1, 7, 33, 0, 0, 0, 0, 0, 0, 0, 0, 45, 0, 0, 0, 0, 8, 1,
                ],
                "serving",
            ),
        ] {
            let length = u8::try_from(message.len()).expect("a short message");
            let body = [&[0, 0, 0, 0, length], message].concat();
            assert_eq!(said(&body, Some("0")), wanted);
        }
    }

    #[test]
    fn what_is_no_answer_to_the_call_is_no_success() {
        let whole = [0, 0, 0, 0, 2, 8, 1];
        assert_eq!(said(&whole, Some("0")), "serving");
        assert_eq!(said(&whole, Some("14")), "gRPC status UNAVAILABLE");
        assert_eq!(said(&whole, Some("99")), "gRPC status 99");
        let none = "not a valid gRPC answer: it has no grpc-status";
        assert_eq!(said(&whole, None), none);
        assert_eq!(said(&whole, Some("fine")), none);
        let unreadable = "not a valid gRPC answer: its message cannot be read";
        for body in [
            &[][..],
            &[0, 0, 0, 0, 2, 8],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 18, 9],
            &[
                0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
            ],
            &[0, 0, 0, 0, 1, 11],
        ] {
            assert_eq!(said(body, Some("0")), unreadable, "{body:?}");
        }
        let mut page = answer(&whole, Some("0"));
        page.fields
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        assert_eq!(
            judge(&page),
            Err(Failure::NotGrpc("its content type is another one"))
        );
        page.status = 404;
        assert_eq!(judge(&page), Err(Failure::Status(404)));
    }
}
