//! The way back: the head of the answer rewritten, its body streamed, what is left of the request streamed beside it; or a tunnel.

use std::future::poll_fn;
use std::task::{Context, Poll};

use model::Protocol;
use policy::{InFlight, Live, Outcome};

use super::answer::refuse;
use super::codec::{
    BadBody, Carry, FieldChanges, Framing, Relay, Returned, Returning, rewrite_response,
};
use super::deadline::Deadline;
use super::edits::AnswerEdits;
use super::exchange::{Exchange, Upload};
use super::problem::Problem;
use super::pump::{Broken, Source};
use super::talk::{After, Gone};
use crate::settings::LOOK_EACH;
use crate::stream::Stream;
use crate::upstream::Connection;

/// How the way back ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The whole answer was written.
    Complete,
    /// The client has gone, or takes nothing any more.
    ClientGone,
    /// The server broke off in the middle.
    CutShort,
}

/// Streams the answer of which the head is in `space.response`, and everything that belongs to it.
pub(super) async fn relay(
    exchange: &mut Exchange<'_>,
    connection: Connection,
    mut flight: InFlight,
) -> After {
    flight.note(exchange.outcome());
    let cookie = exchange.cookie_for(flight.server());
    let returned = match start(exchange, cookie.as_deref()) {
        Ok(returned) => returned,
        Err(bad) => {
            flight.note(Outcome::Failed);
            // However long the client takes for the answer that it gets instead, the server has no part in that.
            drop(connection);
            drop(flight);
            return refuse(exchange, Problem::BadResponseBody(bad)).await;
        }
    };
    if returned.relay == Relay::Tunnel {
        // How long it is open says nothing of how fast the server is.
        count(exchange);
    }
    let live = flight.server().live();
    let end = stream(exchange, &connection.stream, live, returned).await;
    finish(exchange, connection, flight, returned, end)
}

/// Writes the head as the client gets it, and what is there of the body behind it.
fn start(exchange: &mut Exchange<'_>, cookie: Option<&[u8]>) -> Result<Returned, BadBody> {
    let talk = exchange.talk;
    let settings = &talk.worker.settings;
    let space = &mut *exchange.space;
    let route = exchange.route.as_deref();
    let edits = AnswerEdits::of(route, exchange.secure, &space.limits, cookie);
    let returning = Returning {
        version: space.request.version,
        keep_alive: space.request.keep_alive && space.upload.is_read() && talk.may_go_on(),
        date: &talk.worker.clock.date(),
        request_id: space.request_id.bytes(),
        changes: edits.as_ref().map(|edits| edits as &dyn FieldChanges),
    };
    space.upload.stop_recording();
    space.download.begin();
    let out = space.download.out();
    let returned = rewrite_response(space.server.filled(), &space.response, &returning, out);
    space.server.consume(exchange.head_length);
    let framing = space.response.framing;
    let limits = &settings.response_limits;
    let download = &mut space.download;
    download.relay_body(framing, returned.relay, limits, &mut space.server)?;
    if returned.relay == Relay::Tunnel {
        space.upload.tunnel(limits);
        exchange.upload = Upload::Going;
    }
    Ok(returned)
}

/// Streams both directions until either side is at its end.
async fn stream(
    exchange: &mut Exchange<'_>,
    server: &Stream,
    live: &Live,
    returned: Returned,
) -> End {
    let client = &exchange.talk.stream;
    let ends_itself = ends_itself(exchange, returned);
    if !ends_itself {
        // Half a body would look like a whole one. So until all of it was written the connection closes by a reset.
        client.reset_on_close(true);
    }
    let mut streaming = Streaming {
        exchange,
        server,
        live,
        tunnel: returned.relay == Relay::Tunnel,
        downloading: true,
        half_closed: false,
        deadline: Deadline::new(),
    };
    streaming.start_waiting();
    let end = poll_fn(|context| streaming.poll(context)).await;
    if end == End::Complete && !ends_itself {
        client.reset_on_close(false);
    }
    end
}

/// Counts what there was, and keeps the server's connection where another request can follow on it.
fn finish(
    exchange: &Exchange<'_>,
    connection: Connection,
    mut flight: InFlight,
    returned: Returned,
    end: End,
) -> After {
    let worker = &exchange.talk.worker;
    let tunnel = returned.relay == Relay::Tunnel;
    if !tunnel {
        count(exchange);
    }
    if end == End::CutShort {
        worker.counters.cut_short();
        flight.note(Outcome::Failed);
    }
    if end == End::Complete && is_reusable(exchange) && !tunnel {
        let live = flight.server().live();
        worker.idle.keep(live, connection, worker.clock.now());
    }
    drop(flight);
    after(exchange, returned, end)
}

fn count(exchange: &Exchange<'_>) {
    let counters = &exchange.talk.worker.counters;
    let status = exchange.space.response.status;
    counters.answered(exchange.plan.pool, status, exchange.started.elapsed());
}

/// Whether the server's connection has nothing under way.
fn is_reusable(exchange: &Exchange<'_>) -> bool {
    let space = &*exchange.space;
    exchange.upload == Upload::Done && space.response.keep_alive && space.server.is_empty()
}

