//! `/v1/events`: what happens in the fleet, as it happens (server-sent events).

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::transport::{Call, Transport};
use crate::{Client, Error};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The API sends at least a comment more often than this; longer silence means that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The longest event, in bytes.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Where the fleet stood then: what to ask for the events after it with.
    pub id: Option<String>,
    pub kind: String,
    /// JSON.
    pub data: String,
}

/// Events as they come, until the connection breaks.
#[derive(Debug)]
pub struct Events {
    transport: Transport,
    body: Incoming,
    parser: Parser,
}

impl Client {
    /// Follows the events: those after the one with the id `after`, or those from now on. The first one
    /// says where the fleet stands.
    pub async fn events(&self, after: Option<&str>) -> Result<Events, Error> {
        let event_stream = HeaderValue::from_static("text/event-stream");
        let mut call = Call::get("/events").header(ACCEPT, event_stream);
        if let Some(Ok(after)) = after.map(HeaderValue::try_from) {
            call = call.header(LAST_EVENT_ID, after);
        }
        let response = self.transport.open(call).await?;
        Ok(Events {
            transport: self.transport.clone(),
            body: response.into_body(),
            parser: Parser::default(),
        })
    }
}

impl Events {
    /// The next event.
    ///
    /// # Errors
    /// Where the connection broke, or nothing came for so long that it must have.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.parser.take_event() {
                return Ok(event);
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| self.transport.silent(SILENCE_MAX))?;
            let frame = frame.ok_or_else(|| self.transport.ended())?;
            let frame = frame.map_err(|error| self.transport.unreachable(&error))?;
            if let Ok(data) = frame.into_data() {
                let fed = self.parser.feed(&data);
                fed.map_err(|reason| self.transport.unexpected(reason.into()))?;
            }
        }
    }
}

/// Bytes in, events out, after the HTML standard's grammar.
#[derive(Debug, Default)]
struct Parser {
    unread: BytesMut,
    event: Event,
    has_data: bool,
    /// Whether the last line ended with a carriage return, which a line feed may follow.
    after_return: bool,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.unread.len() + self.event.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err("an event of more than 4 MiB");
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }

    fn take_event(&mut self) -> Option<Event> {
        while let Some(line) = self.take_line() {
            if !line.is_empty() {
                self.take_field(&line);
                continue;
            }
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                return Some(event);
            }
        }
        None
    }

    fn take_line(&mut self) -> Option<String> {
        if self.after_return && self.unread.first() == Some(&b'\n') {
            self.unread.advance(1);
        }
        if !self.unread.is_empty() {
            self.after_return = false;
        }
        let end = self
            .unread
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let line = self.unread.split_to(end);
        self.after_return = self.unread[0] == b'\r';
        self.unread.advance(1);
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    fn take_field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event.kind = value.to_owned(),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // A comment, a retry time, or what is not known.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, kind: &str, data: &str) -> Event {
        let (kind, data) = (kind.to_owned(), data.to_owned());
        let id = id.map(str::to_owned);
        Event { id, kind, data }
    }

    #[test]
    fn events_are_read_however_their_bytes_are_cut() {
        let text = "\u{feff}:hello\r\n\r\nid: 7\r\nevent: change\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:x\n\nid: 8\n\n";
        let expected = [
            event(Some("7"), "change", "{\"a\":\n1}"),
            event(None, "", "x"),
        ];
        for size in 1..=text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                parser.feed(chunk).unwrap();
                events.extend(std::iter::from_fn(|| parser.take_event()));
            }
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1024 * 1024));
        for _ in 0..3 {
            parser.feed(line.as_bytes()).unwrap();
            assert_eq!(parser.take_event(), None);
        }
        assert!(parser.feed(line.as_bytes()).is_err());
    }
}
