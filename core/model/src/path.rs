//! The normal form of a request's path: what routes and firewalls decide on, so that no other way to write a path leads around a rule.
//!
//! There are two of them. *Forwarded* is what a server may be sent in place of the path: RFC 3986, 6.2.2, and `//` merged. An encoded slash
//! (`%2F`) or backslash (`%5C`) is part of a segment there, as it was. *Matched* is what rules look at: there both are slashes, as many
//! servers read them, and whatever may stand in a path as it is, does. A path that these two readings take to different places, since
//! an encoded slash borders on a dot segment, has no normal form: whatever was decided on it would be wrong for one of them.

use std::borrow::Cow;

/// A path in its normal form. It borrows what was normal already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath<'a> {
    forwarded: Cow<'a, [u8]>,
    /// Where it is another.
    matched: Option<Vec<u8>>,
}

/// Why a path has no normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the path does not begin with '/'")]
    NotAbsolute,
    #[error("the path holds a '%' without two hexadecimal digits after it")]
    Encoding,
    #[error("the path holds a NUL")]
    Nul,
    #[error("the path has an encoded slash beside a dot segment")]
    Ambiguous,
}

impl<'a> NormalPath<'a> {
    /// Normalises a path, without its query. An empty one is `/` (RFC 3986, 6.2.3).
    ///
    /// # Errors
    /// It has no normal form; the request is refused.
    pub fn of(path: &'a [u8]) -> Result<Self, BadPath> {
        if path.is_empty() {
            return Ok(Self::plain(b"/"));
        }
        match scan(path) {
            Scan::Plain => Ok(Self::plain(path)),
            Scan::Encoded => {
                let matched = matched_of(path)?;
                Ok(Self {
                    forwarded: path.into(),
                    matched,
                })
            }
            Scan::Odd => {
                let forwarded = forwarded_of(path)?;
                let matched = matched_of(&forwarded)?;
                Ok(Self {
                    forwarded: forwarded.into(),
                    matched,
                })
            }
        }
    }

    fn plain(path: &'a [u8]) -> Self {
        Self {
            forwarded: path.into(),
            matched: None,
        }
    }

    /// What rules look at.
    pub fn matched(&self) -> &[u8] {
        self.matched.as_deref().unwrap_or(&self.forwarded)
    }

    /// What a server may be sent.
    pub fn forwarded(&self) -> &[u8] {
        &self.forwarded
    }

    /// Whether it may be sent as it came.
    pub fn was_normal(&self) -> bool {
        matches!(self.forwarded, Cow::Borrowed(_))
    }
}

/// What a first look at a path finds, which allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// Normal, and matched as it is.
    Plain,
    /// Normal, with something encoded that is matched otherwise or may be.
    Encoded,
    /// Anything else.
    Odd,
}

fn scan(path: &[u8]) -> Scan {
    if path[0] != b'/' {
        return Scan::Odd;
    }
    match is_plain(path) {
        true => Scan::Plain,
        false => scan_closely(path),
    }
}

/// Whether there is nothing to look at more closely. Most paths need no more than this, so it has no branches.
fn is_plain(path: &[u8]) -> bool {
    let mut found = 0;
    let mut looked_for = class::ODD;
    for byte in path {
        let kind = CLASSES[usize::from(*byte)];
        found |= kind & looked_for;
        looked_for = match kind == class::SLASH {
            true => class::ODD | class::SLASH | class::DOT,
            false => class::ODD,
        };
    }
    found == 0
}

fn scan_closely(path: &[u8]) -> Scan {
    let mut found = Scan::Plain;
    let mut before = 0;
    for (place, byte) in path.iter().copied().enumerate() {
        match byte {
            b'/' if before == b'/' => return Scan::Odd,
            b'.' if before == b'/' && is_dots(segment_at(&path[place..])) => return Scan::Odd,
            b'%' => match encoded_at(&path[place..]) {
                Some(byte) if !is_unreserved(byte) && is_upper(&path[place + 1..place + 3]) => {
                    found = Scan::Encoded;
                }
                _ => return Scan::Odd,
            },
            _ if !PLAIN[usize::from(byte)] => return Scan::Odd,
            _ => {}
        }
        before = byte;
    }
    found
}

