//! A second, widely used reader's opinion: hyper's, over bytes that are all there from the start.
//! No runtime and no socket, so that a fuzzer can ask it thousands of times a second.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::{future, io};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, client, server};

use super::checker::{Message, latin};

/// Room for what the balancer adds to a message that came with the most fields it takes.
const FIELDS_MAX: usize = 120;

/// A whole message in the words that every reader of HTTP has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Method and target of a request, the status of a response.
    pub(super) start: String,
    /// Names in lower case; sorted by them, since hyper keeps the order within a name alone.
    pub(super) fields: Vec<(String, String)>,
    /// The content.
    pub(super) body: Vec<u8>,
}

impl Reading {
    pub(super) fn new(
        start: String,
        fields: impl Iterator<Item = (String, String)>,
        body: Vec<u8>,
    ) -> Self {
        let mut fields: Vec<_> = fields
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        Self {
            start,
            fields,
            body,
        }
    }

    /// What hyper should say of a request that was checked.
    pub(super) fn of_request(message: &Message) -> Self {
        let method = message.start_line.split(' ').next().unwrap_or_default();
        let start = format!("{method} {}", message.target());
        Self::new(start, message.fields.iter().cloned(), message.body.clone())
    }

    /// What hyper should say of a response that was checked.
    pub(super) fn of_response(message: &Message) -> Self {
        let start = message.status().to_owned();
        Self::new(start, message.fields.iter().cloned(), message.body.clone())
    }

    fn by_hyper(start: String, fields: &HeaderMap, body: &Bytes) -> Self {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.to_string(), latin(value.as_bytes())));
        Self::new(start, fields, body.to_vec())
    }
}

/// Every request that hyper's server reads whole from `bytes`, before it objects or they end.
pub(super) fn requests(bytes: &[u8]) -> Vec<Reading> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let start = format!("{} {}", parts.method, parts.uri);
            let reading = Reading::by_hyper(start, &parts.headers, &body);
            seen.borrow_mut().push(reading);
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection = server::conn::http1::Builder::new()
        .half_close(true)
        .max_headers(FIELDS_MAX)
        .serve_connection(Wire::of(bytes, true), service);
    let _ = run(connection);
    seen.take()
}

/// The response that hyper's client reads whole from `bytes` as the answer to `request`, if any.
pub(super) fn response(bytes: &[u8], request: Request<Empty<Bytes>>) -> Option<Reading> {
    let wire = Wire::of(bytes, false);
    let mut builder = client::conn::http1::Builder::new();
    builder.max_headers(FIELDS_MAX);
    let (mut sender, connection) = run(builder.handshake(wire))?.ok()?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let start = parts.status.as_u16().to_string();
        Some(Reading::by_hyper(start, &parts.headers, &body))
    };
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    let mut is_over = false;
    run(future::poll_fn(|context| {
        is_over = is_over || connection.as_mut().poll(context).is_ready();
        exchange.as_mut().poll(context)
    }))?
}

/// Polls until the future is ready, or `None`: nothing comes from outside, so one that waits
/// without having woken itself would wait for ever.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    loop {
        let before = wakes.0.load(Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if wakes.0.load(Ordering::Relaxed) == before {
            return None;
        }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection whose other side has sent all that it will, or will once it is spoken to.
struct Wire<'a> {
    input: &'a [u8],
    speaks: bool,
    reader: Option<Waker>,
}

impl<'a> Wire<'a> {
    fn of(input: &'a [u8], speaks: bool) -> Self {
        Self {
            input,
            speaks,
            reader: None,
        }
    }
}

impl hyper::rt::Read for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.speaks {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (piece, rest) = self.input.split_at(self.input.len().min(buf.remaining()));
        buf.put_slice(piece);
        self.input = rest;
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.speaks = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
