//! A confirmed subscription on a connection of its own.
//!
//! A silent connection may be a dead one, so it is PINGed, on that very connection: nothing else would say
//! whether announcements still come through. A subscriber that falls too far behind loses its subscription,
//! as Redis itself does it, rather than keep an unbounded queue.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Msg, PushInfo, PushKind, RedisResult};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;
use tracing::warn;

use super::errors::{Endpoint, shortened};
use super::link::Link;
use super::locate::DEADLINE;
use crate::{NOTICED_WITHIN, RegistryError, Stream};

/// A connection that has been silent for so long is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(1);
/// A PING that is answered late puts off the next one, and that may take its time too.
const _: () = assert!(2 * DEADLINE.as_millis() <= NOTICED_WITHIN.as_millis());
const _: () = assert!(SILENCE.as_millis() <= DEADLINE.as_millis());
/// How many messages a subscriber may be behind.
const CHANNEL_LENGTH: usize = 4096;

const OPERATION: &str = "subscribing";

/// How a message on a channel is read.
type Read<T> = fn(&[u8]) -> Result<T, String>;
/// A PING under way. It ends with an error when its answer is late.
type Ping = Pin<Box<dyn Future<Output = RedisResult<()>> + Send>>;

pub(super) struct Subscription<T> {
    channel: String,
    read: Read<T>,
    messages: broadcast::Receiver<PushInfo>,
    connection: MultiplexedConnection,
    endpoint: Endpoint,
    heard: Instant,
    ping: Option<Ping>,
    /// When the last PING was sent.
    pinged: Instant,
    /// What was wrong with the last message that was none.
    said: Option<String>,
}

impl<T: Send + 'static> Subscription<T> {
    /// Subscribes, and returns once Redis has confirmed it.
    pub(super) async fn boxed(
        link: &Link,
        channel: String,
        read: Read<T>,
    ) -> Result<Box<dyn Stream<T>>, RegistryError> {
        let (sender, messages) = broadcast::channel(CHANNEL_LENGTH);
        let config = AsyncConnectionConfig::new().set_push_sender(sender);
        let mut connection = link.connect(config).await?;
        let endpoint = link.endpoint().clone();
        if let Err(error) = connection.subscribe(&channel).await {
            let about = |_| Some(channel.clone());
            let explained = endpoint.explain_about(OPERATION, &error, about);
            if !error.is_io_error() {
                link.troubles().met(OPERATION, &channel, &explained);
            }
            return Err(explained);
        }
        link.troubles().over(OPERATION, &channel);
        Ok(Box::new(Self {
            channel,
            read,
            messages,
            connection,
            endpoint,
            heard: Instant::now(),
            ping: None,
            pinged: Instant::now(),
            said: None,
        }))
    }

    /// What a push means: a message, nothing of interest, or the end.
    fn take(&mut self, push: Result<PushInfo, RecvError>) -> Result<Option<T>, RegistryError> {
        let push = push.map_err(|error| self.lost(&error))?;
        if push.kind == PushKind::Disconnection {
            return Err(self.endpoint.unreachable("the connection ended"));
        }
        self.heard = Instant::now();
        match push.kind {
            PushKind::Message => Ok(self.message(push)),
            _ => Ok(None),
        }
    }

    /// Anybody with the right may publish rubbish, and a newer version what this one does not know: it is named, once where it goes on
    /// in the same way, and skipped.
    fn message(&mut self, push: PushInfo) -> Option<T> {
        let message = Msg::from_push_info(push)?;
        let read = (self.read)(message.get_payload_bytes());
        read.inspect_err(|reason| {
            let reason = shortened(reason);
            if self.said.as_ref() != Some(&reason) {
                warn!(channel = self.channel, "not a message: {reason}");
                self.said = Some(reason);
            }
        })
        .ok()
    }

    fn lost(&self, error: &RecvError) -> RegistryError {
        self.endpoint.unreachable(match error {
            RecvError::Lagged(missed) => format!("the subscriber fell {missed} messages behind"),
            RecvError::Closed => "the connection ended".into(),
        })
    }

    fn start_ping(&mut self) {
        let mut connection = self.connection.clone();
        self.pinged = Instant::now();
        self.ping = Some(Box::pin(async move {
            redis::cmd("PING").query_async(&mut connection).await
        }));
    }

    fn answered(&mut self, answer: RedisResult<()>) -> Result<(), RegistryError> {
        self.ping = None;
        answer.map_err(|error| self.endpoint.explain("listening", &error))?;
        // It was given at some moment after that, which is all that is known.
        self.heard = self.heard.max(self.pinged);
        Ok(())
    }
}

#[async_trait]
impl<T: Send + 'static> Stream<T> for Subscription<T> {
    /// What is under way is kept in `self`, so that a caller may give up and ask again at any time.
    async fn next(&mut self) -> Result<T, RegistryError> {
        loop {
            let silent_at = self.heard.max(self.pinged) + SILENCE;
            tokio::select! {
                biased;
                push = self.messages.recv() => {
                    if let Some(message) = self.take(push)? {
                        return Ok(message);
                    }
                }
                answer = answer(&mut self.ping), if self.ping.is_some() => self.answered(answer)?,
                () = tokio::time::sleep_until(silent_at), if self.ping.is_none() => self.start_ping(),
            }
        }
    }

    fn heard(&self) -> Instant {
        self.heard
    }
}

async fn answer(ping: &mut Option<Ping>) -> RedisResult<()> {
    match ping {
        Some(ping) => ping.await,
        None => std::future::pending().await,
    }
}
