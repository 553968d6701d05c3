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
use crate::{RegistryError, Stream};

/// A connection that has been silent for so long is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(1);
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
        }))
    }

    /// What a push means: a message, nothing of interest, or the end.
    fn take(&mut self, push: Result<PushInfo, RecvError>) -> Result<Option<T>, RegistryError> {
        let push = push.map_err(|error| self.lost(&error))?;
        self.heard = Instant::now();
        match push.kind {
            PushKind::Message => Ok(self.message(push)),
            PushKind::Disconnection => Err(self.endpoint.unreachable("the connection ended")),
            _ => Ok(None),
        }
    }

    /// Anybody with the right may publish rubbish: it is named, and skipped.
    fn message(&self, push: PushInfo) -> Option<T> {
        let message = Msg::from_push_info(push)?;
        (self.read)(message.get_payload_bytes())
            .inspect_err(|reason| {
                let reason = shortened(reason);
                warn!(channel = self.channel, "not a message: {reason}");
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
        self.ping = Some(Box::pin(async move {
            redis::cmd("PING").query_async(&mut connection).await
        }));
    }

    fn answered(&mut self, answer: RedisResult<()>) -> Result<(), RegistryError> {
        self.ping = None;
        self.heard = Instant::now();
        answer.map_err(|error| self.endpoint.explain("listening", &error))
    }
}

#[async_trait]
impl<T: Send + 'static> Stream<T> for Subscription<T> {
    /// What is under way is kept in `self`, so that a caller may give up and ask again at any time.
    async fn next(&mut self) -> Result<T, RegistryError> {
        loop {
            let silent_at = self.heard + SILENCE;
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
}

async fn answer(ping: &mut Option<Ping>) -> RedisResult<()> {
    match ping {
        Some(ping) => ping.await,
        None => std::future::pending().await,
    }
}
