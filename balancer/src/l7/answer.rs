//! Sends the balancer's own answers.

use std::future::poll_fn;
use std::task::Poll;

use policy::Action;

use super::codec::{
    Answer, FieldChanges, Method, TextAnswer, Version, write_answer, write_options_answer,
    write_text_answer,
};
use super::edits::AnswerEdits;
use super::exchange::Exchange;
use super::health::Aspect;
use super::problem::Problem;
use super::routing::RouteReply;
use super::space::Space;
use super::talk::{After, Talk};
use crate::settings::ANSWER_WITHIN;

/// Says why the request in `space.request` is turned away before it has an exchange, so that nothing of its body was read.
pub(super) async fn answer(talk: &Talk, space: &mut Space, problem: Problem) -> After {
    let at_rest = !space.request.has_body();
    say(talk, space, problem, at_rest).await
}

/// Says why an exchange that was prepared has no server's answer.
pub(super) async fn refuse(exchange: &mut Exchange<'_>, problem: Problem) -> After {
    if exchange.space.download.is_halfway() {
        // In the middle of an interim answer there is nothing more to say.
        return After::Close;
    }
    let counters = &exchange.talk.worker.counters;
    let taken = exchange.started.elapsed();
    counters.answered(exchange.plan.pool, problem.status(), taken);
    let at_rest = exchange.space.upload.is_read();
    say(exchange.talk, exchange.space, problem, at_rest).await
}

/// Says what the problem is. What follows on the connection is read as a request only if it is `at_rest`, with nothing to come of this
/// request's body: whoever calls says so, since before the exchange is prepared `space.upload` is about the request before.
async fn say(talk: &Talk, space: &mut Space, problem: Problem, at_rest: bool) -> After {
    let keep_alive =
        at_rest && problem.may_keep_alive() && space.request.keep_alive && talk.may_go_on();
    talk.worker.counters.refused(problem.token());
    let text = problem.text();
    let date = talk.worker.clock.date();
    let request_id = space.request_id;
    let mut lines = Vec::new();
    space.limits.write(&mut lines);
    let answer = Answer {
        status: problem.status(),
        token: problem.token(),
        text: &text,
        version: version(space, problem),
        keep_alive,
        head_only: asks_for_a_head(space, problem),
        date: &date,
        request_id: request_id.bytes(),
        retry_after: problem.retry_after(),
        lines: &lines,
    };
    space.download.begin();
    write_answer(&answer, space.download.out());
    send(talk, space, keep_alive).await
}

/// Answers OPTIONS that may go no further.
pub(super) async fn answer_options(talk: &Talk, space: &mut Space) -> After {
    let keep_alive = space.request.keep_alive && !space.request.has_body() && talk.may_go_on();
    space.download.begin();
    let date = talk.worker.clock.date();
    write_options_answer(
        space.request.version,
        keep_alive,
        &date,
        space.request_id.bytes(),
        space.download.out(),
    );
    send(talk, space, keep_alive).await
}

/// Says how the balancer is. Nothing of the request's body was read.
pub(super) async fn answer_about_health(talk: &Talk, space: &mut Space, aspect: Aspect) -> After {
    let keep_alive = space.request.keep_alive && !space.request.has_body() && talk.may_go_on();
    let (status, text) = aspect.answer(&talk.worker.condition);
    let date = talk.worker.clock.date();
    let request_id = space.request_id;
    let answer = TextAnswer {
        status,
        token: "health",
        location: None,
        content_type: b"text/plain; charset=utf-8",
        body: text.as_bytes(),
        version: space.request.version,
        keep_alive,
        head_only: space.request.method == Method::Head,
        date: &date,
        request_id: request_id.bytes(),
        // What was so a moment ago helps no watcher.
        lines: b"Cache-Control: no-store\r\n",
        changes: None,
    };
    space.download.begin();
    write_text_answer(&answer, space.download.out());
    send(talk, space, keep_alive).await
}

/// Says what the request's route says in a server's place. Nothing of the request's body was read.
pub(super) async fn answer_as_routed(talk: &Talk, space: &mut Space, reply: &RouteReply) -> After {
    let keep_alive = space.request.keep_alive && !space.request.has_body() && talk.may_go_on();
    let route = &*reply.route;
    let (content_type, body) = match route.action() {
        Action::Answer(answer) => (&*answer.content_type, &*answer.body),
        Action::Redirect(_) | Action::Pool(_) | Action::Split(_) => (&[][..], &[][..]),
    };
    let edits = AnswerEdits::of(Some(route), reply.secure, &space.limits, None);
    let date = talk.worker.clock.date();
    let request_id = space.request_id;
    let answer = TextAnswer {
        status: reply.status,
        token: match reply.location {
            Some(_) => "route-redirect",
            None => "route-answer",
        },
        location: reply.location.as_deref(),
        content_type,
        body,
        version: space.request.version,
        keep_alive,
        head_only: space.request.method == Method::Head,
        date: &date,
        request_id: request_id.bytes(),
        lines: &[],
        changes: edits.as_ref().map(|edits| edits as &dyn FieldChanges),
    };
    space.download.begin();
    write_text_answer(&answer, space.download.out());
    send(talk, space, keep_alive).await
}

/// Whether it is the head that is at fault, so that nothing is known of the request.
fn is_about_head(problem: Problem) -> bool {
    matches!(problem, Problem::Refused(_) | Problem::SlowHead)
}

/// Whether the answer may have no body (RFC 9110, 9.3.2), which a method tells also where the rest of the head is refused.
fn asks_for_a_head(space: &Space, problem: Problem) -> bool {
    if is_about_head(problem) {
        space.client.filled().starts_with(b"HEAD ")
    } else {
        space.request.method == Method::Head
    }
}

fn version(space: &Space, problem: Problem) -> Version {
    if is_about_head(problem) {
        Version::Http11
    } else {
        space.request.version
    }
}

async fn send(talk: &Talk, space: &mut Space, keep_alive: bool) -> After {
    talk.timer.set(talk.after(ANSWER_WITHIN));
    let sent = poll_fn(|context| {
        if let Poll::Ready(result) = space
            .download
            .poll_flush(context, &space.server, &talk.stream)
        {
            return Poll::Ready(result.is_ok());
        }
        talk.timer.poll_expired(context).map(|()| {
            talk.worker.counters.ended("answer-not-taken");
            false
        })
    });
    match (sent.await, keep_alive) {
        (false, _) => After::Close,
        (true, true) => After::KeepAlive,
        (true, false) => After::Linger,
    }
}
