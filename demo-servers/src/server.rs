//! One demo server: binds, answers, and ends in order.
//!
//! One that registered itself goes on answering until the fleet has let go of it; only then does it close.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Token, TokenError};
use model::ServerKey;
use runtime::{BindError, Limits, Supervisor};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::advertise::Advertised;
use crate::answer::Greeter;
use crate::connection::converse;
use crate::identity::Identity;
use crate::registration::{self, Registrar};

const LIMITS: Limits = Limits {
    connections: 4096,
    // Longer than a balancer keeps a connection at rest.
    head_time: Duration::from_secs(75),
    grace: Duration::from_secs(5),
};

/// A running demo server.
#[derive(Debug)]
pub struct DemoServer {
    name: String,
    address: SocketAddr,
    registered: watch::Receiver<bool>,
}

/// Why a demo server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("--listen: {0}")]
    Listen(#[from] BindError),
    #[error("--listen: the address that was bound is not known: {0}")]
    Address(io::Error),
    #[error("--token-file: {0}")]
    Token(#[from] TokenError),
}

impl DemoServer {
    /// Binds the address, then answers and stays registered until the supervisor stops.
    ///
    /// # Errors
    /// Where the port or the token file cannot be had.
    pub async fn start(args: Args, supervisor: &Supervisor) -> Result<Self, StartError> {
        let token = args
            .token_file
            .as_deref()
            .map(Token::from_file)
            .transpose()?;
        let listener = runtime::bind(args.listen).await?;
        let address = listener.local_addr().map_err(StartError::Address)?;
        let identity = Identity::of(&args, &runtime::host_name(), address.port());
        let (sender, registered) = watch::channel(args.register.is_none());
        let closing = match args.register {
            None => supervisor.stop_token(),
            Some(url) => {
                let closing = CancellationToken::new();
                let registrar = Registrar {
                    client: Client::new(url, token),
                    key: ServerKey::new(args.pool, identity.id.clone()),
                    advertised: Advertised::of(args.advertise, address),
                };
                let stop = supervisor.stop_token();
                let keep = registration::keep(registrar, sender, stop, closing.clone());
                supervisor.spawn(format!("registration of {}", identity.id), keep);
                closing
            }
        };
        let greeter = Arc::new(Greeter::new(identity.name.clone()));
        let answering = runtime::serve(listener, LIMITS, closing, move |connection| {
            converse(connection, Arc::clone(&greeter))
        });
        supervisor.spawn(format!("demo server {}", identity.id), answering);
        Ok(Self {
            name: identity.name,
            address,
            registered,
        })
    }

    /// The name it answers with.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it answers, and is registered if it is to be.
    pub async fn ready(&self) {
        // The sender is gone only when the process is stopping.
        let _ = self
            .registered
            .clone()
            .wait_for(|registered| *registered)
            .await;
    }
}
