//! What a request on its way carries from stage to stage: its plan, its deadline, how far it was sent, and the tries it has left.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use policy::{Cause, InFlight, Pool, Tried, Tries};
use tokio::net::TcpStream;

use super::codec::{BadBody, BodyDecoder, Carry, Forwarding, rewrite_request};
use super::hashing::hash;
use super::pump::{Broken, Source};
use super::queueing::{Unserved, take_server};
use super::space::Space;
use super::talk::Talk;
use crate::clock::Millis;

/// One request on its way.
pub(super) struct Exchange<'a> {
    pub(super) talk: &'a Talk,
    pub(super) space: &'a mut Space,
    pub(super) plan: Plan,
    pub(super) started: Instant,
    /// When the first byte of an answer must have come; never, while the request is still arriving.
    pub(super) deadline: Millis,
    pub(super) upload: Upload,
    /// The length of the answer's head in the server's buffer.
    pub(super) head_length: usize,
    pub(super) tries: Tries,
    pub(super) tried: Tried,
    /// The next try was taken from the pool's budget.
    pub(super) paid: bool,
    /// The budget has refused a try.
    pub(super) refused: bool,
    /// Of what the pool's algorithm looks at.
    hash: u64,
}

/// What the request's pool says of how to go about it, as it stood when the request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The pool's number.
    pub(super) pool: u64,
    pub(super) connect: Duration,
    pub(super) per_try: Duration,
    pub(super) response: Duration,
    pub(super) idle: Duration,
    /// A server that takes longer for the first byte of an answer would fail a health check.
    pub(super) suspicious: Duration,
    /// How much of a body is kept for sending it again.
    pub(super) replay_bytes: usize,
    /// Whether the pool's servers are compared by how long they take.
    pub(super) compares_latency: bool,
}

/// How far the request has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    Going,
    /// There is no more of it to send.
    Done,
    /// The server takes no more of it.
    Refused,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(talk: &'a Talk, space: &'a mut Space, pool: &Pool) -> Self {
        let settings = &pool.settings().value;
        let head = space.client.filled();
        let hash = hash(settings, &space.request, head, || {
            talk.source(&space.request, head)
        });
        Self {
            talk,
            space,
            plan: Plan::new(pool),
            started: Instant::now(),
            deadline: Millis::NEVER,
            upload: Upload::Going,
            head_length: 0,
            tries: Tries::new(&settings.retry),
            tried: Tried::default(),
            paid: false,
            refused: false,
            hash,
        }
    }

    /// Writes the head as the server gets it, and checks what is there of the body, before anything is sent.
    pub(super) fn prepare(&mut self, head_length: usize, pool: &Pool) -> Result<(), BadBody> {
        let settings = &self.talk.worker.settings;
        let Space {
            client,
            request,
            upload,
            request_id,
            ..
        } = &mut *self.space;
        let limits = settings
            .request_limits
            .with_body(pool.settings().value.max_body_bytes);
        if limits.forbids(request.framing) {
            client.consume(head_length);
            return Err(BadBody::TooLong);
        }
        let forwarding = Forwarding {
            client: &self.talk.client,
            scheme: "http",
            trusted: self.talk.is_trusted,
            request_id: request_id.bytes(),
            fallback_host: pool.id().as_str(),
            upgrade: true,
        };
        upload.begin();
        rewrite_request(client.filled(), request, &forwarding, upload.out());
        client.consume(head_length);
        let decoder = BodyDecoder::new(request.framing, Carry::Wire, &limits);
        let repeatable = request.is_idempotent();
        upload.record_body(decoder, self.plan.replay_bytes, repeatable, client)?;
        client.rest(&self.talk.spaces.buffers);
        if upload.is_read() {
            self.deadline = self.talk.after(self.plan.response);
        }
        Ok(())
    }

    /// Takes a server that was not tried; where none has room, waits for one that has, unless this `waits` for nothing.
    pub(super) async fn pick(&mut self, waits: bool) -> Result<InFlight, Unserved> {
        let until = if waits { self.deadline } else { Millis::ZERO };
        let flight = take_server(self.talk, self.space, &self.tried, self.hash, until).await?;
        self.tried.add(flight.server().live());
        Ok(flight)
    }

    /// Whether all of it had come when it was sent on.
    pub(super) fn has_arrived(&self) -> bool {
        self.deadline != Millis::NEVER
    }

    /// Sends more of the request. Ready when there is no more to send, or it broke off; `upload` says so too.
    pub(super) fn poll_upload(
        &mut self,
        context: &mut Context<'_>,
        server: &TcpStream,
    ) -> Poll<Result<(), Broken>> {
        let talk = self.talk;
        let space = &mut *self.space;
        let mut source = Source {
            stream: &talk.stream,
            buffer: &mut space.client,
            buffers: &talk.spaces.buffers,
        };
        let result = ready!(space.upload.poll(context, &mut source, server));
        space.client.rest(&talk.spaces.buffers);
        self.upload = match result {
            Err(Broken::Sink) => Upload::Refused,
            Ok(()) | Err(Broken::Source | Broken::Body(_)) => Upload::Done,
        };
        Poll::Ready(result)
    }

    /// Whether the request can be sent once more without harm.
    pub(super) fn may_repeat(&self) -> bool {
        let again = self.may_fail_again(Cause::Reset);
        again.idempotent && again.replayable
    }
}

impl Plan {
    fn new(pool: &Pool) -> Self {
        let settings = &pool.settings().value;
        let timeouts = &settings.timeouts;
        Self {
            pool: pool.number(),
            connect: timeouts.connect,
            per_try: timeouts.per_try,
            response: timeouts.response,
            idle: timeouts.idle,
            suspicious: settings.health.timeout,
            replay_bytes: settings.retry.replay_bytes,
            compares_latency: settings.outlier.latency_factor > 0.0,
        }
    }
}
