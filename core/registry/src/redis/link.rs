//! The connection for commands: made when first needed, shared by all who ask, replaced when it fails.
//!
//! A failed connection is tried again after a growing, jittered delay, within the request that needs it, so
//! that nobody who asks in a loop floods a Redis that is down. That it is down, or up again, is logged when it
//! changes and not at each try.

use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    Arg, AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult,
    ScriptInvocation,
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::errors::{Endpoint, is_elsewhere, shortened};
use super::locate::Locator;
use super::troubles::Troubles;
use crate::RegistryError;

/// The first delay before another connection is tried. It doubles with each failure.
const DELAY_FIRST: Duration = Duration::from_millis(50);
/// The longest delay before another connection is tried.
const DELAY_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Link {
    locator: Locator,
    state: Mutex<State>,
    troubles: Troubles,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Which of all connections it is.
    generation: u64,
    /// How many tries have failed since one succeeded.
    failures: u32,
    retry_at: Option<Instant>,
    said: Option<Said>,
}

/// What was logged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Reachable,
    Unreachable,
    WrongPassword,
    Refused,
}

/// Why there is no answer.
enum Failure {
    /// The connection failed, which is said of the connection.
    Connection(RegistryError),
    /// Redis answered that it will not, or not now.
    Refusal(RegistryError),
}

impl Failure {
    /// The same, of what was sent before: who refuses it now says nothing of what became of it then.
    fn after_sending(self) -> Self {
        match self {
            Self::Connection(error) => Self::Connection(error.with_nothing_done(false)),
            Self::Refusal(error) => Self::Refusal(error.with_nothing_done(false)),
        }
    }
}

/// What a connection can be asked.
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Transaction(&'a Pipeline),
    Script(&'a ScriptInvocation<'a>),
}

impl<'a> From<&'a Cmd> for Request<'a> {
    fn from(command: &'a Cmd) -> Self {
        Self::Command(command)
    }
}

impl<'a> From<&'a Pipeline> for Request<'a> {
    fn from(commands: &'a Pipeline) -> Self {
        Self::Transaction(commands)
    }
}

impl<'a> From<&'a ScriptInvocation<'a>> for Request<'a> {
    fn from(script: &'a ScriptInvocation<'a>) -> Self {
        Self::Script(script)
    }
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(
        &self,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(&mut connection).await,
            Self::Transaction(commands) => commands.query_async(&mut connection).await,
            Self::Script(script) => script.invoke_async(&mut connection).await,
        }
    }

    /// The key or channel that the command at an index is about; in a transaction, the first one where that
    /// has none. A script names its own.
    fn key(&self, index: usize) -> Option<String> {
        match self {
            Self::Command(command) => key_of(command),
            Self::Transaction(commands) => {
                let own = commands.cmd_iter().nth(index).and_then(key_of);
                own.or_else(|| commands.cmd_iter().find_map(key_of))
            }
            Self::Script(_) => None,
        }
    }
}

fn key_of(command: &Cmd) -> Option<String> {
    match command.args_iter().nth(1)? {
        Arg::Simple(key) => Some(String::from_utf8_lossy(key).into_owned()),
        _ => None,
    }
}

impl Link {
    pub(super) fn new(locator: Locator) -> Self {
        Self {
            locator,
            state: Mutex::default(),
            troubles: Troubles::default(),
        }
    }

