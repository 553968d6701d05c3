//! One stream: a request and its answer, which are an exchange like every other at the far end of a pipe.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request};

use super::download::{Broken, Download};
use super::request::{self, Coming};
use super::shared::Shared;
use super::upload::Upload;
use crate::l7::codec::{Answer, Asked, Refusal, Version, write_answer};
use crate::l7::conversation::{BUSY_FOR, serve_one};
use crate::l7::problem::Problem;
use crate::l7::talk::Talk;
use crate::request_id::RequestId;
use crate::stream::{Pipe, Stream, pipe};
use crate::timers::Timer;

/// Room for the head of a short request: half of what the allocator still takes for a small piece, which costs it much less.
const HEAD_ROOM: usize = 512;

/// Both directions.
struct Ways<'a> {
    shared: &'a Shared,
    upload: Upload,
    download: Download,
    /// Nothing, once the stream is at its end.
    pipe: Option<Pipe>,
}

/// Serves requests one after another, until none has come for a while.
pub(super) async fn serve_in_turn(shared: Rc<Shared>) {
    let timer = Rc::new(shared.talk.worker.timers.timer());
    loop {
        let until = shared.talk.after(BUSY_FOR);
        let Some((request, respond)) = shared.arrivals.next(&timer, until).await else {
            return;
        };
        serve(&shared, &timer, request, respond).await;
    }
}

async fn serve(
    shared: &Rc<Shared>,
    timer: &Rc<Timer>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let open = shared.open();
    let (parts, body) = request.into_parts();
    let asked = Asked {
        head_only: parts.method == Method::HEAD,
        upgrade: None,
    };
    let download = Download::new(respond, asked);
    let mut head = Vec::with_capacity(HEAD_ROOM);
    let coming = Coming {
        scheme: shared.talk.scheme(),
        ends: body.is_end_stream(),
        limits: &shared.talk.worker.settings.request_limits,
    };
    match request::write(&parts, coming, &mut head) {
        Ok(framing) => {
            drop(parts);
            let (ours, theirs) = pipe();
            ours.begin_with(head);
            let theirs = Stream::Pipe(theirs);
            let ways = Ways {
                shared,
                upload: Upload::new(framing, body),
                download,
                pipe: Some(ours),
            };
            exchange(ways, shared.talk.for_exchange(theirs, Rc::clone(timer))).await;
        }
        Err(refusal) => refuse(shared, refusal, download).await,
    }
    drop(open);
}

/// Has the request served, and sends the answer back.
async fn exchange(mut ways: Ways<'_>, talk: Talk) {
    let shared = ways.shared;
    let mut served = pin!(serve_one(talk));
    let mut is_served = false;
    poll_fn(|context| {
        loop {
            ways.poll_request(context);
            if let Some(pipe) = &ways.pipe {
                pipe.narrow(shared.backlog.is_full());
            }
            is_served = is_served || poll_once(served.as_mut(), context);
            let was_open = ways.pipe.is_some();
            ways.poll_answer(context);
            match (&ways.pipe, is_served) {
                (None, true) => return Poll::Ready(()),
                // It hears at once that nobody waits for it any more.
                (None, false) if was_open => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    ways.download.rest(shared);
}

fn poll_once(future: Pin<&mut impl Future<Output = ()>>, context: &mut Context<'_>) -> bool {
    future.poll(context).is_ready()
}

impl Ways<'_> {
    fn poll_request(&mut self, context: &mut Context<'_>) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let is_reset = self.download.is_reset(context);
        if is_reset || matches!(self.upload.poll(context, pipe), Poll::Ready(Err(_))) {
            self.download.reset(Reason::CANCEL);
            self.break_off();
        }
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let Poll::Ready(result) = self.download.poll(context, pipe, self.shared) else {
            return;
        };
        let Err(broken) = result else {
            self.shared.note_answered();
            self.pipe = None;
            return;
        };
        let reason = match broken {
            Broken::Source => Reason::INTERNAL_ERROR,
            Broken::Gone | Broken::Stalled => Reason::CANCEL,
        };
        // One that takes nothing off its whole connection is counted when that ends.
        if broken == Broken::Stalled && !self.shared.is_stalling() {
            self.shared.talk.worker.counters.ended("answer-not-taken");
        }
        self.download.reset(reason);
        self.break_off();
    }

    /// The exchange sees its client go.
    fn break_off(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.reset_on_close(true);
        }
    }
}

/// Says why a request is not taken. It is written, read and sent like any other answer.
async fn refuse(shared: &Shared, refusal: Refusal, mut download: Download) {
    let problem = Problem::Refused(refusal);
    let worker = &shared.talk.worker;
    worker.counters.refused(problem.token());
    let mut id = RequestId::new();
    worker
        .request_ids
        .renew(&mut id, worker.clock.unix_millis());
    let mut text = Vec::new();
    let answer = Answer {
        status: problem.status(),
        token: problem.token(),
        text: &problem.text(),
        version: Version::Http11,
        keep_alive: true,
        head_only: download.is_bare(),
        date: &worker.clock.date(),
        request_id: id.bytes(),
        retry_after: None,
        lines: b"",
    };
    write_answer(&answer, &mut text);
    let (ours, theirs) = pipe();
    theirs.begin_with(text);
    let sent = poll_fn(|context| download.poll(context, &ours, shared)).await;
    if sent.is_err() {
        download.reset(Reason::CANCEL);
    }
    download.rest(shared);
}
