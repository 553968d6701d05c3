//! The request target: which of its forms it has, and what it may consist of.
//!
//! Allowed is what RFC 3986 allows and what browsers send besides (the WHATWG URL standard leaves
//! `|[]` in paths and more in queries as they are); never a fragment, a space or a raw non-ASCII
//! byte. Nothing is decoded or normalised here: what a path's normal form is, and whether servers
//! get that, is for the callers.

use std::net::Ipv6Addr;

use super::method::Method;
use super::span::Span;

/// The form of a request target (RFC 9112, 3.2). The authority form is CONNECT's, which is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://authority/path?query`, sent on in origin form.
    Absolute,
    /// `*`, of OPTIONS alone.
    Asterisk,
}

/// A request target that has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The form it came in.
    pub form: Form,
    /// The path alone; empty for `http://authority`, which means `/`.
    pub path: Span,
    /// Path and query.
    pub path_and_query: Span,
    /// The authority of the absolute form.
    pub authority: Option<Span>,
    /// Whether the absolute form's scheme is `https`.
    pub secure: bool,
}

impl Target {
    /// Reads `text`, a slice of `buf`; `None` where it is not valid for the method.
    pub(super) fn read(buf: &[u8], text: &[u8], method: Method) -> Option<Self> {
        match text {
            [b'/', ..] => Self::relative(buf, text, Form::Origin, None),
            b"*" => (method == Method::Options).then(|| Self {
                form: Form::Asterisk,
                path: Span::locate(buf, text),
                path_and_query: Span::locate(buf, text),
                authority: None,
                secure: false,
            }),
            _ => Self::absolute(buf, text),
        }
    }

    fn absolute(buf: &[u8], text: &[u8]) -> Option<Self> {
        let secure = strip_scheme(text, b"https://");
        let rest = secure.or_else(|| strip_scheme(text, b"http://"))?;
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        if !is_authority(authority) {
            return None;
        }
        let authority = Some(Span::locate(buf, authority));
        let target = Self::relative(buf, path_and_query, Form::Absolute, authority)?;
        Some(Self {
            secure: secure.is_some(),
            ..target
        })
    }

    fn relative(buf: &[u8], text: &[u8], form: Form, authority: Option<Span>) -> Option<Self> {
        let end = memchr::memchr(b'?', text).unwrap_or(text.len());
        let (path, query) = text.split_at(end);
        let valid = path.iter().all(|byte| is_path_byte(*byte))
            && query.iter().all(|byte| is_query_byte(*byte));
        valid.then(|| Self {
            form,
            path: Span::locate(buf, path),
            path_and_query: Span::locate(buf, text),
            authority,
            secure: false,
        })
    }

    /// Whether it names the server as a whole, and no path: the asterisk form, or the absolute form
    /// of the same.
    pub fn is_about_server(&self, method: Method) -> bool {
        let is_bare = self.form == Form::Absolute && self.path_and_query.is_empty();
        self.form == Form::Asterisk || (is_bare && method == Method::Options)
    }

    /// The query with its question mark; empty where there is none.
    pub fn query<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &self.path_and_query.of(buf)[self.path.len()..]
    }

    /// Writes the target in the form that a server gets.
    pub(super) fn write(&self, buf: &[u8], method: Method, out: &mut Vec<u8>) {
        let text = self.path_and_query.of(buf);
        if self.is_about_server(method) {
            return out.push(b'*');
        }
        if self.path.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(text);
    }
}

fn strip_scheme<'a>(text: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn is_path_byte(byte: u8) -> bool {
    is_query_byte(byte) && !matches!(byte, b'\\' | b'^' | b'`' | b'{' | b'}')
}

fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

/// Whether `text` is a host with an optional port and nothing else: no user, no escapes.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host_is_valid, rest) = match text {
        [b'[', inner @ ..] => {
            let Some(end) = memchr::memchr(b']', inner) else {
                return false;
            };
            (is_ipv6(&inner[..end]), &inner[end + 1..])
        }
        _ => {
            let end = memchr::memchr(b':', text).unwrap_or(text.len());
            (is_name(&text[..end]), &text[end..])
        }
    };
    host_is_valid && is_port(rest)
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_name(text: &[u8]) -> bool {
    let is_name_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
    !text.is_empty() && text.iter().all(is_name_byte)
}

/// Nothing, or a colon and at most a port number.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for text in [
            "a",
            "a:80",
            "a:",
            "10.0.0.1:65535",
            "[::1]",
            "[::1]:8080",
            "a_b.c~",
        ] {
            assert!(is_authority(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_authority_has_no_user_escape_or_far_port() {
        for text in [
            "",
            ":80",
            "u@a",
            "a b",
            "a/b",
            "a:99999",
            "a:8x",
            "a:+8",
            "a:80:80",
            "[::1",
            "[a]",
            "[::1]x",
            "::1",
            "a%41",
            "a#",
            "a?",
            "\u{e9}",
            "a\\b",
            "[fe80::1%25eth0]",
        ] {
            assert!(!is_authority(text.as_bytes()), "{text}");
        }
    }

    fn written(text: &str, method: Method) -> Option<String> {
        let target = Target::read(text.as_bytes(), text.as_bytes(), method)?;
        let mut out = Vec::new();
        target.write(text.as_bytes(), method, &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_absolute_target_is_sent_in_origin_form() {
        assert_eq!(
            written("http://b/x?y", Method::Get).as_deref(),
            Some("/x?y")
        );
        assert_eq!(written("HTTPS://b:443", Method::Get).as_deref(), Some("/"));
        assert_eq!(written("http://b?y", Method::Get).as_deref(), Some("/?y"));
        assert_eq!(written("http://b", Method::Options).as_deref(), Some("*"));
    }

    #[test]
    fn a_target_that_two_readers_could_read_differently_is_refused() {
        for text in [
            "a:80",
            "/a#b",
            "/a\\b",
            "/a b",
            "/\u{e9}",
            "*",
            "",
            "ftp://a/",
            "http://u@a/",
            "http:///x",
            "/a\"b",
            "/?<",
            "//\u{7f}",
        ] {
            assert_eq!(written(text, Method::Get), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_never_decoded_or_normalised() {
        for text in [
            "/pub/../admin",
            "/pub%2f..%2fadmin",
            "/%zz",
            "//x",
            "/a|b[c]",
            "/?{a}^\\",
        ] {
            assert_eq!(written(text, Method::Get).as_deref(), Some(text));
        }
    }
}
