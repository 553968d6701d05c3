//! RFC 7239's field, as far as it is read: elements between commas, in each parameters between semicolons, of which the
//! values may be quoted.

/// The parts of `value` between separators, the last one first; one in quotes separates nothing. It is read from its end,
/// where the proxies that are believed have written: a quote that a client left open before hides nothing of theirs.
pub(super) fn rsplit(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(value);
    std::iter::from_fn(move || {
        let rest = left?;
        let Some(at) = last_unquoted(rest, separator) else {
            return left.take();
        };
        left = Some(&rest[..at]);
        Some(&rest[at + 1..])
    })
}

fn last_unquoted(value: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    value.iter().enumerate().rposition(|(at, byte)| {
        quoted ^= *byte == b'"' && !is_escaped(value, at);
        *byte == separator && !quoted
    })
}

/// Whether an odd number of backslashes stands before this place.
fn is_escaped(value: &[u8], at: usize) -> bool {
    let before = value[..at].iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Whose request an element says it is: the value of its one `for`, without quotes.
pub(super) fn source(element: &[u8]) -> Option<&[u8]> {
    let mut sources = rsplit(element, b';').filter_map(of_source);
    sources.next().filter(|_| sources.next().is_none())
}

fn of_source(parameter: &[u8]) -> Option<&[u8]> {
    let (name, value) = parameter.trim_ascii().split_at_checked(b"for=".len())?;
    let value = name.eq_ignore_ascii_case(b"for=").then_some(value)?;
    let quoted = value.strip_prefix(b"\"");
    Some(quoted.map_or(value, |value| value.strip_suffix(b"\"").unwrap_or_default()))
}

/// Whether each quote in `value` that opens closes too, so that something can be written behind.
pub(super) fn closes_its_quotes(value: &[u8]) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for byte in value {
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_in_quotes_separates_nothing() {
        for (value, parts) in [
            ("", vec![""]),
            ("a", vec!["a"]),
            ("a,b,", vec!["", "b", "a"]),
            (r#"a="1,2",b"#, vec!["b", r#"a="1,2""#]),
            (r#"a="1\",2",b"#, vec!["b", r#"a="1\",2""#]),
            (r#"a="1\\",b=",""#, vec![r#"b=",""#, r#"a="1\\""#]),
            (r#"a="oops,b"#, vec!["b", r#"a="oops"#]),
        ] {
            let read: Vec<_> = rsplit(value.as_bytes(), b',').collect();
            let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
            assert_eq!(read, parts, "{value}");
        }
    }

    #[test]
    fn quotes_close_where_none_is_open_at_the_end() {
        for value in ["", "for=a", r#"for="a";by="b""#, r#"a="\"\\""#, r"for=a\"] {
            assert!(closes_its_quotes(value.as_bytes()), "{value}");
        }
        for value in [
            "\"",
            r#"for="oops"#,
            r#"a="b\""#,
            r#"a="b";c=""#,
            r#"a="b\"#,
        ] {
            assert!(!closes_its_quotes(value.as_bytes()), "{value}");
        }
    }
}
