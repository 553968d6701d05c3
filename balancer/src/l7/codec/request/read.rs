//! Reading a request's head: the line, the parser beneath, then the facts.

use super::facts::Facts;
use super::line::{Line, empty_lines, request_line};
use super::{Parse, RequestHead};
use crate::l7::codec::connection::Options;
use crate::l7::codec::fields;
use crate::l7::codec::limits::Limits;
use crate::l7::codec::method::{Method, Version};
use crate::l7::codec::refusal::Refusal;
use crate::l7::codec::target::Target;

/// Reads a request head at the start of `buf`. Called again with more bytes after the same ones
/// until it is complete or refused; the work of re-reading is bounded by a constant factor. `head`
/// may hold anything from a complete head before.
pub fn parse_request(
    buf: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Parse, Refusal> {
    if !head.scan.is_worth_parsing(buf, limits.head) {
        return Ok(Parse::Incomplete);
    }
    head.method = Method::default();
    let skipped = empty_lines(buf)?;
    let Some(line) = request_line(&buf[skipped..], limits)? else {
        return Ok(Parse::Incomplete);
    };
    match line {
        Line::Known => read(buf, skipped, limits, head),
        Line::NewerMinor { minor_at } => {
            let mut older = buf[..buf.len().min(limits.head)].to_vec();
            older[skipped + minor_at] = b'1';
            read(&older, skipped, limits, head)
        }
    }
}

/// Parses the head behind `skipped` bytes of empty lines.
fn read(
    buf: &[u8],
    skipped: usize,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Parse, Refusal> {
    let within = &buf[..buf.len().min(limits.head)];
    let mut raw = fields::raw();
    let mut request = httparse::Request::new(&mut []);
    let status =
        request.parse_with_uninit_headers(&within[skipped..], &mut raw[..limits.fields])?;
    match status {
        httparse::Status::Complete(length) => {
            let head_length = skipped + length;
            head.reset();
            head.fill(buf, head_length, &request)?;
            head.judge(buf, limits)?;
            Ok(Parse::Complete { head_length })
        }
        httparse::Status::Partial if within.len() == limits.head => Err(Refusal::HeadTooLong),
        httparse::Status::Partial => Ok(Parse::Incomplete),
    }
}

impl From<httparse::Error> for Refusal {
    fn from(error: httparse::Error) -> Self {
        use httparse::Error;
        match error {
            Error::HeaderName => Self::FieldName,
            Error::HeaderValue => Self::FieldValue,
            Error::NewLine => Self::LineEnd,
            Error::TooManyHeaders => Self::TooManyFields,
            Error::Status | Error::Token | Error::Version => Self::RequestLine,
        }
    }
}

impl RequestHead {
    /// Takes over what the parser found.
    fn fill(
        &mut self,
        buf: &[u8],
        head_length: usize,
        request: &httparse::Request<'_, '_>,
    ) -> Result<(), Refusal> {
        self.method = Method::of(buf, request.method.unwrap_or_default());
        self.version = Version::of(request.version);
        self.fields
            .fill(buf, head_length, request.headers)
            .map_err(|_| Refusal::LineEnd)?;
        match self.method {
            Method::Connect => return Err(Refusal::Connect),
            Method::Trace => return Err(Refusal::Trace),
            _ => {}
        }
        let target = request.path.unwrap_or_default().as_bytes();
        self.target = Target::read(buf, target, self.method).ok_or(Refusal::Target)?;
        Ok(())
    }

    /// Reads the facts off the fields.
    fn judge(&mut self, buf: &[u8], limits: &Limits) -> Result<(), Refusal> {
        let options = Options::read(&mut self.fields, buf).map_err(|_| Refusal::Connection)?;
        let facts = Facts::read(&self.fields, buf, self.method, self.version)?;
        self.framing = facts.framing(self.version, limits)?;
        self.carry = options.carry();
        self.authority = self.target.authority.or(facts.host);
        self.max_forwards = facts.max_forwards;
        self.keep_alive = options.keep_alive(self.version == Version::Http11);
        self.expect_continue = facts.expect_continue && self.has_body();
        self.upgrade = facts
            .upgrade(buf)
            .filter(|_| options.upgrade && self.version == Version::Http11 && !self.has_body());
        Ok(())
    }
}
