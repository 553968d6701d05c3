//! The time between a request and its answer: the request is sent, interim answers are relayed, the client is watched, and time passes.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use model::{Health, Protocol};
use policy::{Cause, Failure, InFlight};

use super::codec::{
    Asked, BadBody, BadResponse, InterimCap, Parse, Returning, Version, parse_response,
    rewrite_response,
};
use super::deadline::Deadline;
use super::exchange::{Exchange, Upload};
use super::miss::Miss;
use super::pump::Broken;
use super::space::Space;
use super::talk::{Gone, Talk, Watch};
use crate::clock::Millis;
use crate::settings::{LOOK_EACH, LOOK_SOON};
use crate::stream::Stream;

/// Sends the request and awaits the head of the answer, which is then in `space.response`.
pub(super) async fn send_and_await(
    exchange: &mut Exchange<'_>,
    server: &Stream,
    flight: &InFlight,
    reused: bool,
) -> Result<(), Miss> {
    let asked = Asked::by(&exchange.space.request, exchange.plan.upgrade);
    exchange.upload = Upload::Going;
    exchange.space.upload.rewind();
    exchange.space.download.begin();
    exchange.space.server.clear();
    exchange.space.server.rest(&exchange.talk.spaces.buffers);
    exchange.space.response.reset();
    let mut waiting = Waiting {
        exchange,
        server,
        flight,
        asked,
        reused,
        interim: InterimCap::default(),
        answered: false,
        watch: Watch::new(),
        suspects_at: Millis::NEVER,
        deadline: Deadline::new(),
    };
    waiting.start_waiting();
    poll_fn(|context| waiting.poll(context)).await
}

struct Waiting<'a, 'b> {
    exchange: &'a mut Exchange<'b>,
    server: &'a Stream,
    flight: &'a InFlight,
    asked: Asked,
    reused: bool,
    interim: InterimCap,
    /// Some byte of an answer came.
    answered: bool,
    watch: Watch,
    /// When the server is said to be slow; never, once it was said.
    suspects_at: Millis,
    /// When the server must have answered, or while the request is being sent, when some of it must have moved.
    deadline: Deadline,
}

impl Waiting<'_, '_> {
    fn talk(&self) -> &Talk {
        self.exchange.talk
    }

    /// Whether the request is still being sent.
    fn uploading(&self) -> bool {
        self.exchange.upload == Upload::Going
    }

    fn space(&mut self) -> &mut Space {
        self.exchange.space
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Miss>> {
        if self.uploading()
            && let Poll::Ready(result) = self.poll_upload(context)
        {
            result?;
        }
        if let Poll::Ready(result) = self.poll_answer(context) {
            return Poll::Ready(result);
        }
        if !self.uploading() {
            self.poll_client(context)?;
        }
        self.poll_timer(context)
    }

    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Miss>> {
        let Poll::Ready(result) = self.exchange.poll_upload(context, self.server) else {
            let upload = &self.exchange.space.upload;
            // A body that begins to come after all counts as movement, although none of it may be written yet.
            let moved = upload.written() + u64::from(upload.has_body());
            if self.deadline.has_moved(moved) {
                self.start_waiting();
            }
            return Poll::Pending;
        };
        self.start_waiting();
        Poll::Ready(match result {
            // One that takes no more perhaps says why.
            Ok(()) | Err(Broken::Sink) => Ok(()),
            Err(Broken::Source | Broken::Body(BadBody::Truncated)) => Err(Miss::ClientGone),
            Err(Broken::Body(bad)) => Err(Miss::BadBody(bad)),
        })
    }

    /// Parses what came, relays what is interim, and reads on.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Miss>> {
        loop {
            if self.poll_interim(context)?.is_pending() {
                return Poll::Pending;
            }
            if self.parse()? {
                return Poll::Ready(Ok(()));
            }
            if self.space().download.is_flushed() {
                match self.poll_read(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(result) => result?,
                }
            }
        }
    }

