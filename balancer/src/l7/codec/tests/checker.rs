//! An independent reading of what was written: no code of the codec, so that a mistake in the codec
//! cannot hide itself.

/// The names that must never leave the balancer.
const HOP_BY_HOP: [&str; 8] = [
    "keep-alive",
    "proxy-connection",
    "te",
    "http2-settings",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "content_length",
];

/// A message as a lenient reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) start_line: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) whole: bool,
}

impl Message {
    pub(super) fn values<'a, 'b>(
        &'a self,
        name: &'b str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The only value of a field that must be there exactly once.
    pub(super) fn only(&self, name: &str) -> &str {
        let values: Vec<_> = self.values(name).collect();
        assert_eq!(values.len(), 1, "{name} in {self:#?}");
        values[0]
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    pub(super) fn target(&self) -> &str {
        self.start_line.split(' ').nth(1).unwrap()
    }

    pub(super) fn status(&self) -> &str {
        self.target()
    }
}

/// Reads one message and what follows it; panics where anything in it is not well-formed.
/// `until_close` says whether a body without framing lasts to the end.
pub(super) fn read(bytes: &[u8], until_close: bool) -> (Message, &[u8]) {
    let (mut message, rest) = split(bytes);
    let rest = read_body(&mut message, rest, until_close);
    check_fields(&message);
    (message, rest)
}

/// Splits a head from what follows it, without a judgement of what its fields say.
pub(super) fn split(bytes: &[u8]) -> (Message, &[u8]) {
    let end = find(bytes, b"\r\n\r\n").expect("a head that ends");
    let text = latin(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let message = Message {
        start_line: lines.next().unwrap_or_default().to_owned(),
        fields: lines.map(field).collect(),
        body: Vec::new(),
        whole: true,
    };
    (message, &bytes[end + 4..])
}

pub(super) fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect("a colon in each field line");
    let is_name =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    assert!(
        !name.is_empty() && name.chars().all(is_name),
        "name of {line:?}"
    );
    let is_value = |letter: char| letter == '\t' || (letter >= ' ' && letter != '\u{7f}');
    assert!(value.chars().all(is_value), "value of {line:?}");
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

fn read_body<'a>(message: &mut Message, bytes: &'a [u8], until_close: bool) -> &'a [u8] {
    if message.has("transfer-encoding") {
        assert_eq!(message.only("transfer-encoding"), "chunked");
        assert!(
            !message.has("content-length"),
            "both framings: {message:#?}"
        );
        return read_chunks(message, bytes);
    }
    if message.has("content-length") {
        let length = message.only("content-length");
        assert!(length.bytes().all(|byte| byte.is_ascii_digit()));
        let length: usize = length.parse().unwrap();
        assert_eq!(
            length.to_string(),
            message.only("content-length"),
            "normalised"
        );
        return take(message, bytes, length);
    }
    if until_close {
        return take(message, bytes, bytes.len());
    }
    bytes
}

fn take<'a>(message: &mut Message, bytes: &'a [u8], length: usize) -> &'a [u8] {
    message.whole &= bytes.len() >= length;
    let (body, rest) = bytes.split_at(length.min(bytes.len()));
    message.body.extend_from_slice(body);
    rest
}

/// Chunks without extensions, then trailers.
fn read_chunks<'a>(message: &mut Message, mut bytes: &'a [u8]) -> &'a [u8] {
    loop {
        let Some(line_end) = find(bytes, b"\r\n") else {
            assert!(
                bytes
                    .iter()
                    .all(|byte| byte.is_ascii_hexdigit() || *byte == b'\r')
            );
            message.whole = false;
            return &[];
        };
        let size = std::str::from_utf8(&bytes[..line_end]).unwrap();
        assert!(
            size.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{size:?}"
        );
        let size = usize::from_str_radix(size, 16).unwrap();
        bytes = &bytes[line_end + 2..];
        if size == 0 {
            return read_trailers(message, bytes);
        }
        bytes = take(message, bytes, size);
        if !message.whole || bytes.len() < 2 {
            message.whole = false;
            return &[];
        }
        assert_eq!(&bytes[..2], b"\r\n");
        bytes = &bytes[2..];
    }
}

fn read_trailers<'a>(message: &mut Message, mut bytes: &'a [u8]) -> &'a [u8] {
    loop {
        let Some(end) = find(bytes, b"\r\n") else {
            message.whole = false;
            return &[];
        };
        let line = latin(&bytes[..end]);
        bytes = &bytes[end + 2..];
        if line.is_empty() {
            return bytes;
        }
        let name = field(&line).0.to_ascii_lowercase().replace('_', "-");
        assert!(!name.starts_with("x-forwarded-"), "{line:?}");
        let unfit = ["host", "content-length", "authorization", "te", "x-real-ip"];
        assert!(!unfit.contains(&name.as_str()), "{line:?}");
    }
}

fn check_fields(message: &Message) {
    for name in HOP_BY_HOP {
        assert!(!message.has(name), "{name} in {message:#?}");
    }
    for nominated in message
        .values("connection")
        .flat_map(|value| value.split(','))
    {
        let nominated = nominated.trim();
        let is_known = ["close", "keep-alive", "upgrade"].contains(&nominated);
        assert!(is_known, "Connection names {nominated} in {message:#?}");
    }
}

/// Reads a forwarded request and checks what must hold of each.
pub(super) fn read_request(bytes: &[u8]) -> (Message, &[u8]) {
    let (message, rest) = read(bytes, false);
    let parts: Vec<_> = message.start_line.split(' ').collect();
    assert_eq!(parts.len(), 3, "{message:#?}");
    assert_eq!(parts[2], "HTTP/1.1");
    assert!(parts[1].starts_with('/') || parts[1] == "*", "{message:#?}");
    assert!(!parts[1].contains('#'));
    message.only("host");
    message.only("x-forwarded-proto");
    message.only("x-forwarded-host");
    assert!(message.only("x-forwarded-for").ends_with("192.0.2.7"));
    for forwarded in message.values("forwarded") {
        let own = behind_the_last_comma(forwarded).trim();
        assert!(own.starts_with("for=192.0.2.7;"), "{message:#?}");
    }
    let last_via = message.values("via").last().unwrap();
    assert!(last_via.ends_with("roundhouse"));
    assert_eq!(
        message.has("upgrade"),
        message.has("connection"),
        "{message:#?}"
    );
    (message, rest)
}

/// The last element of a list, as who minds quotes from its beginning on sees it.
fn behind_the_last_comma(list: &str) -> &str {
    let mut start = 0;
    let mut letters = list.char_indices();
    let mut within_quotes = false;
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => within_quotes = !within_quotes,
            '\\' if within_quotes => drop(letters.next()),
            ',' if !within_quotes => start = at + 1,
            _ => {}
        }
    }
    &list[start..]
}

/// Reads a head whose body never comes, whatever it declares.
pub(super) fn read_head(bytes: &[u8]) -> (Message, &[u8]) {
    let (_, rest) = split(bytes);
    let (mut message, _) = read(&bytes[..bytes.len() - rest.len()], false);
    message.whole = true;
    (message, rest)
}
