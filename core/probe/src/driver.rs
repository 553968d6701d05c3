//! What drives a connection: whoever exchanges on it, so that no task has to be kept for one that rests.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// A connection of either protocol; nothing once it is over: closed, or within an answer that was not read to its end.
#[derive(Debug)]
pub(crate) struct Driver<C>(Option<C>);

impl<C: Future + Unpin> Driver<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self(Some(connection))
    }

    /// Drives the connection until this exchange on it is over, and says what that came to.
    pub(crate) async fn drive<T>(&mut self, exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        let ended = async {
            if let Some(connection) = &mut self.0 {
                // How it ended is for whoever exchanges on it to hear.
                let _ = connection.await;
            }
        };
        tokio::select! {
            biased;
            result = &mut exchange => return result,
            () = ended => {}
        }
        // What was received by then decides. What was not sent by then never will be, of which the connection says nothing as long
        // as it is there.
        self.0 = None;
        exchange.await
    }

    /// Gives it up.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    /// Whether another exchange may be made on it, as far as can be seen now.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        let Some(connection) = &mut self.0 else {
            return false;
        };
        let look =
            |context: &mut Context<'_>| Poll::Ready(Pin::new(&mut *connection).poll(context));
        poll_fn(look).await.is_pending()
    }
}
