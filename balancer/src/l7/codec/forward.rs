//! A request's head as the server gets it: one Host, one framing, nothing hop-by-hop, and who sent
//! it.

use super::body::Carry;
use super::changes::{self, FieldChanges};
use super::forwarded::closes_its_quotes;
use super::framing::Framing;
use super::method::Version;
use super::name::Name;
use super::request::RequestHead;

/// What the balancer knows about a request besides its bytes. The texts go into fields as they are:
/// they must be free of control characters.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// The client's IP address as text, without brackets or port.
    pub client: &'a str,
    /// `http` or `https`: how the client came.
    pub scheme: &'a str,
    /// Whether the request came in HTTP/2, as Via says.
    pub http2: bool,
    /// Whether the client is a proxy whose own forwarding fields are believed: they are then kept
    /// and added to, else replaced, or dropped where the balancer writes none of its own.
    pub trusted: bool,
    /// The request's id, a token; whatever the client sent in its place is left out.
    pub request_id: &'a [u8],
    /// The Host for an HTTP/1.0 request that names none: the pool's id.
    pub fallback_host: &'a str,
    /// Whether to send the request's upgrade on; without it the request is an ordinary one.
    pub upgrade: bool,
    /// The path in place of the client's, whose query stays. It begins with `/`, and is free of what
    /// no path may have.
    pub path: Option<&'a [u8]>,
    /// The Host in place of the client's, who is told of in `X-Forwarded-Host`.
    pub host: Option<&'a [u8]>,
    /// Whether a client that takes trailers is one that the server hears of: what speaks HTTP/2 with the server passes them on.
    pub trailers: bool,
    /// What the route changes of the fields.
    pub changes: Option<&'a dyn FieldChanges>,
    /// The field that names the subject of the client's certificate.
    pub subject: Option<Subject<'a>>,
}

/// A field by which servers know a client: whatever the client sent under its name is left out.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// A token.
    pub field: &'a str,
    /// In printable ASCII. Nothing where the client has shown no certificate.
    pub value: Option<&'a str>,
}

impl Subject<'_> {
    /// Whether a field is read as this one: in any case of letters, and by servers that take `_` for `-`.
    fn is_named(&self, name: &[u8]) -> bool {
        let plain = |byte: &u8| match byte {
            b'_' => b'-',
            byte => byte.to_ascii_lowercase(),
        };
        let own = self.field.as_bytes();
        name.len() == own.len() && name.iter().map(plain).eq(own.iter().map(plain))
    }
}

