//! One client's connection, as every stage of its requests sees it.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::codec::RequestHead;
use super::space::Spaces;
use crate::buffers::Buffer;
use crate::clock::Millis;
use crate::listen::Entrance;
use crate::stream::Stream;
use crate::timers::Timer;
use crate::tls::Secured;
use crate::worker::Worker;

/// What goes on with a client's connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next request may come.
    KeepAlive,
    /// Nothing more comes or goes.
    Close,
    /// The client may still be sending: what it sends is read for a while, so that closing does not destroy the answer.
    Linger,
    /// The client goes on in HTTP/2.
    Http2,
}

/// A client's connection.
pub(super) struct Talk {
    pub(super) worker: Rc<Worker>,
    /// The memory of this thread's exchanges.
    pub(super) spaces: Rc<Spaces>,
    pub(super) stream: Stream,
    /// Of whatever the connection waits for.
    pub(super) timer: Rc<Timer>,
    pub(super) entrance: Entrance,
    /// What its handshake brought, where it came by TLS.
    pub(super) secured: Option<Rc<Secured>>,
    /// The IP address of whoever is at the other end, and the same as text.
    pub(super) address: IpAddr,
    pub(super) client: Rc<str>,
    /// Whether the client is a proxy that is believed.
    pub(super) is_trusted: bool,
    /// The number of the table by whose firewall whoever is at the other end was let in last. Its streams share it.
    pub(super) let_in_by: Rc<Cell<u64>>,
    /// Requests so far, the present one included.
    pub(super) requests: Cell<u64>,
    /// Whether its requests are those of HTTP/2.
    pub(super) speaks_http2: bool,
}

/// The client went away, or is taken to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// A client that waits for its answer, and is watched meanwhile. That it has closed its side need not mean that it went; whether it still
/// takes the answer is found out by writing, or by time.
#[derive(Debug)]
pub(super) struct Watch {
    half_closed: bool,
    /// When it is taken to have gone; never, while both sides are open.
    gone_at: Millis,
}

impl Talk {
    /// The same client with one request of many, which comes on a stream of its own, and waits by the timer of the task that serves it.
    pub(super) fn for_exchange(&self, stream: Stream, timer: Rc<Timer>) -> Self {
        Self {
            worker: Rc::clone(&self.worker),
            spaces: Rc::clone(&self.spaces),
            stream,
            timer,
            entrance: self.entrance,
            secured: self.secured.clone(),
            address: self.address,
            client: Rc::clone(&self.client),
            is_trusted: self.is_trusted,
            let_in_by: Rc::clone(&self.let_in_by),
            requests: Cell::new(0),
            speaks_http2: true,
        }
    }

    /// The address of the client that a request comes from, behind however many proxies that are believed.
    pub(super) fn source(&self, request: &RequestHead, head: &[u8]) -> IpAddr {
        let trusted = &self.worker.settings.trusted;
        request.source(head, self.address, |address| trusted.contains(address))
    }

    /// Whether the listener lets in where a request comes from. Who is at the other end is looked at once for each table; those who come
    /// by way of a trusted proxy, for each request.
    pub(super) fn is_let_in(&self, source: IpAddr) -> bool {
        let worker = &self.worker;
        if !worker.is_guarded(self.entrance) {
            return true;
        }
        let table = worker.table_number();
        if !self.is_trusted && self.let_in_by.get() == table {
            return true;
        }
        let is_let_in = worker.lets_in(self.entrance, source);
        if is_let_in {
            self.let_in_by.set(table);
        }
        is_let_in
    }

    /// How the client came.
    pub(super) fn scheme(&self) -> &'static str {
        self.entrance.scheme()
    }

    /// The subject of the client's certificate, if it has shown one.
    pub(super) fn subject(&self) -> Option<&str> {
        self.secured.as_ref()?.subject()
    }

    /// Whether the connection may be used for this host.
    pub(super) fn is_for(&self, authority: &[u8]) -> bool {
        let secured = self.secured.as_ref();
        secured.is_none_or(|secured| secured.is_for(authority))
    }

    /// The moment so long from now, by a clock that may be a tick behind: early by that much.
    pub(super) fn after(&self, duration: Duration) -> Millis {
        self.worker.clock.now().after(duration)
    }

    /// Whether, as far as the balancer is concerned, another request may follow the present one.
    pub(super) fn may_go_on(&self) -> bool {
        !self.worker.is_stopping() && self.requests.get() < self.worker.settings.requests_max
    }

    /// Reads ahead what a client sends that waits for its answer, and notices where it closes its side.
    pub(super) fn poll_watch(
        &self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
        half_closed: &mut bool,
    ) -> Poll<Gone> {
        while !*half_closed && !buffer.is_full() {
            match self.stream.poll_fill(context, buffer, &self.spaces.buffers) {
                Poll::Ready(Ok(0)) => *half_closed = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Gone),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            half_closed: false,
            gone_at: Millis::NEVER,
        }
    }

    /// Looks at the client, which has gone where this fails. True where it has just closed its side: then [`Watch::until`] has moved.
    pub(super) fn look(
        &mut self,
        talk: &Talk,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Result<bool, Gone> {
        let was_closed = self.half_closed;
        if let Poll::Ready(gone) = talk.poll_watch(context, buffer, &mut self.half_closed) {
            return Err(gone);
        }
        let closes = self.half_closed && !was_closed;
        if closes {
            self.gone_at = talk.after(talk.worker.settings.half_closed_for);
        }
        Ok(closes)
    }

    /// When the client is taken to have gone.
    pub(super) fn until(&self) -> Millis {
        self.gone_at
    }

    /// Whether that moment has come; it is counted then, since no answer says so.
    pub(super) fn is_over(&self, talk: &Talk) -> bool {
        let over = talk.worker.clock.now() >= self.gone_at;
        if over {
            talk.worker.counters.ended("half-closed");
        }
        over
    }
}
