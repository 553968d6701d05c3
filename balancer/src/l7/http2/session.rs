//! A connection from its first byte to its last: streams are taken in, time is kept, and it ends with the word that says why.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::arrivals::Taker;
use super::exchange;
use super::guard::{ANSWERED_TIMES, FLOOD_REASON, Flood};
use super::io::Io;
use super::shared::Shared;
use crate::buffers::Buffer;
use crate::l7::conversation::linger;
use crate::l7::talk::Talk;
use crate::settings::{ANSWER_WITHIN, Settings};

/// What a field counts for besides its name and value (RFC 9113, 10.5.1).
const FIELD_OVERHEAD: usize = 32;

/// Bytes of an answer that wait in `h2` for a stream's turn.
const SEND_BUFFER: usize = 64 << 10;

/// A connection that is served.
struct Session {
    connection: Connection<Io, Bytes>,
    shared: Rc<Shared>,
    /// The client was told that no more requests are taken.
    is_ending: bool,
    hears_stop: bool,
}

/// Serves a client whose preface is in `read`, or is the next that it sends, until either side ends the connection.
pub(in crate::l7) async fn serve(talk: Talk, read: Buffer) {
    let shared = Rc::new(Shared::new(talk));
    let io = Io::new(Rc::clone(&shared), read);
    if let Some(connection) = shake_hands(&shared, io).await {
        let mut session = Session {
            connection,
            shared: Rc::clone(&shared),
            is_ending: false,
            hears_stop: false,
        };
        poll_fn(|context| session.poll(context)).await;
    }
    shared.deaf.set(true);
    shared.arrivals.end();
    // What was not read would destroy the last word.
    let talk = &shared.talk;
    let mut space = talk.spaces.take();
    linger(talk, &mut space).await;
    talk.spaces.give(space);
}

async fn shake_hands(shared: &Shared, io: Io) -> Option<Connection<Io, Bytes>> {
    let settings = &shared.talk.worker.settings;
    let mut handshake = pin!(builder(settings).handshake(io));
    shared.talk.timer.set(shared.due());
    poll_fn(|context| {
        if let Poll::Ready(made) = handshake.as_mut().poll(context) {
            return Poll::Ready(made.ok());
        }
        let counters = &shared.talk.worker.counters;
        shared.talk.timer.poll_expired(context).map(|()| {
            counters.ended("nothing-sent");
            None
        })
    })
    .await
}

fn builder(settings: &Settings) -> Builder {
    let http2 = &settings.http2;
    let limits = &settings.request_limits;
    let section_max = ANSWERED_TIMES * limits.head() + FIELD_OVERHEAD * limits.fields();
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(http2.streams_max)
        .initial_window_size(http2.window)
        .initial_connection_window_size(http2.connection_window)
        .max_frame_size(http2.frame_max)
        // The guard counts them too, and says what they are.
        .max_pending_accept_reset_streams(2 * http2.resets_max as usize)
        .max_header_list_size(u32::try_from(section_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

impl Session {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.begin_turn();
        loop {
            if let Some(flood) = self.shared.take_flood() {
                self.end_for(flood);
            }
            if self.poll_streams(context).is_ready() {
                return Poll::Ready(());
            }
            self.look_at_stop();
            self.shared.talk.timer.set(self.shared.due());
            if self.shared.talk.timer.poll_expired(context).is_pending() {
                return Poll::Pending;
            }
            if self.look_at_time() {
                return Poll::Ready(());
            }
        }
    }

    /// Takes in each stream that has come; ready when the connection has ended.
    fn poll_streams(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.take_in(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    self.note(&error);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {
                    // All was written that the client takes.
                    self.shared.backlog.let_go_on();
                    return Poll::Pending;
                }
            }
        }
    }

    fn take_in(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let talk = &self.shared.talk;
        let most = talk.worker.settings.requests_max;
        let count = talk.requests.get() + 1;
        talk.requests.set(count);
        // Some may have been on their way when the client was told.
        let under_way = u64::from(talk.worker.settings.http2.streams_max);
        if count > most.saturating_add(under_way) {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        if count >= most && !self.is_ending {
            talk.worker.counters.ended("keep-alive-requests");
            self.end_soon();
        }
        if self.shared.arrivals.add((request, respond)) == Taker::Missing {
            let shared = Rc::clone(&self.shared);
            tokio::task::spawn_local(exchange::serve_in_turn(shared));
        }
    }

    /// Counts an end that `h2` has brought about, and that the client has earned.
    fn note(&self, error: &h2::Error) {
        if !error.is_library() {
            return;
        }
        let token = match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) => "http2-flood",
            Some(Reason::NO_ERROR) | None => return,
            Some(_) => "http2-protocol-error",
        };
        self.shared.talk.worker.counters.ended(token);
    }

    /// Whether the worker stops, as the client is told then. A request may be on its way already.
    fn look_at_stop(&mut self) {
        let worker = &self.shared.talk.worker;
        if worker.is_stopping() && !self.hears_stop {
            self.hears_stop = true;
            self.shared.set_patience(worker.last_request_within());
            self.end_soon();
        }
    }

    /// Lets what is under way finish, and takes no more.
    fn end_soon(&mut self) {
        if !self.is_ending {
            self.is_ending = true;
            self.connection.graceful_shutdown();
        }
    }

    fn end_for(&mut self, flood: Flood) {
        self.shared.talk.worker.counters.ended(flood.token());
        self.end_now(FLOOD_REASON);
    }

    /// Ends all streams, and the connection as soon as the client has taken the word for it.
    fn end_now(&mut self, reason: Reason) {
        let shared = &self.shared;
        shared.deaf.set(true);
        shared.over_by.set(shared.talk.after(ANSWER_WITHIN));
        self.connection.abrupt_shutdown(reason);
    }

    /// What it means that time has passed. Whether it is over.
    fn look_at_time(&mut self) -> bool {
        let shared = Rc::clone(&self.shared);
        let counters = &shared.talk.worker.counters;
        if shared.is_over() {
            return true;
        }
        if shared.is_stalled() {
            counters.ended("answer-not-taken");
            return true;
        }
        if shared.deaf.get() {
            return false;
        }
        if shared.is_section_late() {
            self.end_for(Flood::SlowSection);
        } else if shared.is_idle_for_long() {
            if !self.is_ending {
                counters.ended(match shared.talk.requests.get() {
                    0 => "nothing-sent",
                    _ => "keep-alive-idle",
                });
            }
            self.end_now(Reason::NO_ERROR);
        }
        false
    }
}
