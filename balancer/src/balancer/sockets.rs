//! The sockets that a balancer listens on: handed over by the one that runs, passed by whoever starts it, or its own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use model::InstanceId;
use tokio::net::UnixListener;

use super::StartError;
use crate::Args;
use crate::handover::{self, Estate, Predecessor};
use crate::listen::{Inherited, bind, complete};

/// All of them, before they are dealt out.
#[derive(Debug)]
pub(super) struct Sockets {
    /// At least one.
    pub(super) clients: Vec<TcpListener>,
    /// Those for TLS, if there are such.
    pub(super) secure: Vec<TcpListener>,
    pub(super) ops: TcpListener,
    /// Where a successor asks, if it may.
    control: Option<UnixListener>,
    pub(super) kept_elsewhere: bool,
    /// The same of those for TLS.
    pub(super) secure_kept_elsewhere: bool,
    ops_passed: bool,
    /// Who accepts there now.
    pub(super) predecessor: Option<Predecessor>,
}

impl Sockets {
    pub(super) async fn open(
        args: &Args,
        inherited: Inherited,
        instance: InstanceId,
    ) -> Result<Self, StartError> {
        let mut sockets = match &args.handover {
            Some(path) => match handover::ask(path, instance).await? {
                Some((estate, predecessor)) => Self::taken_over(args, estate, predecessor)?,
                None => Self {
                    control: Some(control(path)?),
                    ..Self::opened(args, inherited).await?
                },
            },
            None => Self::opened(args, inherited).await?,
        };
        // What would join sockets that somebody else keeps open would end with this process, and with what it has queued.
        if !sockets.kept_elsewhere {
            complete(&mut sockets.clients, args.workers()).map_err(StartError::Sockets)?;
        }
        if !sockets.secure_kept_elsewhere {
            complete(&mut sockets.secure, args.workers()).map_err(StartError::Sockets)?;
        }
        Ok(sockets)
    }

    fn taken_over(
        args: &Args,
        estate: Estate,
        predecessor: Predecessor,
    ) -> Result<Self, StartError> {
        estate.check(args)?;
        tracing::info!("another balancer runs: it prepares to take its place");
        let secure = match args.listen_tls {
            // What the other one does not have is opened anew.
            Some(address) if estate.secure.is_empty() => bind_secure(address, args)?,
            _ => estate.secure,
        };
        Ok(Self {
            clients: estate.clients,
            secure,
            ops: estate.ops,
            control: Some(estate.control),
            kept_elsewhere: estate.kept_elsewhere,
            secure_kept_elsewhere: estate.secure_kept_elsewhere,
            ops_passed: estate.ops_passed,
            predecessor: Some(predecessor),
        })
    }

    async fn opened(args: &Args, inherited: Inherited) -> Result<Self, StartError> {
        let kept_elsewhere = !inherited.clients.is_empty();
        let clients = if kept_elsewhere {
            inherited.clients
        } else {
            bind(args.listen, args.workers()).map_err(StartError::Listen)?
        };
        let secure_kept_elsewhere = !inherited.secure.is_empty();
        let secure = match args.listen_tls {
            Some(address) if !secure_kept_elsewhere => bind_secure(address, args)?,
            _ => inherited.secure,
        };
        let ops_passed = inherited.ops.is_some();
        let ops = match inherited.ops {
            Some(ops) => ops,
            None => {
                let ops = runtime::bind(args.ops).await.map_err(StartError::Ops)?;
                ops.into_std().map_err(StartError::Sockets)?
            }
        };
        Ok(Self {
            clients,
            secure,
            ops,
            control: None,
            kept_elsewhere,
            secure_kept_elsewhere,
            ops_passed,
            predecessor: None,
        })
    }

    /// More descriptors of the same sockets, for a successor; nothing where none may ask.
    pub(super) fn keep(&mut self) -> io::Result<Option<Estate>> {
        let Some(control) = self.control.take() else {
            return Ok(None);
        };
        let clients = self.clients.iter().map(TcpListener::try_clone);
        let secure = self.secure.iter().map(TcpListener::try_clone);
        Ok(Some(Estate {
            control,
            ops: self.ops.try_clone()?,
            clients: clients.collect::<io::Result<_>>()?,
            secure: secure.collect::<io::Result<_>>()?,
            kept_elsewhere: self.kept_elsewhere,
            secure_kept_elsewhere: self.secure_kept_elsewhere,
            ops_passed: self.ops_passed,
        }))
    }
}

fn bind_secure(address: SocketAddr, args: &Args) -> Result<Vec<TcpListener>, StartError> {
    bind(address, args.workers()).map_err(StartError::ListenTls)
}

fn control(path: &Path) -> Result<UnixListener, StartError> {
    handover::open(path).map_err(|source| StartError::Handover {
        path: path.into(),
        source,
    })
}
