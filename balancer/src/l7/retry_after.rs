//! How long a server asks to be left alone: `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3).

use std::time::{Duration, SystemTime};

use super::codec::ResponseHead;

/// What the head over `buf` says; nothing where it says nothing that can be read. A date is compared with the server's own, where
/// it gives one: clocks differ.
pub(super) fn retry_after(head: &ResponseHead, buf: &[u8], now: SystemTime) -> Option<Duration> {
    let value = head.get(buf, "retry-after")?;
    let date = head.get(buf, "date").and_then(date);
    delay(value, date.unwrap_or(now))
}

fn delay(value: &[u8], now: SystemTime) -> Option<Duration> {
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let text = str::from_utf8(value).expect("digits are text");
        // A number too large for its type is as good as for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    // A date that is past asks for no wait.
    Some(date(value)?.duration_since(now).unwrap_or_default())
}

fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::codec::{Asked, Limits, Parse, parse_response};

    /// What these fields ask for, in seconds, at ten past the hour by the balancer's clock.
    fn asked(fields: &str) -> Option<u64> {
        let text = format!("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{fields}\r\n");
        let mut head = ResponseHead::new();
        let limits = Limits::for_responses();
        let parsed = parse_response(text.as_bytes(), Asked::default(), &limits, &mut head);
        assert!(matches!(parsed, Ok(Parse::Complete { .. })), "{parsed:?}");
        let now = date(b"Sun, 06 Nov 1994 08:10:00 GMT").expect("a date");
        Some(retry_after(&head, text.as_bytes(), now)?.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(asked("Retry-After: 120\r\n"), Some(120));
        assert_eq!(
            asked("retry-after: Sun, 06 Nov 1994 08:10:07 GMT\r\n"),
            Some(7)
        );
        assert_eq!(
            asked("Retry-After: 99999999999999999999999\r\n"),
            Some(u64::MAX)
        );
    }

    #[test]
    fn a_date_is_compared_with_the_servers_own_clock() {
        let fields = "Date: Sun, 06 Nov 1994 09:00:00 GMT\r\n\
            Retry-After: Sun, 06 Nov 1994 09:00:05 GMT\r\n";
        assert_eq!(asked(fields), Some(5));
    }

    #[test]
    fn a_date_that_is_past_asks_for_nothing() {
        assert_eq!(
            asked("Retry-After: Sun, 06 Nov 1994 08:09:00 GMT\r\n"),
            Some(0)
        );
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for value in ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994"] {
            assert_eq!(asked(&format!("Retry-After: {value}\r\n")), None, "{value}");
        }
        assert_eq!(asked(""), None);
    }
}