    pub(super) fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.locator.endpoint()
    }

    /// Sends a request and waits for its answer. A refusal is said when it begins and when it is over.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        request: impl Into<Request<'_>>,
    ) -> Result<T, RegistryError> {
        self.ask_and_read(operation, request, Ok).await
    }

    /// The same, where an answer that makes no sense counts as a refusal.
    pub(super) async fn ask_and_read<T: FromRedisValue, U>(
        &self,
        operation: &'static str,
        request: impl Into<Request<'_>>,
        read: impl FnOnce(T) -> Result<U, String>,
    ) -> Result<U, RegistryError> {
        let answer = self.send(operation, &request.into()).await;
        let misunderstood = |reason: String| {
            let reason = shortened(&reason);
            Failure::Refusal(RegistryError::Unexpected { operation, reason })
        };
        let answer = answer.and_then(|answer| read(answer).map_err(misunderstood));
        self.heard(operation, answer)
    }

    /// Sends a request over a connection of the caller's own, and once more over another one where that had ended unnoticed.
    pub(super) async fn ask_on<T: FromRedisValue>(
        &self,
        own: &mut MultiplexedConnection,
        operation: &'static str,
        request: impl Into<Request<'_>>,
    ) -> Result<T, RegistryError> {
        let request = request.into();
        let mut answer = self.send_on(own, operation, &request).await;
        if matches!(answer, Err((_, true))) {
            let again = self.connect(AsyncConnectionConfig::new()).await;
            *own = again.map_err(|error| error.with_nothing_done(false))?;
            answer = self.send_on(own, operation, &request).await;
            answer = answer.map_err(|(failure, dropped)| (failure.after_sending(), dropped));
        }
        self.heard(operation, answer.map_err(|(failure, _)| failure))
    }

    /// The same, but for what means nothing over another connection.
    pub(super) async fn ask_once<T: FromRedisValue>(
        &self,
        own: &MultiplexedConnection,
        operation: &'static str,
        request: impl Into<Request<'_>>,
    ) -> Result<T, RegistryError> {
        let answer = self.send_on(own, operation, &request.into()).await;
        self.heard(operation, answer.map_err(|(failure, _)| failure))
    }

    /// With a failure comes whether the connection had ended.
    async fn send_on<T: FromRedisValue>(
        &self,
        own: &MultiplexedConnection,
        operation: &'static str,
        request: &Request<'_>,
    ) -> Result<T, (Failure, bool)> {
        let answer = request.send(own.clone()).await;
        let answer = answer.map_err(|error| {
            let failure = self.failure(operation, request, &error);
            (failure, error.is_connection_dropped())
        });
        if !matches!(answer, Err((Failure::Connection(_), _))) {
            self.state.lock().answered(self.endpoint());
        }
        answer
    }

    /// Says a refusal when it begins and when it is over.
    fn heard<T>(
        &self,
        operation: &'static str,
        answer: Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        match answer {
            Ok(value) => {
                self.troubles.over(operation, "");
                Ok(value)
            }
            Err(Failure::Connection(error)) => Err(error),
            Err(Failure::Refusal(error)) => {
                self.troubles.met(operation, "", &error);
                Err(error)
            }
        }
    }

    /// The same, where the caller says itself what a refusal means.
    pub(super) async fn try_to_ask<T: FromRedisValue>(
        &self,
        operation: &'static str,
        request: impl Into<Request<'_>>,
    ) -> Result<T, RegistryError> {
        let answer = self.send(operation, &request.into()).await;
        answer.map_err(|(Failure::Connection(error) | Failure::Refusal(error))| error)
    }

    /// A shared connection may have ended unnoticed since it was last used; then the request is sent once more,
    /// on a new one. Every request here may be: what it does twice, it does once.
    async fn send<T: FromRedisValue>(
        &self,
        operation: &'static str,
        request: &Request<'_>,
    ) -> Result<T, Failure> {
        let (connection, generation) = self.connection().await?;
        match request.send(connection).await {
            Err(error) if error.is_connection_dropped() => {
                let _ = self.settle::<T>(operation, request, generation, Err(error));
                let again = self.connection().await;
                let (connection, generation) = again.map_err(Failure::after_sending)?;
                let result = request.send(connection).await;
                let settled = self.settle(operation, request, generation, result);
                settled.map_err(Failure::after_sending)
            }
            result => self.settle(operation, request, generation, result),
        }
    }

    /// Makes a connection of the caller's own.
    pub(super) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RegistryError> {
        let retry_at = self.state.lock().retry_at;
        if let Some(retry_at) = retry_at {
            tokio::time::sleep_until(retry_at).await;
        }
        let made = self.locator.connect(config).await;
        made.map_err(|error| {
            let error = error.with_nothing_done(true);
            self.state.lock().failed(&error);
            error
        })
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), Failure> {
        if let Some(shared) = self.state.lock().shared() {
            return Ok(shared);
        }
        let connection = self.connect(AsyncConnectionConfig::new()).await;
        let connection = connection.map_err(Failure::Connection)?;
        Ok(self.state.lock().share(connection))
    }

    /// Turns a failure into an error, and leaves a connection that failed to nobody else, nor one to a Redis
    /// that says that another one is to be asked: who is, is found with the next connection. Any answer, a refusal too, shows that the
    /// connection is of use.
    fn settle<T>(
        &self,
        operation: &'static str,
        request: &Request<'_>,
        generation: u64,
        result: RedisResult<T>,
    ) -> Result<T, Failure> {
        let answer = result.map_err(|error| self.failure(operation, request, &error));
        let mut state = self.state.lock();
        match &answer {
            Err(Failure::Connection(error)) => {
                if state.generation == generation && state.connection.take().is_some() {
                    state.failed(error);
                }
            }
            Ok(_) | Err(Failure::Refusal(_)) => state.answered(self.endpoint()),
        }
        drop(state);
        answer
    }

    /// What an error means, and whether it is the connection that failed.
    fn failure(
        &self,
        operation: &'static str,
        request: &Request<'_>,
        error: &RedisError,
    ) -> Failure {
        let broken = error.is_io_error() || error.is_unrecoverable_error() || is_elsewhere(error);
        let key = |index| request.key(index);
        let meaning = self.endpoint().explain_about(operation, error, key);
        if broken {
            Failure::Connection(meaning)
        } else {
            Failure::Refusal(meaning)
        }
    }
}

impl State {
    fn shared(&self) -> Option<(MultiplexedConnection, u64)> {
        let connection = self.connection.clone()?;
        Some((connection, self.generation))
    }

    fn share(&mut self, connection: MultiplexedConnection) -> (MultiplexedConnection, u64) {
        self.generation += 1;
        self.connection = Some(connection.clone());
        (connection, self.generation)
    }

    /// A connection alone is no sign that it is of use.
    fn answered(&mut self, endpoint: &Endpoint) {
        self.failures = 0;
        self.retry_at = None;
        if self.said.replace(Said::Reachable) != Some(Said::Reachable) {
            info!(registry = endpoint.address(), "the registry is reachable");
        }
    }

    fn failed(&mut self, error: &RegistryError) {
        let delay = DELAY_FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let jittered = delay.min(DELAY_MAX).mul_f64(rand::random());
        self.retry_at = Some(Instant::now() + jittered);
        let said = match error {
            RegistryError::WrongPassword { .. } => Said::WrongPassword,
            RegistryError::Unreachable { .. } | RegistryError::Unanswered { .. } => {
                Said::Unreachable
            }
            _ => Said::Refused,
        };
        if self.said.replace(said) != Some(said) {
            warn!("{error}; trying on");
        }
    }
}

#[cfg(test)]
mod tests;