fn after(exchange: &Exchange<'_>, returned: Returned, end: End) -> After {
    let request = &exchange.space.request;
    match end {
        End::Complete if returned.relay == Relay::Tunnel => After::Close,
        End::Complete if returned.keep_alive && exchange.upload == Upload::Done => After::KeepAlive,
        End::Complete if request.keep_alive || exchange.upload != Upload::Done => After::Linger,
        End::Complete | End::ClientGone | End::CutShort => After::Close,
    }
}

/// Whether the client can tell where the body ends without looking at the connection.
fn ends_itself(exchange: &Exchange<'_>, returned: Returned) -> bool {
    match returned.relay {
        Relay::Plain(Carry::Content) => {
            matches!(exchange.space.response.framing, Framing::Length(_))
        }
        _ => true,
    }
}

struct Streaming<'a, 'b> {
    exchange: &'a mut Exchange<'b>,
    server: &'a Stream,
    live: &'a Live,
    tunnel: bool,
    downloading: bool,
    half_closed: bool,
    /// When bytes must have moved in either direction.
    deadline: Deadline,
}

impl Streaming<'_, '_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.downloading
            && let Poll::Ready(end) = self.poll_download(context)
        {
            return Poll::Ready(end);
        }
        if self.exchange.upload == Upload::Going {
            if let Poll::Ready(end) = self.poll_upload(context) {
                return Poll::Ready(end);
            }
        } else if !self.tunnel {
            let talk = self.exchange.talk;
            let buffer = &mut self.exchange.space.client;
            if let Poll::Ready(Gone) = talk.poll_watch(context, buffer, &mut self.half_closed) {
                return Poll::Ready(End::ClientGone);
            }
        }
        self.wait_anew_if_moved();
        self.poll_timer(context)
    }

    fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let talk = self.exchange.talk;
        let space = &mut *self.exchange.space;
        let mut source = Source {
            stream: self.server,
            buffer: &mut space.server,
            buffers: &talk.spaces.buffers,
        };
        let Poll::Ready(result) = space.download.poll(context, &mut source, &talk.stream) else {
            return Poll::Pending;
        };
        match result {
            Ok(()) if self.tunnel => {
                self.downloading = false;
                self.close_half(&talk.stream)
            }
            Ok(()) => Poll::Ready(End::Complete),
            Err(Broken::Sink) => Poll::Ready(End::ClientGone),
            Err(Broken::Source | Broken::Body(_)) => Poll::Ready(End::CutShort),
        }
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let Poll::Ready(result) = self.exchange.poll_upload(context, self.server) else {
            return Poll::Pending;
        };
        match result {
            Ok(()) if self.tunnel => self.close_half(self.server),
            Err(Broken::Sink) if self.tunnel => Poll::Ready(End::Complete),
            // The rest of the answer may still come.
            Ok(()) | Err(Broken::Sink) => Poll::Pending,
            Err(Broken::Source | Broken::Body(_)) => Poll::Ready(End::ClientGone),
        }
    }

    /// One direction of a tunnel has ended; the tunnel ends with the other.
    fn close_half(&self, sink: &Stream) -> Poll<End> {
        let ended = !self.downloading && self.exchange.upload != Upload::Going;
        if ended || sink.end_writing().is_err() {
            return Poll::Ready(End::Complete);
        }
        Poll::Pending
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let talk = self.exchange.talk;
        let now = talk.worker.clock.now();
        // Asked each time, since the timer never expires while bytes move.
        if self.live.is_overdue(now.since_start()) {
            return Poll::Ready(End::CutShort);
        }
        while talk.timer.poll_expired(context).is_ready() {
            if now >= self.deadline.until() {
                return Poll::Ready(self.stalled());
            }
            self.arm();
        }
        Poll::Pending
    }

    /// What it means that nothing moved for too long.
    fn stalled(&self) -> End {
        let reason = match () {
            () if self.tunnel => return End::Complete,
            () if self.half_closed => "half-closed",
            () if self.waits_for_client() => "body-not-sent",
            () if self.exchange.space.download.is_flushed() => return End::CutShort,
            () => "answer-not-taken",
        };
        self.exchange.talk.worker.counters.ended(reason);
        End::ClientGone
    }

    /// Whether the client must send more of its request before anything else can be expected.
    fn waits_for_client(&self) -> bool {
        let space = &*self.exchange.space;
        let uploading = self.exchange.upload == Upload::Going && !self.tunnel;
        uploading && space.upload.is_flushed() && space.download.is_flushed()
    }

    /// Whether an answer that has begun before its request's end may be one half of a conversation, in which either side pauses.
    fn may_converse(&self) -> bool {
        self.exchange.plan.protocol == Protocol::H2
    }

    fn start_waiting(&mut self) {
        let settings = &self.exchange.talk.worker.settings;
        let idle = self.exchange.plan.idle;
        let wait = if self.half_closed && !self.tunnel {
            settings.half_closed_for
        } else if self.waits_for_client() && !self.may_converse() {
            idle.min(settings.body_within)
        } else {
            idle
        };
        self.deadline.set(self.exchange.talk.after(wait));
        self.arm();
    }

    fn wait_anew_if_moved(&mut self) {
        let space = &*self.exchange.space;
        // A client that has just closed its side counts as movement too.
        let moved = space.download.written() + space.upload.written() + u64::from(self.half_closed);
        if self.deadline.has_moved(moved) {
            self.start_waiting();
        }
    }

    fn arm(&self) {
        let talk = self.exchange.talk;
        talk.timer
            .set(self.deadline.until().min(talk.after(LOOK_EACH)));
    }
}
