//! A subscription within the process.

use async_trait::async_trait;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{RegistryError, Stream};

/// One subscriber's end of a channel.
pub(super) struct Subscription<T>(broadcast::Receiver<T>);

impl<T: Clone + Send + 'static> Subscription<T> {
    pub(super) fn boxed(channel: &broadcast::Sender<T>) -> Box<dyn Stream<T>> {
        Box::new(Self(channel.subscribe()))
    }
}

#[async_trait]
impl<T: Clone + Send> Stream<T> for Subscription<T> {
    async fn next(&mut self) -> Result<T, RegistryError> {
        self.0.recv().await.map_err(|error| {
            let reason = match error {
                RecvError::Lagged(missed) => {
                    format!("the subscriber fell {missed} messages behind")
                }
                RecvError::Closed => "the registry has ended".into(),
            };
            let endpoint = "memory".into();
            RegistryError::Unreachable {
                endpoint,
                reason,
                nothing_done: false,
            }
        })
    }
}
