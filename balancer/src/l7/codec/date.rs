//! The `Date` field's text, rendered once a second by whoever owns a clock.

use std::time::SystemTime;

/// A moment as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The text for `now`, in whole seconds.
    pub fn at(now: SystemTime) -> Self {
        let text = httpdate::fmt_http_date(now);
        Self(
            text.as_bytes()
                .try_into()
                .expect("an HTTP date has 29 bytes"),
        )
    }

    /// The 29 bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
