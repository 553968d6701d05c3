//! A client's connection from its first byte to its last: heads read one after another, each followed by its exchange.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use tokio::net::TcpStream;

use super::answer::answer;
use super::codec::{Parse, Refusal, parse_request};
use super::exchange::exchange;
use super::problem::Problem;
use super::space::{Space, Spaces};
use super::talk::{After, Talk, end_writing};
use super::wire;
use crate::settings::{LAST_REQUEST_WITHIN, LINGER_BYTES_MAX, LINGER_FOR};
use crate::worker::{Presence, Worker};

/// How waiting for a request ended.
enum Arrival {
    /// There is something to read.
    Bytes,
    /// The client has gone, or was silent for too long, or the balancer is stopping.
    Nothing,
}

/// How reading a head ended.
enum HeadRead {
    /// The head has so many bytes.
    Complete(usize),
    Refused(Refusal),
    TimedOut,
    Closed,
}

/// Serves a client until either side ends the connection.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    spaces: Rc<Spaces>,
    stream: TcpStream,
    peer: SocketAddr,
    presence: Presence,
) {
    // Without it the kernel may hold back the end of an answer; where it fails, that is all that happens.
    let _ = stream.set_nodelay(true);
    let talk = Talk {
        timer: worker.timers.timer(),
        client: peer.ip().to_canonical().to_string(),
        worker,
        spaces,
        stream,
    };
    while let Arrival::Bytes = wait_for_request(&talk).await {
        let mut space = talk.spaces.take();
        let after = serve_what_comes(&talk, &mut space).await;
        if after == After::Linger {
            linger(&talk, &mut space).await;
        }
        talk.spaces.give(space);
        if after != After::KeepAlive {
            break;
        }
    }
    drop(talk);
    drop(presence);
}

/// Waits without holding any memory.
async fn wait_for_request(talk: &Talk) -> Arrival {
    let settings = &talk.worker.settings;
    let mut last_chance = false;
    talk.timer.set(talk.after(settings.keep_alive_for));
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
            talk.timer.set(talk.after(LAST_REQUEST_WITHIN));
        }
        talk.timer.poll_expired(context).map(|()| Arrival::Nothing)
    })
    .await
}

/// Serves requests until nothing of another one is there.
async fn serve_what_comes(talk: &Talk, space: &mut Space) -> After {
    loop {
        let after = match read_head(talk, space).await {
            HeadRead::Complete(length) => exchange(talk, space, length).await,
            HeadRead::Refused(refusal) => answer(talk, space, Problem::Refused(refusal)).await,
            HeadRead::TimedOut => answer(talk, space, Problem::SlowHead).await,
            HeadRead::Closed => After::Close,
        };
        if after != After::KeepAlive || space.client.is_empty() {
            return after;
        }
    }
}

async fn read_head(talk: &Talk, space: &mut Space) -> HeadRead {
    let settings = &talk.worker.settings;
    space.request.reset();
    talk.timer.set(talk.after(settings.head_within));
    loop {
        if !space.client.is_empty() {
            match parse_request(
                space.client.filled(),
                &settings.request_limits,
                &mut space.request,
            ) {
                Ok(Parse::Complete { head_length }) => return HeadRead::Complete(head_length),
                Ok(Parse::Incomplete) => {}
                Err(refusal) => return HeadRead::Refused(refusal),
            }
        }
        if space.client.is_full() && !space.client.grow(&talk.spaces.buffers) {
            return HeadRead::Refused(Refusal::HeadTooLong);
        }
        let read = poll_fn(|context| {
            if let Poll::Ready(read) = wire::poll_read(&talk.stream, context, space.client.room()) {
                return Poll::Ready(Some(read));
            }
            talk.timer.poll_expired(context).map(|()| None)
        });
        match read.await {
            Some(Ok(count)) if count > 0 => space.client.fill(count),
            Some(_) => return HeadRead::Closed,
            None if space.client.is_empty() => return HeadRead::Closed,
            None => return HeadRead::TimedOut,
        }
    }
}

/// Closes the writing side, and reads what still comes: bytes that nobody has read would make the kernel reset the connection, and
/// the client might lose the answer.
async fn linger(talk: &Talk, space: &mut Space) {
    if end_writing(&talk.stream).is_err() {
        return;
    }
    talk.timer.set(talk.after(LINGER_FOR));
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|context| {
        while left > 0 {
            space.client.clear();
            match wire::poll_read(&talk.stream, context, space.client.room()) {
                Poll::Ready(Ok(count)) if count > 0 => left = left.saturating_sub(count),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return talk.timer.poll_expired(context),
            }
        }
        Poll::Ready(())
    })
    .await;
}
