//! One request over a stream of HTTP/2: from a pipe, on which it comes and is answered as HTTP/1.1.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::Reason;

use super::broken::UNPROCESSED;
use super::download::Download;
use super::link::Seat;
use super::upload::{NoHead, Upload};
use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::stream::Pipe;

/// Who gives up after less than this may have been in a hurry; after more, the connection is asked whether it still lives.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a server would say to such a head.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of the answer was handed over.
    Complete,
    /// The exchange needs no more of it.
    Abandoned,
    /// It broke off.
    Broken(ErrorKind),
}

/// Carries one request over, and its answer back. Where the exchange lets go of its end of the pipe, the stream is cancelled.
pub(super) async fn bridge(pipe: Pipe, seat: Seat, buffers: Rc<Buffers>, clock: Rc<Clock>) {
    let doubtful_from = clock.now().after(PATIENCE);
    let mut bridge = Bridge {
        pipe: &pipe,
        upload: Upload::new(&buffers, seat.scheme()),
        download: None,
        seat: &seat,
    };
    let end = poll_fn(|context| bridge.poll(context)).await;
    bridge.finish(end);
    if end == End::Abandoned && !seat.has_heard() && clock.now() >= doubtful_from {
        seat.doubt();
    }
}

struct Bridge<'a> {
    pipe: &'a Pipe,
    upload: Upload<'a>,
    /// Once the request's head was sent.
    download: Option<Download>,
    seat: &'a Seat,
}

impl Bridge<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.pipe.poll_unread(context).is_ready() {
            return Poll::Ready(End::Abandoned);
        }
        if self.download.is_none()
            && let Err(end) = ready!(self.poll_head(context))
        {
            return Poll::Ready(end);
        }
        if self.upload.poll(context, self.pipe).is_err() {
            return Poll::Ready(End::Abandoned);
        }
        let Some(download) = &mut self.download else {
            return Poll::Pending;
        };
        download
            .poll(context, self.pipe)
            .map(|result| match result {
                Ok(()) => End::Complete,
                Err(kind) => End::Broken(kind),
            })
    }

    /// Sends the request's head.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        let head = match ready!(self.upload.poll_head(context, self.pipe)) {
            Ok(head) => head,
            Err(NoHead::BrokenOff) => return Poll::Ready(Err(End::Abandoned)),
            Err(NoHead::Unfit) => {
                // The request is at fault, and no server is to be blamed for it. There is room, since nothing was written before.
                let _ = self.pipe.poll_write(context, [TOO_LARGE, b"", b""]);
                return Poll::Ready(Err(End::Complete));
            }
        };
        let Some((response, stream)) = self.seat.send(head.request, head.ends) else {
            return Poll::Ready(Err(End::Broken(UNPROCESSED)));
        };
        self.upload.begin(stream);
        self.download = Some(Download::new(response, head.asked));
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, end: End) {
        match end {
            End::Complete => {}
            End::Abandoned => self.upload.reset(Reason::CANCEL),
            End::Broken(kind) => {
                self.upload.reset(Reason::CANCEL);
                self.pipe.break_off(kind);
            }
        }
    }
}
