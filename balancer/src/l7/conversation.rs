//! A client's connection from its first byte to its last: heads read one after another, each dispatched before the next is read.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::answer::answer;
use super::codec::{Parse, Refusal, parse_request};
use super::dispatch::dispatch;
use super::http2;
use super::problem::Problem;
use super::space::{Space, Spaces};
use super::talk::{After, Talk};
use crate::buffers::Buffer;
use crate::listen::Visitor;
use crate::settings::{LINGER_BYTES_MAX, LINGER_FOR};
use crate::stream::Stream;
use crate::worker::{Presence, Worker};

/// A client that asks again within this time is busy: what its requests need stays ready for it.
pub(super) const BUSY_FOR: Duration = Duration::from_millis(100);

/// How waiting for a request ended.
enum Arrival {
    /// There is something to read.
    Bytes,
    /// The client is not busy any more, and its time is not over.
    Quiet,
    /// The client has gone, or was silent for too long, or the balancer is stopping.
    Nothing,
}

/// How a busy time ended.
enum Rest {
    /// The connection waits for its next request.
    Quiet,
    Ended,
    /// It goes on as one of HTTP/2, which these bytes begin.
    Http2(Buffer),
}

/// How reading a head ended.
enum HeadRead {
    /// The head has so many bytes.
    Complete(usize),
    /// It is the beginning of a connection of HTTP/2.
    Http2,
    Refused(Refusal),
    TimedOut,
    /// There was nothing to read after all.
    Nothing,
    /// The client has gone.
    Closed,
}

/// Serves a client until either side ends the connection.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    spaces: Rc<Spaces>,
    stream: Stream,
    visitor: Visitor,
    presence: Presence,
) {
    let address = visitor.peer.ip().to_canonical();
    let talk = Talk {
        timer: Rc::new(worker.timers.timer()),
        entrance: visitor.entrance,
        secured: visitor.secured,
        address,
        client: address.to_string().into(),
        is_trusted: worker.settings.trusted.contains(address),
        let_in_by: Rc::default(),
        requests: Cell::new(0),
        speaks_http2: false,
        worker,
        spaces,
        stream,
    };
    let mut within = talk.worker.settings.keep_alive_for;
    while let Arrival::Bytes = wait_for_request(&talk, within, false).await {
        // Boxed, so that a connection which waits for long does not hold the memory of one that is served.
        match Box::pin(serve_while_busy(&talk)).await {
            Rest::Quiet => {}
            Rest::Ended => break,
            Rest::Http2(read) => {
                Box::pin(http2::serve(talk, read)).await;
                return drop(presence);
            }
        }
        within = talk.worker.settings.keep_alive_for.saturating_sub(BUSY_FOR);
    }
    drop(talk);
    drop(presence);
}

/// Serves the one request that comes on a stream of its own.
pub(super) async fn serve_one(talk: Talk) {
    let mut space = talk.spaces.take();
    serve_what_comes(&talk, &mut space).await;
    talk.spaces.give(space);
}

/// Serves requests until none has come for a while.
async fn serve_while_busy(talk: &Talk) -> Rest {
    let within = talk.worker.settings.keep_alive_for.min(BUSY_FOR);
    loop {
        let mut space = talk.spaces.take();
        let after = serve_what_comes(talk, &mut space).await;
        if after == After::Http2 {
            let read = std::mem::take(&mut space.client);
            talk.spaces.give(space);
            return Rest::Http2(read);
        }
        if talk.requests.get() >= talk.worker.settings.requests_max {
            talk.worker.counters.ended("keep-alive-requests");
        }
        if after == After::Linger {
            linger(talk, &mut space).await;
        }
        talk.spaces.give(space);
        if after != After::KeepAlive {
            return Rest::Ended;
        }
        match wait_for_request(talk, within, true).await {
            Arrival::Bytes => {}
            Arrival::Quiet => return Rest::Quiet,
            Arrival::Nothing => return Rest::Ended,
        }
    }
}

/// Waits without holding any memory. Of one that is `busy`, time tells only that it is not so any more.
async fn wait_for_request(talk: &Talk, within: Duration, busy: bool) -> Arrival {
    let mut last_chance = false;
    talk.timer.set(talk.after(within));
    poll_fn(|context| {
        if let Poll::Ready(result) = talk.stream.poll_read_ready(context) {
            return Poll::Ready(if result.is_ok() {
                Arrival::Bytes
            } else {
                Arrival::Nothing
            });
        }
        if talk.worker.is_stopping() && !last_chance {
            // A request may be on its way already.
            last_chance = true;
            talk.timer
                .set(talk.after(talk.worker.last_request_within()));
        }
        talk.timer.poll_expired(context).map(|()| {
            if busy && !last_chance {
                return Arrival::Quiet;
            }
            if !last_chance {
                talk.worker.counters.ended(silence(talk));
            }
            Arrival::Nothing
        })
    })
    .await
}

