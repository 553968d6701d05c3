//! Sends the balancer's own answers.

use std::future::poll_fn;
use std::task::Poll;

use super::codec::{Answer, Method, Version, write_answer, write_options_answer};
use super::order::Exchange;
use super::problem::Problem;
use super::space::Space;
use super::talk::{After, Talk};
use crate::settings::ANSWER_WITHIN;

/// Says why there is no server's answer to the request in `space.request`.
pub(super) async fn answer(talk: &Talk, space: &mut Space, problem: Problem) -> After {
    let keep_alive = keeps_alive(talk, space, problem);
    talk.worker.counters.refused(problem.token());
    let text = problem.text();
    let date = talk.worker.clock.date();
    let request_id = space.request_id;
    let answer = Answer {
        status: problem.status(),
        token: problem.token(),
        text: &text,
        version: version(space, problem),
        keep_alive,
        head_only: !is_about_head(problem) && space.request.method == Method::Head,
        date: &date,
        request_id: request_id.bytes(),
    };
    space.download.begin();
    write_answer(&answer, space.download.out());
    send(talk, space, keep_alive).await
}

/// Says why an exchange has no server's answer.
pub(super) async fn refuse(exchange: Exchange<'_>, problem: Problem) -> After {
    if exchange.space.download.is_halfway() {
        // In the middle of an interim answer there is nothing more to say.
        return After::Close;
    }
    let counters = &exchange.talk.worker.counters;
    let taken = exchange.started.elapsed();
    counters.answered(exchange.plan.pool, problem.status(), taken);
    answer(exchange.talk, exchange.space, problem).await
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

/// Whether it is the head that is at fault, so that nothing is known of the request.
fn is_about_head(problem: Problem) -> bool {
    matches!(problem, Problem::Refused(_) | Problem::SlowHead)
}

fn version(space: &Space, problem: Problem) -> Version {
    if is_about_head(problem) {
        Version::Http11
    } else {
        space.request.version
    }
}

fn keeps_alive(talk: &Talk, space: &Space, problem: Problem) -> bool {
    let at_rest = match problem {
        Problem::Refused(_) | Problem::SlowHead | Problem::SlowBody | Problem::BadBody(_) => false,
        Problem::NoPool | Problem::Misdirected => !space.request.has_body(),
        _ => space.upload.is_read(),
    };
    at_rest && space.request.keep_alive && talk.may_go_on()
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
