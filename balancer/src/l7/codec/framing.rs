//! How a message says where its body ends, and the two fields that say it.

use super::name::is_token;

/// Where a body ends: found in the head, obeyed by [`super::BodyDecoder`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends with the connection. Only a response can have this.
    UntilClose,
}

impl Framing {
    /// Writes the one field that says it, if any does.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Length(length) => write_length(length, out),
            Self::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Self::None | Self::UntilClose => {}
        }
    }
}

/// Writes a Content-Length line.
pub(super) fn write_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Why a decimal number is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadNumber {
    /// It has no digits, or something else besides.
    Malformed,
    /// It does not fit.
    TooLarge,
}

/// One or more decimal digits and nothing else: no sign, no list, no space.
pub(super) fn decimal(text: &[u8]) -> Result<u64, BadNumber> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(BadNumber::Malformed);
    }
    text.iter()
        .try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(BadNumber::TooLarge)
}

/// What a Transfer-Encoding value asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `chunked` and nothing else.
    Chunked,
    /// Not `chunked` at the end, or `chunked` twice, or no list of codings at all: framing in doubt (RFC 9112, 6.3).
    Doubtful,
    /// Other codings beneath `chunked`: sound, and not served here (RFC 9112, 6.1).
    Unknown,
}

/// Reads a Transfer-Encoding value.
pub(super) fn coding(value: &[u8]) -> Coding {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Coding::Chunked;
    }
    let mut from_last = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let ends_chunked = from_last.next().is_some_and(is_chunked);
    if ends_chunked && from_last.all(|coding| is_token(coding) && !is_chunked(coding)) {
        Coding::Unknown
    } else {
        Coding::Doubtful
    }
}

/// The two framing fields of one head, as far as they have been met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields {
    /// The Content-Length.
    pub(super) length: Option<u64>,
    /// A Transfer-Encoding.
    pub(super) coding: Option<Coding>,
}

impl FramingFields {
    /// Notes a Content-Length; a second one is malformed, equal or not.
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), BadNumber> {
        let length = decimal(value)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(BadNumber::Malformed),
        }
    }

    /// Notes a Transfer-Encoding; a second one is doubtful.
    pub(super) fn add_coding(&mut self, value: &[u8]) {
        self.coding = match self.coding {
            None => Some(coding(value)),
            Some(_) => Some(Coding::Doubtful),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_alone() {
        assert_eq!(decimal(b"0003"), Ok(3));
        assert_eq!(decimal(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), Err(BadNumber::TooLarge));
        for text in ["", "-3", "+3", "1_0", "3, 3", " 3", "0x3", "3.0"] {
            assert_eq!(
                decimal(text.as_bytes()),
                Err(BadNumber::Malformed),
                "{text:?}"
            );
        }
    }

    #[test]
    fn only_chunked_alone_is_chunked() {
        assert_eq!(coding(b"CHUNKED"), Coding::Chunked);
        for text in [
            "chunked, chunked",
            "chunked;a=b",
            "chunked, gzip",
            "chunked, gzip, chunked",
            ", chunked",
            "gzip;q=\"a,b\", chunked",
            "xchunked",
            "identity",
            "gzip",
            "",
        ] {
            assert_eq!(coding(text.as_bytes()), Coding::Doubtful, "{text:?}");
        }
        for text in ["gzip, chunked", "deflate ,\tgzip,chunked"] {
            assert_eq!(coding(text.as_bytes()), Coding::Unknown, "{text:?}");
        }
    }
}