/// The forwarded form.
fn forwarded_of(path: &[u8]) -> Result<Vec<u8>, BadPath> {
    if path.first() != Some(&b'/') {
        return Err(BadPath::NotAbsolute);
    }
    let escaped = escaped(path)?;
    let mut out = Vec::with_capacity(escaped.len());
    let mut segments = escaped[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b".." => {
                let parent = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                if holds_slash(&out[parent..]) {
                    return Err(BadPath::Ambiguous);
                }
                out.truncate(parent);
            }
            b"." | b"" => {}
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
        }
        if is_last {
            out.push(b'/');
        }
    }
    Ok(out)
}

/// With each octet as it is written in the normal form, slashes and dots as they come.
fn escaped(path: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(byte) = rest.first().copied() {
        let is_encoded = byte == b'%';
        let octet = match is_encoded {
            true => encoded_at(rest).ok_or(BadPath::Encoding)?,
            false => byte,
        };
        if octet == 0 {
            return Err(BadPath::Nul);
        }
        let stays = match is_encoded {
            true => is_unreserved(octet),
            false => PLAIN[usize::from(octet)],
        };
        match stays {
            true => out.push(octet),
            false => encode(octet, &mut out),
        }
        rest = &rest[if is_encoded { 3 } else { 1 }..];
    }
    Ok(out)
}

/// The matched form of a forwarded path, where it is another.
fn matched_of(forwarded: &[u8]) -> Result<Option<Vec<u8>>, BadPath> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = forwarded;
    while let Some(byte) = rest.first().copied() {
        let octet = match byte {
            b'%' => encoded_at(rest).ok_or(BadPath::Encoding)?,
            _ => byte,
        };
        match (byte, octet) {
            (_, 0) => return Err(BadPath::Nul),
            (b'%', b'/' | b'\\') | (b'/', _) => {
                if out.last() != Some(&b'/') {
                    out.push(b'/');
                }
            }
            (b'%', _) if !PLAIN[usize::from(octet)] => out.extend_from_slice(&rest[..3]),
            _ => out.push(octet),
        }
        rest = &rest[if byte == b'%' { 3 } else { 1 }..];
    }
    // Those that stood between slashes are gone: these stand beside an encoded one.
    if out.split(|byte| *byte == b'/').any(is_dots) {
        return Err(BadPath::Ambiguous);
    }
    Ok((out != forwarded).then_some(out))
}

fn encode(octet: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digits = [octet >> 4, octet & 15].map(|digit| DIGITS[usize::from(digit)]);
    out.push(b'%');
    out.extend_from_slice(&digits);
}

/// The octet that is encoded at the beginning of a text.
fn encoded_at(text: &[u8]) -> Option<u8> {
    let digit = |place: usize| char::from(*text.get(place)?).to_digit(16);
    let octet = digit(1)? * 16 + digit(2)?;
    u8::try_from(octet).ok()
}

fn is_upper(digits: &[u8]) -> bool {
    !digits.iter().any(u8::is_ascii_lowercase)
}

fn segment_at(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'/');
    &text[..end.unwrap_or(text.len())]
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Whether a slash is encoded in it.
fn holds_slash(segment: &[u8]) -> bool {
    let mut octets = segment.windows(3);
    octets.any(|octet| matches!(octet, b"%2F" | b"%5C"))
}

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands in a path as it is: `pchar` (RFC 3986, 3.3) but for what is encoded, and the slash.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = is_unreserved(byte as u8) || is_delimiter(byte as u8);
        byte += 1;
    }
    plain
};

/// What a byte may be to `is_plain`.
mod class {
    pub(super) const SLASH: u8 = 1;
    pub(super) const DOT: u8 = 2;
    pub(super) const ODD: u8 = 4;
}

const CLASSES: [u8; 256] = {
    let mut classes = [class::ODD; 256];
    let mut byte = 0;
    while byte < 256 {
        if PLAIN[byte] {
            classes[byte] = 0;
        }
        byte += 1;
    }
    classes[b'/' as usize] = class::SLASH;
    classes[b'.' as usize] = class::DOT;
    classes
};

const fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@'
            | b'/'
    )
}

#[cfg(test)]
mod tests;
