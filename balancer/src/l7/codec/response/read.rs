//! Reading a response's head: the parser beneath, then the facts.

use super::facts::Facts;
use super::{Asked, ResponseHead};
use crate::l7::codec::connection::Options;
use crate::l7::codec::fields;
use crate::l7::codec::framing::Framing;
use crate::l7::codec::limits::Limits;
use crate::l7::codec::method::Version;
use crate::l7::codec::refusal::BadResponse;
use crate::l7::codec::request::Parse;
use crate::l7::codec::span::Span;

/// What every status line starts with. The parser beneath would pass over empty lines before it.
const START: &[u8] = b"HTTP/1.";

/// Where a reason phrase starts: after the version, the status and the spaces between.
const REASON_AT: usize = "HTTP/1.1 200 ".len();

/// Reads a response head at the start of `buf`, interim or final; the same way of calling as
/// [`super::super::parse_request`].
pub fn parse_response(
    buf: &[u8],
    asked: Asked,
    limits: &Limits,
    head: &mut ResponseHead,
) -> Result<Parse, BadResponse> {
    if !head.scan.is_worth_parsing(buf, limits.head) {
        return Ok(Parse::Incomplete);
    }
    if !START.starts_with(&buf[..buf.len().min(START.len())]) {
        return Err(BadResponse::StatusLine);
    }
    let within = &buf[..buf.len().min(limits.head)];
    let mut raw = fields::raw();
    let mut response = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        within,
        &mut raw[..limits.fields],
    )?;
    match status {
        httparse::Status::Complete(head_length) => {
            head.reset();
            head.fill(buf, head_length, &response)?;
            head.judge(buf, asked)?;
            Ok(Parse::Complete { head_length })
        }
        httparse::Status::Partial if within.len() == limits.head => Err(BadResponse::TooLong),
        httparse::Status::Partial => Ok(Parse::Incomplete),
    }
}

impl From<httparse::Error> for BadResponse {
    fn from(error: httparse::Error) -> Self {
        use httparse::Error;
        match error {
            Error::HeaderName | Error::HeaderValue | Error::NewLine => Self::Field,
            Error::TooManyHeaders => Self::TooLong,
            Error::Status | Error::Token | Error::Version => Self::StatusLine,
        }
    }
}

impl ResponseHead {
    /// Takes over what the parser found.
    fn fill(
        &mut self,
        buf: &[u8],
        head_length: usize,
        response: &httparse::Response<'_, '_>,
    ) -> Result<(), BadResponse> {
        self.status = response.code.unwrap_or_default();
        self.version = Version::of(response.version);
        if !(100..600).contains(&self.status) {
            return Err(BadResponse::StatusLine);
        }
        let line_end = memchr::memchr(b'\n', buf).map_or(0, |at| at.saturating_sub(1));
        self.reason = Span::new(REASON_AT.min(line_end), line_end);
        self.fields
            .fill(buf, head_length, response.headers)
            .map_err(|_| BadResponse::Field)
    }

    /// Reads the facts off the fields.
    fn judge(&mut self, buf: &[u8], asked: Asked) -> Result<(), BadResponse> {
        let options = Options::read(&mut self.fields, buf).map_err(|_| BadResponse::Connection)?;
        let facts = Facts::read(&self.fields, buf)?;
        let has_no_body = asked.head_only || matches!(self.status, 100..200 | 204 | 304);
        self.framing = facts.framing(has_no_body, self.version)?;
        self.carry = options.carry();
        self.declared_length = facts.declared_length(has_no_body, self.status);
        self.keep_alive = options.keep_alive(self.version == Version::Http11)
            && self.framing != Framing::UntilClose
            && !facts.announces_forbidden_body(self.status);
        self.upgrade = None;
        if self.is_upgrade() {
            let protocol = asked.upgrade.filter(|_| options.upgrade);
            let is_asked =
                |named: &Span| protocol.is_some_and(|asked| asked.is_named(named.of(buf)));
            self.upgrade = facts.upgrade().filter(is_asked);
            self.upgrade.ok_or(BadResponse::UnaskedUpgrade)?;
        } else if self.status == 426 {
            // RFC 9110, 15.5.22: without the field, nobody would know what to upgrade to.
            self.upgrade = facts.upgrade().filter(|_| options.upgrade);
        }
        Ok(())
    }
}
