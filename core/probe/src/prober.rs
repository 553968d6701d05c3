//! Who probes one server: its address, and the connection kept from one probe to the next.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::Scheme;
use model::{CheckKind, HealthCheck, Protocol};

use crate::connection::Connection;
use crate::grpc;
use crate::h2_connection::{Answer, H2Connection, get};
use crate::wire::Wire;
use crate::{Calling, Failure};

/// Probes one address, over one kept connection where the server allows it.
#[derive(Debug)]
pub struct Prober {
    address: SocketAddr,
    /// Nothing where it is called without TLS.
    calling: Option<Arc<Calling>>,
    kept: Option<Kept>,
}

/// A connection at rest.
#[derive(Debug)]
enum Kept {
    Http1(Box<Connection>),
    Http2(Box<H2Connection>),
}

impl Prober {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            calling: None,
            kept: None,
        }
    }

    /// From now on the server is called so: within TLS, or without where there is nothing.
    pub fn call_by(&mut self, calling: Option<Arc<Calling>>) {
        let same = match (&self.calling, &calling) {
            (Some(before), Some(calling)) => before.is_same(calling),
            (before, calling) => before.is_none() && calling.is_none(),
        };
        if !same {
            self.kept = None;
            self.calling = calling;
        }
    }

    /// Makes one probe, within the check's timeout, by the protocol that is spoken with the pool's servers. A probe that is dropped midway
    /// drops its connection.
    ///
    /// # Errors
    /// How the server failed.
    pub async fn probe(&mut self, check: &HealthCheck, protocol: Protocol) -> Result<(), Failure> {
        let probe = async {
            match (check.kind, protocol) {
                (CheckKind::Http, Protocol::Http1) => {
                    let status = self.ask(check).await?;
                    judge(check, status)
                }
                (CheckKind::Http, Protocol::H2) => {
                    let answer = self.ask_over_http2(check).await?;
                    judge(check, answer.status)
                }
                // gRPC is HTTP/2, whatever else the server speaks.
                (CheckKind::Grpc, _) => grpc::judge(&self.ask_over_http2(check).await?),
                // Whether it takes connections, whatever is spoken on them.
                (CheckKind::Tcp, _) => {
                    let connected = Wire::connect(self.address, None, protocol).await;
                    connected.map(drop)
                }
                (CheckKind::None, _) => Ok(()),
            }
        };
        match tokio::time::timeout(check.timeout, probe).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut {
                after: check.timeout,
            }),
        }
    }

    /// Whether a connection was kept from the last probe: an open file, until the next probe or a drop.
    pub fn is_connected(&self) -> bool {
        self.kept.is_some()
    }

    /// A server may close a kept connection at any time, also while the request is on its way; so what
    /// fails there says nothing about the server, and is asked again on a fresh connection, once.
    async fn ask(&mut self, check: &HealthCheck) -> Result<u16, Failure> {
        let kept = match self.kept.take() {
            Some(Kept::Http1(connection)) => self.exchange(*connection, check).await.ok(),
            _ => None,
        };
        if let Some(status) = kept {
            return Ok(status);
        }
        let connection = Connection::handshake(self.connect(Protocol::Http1).await?).await?;
        self.exchange(connection, check).await
    }

    /// The same over HTTP/2.
    async fn ask_over_http2(&mut self, check: &HealthCheck) -> Result<Answer, Failure> {
        let kept = match self.kept.take() {
            Some(Kept::Http2(connection)) => self.call(*connection, check).await.ok(),
            _ => None,
        };
        if let Some(answer) = kept {
            return Ok(answer);
        }
        let connection = H2Connection::handshake(self.connect(Protocol::H2).await?).await?;
        self.call(connection, check).await
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        check: &HealthCheck,
    ) -> Result<u16, Failure> {
        let status = connection.exchange(self.address, check).await?;
        let kept = connection.into_reusable().await;
        self.kept = kept.map(|kept| Kept::Http1(Box::new(kept)));
        Ok(status)
    }

    async fn call(
        &mut self,
        mut connection: H2Connection,
        check: &HealthCheck,
    ) -> Result<Answer, Failure> {
        let authority = check.host.clone();
        let authority = authority.unwrap_or_else(|| self.address.to_string());
        let scheme = match self.calling {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        };
        let (request, content) = match check.kind {
            CheckKind::Grpc => grpc::call(&scheme, &authority, &check.service)?,
            _ => (get(&scheme, &authority, &check.path)?, Bytes::new()),
        };
        let answer = connection.exchange(request, content).await?;
        let kept = connection.into_reusable().await;
        self.kept = kept.map(|kept| Kept::Http2(Box::new(kept)));
        Ok(answer)
    }

    async fn connect(&self, protocol: Protocol) -> Result<Wire, Failure> {
        Wire::connect(self.address, self.calling.as_deref(), protocol).await
    }
}

/// Whether the status is one that the check expects.
fn judge(check: &HealthCheck, status: u16) -> Result<(), Failure> {
    let expected = check.status.iter().any(|range| range.contains(status));
    expected.then_some(()).ok_or(Failure::Status(status))
}

#[cfg(test)]
mod grpc_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
