use proptest::prelude::*;

use super::*;

fn both(path: &str) -> Result<(String, String), BadPath> {
    let normal = NormalPath::of(path.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
    Ok((text(normal.forwarded()), text(normal.matched())))
}

fn is(path: &str, forwarded: &str, matched: &str) {
    let expected = Ok((forwarded.to_owned(), matched.to_owned()));
    assert_eq!(both(path), expected, "{path}");
}

#[test]
fn a_normal_path_is_borrowed() {
    for path in [
        "/",
        "/a/b.c/d~e",
        "/.well-known/x",
        "/a/...",
        "/a/.b/",
        "/%C3%BC",
        "/a%20b",
        "/a%2Fb",
        "/a;b=c,d@e:f",
    ] {
        let normal = NormalPath::of(path.as_bytes()).expect(path);
        assert_eq!(normal.forwarded(), path.as_bytes());
        assert!(normal.was_normal(), "{path}");
    }
    assert!(NormalPath::of(b"").expect("the root").was_normal());
}

#[test]
fn what_is_written_in_another_way_is_written_in_one() {
    for (path, same) in [
        ("", "/"),
        ("/%61dmin", "/admin"),
        ("/a%7eb", "/a~b"),
        ("/%c3%bc", "/%C3%BC"),
        ("//a///b//", "/a/b/"),
        ("/./a/./b/.", "/a/b/"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/%2e", "/"),
        ("/a//../b", "/b"),
        ("/a/...", "/a/..."),
        ("/a b", "/a%20b"),
        ("/a|b[c]", "/a%7Cb%5Bc%5D"),
        ("/\u{fc}", "/%C3%BC"),
        ("/a%252e%252e/b", "/a%252e%252e/b"),
    ] {
        is(path, same, same);
        assert_eq!(
            NormalPath::of(path.as_bytes()).map(|it| it.was_normal()),
            Ok(path == same || path.is_empty())
        );
    }
}

#[test]
fn an_encoded_slash_is_one_for_rules_and_stays_as_it_is_for_servers() {
    is("/a%2fb", "/a%2Fb", "/a/b");
    is("/%2Fadmin", "/%2Fadmin", "/admin");
    is("/admin%2F", "/admin%2F", "/admin/");
    is("/a%5cb", "/a%5Cb", "/a/b");
    is("/a\\b", "/a%5Cb", "/a/b");
    is("/a%2F/b", "/a%2F/b", "/a/b");
    is("/a%24b%3B", "/a%24b%3B", "/a$b;");
}

#[test]
fn a_path_that_two_servers_would_read_as_two_is_refused() {
    for path in [
        "/public%2F..%2Fadmin",
        "/admin/x%2f..%2f..%2fpublic",
        "/a/..%2Fb",
        "/a%2F../b",
        "/a%5C..\\b",
        "/a%2F.",
        "/a%2Fb/../c",
        "/a/%2e%2e%2fb",
    ] {
        assert_eq!(both(path), Err(BadPath::Ambiguous), "{path}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for (path, error) in [
        ("a", BadPath::NotAbsolute),
        ("*", BadPath::NotAbsolute),
        ("%2Fa", BadPath::NotAbsolute),
        ("/%", BadPath::Encoding),
        ("/%4", BadPath::Encoding),
        ("/%g0", BadPath::Encoding),
        ("/a%2F%+1", BadPath::Encoding),
        ("/%00", BadPath::Nul),
        ("/a\0", BadPath::Nul),
    ] {
        assert_eq!(both(path), Err(error), "{path}");
    }
}

/// Decodes everything, then takes the segments one by one.
fn reference(path: &str) -> Option<Vec<String>> {
    let mut stack: Vec<String> = Vec::new();
    let mut is_open = false;
    for segment in path.strip_prefix('/')?.split('/') {
        let octets = octets(segment)?;
        is_open = true;
        match octets.as_slice() {
            [] | [b'.'] => {}
            [b'.', b'.'] => drop(stack.pop()),
            _ => {
                is_open = false;
                let write = |(octet, is_encoded): (u8, bool)| {
                    let plain =
                        b"-._~!$&'()*+,;=:@".contains(&octet) || octet.is_ascii_alphanumeric();
                    let unreserved = b"-._~".contains(&octet) || octet.is_ascii_alphanumeric();
                    match plain && (unreserved || !is_encoded) {
                        true => char::from(octet).to_string(),
                        false => format!("%{octet:02X}"),
                    }
                };
                let marks = marks(segment);
                stack.push(octets.into_iter().zip(marks).map(write).collect());
            }
        }
    }
    if is_open {
        stack.push(String::new());
    }
    Some(stack)
}

fn octets(segment: &str) -> Option<Vec<u8>> {
    let bytes = segment.as_bytes();
    let mut octets = Vec::new();
    let mut place = 0;
    while place < bytes.len() {
        if bytes[place] == b'%' {
            let digits = bytes.get(place + 1..place + 3)?;
            let digits = std::str::from_utf8(digits).ok()?;
            if !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
                return None;
            }
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            place += 3;
        } else {
            octets.push(bytes[place]);
            place += 1;
        }
    }
    (!octets.contains(&0)).then_some(octets)
}

/// Which of a segment's octets were encoded.
fn marks(segment: &str) -> Vec<bool> {
    let mut marks = Vec::new();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        marks.push(byte == b'%');
        if byte == b'%' {
            bytes.nth(1);
        }
    }
    marks
}

fn paths() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        6 => "[a-c.]{1,3}",
        6 => Just("/".to_owned()),
        2 => Just("..".to_owned()),
        1 => "%[0-9a-fA-F]{2}",
        1 => Just("%2e".to_owned()),
        1 => Just("%2F".to_owned()),
        1 => Just("%5c".to_owned()),
        1 => "[ -~]",
    ];
    let pieces = proptest::collection::vec(pieces, 0..12);
    pieces.prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_normal_form_is_what_a_simple_reading_finds(path in paths()) {
        match (both(&path), reference(&path)) {
            (Ok((forwarded, matched)), Some(segments)) => {
                prop_assert_eq!(&forwarded, &format!("/{}", segments.join("/")));
                let decoded = octets(&matched.replace("%25", "%2525"));
                prop_assert!(decoded.is_some());
                prop_assert!(!matched.contains("//") && !matched.contains("%2F") && !matched.contains("%5C"));
            }
            (Err(BadPath::Ambiguous), _) => {
                let lower = path.to_ascii_lowercase();
                prop_assert!(lower.contains("%2f") || lower.contains("%5c") || lower.contains('\\'));
            }
            (Err(_), None) => {}
            (found, expected) => prop_assert!(false, "{found:?} and not {expected:?}"),
        }
    }

    #[test]
    fn the_normal_form_of_a_normal_form_is_the_same(path in paths()) {
        if let Ok((forwarded, matched)) = both(&path) {
            prop_assert_eq!(both(&forwarded), Ok((forwarded.clone(), matched.clone())));
            prop_assert!(NormalPath::of(forwarded.as_bytes()).is_ok_and(|it| it.was_normal()));
            prop_assert_eq!(both(&matched), Ok((matched.clone(), matched)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_escape_the_root(path: Vec<u8>) {
        if let Ok(normal) = NormalPath::of(&path) {
            prop_assert!(normal.matched().starts_with(b"/") && normal.forwarded().starts_with(b"/"));
            let dots = |form: &[u8]| form.split(|byte| *byte == b'/').any(is_dots);
            prop_assert!(!dots(normal.matched()) && !dots(normal.forwarded()));
        }
    }
}