/// Writes the head to send to a server behind what `out` holds. The body follows as
/// [`RequestHead::carry`] says.
pub fn rewrite_request(
    buf: &[u8],
    head: &RequestHead,
    forwarding: &Forwarding<'_>,
    out: &mut Vec<u8>,
) {
    let writer = Writer {
        buf,
        head,
        forwarding,
        host: head
            .authority(buf)
            .unwrap_or(forwarding.fallback_host.as_bytes()),
    };
    writer.request_line(out);
    field(out, b"Host: ", forwarding.host.unwrap_or(writer.host));
    head.fields.copy_kept(buf, out, |field| {
        writer.keeps(field.meaning)
            && changes::stays(forwarding.changes, field, buf)
            && !writer.is_subject(field.name.of(buf))
    });
    head.framing.write(out);
    writer.forwarding_fields(out);
    writer.subject(out);
    changes::write(forwarding.changes, out);
    writer.connection_fields(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line; `start` is the name with its colon and space.
pub(super) fn field(out: &mut Vec<u8>, start: &[u8], value: &[u8]) {
    out.extend_from_slice(start);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

struct Writer<'a> {
    buf: &'a [u8],
    head: &'a RequestHead,
    forwarding: &'a Forwarding<'a>,
    host: &'a [u8],
}

impl Writer<'_> {
    fn request_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.method_name(self.buf));
        out.push(b' ');
        let target = &self.head.target;
        match self.forwarding.path {
            Some(path) if !target.is_about_server(self.head.method) => {
                out.extend_from_slice(path);
                out.extend_from_slice(target.query(self.buf));
            }
            _ => target.write(self.buf, self.head.method, out),
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }

    /// Which of the client's own lines stay. What is neither kept here nor written anew ends here.
    fn keeps(&self, meaning: Name) -> bool {
        match meaning {
            Name::Other | Name::Via | Name::Date => true,
            Name::Trailer => {
                self.head.framing == Framing::Chunked && self.head.carry == Carry::Wire
            }
            Name::Expect => self.head.expect_continue,
            Name::MaxForwards => self.head.max_forwards.is_none(),
            Name::Claim => self.forwarding.trusted,
            _ => false,
        }
    }

    fn forwarding_fields(&self, out: &mut Vec<u8>) {
        self.forwarded_for(out);
        self.kept_or(
            out,
            b"X-Forwarded-Proto: ",
            Name::ForwardedProto,
            self.forwarding.scheme.as_bytes(),
        );
        self.kept_or(out, b"X-Forwarded-Host: ", Name::ForwardedHost, self.host);
        self.forwarded(out);
        match self.head.version {
            _ if self.forwarding.http2 => out.extend_from_slice(b"Via: 2.0 roundhouse\r\n"),
            Version::Http10 => out.extend_from_slice(b"Via: 1.0 roundhouse\r\n"),
            Version::Http11 => out.extend_from_slice(b"Via: 1.1 roundhouse\r\n"),
        }
        field(out, b"X-Request-Id: ", self.forwarding.request_id);
        if let Some(left) = self.head.max_forwards {
            let mut number = itoa::Buffer::new();
            let left = number.format(left.saturating_sub(1));
            field(out, b"Max-Forwards: ", left.as_bytes());
        }
    }

    fn is_subject(&self, name: &[u8]) -> bool {
        let subject = self.forwarding.subject.as_ref();
        subject.is_some_and(|subject| subject.is_named(name))
    }

    fn subject(&self, out: &mut Vec<u8>) {
        if let Some(Subject {
            field: name,
            value: Some(value),
        }) = self.forwarding.subject
        {
            out.extend_from_slice(name.as_bytes());
            field(out, b": ", value.as_bytes());
        }
    }

    /// The values of a forwarding field that are believed.
    fn believed(&self, meaning: Name) -> impl DoubleEndedIterator<Item = &[u8]> {
        let values = || self.head.fields.meaning(self.buf, meaning);
        let believed = self.forwarding.trusted.then(values);
        believed
            .into_iter()
            .flatten()
            .filter(|value| !value.is_empty())
    }

    fn forwarded_for(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        for value in self.believed(Name::ForwardedFor) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        field(out, b"", self.forwarding.client.as_bytes());
    }

    /// A field that the first proxy sets and the others keep.
    fn kept_or(&self, out: &mut Vec<u8>, start: &[u8], meaning: Name, own: &[u8]) {
        let value = self.believed(meaning).next().unwrap_or(own);
        field(out, start, value);
    }

    /// The values of RFC 7239's field that are believed: those behind the last one with a quote that does not close. What is
    /// written behind that would be within the quote, and those before it are nearer to the client that may have left it open.
    fn believed_forwarded(&self) -> impl Iterator<Item = &[u8]> {
        let values = || self.believed(Name::Forwarded);
        let sound = values().rev().take_while(|value| closes_its_quotes(value));
        let unsound = values().count() - sound.count();
        values().skip(unsound)
    }

    /// RFC 7239's field. It is begun by whoever is the first, and continued by the others; where a
    /// trusted proxy wrote X-Forwarded-For alone, one that began here would name that proxy as
    /// the client.
    fn forwarded(&self, out: &mut Vec<u8>) {
        let mut values = self.believed_forwarded().peekable();
        if values.peek().is_none() && self.believed(Name::ForwardedFor).next().is_some() {
            return;
        }
        out.extend_from_slice(b"Forwarded: ");
        for value in values {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        let client = self.forwarding.client;
        let (open, close): (&[u8], &[u8]) = if client.contains(':') {
            (b"for=\"[", b"]\";proto=")
        } else {
            (b"for=", b";proto=")
        };
        let scheme = self.forwarding.scheme.as_bytes();
        for part in [
            open,
            client.as_bytes(),
            close,
            scheme,
            b";host=\"",
            self.host,
        ] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\"\r\n");
    }

    fn connection_fields(&self, out: &mut Vec<u8>) {
        if self.forwarding.trailers && self.head.accepts_trailers(self.buf) {
            out.extend_from_slice(b"TE: trailers\r\n");
        }
        if let Some(protocol) = self.head.upgrade.filter(|_| self.forwarding.upgrade) {
            field(out, b"Connection: upgrade\r\nUpgrade: ", protocol.bytes());
        }
    }
}
