//! An exchange: what a request on its way carries from stage to stage. Its plan, its deadline, how far it was sent, the tries it has left,
//! and an answer that is kept back while a better one is looked for.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use model::{PoolId, Protocol, Retry, StickyKind};
use policy::{Cause, Outcome, Pool, Route, Server, Stick, Tried, Tries};

use super::codec::{
    BadBody, BodyDecoder, Carry, FieldChanges, Forwarding, Subject, rewrite_request,
};
use super::cookies;
use super::edits::RequestEdits;
use super::hashing::hash;
use super::held::Held;
use super::pump::{Broken, Source};
use super::space::Space;
use super::sticking::{set_cookie, stick};
use super::talk::Talk;
use crate::clock::Millis;
use crate::stream::Stream;

/// One request on its way.
pub(super) struct Exchange<'a> {
    pub(super) talk: &'a Talk,
    pub(super) space: &'a mut Space,
    /// The pool that it goes to, whose state is looked up anew in the table of each moment.
    pub(super) pool: PoolId,
    /// The route that claimed it, to which it keeps: what it says goes before what the pool says.
    pub(super) route: Option<Arc<Route>>,
    /// Whether the client came over TLS, where that was asked for the route's or a cookie's sake.
    pub(super) secure: bool,
    pub(super) plan: Plan,
    pub(super) started: Instant,
    /// When the first byte of an answer must have come; never, while the request is still arriving.
    pub(super) deadline: Millis,
    /// When the client must have leave to send its body, if it waits for that, all tries together; never, before it does.
    pub(super) permission_by: Millis,
    pub(super) upload: Upload,
    /// The length of the answer's head in the server's buffer.
    pub(super) head_length: usize,
    pub(super) tries: Tries,
    pub(super) tried: Tried,
    /// The next try was taken from the pool's budget.
    pub(super) budget_paid: bool,
    /// The budget has refused a try.
    pub(super) budget_refused: bool,
    /// Of what the pool's algorithm looks at.
    pub(super) hash: u64,
    /// By what the client is known again.
    pub(super) stick: Stick,
    /// Whether the pool's clients are known by a cookie of the balancer's own.
    pub(super) has_cookies: bool,
    /// An answer that another was hoped for instead of.
    pub(super) held: Option<Box<Held>>,
}

