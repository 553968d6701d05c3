//! One connection of HTTP/2 to a server, and the task that drives it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use http::uri::Scheme;
use probe::Calling;

use super::io::Io;
use crate::clock::Millis;
use crate::stream::Stream;

/// Streams at the same time on one connection, at most. Where there are more, another connection is opened.
pub(super) const STREAMS_MAX: usize = 128;

/// Bytes of an answer that a server may send before any of it was taken over.
const WINDOW: u32 = 128 << 10;

/// The same for all streams of a connection: whoever takes its answer slowly holds back nobody else's.
const CONNECTION_WINDOW: u32 = WINDOW * STREAMS_MAX as u32;

/// Bytes of the fields of an answer, each with 32 more (RFC 9113, 6.5.2).
const FIELDS_BYTES_MAX: u32 = 64 << 10;

/// What `h2` counts of short frames that were not taken over yet, 256 for each less its length: past that it ends the connection. Each time it reads, it
/// reads on for 2 MiB at the most before streams take over what is theirs, which frames of one byte are not enough to fill this with.
const SHORT_FRAMES_MAX: usize = 64 << 20;

/// How long a connection that is in doubt has to say anything.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Link {
    /// Nothing once no request may begin on it: when the last of it is dropped, and no stream is left, the connection closes.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// What the server was called with.
    calling: Option<Arc<Calling>>,
    /// Streams of ours under way.
    streams: Cell<usize>,
    /// As many the server allows; zero before it has said.
    most: Cell<usize>,
    /// Since when it was seen without a stream.
    quiet_since: Cell<Option<Millis>>,
    heard: Rc<Cell<u64>>,
    doubt: Cell<Option<Doubt>>,
    wants_ping: Cell<bool>,
    given_up: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

/// A request waited for long, and in all that time nothing came on the whole connection. Perhaps nothing goes through it any more.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    heard: u64,
    /// By when something must have been heard; not set before the first look.
    until: Option<Millis>,
}

/// What drives a connection until it is over.
pub(super) struct Driver {
    connection: client::Connection<Io, Bytes>,
    pings: Option<PingPong>,
    link: Rc<Link>,
}

/// One stream's place on a connection, until it is dropped.
pub(super) struct Seat {
    link: Rc<Link>,
    /// What had been heard when the stream began.
    heard: u64,
}

impl Link {
    /// Greets a server, and waits for its settings: whoever sends none speaks something else.
    pub(super) async fn open(
        stream: Stream,
        calling: Option<Arc<Calling>>,
    ) -> io::Result<(Rc<Self>, Driver)> {
        let heard = Rc::new(Cell::new(0));
        let io = Io::new(stream, Rc::clone(&heard));
        let (sender, mut connection) = client::Builder::new()
            .enable_push(false)
            // None before the server has said how many.
            .initial_max_send_streams(0)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(FIELDS_BYTES_MAX)
            .data_frame_budget(SHORT_FRAMES_MAX)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        let link = Rc::new(Self {
            sender: RefCell::new(Some(sender)),
            calling,
            streams: Cell::new(0),
            most: Cell::new(0),
            quiet_since: Cell::new(None),
            heard,
            doubt: Cell::new(None),
            wants_ping: Cell::new(false),
            given_up: Cell::new(false),
            driver: RefCell::new(None),
        });
        let mut driver = Driver {
            pings: connection.ping_pong(),
            connection,
            link: Rc::clone(&link),
        };
        poll_fn(|context| match Pin::new(&mut driver).poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData))),
            Poll::Pending if link.most.get() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        Ok((link, driver))
    }

    /// Whether it was made as the server is to be called now.
    pub(super) fn is_called_by(&self, calling: Option<&Arc<Calling>>) -> bool {
        match (&self.calling, calling) {
            (Some(own), Some(calling)) => Arc::ptr_eq(own, calling),
            (own, calling) => own.is_none() && calling.is_none(),
        }
    }

    /// How many streams there may be at the same time.
    pub(super) fn most(&self) -> usize {
        self.most.get().min(STREAMS_MAX)
    }

    /// Whether requests may still begin on it: neither side has said that it ends.
    pub(super) fn is_open(&self) -> bool {
        let sender = self.sender.borrow().clone();
        let mut context = Context::from_waker(Waker::noop());
        sender.is_some_and(|mut sender| {
            !matches!(sender.poll_ready(&mut context), Poll::Ready(Err(_)))
        })
    }

    /// A place for one more stream, where there is one.
    pub(super) fn sit_down(self: &Rc<Self>) -> Option<Seat> {
        if self.streams.get() >= self.most() || self.is_doubtful() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        self.quiet_since.set(None);
        Some(Seat {
            link: Rc::clone(self),
            heard: self.heard.get(),
        })
    }

    /// No request begins on it any more; it closes when those that have begun are over.
    pub(super) fn close(&self) {
        self.sender.take();
    }

    /// Whether it has no stream.
    pub(super) fn is_quiet(&self) -> bool {
        self.streams.get() == 0
    }

    /// Whether it has had no stream for so long.
    pub(super) fn is_quiet_for(&self, time: Duration, now: Millis) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let since = self.quiet_since.get().unwrap_or(now);
        self.quiet_since.set(Some(since));
        since.after(time) <= now
    }

    /// Looks after one that is in doubt: what says nothing when it is asked is broken off, with all its streams.
    pub(super) fn look_after(&self, now: Millis) {
        let Some(doubt) = self.doubt.get().filter(|_| self.is_doubtful()) else {
            return self.doubt.set(None);
        };
        let until = doubt.until.unwrap_or_else(|| now.after(ANSWERS_WITHIN));
        self.doubt.set(Some(Doubt {
            until: Some(until),
            ..doubt
        }));
        if until <= now {
            self.given_up.set(true);
            self.wake_driver();
        }
    }

    fn is_doubtful(&self) -> bool {
        let heard = self.heard.get();
        self.doubt.get().is_some_and(|doubt| doubt.heard == heard)
    }

    fn doubt(&self) {
        if !self.is_doubtful() {
            let heard = self.heard.get();
            self.doubt.set(Some(Doubt { heard, until: None }));
            self.wants_ping.set(true);
            self.wake_driver();
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

impl Seat {
    /// How the server is reached, as URLs say it.
    pub(super) fn scheme(&self) -> Scheme {
        match self.link.calling {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }

    /// Sends a request's head; nothing where the connection takes no request any more, as after a GOAWAY.
    pub(super) fn send(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let sender = self.link.sender.borrow().clone();
        sender?.send_request(request, ends).ok()
    }

    /// Whether anything was heard of the server since the stream began.
    pub(super) fn has_heard(&self) -> bool {
        self.link.heard.get() != self.heard
    }

    /// Asks whether anything goes through the connection.
    pub(super) fn doubt(&self) {
        self.link.doubt();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let link = Rc::clone(&self.link);
        link.driver.replace(Some(context.waker().clone()));
        if let Some(pings) = &mut self.pings {
            // That something came is all that the answer to a ping says.
            let _ = pings.poll_pong(context);
            if link.wants_ping.take() {
                // It fails where one is under way.
                let _ = pings.send_ping(Ping::opaque());
            }
        }
        let over = link.given_up.get() || Pin::new(&mut self.connection).poll(context).is_ready();
        if over {
            link.close();
            return Poll::Ready(());
        }
        link.most.set(self.connection.max_concurrent_send_streams());
        Poll::Pending
    }
}
