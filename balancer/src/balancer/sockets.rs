//! The sockets that a balancer listens on: handed over by the one that runs, passed by whoever starts it, or its own.

use std::io;
use std::net::TcpListener;
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
    pub(super) ops: TcpListener,
    /// Where a successor asks, if it may.
    control: Option<UnixListener>,
    pub(super) kept_elsewhere: bool,
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
        Ok(sockets)
    }

    fn taken_over(
        args: &Args,
        estate: Estate,
        predecessor: Predecessor,
    ) -> Result<Self, StartError> {
        estate.check(args.listen, args.ops)?;
        tracing::info!("another balancer runs: it prepares to take its place");
        Ok(Self {
            clients: estate.clients,
            ops: estate.ops,
            control: Some(estate.control),
            kept_elsewhere: estate.kept_elsewhere,
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
            ops,
            control: None,
            kept_elsewhere,
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
        Ok(Some(Estate {
            control,
            ops: self.ops.try_clone()?,
            clients: clients.collect::<io::Result<_>>()?,
            kept_elsewhere: self.kept_elsewhere,
            ops_passed: self.ops_passed,
        }))
    }
}

fn control(path: &Path) -> Result<UnixListener, StartError> {
    handover::open(path).map_err(|source| StartError::Handover {
        path: path.into(),
        source,
    })
}