/// What the request's route and pool say of how to go about it, as they stood when the request came.
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
    /// The longest body, in bytes; 0 takes any.
    pub(super) max_body_bytes: u64,
    /// Whether what was sent may be sent again at all.
    pub(super) repeats: bool,
    /// Whether servers are called within TLS.
    pub(super) tls: bool,
    /// Whether an upgrade that is asked for is sent on; the answer is read accordingly.
    pub(super) upgrade: bool,
    /// What the servers speak.
    pub(super) protocol: Protocol,
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
    pub(super) fn new(
        talk: &'a Talk,
        space: &'a mut Space,
        pool: &Pool,
        route: Option<Arc<Route>>,
        secure: bool,
    ) -> Self {
        let settings = &pool.settings().value;
        let head = space.client.filled();
        let hash = hash(settings, &space.request, head, || {
            talk.source(&space.request, head)
        });
        let stick = stick(pool, &space.request, head, || {
            talk.source(&space.request, head)
        });
        Self {
            talk,
            space,
            pool: pool.id().clone(),
            plan: Plan::new(pool, route.as_deref()),
            started: Instant::now(),
            deadline: Millis::NEVER,
            permission_by: Millis::NEVER,
            upload: Upload::Going,
            head_length: 0,
            tries: Tries::new(retry(route.as_deref(), pool)),
            tried: Tried::default(),
            budget_paid: false,
            budget_refused: false,
            hash,
            stick,
            has_cookies: settings.sticky.kind == StickyKind::Cookie,
            held: None,
            route,
            secure,
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
            path,
            ..
        } = &mut *self.space;
        let limits = settings.request_limits.with_body(self.plan.max_body_bytes);
        if limits.forbids(request.framing) {
            client.consume(head_length);
            return Err(BadBody::TooLong);
        }
        let cookies = pool.cookies();
        let cookies = cookies.and_then(|it| cookies::without(request, client.filled(), it.name()));
        let edits = RequestEdits::of(self.route.as_deref(), cookies.as_deref());
        let has_routes = edits.is_some_and(|edits| edits.has_routes());
        let tls = self.talk.worker.tls();
        let subject = tls.subject_header().map(|field| Subject {
            field,
            value: self.talk.subject(),
        });
        if (has_routes || tls.verifies_clients()) && request.carry == Carry::Wire {
            // What is taken away of the head does not come in by the back door.
            request.carry = Carry::WireWithoutTrailers;
        }
        let forwarding = Forwarding {
            client: &self.talk.client,
            scheme: self.talk.scheme(),
            http2: self.talk.speaks_http2,
            trusted: self.talk.is_trusted,
            request_id: request_id.bytes(),
            fallback_host: pool.id().as_str(),
            upgrade: self.plan.upgrade,
            path: Some(path.as_slice()).filter(|path| !path.is_empty()),
            host: self.route.as_ref().and_then(|route| route.host()),
            trailers: self.plan.protocol == Protocol::H2,
            changes: edits.as_ref().map(|edits| edits as &dyn FieldChanges),
            subject,
        };
        upload.begin();
        rewrite_request(client.filled(), request, &forwarding, upload.out());
        client.consume(head_length);
        let decoder = BodyDecoder::new(request.framing, request.carry, &limits);
        // A server of HTTP/2 may say of any request that it has not looked at it.
        let repeatable = request.is_idempotent() || self.plan.protocol == Protocol::H2;
        upload.record_body(decoder, self.plan.replay_bytes, repeatable, client)?;
        client.rest(&self.talk.spaces.buffers);
        if upload.is_read() {
            self.deadline = self.talk.after(self.plan.response);
        }
        Ok(())
    }

    /// Whether all of it had come when it was sent on.
    pub(super) fn has_arrived(&self) -> bool {
        self.deadline != Millis::NEVER
    }

    /// When a server must have said something, all tries together: the first byte of an answer, or leave to send the body.
    pub(super) fn due(&self) -> Millis {
        if self.space.upload.has_body() {
            self.deadline
        } else {
            self.deadline.min(self.permission_by)
        }
    }

    /// Sends more of the request. Ready when there is no more to send, or it broke off; `upload` says so too.
    pub(super) fn poll_upload(
        &mut self,
        context: &mut Context<'_>,
        server: &Stream,
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

    /// The line that tells the client which server it is with, where it does not know: it brought no cookie, or one of another
    /// server's, or of a key that was replaced. One that lives for a time after each answer is given with each.
    pub(super) fn cookie_for(&self, server: &Server) -> Option<Vec<u8>> {
        if !self.has_cookies {
            return None;
        }
        let pool = self.talk.worker.pool(&self.pool)?;
        let (cookies, sticky) = (pool.cookies()?, &pool.settings().value.sticky);
        let token = cookies.token_of(server.live())?;
        let knows = self.stick == Stick::Token(token) && sticky.lifetime.is_zero();
        (!knows).then(|| set_cookie(cookies.name(), token, sticky, self.secure))
    }

    /// What the answer says of its server.
    pub(super) fn outcome(&self) -> Outcome {
        match self.space.response.status {
            502..=504 => Outcome::GatewayError,
            500.. => Outcome::ServerError,
            _ => Outcome::Answered {
                at: self.talk.worker.clock.now().since_start(),
            },
        }
    }

    /// Whether the request can be sent once more without harm.
    pub(super) fn may_repeat(&self) -> bool {
        let again = self.repeatability(Cause::Reset);
        self.plan.repeats && again.idempotent && again.replayable
    }
}

/// When a failed try is made again: as the route says, or else the pool.
pub(super) fn retry<'a>(route: Option<&'a Route>, pool: &'a Pool) -> &'a Retry {
    let own = route.and_then(|route| route.own_terms()?.retry.as_ref());
    own.unwrap_or(&pool.settings().value.retry)
}

impl Plan {
    fn new(pool: &Pool, route: Option<&Route>) -> Self {
        let settings = &pool.settings().value;
        let timeouts = &settings.timeouts;
        let plan = Self {
            pool: pool.number(),
            connect: timeouts.connect,
            per_try: timeouts.per_try,
            response: timeouts.response,
            idle: timeouts.idle,
            suspicious: settings.health.timeout,
            replay_bytes: retry(route, pool).replay_bytes,
            repeats: retry(route, pool).retries > 0,
            max_body_bytes: settings.max_body_bytes,
            tls: settings.tls.enabled,
            // HTTP/2 has none (RFC 9113, 8.6): the request is an ordinary one then.
            upgrade: settings.protocol == Protocol::Http1,
            protocol: settings.protocol,
        };
        let own = route.and_then(Route::own_terms);
        own.map_or(plan, |own| plan.under(own))
    }

    /// With what the route says in place of the pool.
    fn under(self, route: &model::Route) -> Self {
        let timeouts = &route.timeouts;
        Self {
            connect: timeouts.connect.unwrap_or(self.connect),
            per_try: timeouts.per_try.unwrap_or(self.per_try),
            response: timeouts.response.unwrap_or(self.response),
            idle: timeouts.idle.unwrap_or(self.idle),
            max_body_bytes: route.max_body_bytes.unwrap_or(self.max_body_bytes),
            ..self
        }
    }
}
