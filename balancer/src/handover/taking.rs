//! The successor's side: asks the running balancer for its sockets, before anything else of this process is there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix;
use std::path::{Path, PathBuf};

use model::InstanceId;
use tokio::net::{UnixListener, UnixStream};

use crate::Args;

use super::descriptors;
use super::door;
use super::estate::Estate;
use super::lines::{Answer, Greeting, Offer, VERSION, hear, say};

/// A process that serves at the same address until it has drained. Its end closes the connection.
pub(crate) type Other = (InstanceId, UnixStream);

/// Who hands over to this process.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pub(crate) itself: Other,
    /// Those before it that have not ended.
    pub(crate) earlier: Vec<Other>,
}

impl Predecessor {
    /// All who serve at this address before this process.
    pub(crate) fn all(&self) -> impl Iterator<Item = InstanceId> {
        let all = std::iter::once(&self.itself).chain(&self.earlier);
        all.map(|(instance, _)| *instance)
    }
}

/// Why this process cannot take over from one that runs.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error("--handover {}: cannot reach a balancer there: {source}", path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("--handover {}: the balancer that runs refused: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
    #[error("--handover {}: the balancer that runs handed nothing over: {source}", path.display())]
    Broken { path: PathBuf, source: io::Error },
    #[error(
        "{flag} {wanted}: the balancer that runs listens on {present} and can hand over nothing else: stop it to move"
    )]
    Elsewhere {
        flag: &'static str,
        wanted: SocketAddr,
        present: SocketAddr,
    },
    #[error(
        "the balancer that runs listens on {present} for TLS, which would be closed on its clients: give --listen-tls, or stop it"
    )]
    Unwanted { present: SocketAddr },
}

/// Asks whoever runs; nothing where nobody does.
pub(crate) async fn ask(
    path: &Path,
    instance: InstanceId,
) -> Result<Option<(Estate, Predecessor)>, TakeOverError> {
    let unreachable = |source| TakeOverError::Unreachable {
        path: path.into(),
        source,
    };
    let refused = |reason| TakeOverError::Refused {
        path: path.into(),
        reason,
    };
    let Some(stream) = door::connect(path).await.map_err(unreachable)? else {
        return Ok(None);
    };
    door::check(&stream, door::own_user()).map_err(|error| refused(error.to_string()))?;
    let received = receive(stream, instance).await;
    match received.map_err(|source| TakeOverError::Broken {
        path: path.into(),
        source,
    })? {
        Ok(all) => Ok(Some(all)),
        Err(reason) => Err(refused(reason)),
    }
}

async fn receive(
    stream: UnixStream,
    instance: InstanceId,
) -> io::Result<Result<(Estate, Predecessor), String>> {
    let greeting = Greeting {
        version: VERSION,
        instance: Some(instance),
    };
    say(&stream, &greeting).await?;
    let offer = match hear(&stream).await? {
        Answer::Offer(offer) => offer,
        Answer::Refusal(reason) => return Ok(Err(reason)),
    };
    let descriptors = descriptors::receive(&stream, offer.descriptors()).await?;
    let (estate, earlier) = sort(&offer, descriptors)?;
    let itself = (offer.instance, stream);
    Ok(Ok((estate, Predecessor { itself, earlier })))
}

/// Tells the descriptors apart, by their order.
fn sort(offer: &Offer, descriptors: Vec<OwnedFd>) -> io::Result<(Estate, Vec<Other>)> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or(io::ErrorKind::UnexpectedEof);
    let control = UnixListener::from_std(unix::net::UnixListener::from(next()?))?;
    let ops = TcpListener::from(next()?);
    let mut listeners = |count| -> io::Result<Vec<TcpListener>> {
        (0..count).map(|_| Ok(next()?.into())).collect()
    };
    let (clients, secure) = (listeners(offer.clients)?, listeners(offer.secure)?);
    let mut earlier = Vec::new();
    for instance in &offer.beside {
        let stream = UnixStream::from_std(unix::net::UnixStream::from(next()?))?;
        earlier.push((*instance, stream));
    }
    let estate = Estate {
        control,
        ops,
        clients,
        secure,
        kept_elsewhere: offer.kept_elsewhere,
        secure_kept_elsewhere: offer.secure_kept_elsewhere,
        ops_passed: offer.ops_passed,
    };
    Ok((estate, earlier))
}

impl Estate {
    /// Whether these are the sockets that the flags name, unless somebody else has chosen them.
    pub(crate) fn check(&self, args: &Args) -> Result<(), TakeOverError> {
        if !self.kept_elsewhere {
            fits("--listen", args.listen, &self.clients)?;
        }
        if !self.secure_kept_elsewhere {
            self.check_secure(args.listen_tls)?;
        }
        match self.ops_passed {
            true => Ok(()),
            false => fits("--ops", args.ops, std::slice::from_ref(&self.ops)),
        }
    }

    fn check_secure(&self, wanted: Option<SocketAddr>) -> Result<(), TakeOverError> {
        match (wanted, address(&self.secure)) {
            (Some(wanted), _) => fits("--listen-tls", wanted, &self.secure),
            (None, Some(present)) => Err(TakeOverError::Unwanted { present }),
            (None, None) => Ok(()),
        }
    }
}

fn fits(
    flag: &'static str,
    wanted: SocketAddr,
    listeners: &[TcpListener],
) -> Result<(), TakeOverError> {
    match address(listeners) {
        Some(present)
            if present.ip() != wanted.ip()
                || (wanted.port() != 0 && present.port() != wanted.port()) =>
        {
            Err(TakeOverError::Elsewhere {
                flag,
                wanted,
                present,
            })
        }
        _ => Ok(()),
    }
}

fn address(listeners: &[TcpListener]) -> Option<SocketAddr> {
    listeners.iter().find_map(|one| one.local_addr().ok())
}
