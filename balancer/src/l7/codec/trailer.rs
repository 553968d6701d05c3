//! Trailer lines: which are fields, and which of those may follow a body at all.

use super::name::{Name, is_token, is_value_byte};
use super::refusal::BadBody;

/// Bytes of one line, its end included.
pub(super) const LINE_MAX: usize = 4 << 10;

/// Bytes of all lines together.
pub(super) const SECTION_MAX: usize = 8 << 10;

/// Names that a recipient might act on as if they had stood in the head: about requests,
/// credentials, or how content is read (RFC 9110, 6.5.1). [`Name`] knows those of framing, routing
/// and connections, and those in which proxies speak of their clients.
const UNFIT: [&[u8]; 21] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expires",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"location",
    b"pragma",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"vary",
    b"warning",
    b"www-authenticate",
];

/// What a whole line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailer {
    /// The empty line after the last one.
    End,
    /// A field to pass on.
    Fit,
    /// A field to leave out.
    Unfit,
}

/// The first line of `input`, its end included; `None` while it is not whole.
pub(super) fn line(input: &[u8]) -> Result<Option<&[u8]>, BadBody> {
    let within = &input[..input.len().min(LINE_MAX)];
    match memchr::memchr(b'\n', within) {
        Some(end) => Ok(Some(&input[..=end])),
        None if within.len() == LINE_MAX => Err(BadBody::TrailersTooLong),
        None => Ok(None),
    }
}

impl Trailer {
    /// Judges a whole line.
    pub(super) fn read(line: &[u8]) -> Result<Self, BadBody> {
        let text = line.strip_suffix(b"\r\n").ok_or(BadBody::Trailer)?;
        if text.is_empty() {
            return Ok(Self::End);
        }
        let colon = memchr::memchr(b':', text).ok_or(BadBody::Trailer)?;
        let (name, value) = text.split_at(colon);
        if !is_token(name) || !value.iter().all(|byte| is_value_byte(*byte)) {
            return Err(BadBody::Trailer);
        }
        let is_unfit = Name::of(name) != Name::Other
            || UNFIT.iter().any(|unfit| name.eq_ignore_ascii_case(unfit));
        Ok(if is_unfit { Self::Unfit } else { Self::Fit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_that_is_no_field_is_refused() {
        for text in [
            "X T\r\n",
            ": 1\r\n",
            "X T: 1\r\n",
            " X: 1\r\n",
            "X: \0\r\n",
            "X: a\rb\r\n",
            "X: 1\n",
        ] {
            let read = Trailer::read(text.as_bytes());
            assert_eq!(read, Err(BadBody::Trailer), "{text:?}");
        }
    }

    #[test]
    fn a_trailer_that_belongs_in_the_head_is_left_out() {
        for name in [
            "Host",
            "content-length",
            "TE",
            "Authorization",
            "set-cookie",
            "X-Forwarded-For",
            "x-forwarded-port",
            "X_Forwarded_Prefix",
            "X-Real-IP",
        ] {
            let line = format!("{name}: x\r\n");
            assert_eq!(Trailer::read(line.as_bytes()), Ok(Trailer::Unfit), "{name}");
        }
        assert_eq!(Trailer::read(b"Grpc-Status: 0\r\n"), Ok(Trailer::Fit));
        assert_eq!(Trailer::read(b"\r\n"), Ok(Trailer::End));
    }
}