    /// Whether the head is final. An interim one is staged for the client.
    fn parse(&mut self) -> Result<bool, Miss> {
        let talk = self.exchange.talk;
        let space = &mut *self.exchange.space;
        if space.server.is_empty() {
            return Ok(false);
        }
        let limits = &talk.worker.settings.response_limits;
        let parsed = parse_response(
            space.server.filled(),
            self.asked,
            limits,
            &mut space.response,
        );
        let Parse::Complete { head_length } = parsed.map_err(Miss::BadResponse)? else {
            return Ok(false);
        };
        self.exchange.head_length = head_length;
        if !space.response.is_interim() {
            return Ok(true);
        }
        self.interim.take().map_err(Miss::BadResponse)?;
        if space.request.version == Version::Http11 {
            let returning = Returning {
                version: space.request.version,
                keep_alive: true,
                date: &talk.worker.clock.date(),
                request_id: space.request_id.bytes(),
                changes: None,
            };
            let out = space.download.out();
            rewrite_response(space.server.filled(), &space.response, &returning, out);
        }
        space.server.consume(head_length);
        space.response.reset();
        // What follows the interim head may be there already.
        if space.request.version == Version::Http11 {
            return Ok(false);
        }
        self.parse()
    }

    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Miss>> {
        let talk = self.exchange.talk;
        let space = &mut *self.exchange.space;
        let flushed = space
            .download
            .poll_flush(context, &space.server, &talk.stream);
        flushed.map_err(|_| Miss::ClientGone)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Miss>> {
        let buffers = &self.exchange.talk.spaces.buffers;
        let buffer = &mut self.exchange.space.server;
        if buffer.is_full() && !buffer.grow(buffers) {
            return Poll::Ready(Err(Miss::BadResponse(BadResponse::TooLong)));
        }
        match self.server.poll_fill(context, buffer, buffers) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(count)) if count > 0 => {
                let is_first = !std::mem::replace(&mut self.answered, true);
                if is_first && self.uploading() {
                    // Perhaps the client has waited for it.
                    self.start_waiting();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_)) => Poll::Ready(Err(self.broken_off())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.failed(&error))),
        }
    }

    /// What it means that the connection failed before the head ended. Only where that is a stream of HTTP/2 does it say more than that.
    fn failed(&self, error: &io::Error) -> Miss {
        match error.kind() {
            io::ErrorKind::ConnectionRefused if !self.answered => Miss::Unprocessed,
            io::ErrorKind::InvalidData if self.exchange.plan.protocol == Protocol::H2 => {
                Miss::BadResponse(BadResponse::Malformed)
            }
            _ => self.broken_off(),
        }
    }

    /// What it means that the server's side ended before the head did.
    fn broken_off(&self) -> Miss {
        let unsent = self.exchange.space.upload.written() == 0;
        match (self.answered, self.reused) {
            (true, _) => Miss::HeadCutShort,
            (false, true) if unsent || self.exchange.may_repeat() => Miss::Stale,
            (false, _) if unsent => Miss::NoConnection,
            (false, _) => Miss::ConnectionLost,
        }
    }

    fn poll_client(&mut self, context: &mut Context<'_>) -> Result<(), Miss> {
        let talk = self.exchange.talk;
        let buffer = &mut self.exchange.space.client;
        let looked = self.watch.look(talk, context, buffer);
        if looked.map_err(|Gone| Miss::ClientGone)? {
            self.arm();
        }
        Ok(())
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Miss>> {
        // Asked each time, since the timer never expires while bytes move.
        if let Some(miss) = self.overdue() {
            return Poll::Ready(Err(miss));
        }
        while self.talk().timer.poll_expired(context).is_ready() {
            if let Some(miss) = self.expired() {
                return Poll::Ready(Err(miss));
            }
            self.arm();
        }
        Poll::Pending
    }

    /// What it means that time has passed. Nothing where there is time left, and where this server is waited for further because
    /// there is no other, or no budget for asking it.
    fn expired(&mut self) -> Option<Miss> {
        let now = self.talk().worker.clock.now();
        if self.watch.is_over(self.talk()) {
            return Some(Miss::ClientGone);
        }
        if now >= self.suspects_at {
            self.suspects_at = Millis::NEVER;
            let suspecting = &self.talk().worker.suspecting;
            suspecting.suspect(self.flight.server(), Failure::Timeout);
        }
        // No need to wait longer for one that was found to be down meanwhile.
        let server = self.flight.server();
        let went_down = server.live().is_down() && server.health() != Health::Down;
        if went_down && let Some(miss) = self.give_up() {
            return Some(miss);
        }
        if now < self.deadline.until() {
            return None;
        }
        let due = self.due();
        if now < due && self.waits_for_server() {
            self.deadline.set(due);
            return self.give_up();
        }
        Some(match () {
            () if self.waits_for_client() => Miss::SlowBody,
            () if self.awaits_permission() => Miss::NoPermission,
            () => Miss::OutOfTime,
        })
    }

    /// What it means that the server has left, or that of an answer that is held, where the time for what it has in flight is over.
    fn overdue(&self) -> Option<Miss> {
        let now = self.talk().worker.clock.now().since_start();
        let overdue = self.flight.server().live().is_overdue(now);
        match () {
            () if overdue && self.answered => Some(Miss::HeadCutShort),
            () if overdue => Some(Miss::Drained),
            () if self.exchange.is_held_too_long(now) => Some(Miss::HeldTooLong),
            () => None,
        }
    }

    /// Whether it is the client that must send more of its body.
    fn waits_for_client(&self) -> bool {
        self.uploading() && self.exchange.space.upload.is_flushed() && !self.awaits_permission()
    }

    /// Whether the client sends no body before the server has told it to go on, and the server has said nothing.
    fn awaits_permission(&self) -> bool {
        let space = &*self.exchange.space;
        let holds_back = space.request.expect_continue && !space.upload.has_body();
        holds_back && self.uploading() && !self.answered
    }

    /// Whether the server must say something before anything else can happen.
    fn waits_for_server(&self) -> bool {
        !self.uploading() || self.awaits_permission()
    }

    /// Until when the server can be waited for.
    fn due(&self) -> Millis {
        if self.awaits_permission() {
            self.exchange.due()
        } else {
            self.exchange.deadline
        }
    }

    /// Claims another try where this one can be given up: it is the server's turn, and it has said nothing.
    fn give_up(&mut self) -> Option<Miss> {
        let miss = if self.uploading() {
            Miss::NotYetPermitted
        } else {
            Miss::Timeout
        };
        let may_give_up = self.waits_for_server() && !self.answered;
        (may_give_up && self.exchange.claim_retry(Cause::Timeout)).then_some(miss)
    }

    /// Begins to wait for what is due now.
    fn start_waiting(&mut self) {
        if !self.uploading() && self.exchange.deadline == Millis::NEVER {
            self.exchange.deadline = self.talk().after(self.exchange.plan.response);
        }
        if self.awaits_permission() && self.exchange.permission_by == Millis::NEVER {
            self.exchange.permission_by = self.talk().after(self.exchange.plan.response);
        }
        let plan = &self.exchange.plan;
        let wait = if self.waits_for_server() {
            plan.per_try
        } else if self.waits_for_client() {
            plan.idle.min(self.talk().worker.settings.body_within)
        } else {
            plan.idle
        };
        let until = self.talk().after(wait).min(self.due());
        self.deadline.set(until);
        if !self.uploading() && !self.answered {
            self.suspects_at = self.talk().after(self.exchange.plan.suspicious);
        }
        self.arm();
    }

    fn arm(&self) {
        let waits_long = !self.uploading() && self.suspects_at == Millis::NEVER;
        let look = if waits_long { LOOK_SOON } else { LOOK_EACH };
        let next = self.talk().after(look).min(self.deadline.until());
        self.talk()
            .timer
            .set(next.min(self.watch.until()).min(self.suspects_at));
    }
}