/// What it is called where no request came in time.
fn silence(talk: &Talk) -> &'static str {
    match talk.requests.get() {
        0 => "nothing-sent",
        _ => "keep-alive-idle",
    }
}

/// Serves requests until nothing of another one is there.
async fn serve_what_comes(talk: &Talk, space: &mut Space) -> After {
    loop {
        let head = read_head(talk, space).await;
        let begins = !matches!(head, HeadRead::Http2 | HeadRead::Nothing | HeadRead::Closed);
        if begins {
            talk.requests.set(talk.requests.get() + 1);
            identify(talk, space, &head);
        }
        let after = match head {
            HeadRead::Complete(length) => dispatch(talk, space, length).await,
            HeadRead::Refused(refusal) => answer(talk, space, Problem::Refused(refusal)).await,
            HeadRead::TimedOut => answer(talk, space, Problem::SlowHead).await,
            HeadRead::Http2 => return After::Http2,
            HeadRead::Nothing => return After::KeepAlive,
            HeadRead::Closed => return After::Close,
        };
        if after != After::KeepAlive || space.client.is_empty() {
            return after;
        }
    }
}

/// Gives the request its id: that of a trusted proxy, where it has sent one, else a new one.
fn identify(talk: &Talk, space: &mut Space, head: &HeadRead) {
    let theirs = match head {
        HeadRead::Complete(_) if talk.is_trusted => space.request.request_id(space.client.filled()),
        _ => None,
    };
    match theirs {
        Some(id) => space.request_id.copy(id),
        None => {
            let worker = &talk.worker;
            let now = worker.clock.unix_millis();
            worker.request_ids.renew(&mut space.request_id, now);
        }
    }
}

/// Reads a head.
async fn read_head(talk: &Talk, space: &mut Space) -> HeadRead {
    let settings = &talk.worker.settings;
    space.request.reset();
    space.limits.clear();
    talk.timer.set(talk.after(settings.head_within));
    loop {
        let read = space.client.filled();
        if may_begin_http2(talk, read) {
            if read.len() >= http2::PREFACE.len() {
                return HeadRead::Http2;
            }
        } else if !read.is_empty() {
            match parse_request(
                space.client.filled(),
                &settings.request_limits,
                &mut space.request,
            ) {
                Ok(Parse::Complete { head_length }) => {
                    return HeadRead::Complete(head_length);
                }
                Ok(Parse::Incomplete) => {}
                Err(refusal) => return HeadRead::Refused(refusal),
            }
        }
        if space.client.is_full() && !space.client.grow(&talk.spaces.buffers) {
            return HeadRead::Refused(Refusal::HeadTooLong);
        }
        let read = poll_fn(|context| {
            let buffers = &talk.spaces.buffers;
            let buffer = &mut space.client;
            if let Poll::Ready(read) = talk.stream.poll_fill(context, buffer, buffers) {
                return Poll::Ready(Some(read));
            }
            if space.client.is_empty() {
                // What is waited for without a byte of it is waited for without any memory, too.
                return Poll::Ready(None);
            }
            talk.timer.poll_expired(context).map(|()| None)
        });
        match read.await {
            Some(Ok(count)) if count > 0 => {}
            Some(_) => return HeadRead::Closed,
            None if space.client.is_empty() => return HeadRead::Nothing,
            None => return HeadRead::TimedOut,
        }
    }
}

/// Whether a connection that begins with `read` may be one of HTTP/2, whose preface no request of HTTP/1.1 begins with.
fn may_begin_http2(talk: &Talk, read: &[u8]) -> bool {
    let is_first = talk.requests.get() == 0 && !read.is_empty() && !talk.speaks_http2;
    let length = read.len().min(http2::PREFACE.len());
    is_first && read[..length] == http2::PREFACE[..length] && takes_http2(talk)
}

/// Whether it is agreed upon, or need not be.
fn takes_http2(talk: &Talk) -> bool {
    match &talk.secured {
        Some(secured) => secured.speaks_http2(),
        None => talk.worker.settings.http2.prior_knowledge,
    }
}

/// Closes the writing side, and reads what still comes: bytes that nobody has read would make the kernel reset the connection, and
/// the client might lose the answer.
pub(super) async fn linger(talk: &Talk, space: &mut Space) {
    if talk.stream.end_writing().is_err() {
        return;
    }
    talk.timer.set(talk.after(LINGER_FOR));
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|context| {
        while left > 0 {
            space.client.clear();
            let buffers = &talk.spaces.buffers;
            match talk.stream.poll_fill(context, &mut space.client, buffers) {
                Poll::Ready(Ok(count)) if count > 0 => left = left.saturating_sub(count),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return talk.timer.poll_expired(context),
            }
        }
        Poll::Ready(())
    })
    .await;
}
