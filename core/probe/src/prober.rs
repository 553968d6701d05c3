//! Who probes one server: its address, and the connection kept from one probe to the next.

use std::net::SocketAddr;

use model::{CheckKind, HealthCheck};
use tokio::net::TcpStream;

use crate::Failure;
use crate::connection::Connection;
use crate::grpc;
use crate::h2_connection::{Answer, H2Connection};

/// Probes one address, over one kept connection where the server allows it.
#[derive(Debug)]
pub struct Prober {
    address: SocketAddr,
    kept: Option<Kept>,
}

/// A connection at rest.
#[derive(Debug)]
enum Kept {
    Http1(Connection),
    Http2(H2Connection),
}

impl Prober {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            kept: None,
        }
    }

    /// Makes one probe, within the check's timeout. A probe that is dropped midway drops its connection.
    ///
    /// # Errors
    /// How the server failed.
    pub async fn probe(&mut self, check: &HealthCheck) -> Result<(), Failure> {
        let probe = async {
            match check.kind {
                CheckKind::Http => self.probe_http(check).await,
                CheckKind::Grpc => self.probe_grpc(check).await,
                CheckKind::Tcp => self.connect().await.map(drop),
                CheckKind::None => Ok(()),
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
    async fn probe_http(&mut self, check: &HealthCheck) -> Result<(), Failure> {
        let kept = match self.kept.take() {
            Some(Kept::Http1(connection)) => self.exchange(connection, check).await.ok(),
            _ => None,
        };
        let status = match kept {
            Some(status) => status,
            None => {
                let connection = Connection::handshake(self.connect().await?).await?;
                self.exchange(connection, check).await?
            }
        };
        if check.status.iter().any(|range| range.contains(status)) {
            return Ok(());
        }
        Err(Failure::Status(status))
    }

    /// The same for the call of a gRPC check.
    async fn probe_grpc(&mut self, check: &HealthCheck) -> Result<(), Failure> {
        let kept = match self.kept.take() {
            Some(Kept::Http2(connection)) => self.call(connection, check).await.ok(),
            _ => None,
        };
        let answer = match kept {
            Some(answer) => answer,
            None => {
                let connection = H2Connection::handshake(self.connect().await?).await?;
                self.call(connection, check).await?
            }
        };
        grpc::judge(&answer)
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        check: &HealthCheck,
    ) -> Result<u16, Failure> {
        let status = connection.exchange(self.address, check).await?;
        self.kept = connection.into_reusable().await.map(Kept::Http1);
        Ok(status)
    }

    async fn call(
        &mut self,
        mut connection: H2Connection,
        check: &HealthCheck,
    ) -> Result<Answer, Failure> {
        let authority = check.host.clone();
        let authority = authority.unwrap_or_else(|| self.address.to_string());
        let (request, message) = grpc::call(&authority, &check.service)?;
        let answer = connection.exchange(request, message).await?;
        self.kept = connection.into_reusable().await.map(Kept::Http2);
        Ok(answer)
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        TcpStream::connect(self.address)
            .await
            .map_err(|error| Failure::connecting(&error))
    }
}

#[cfg(test)]
mod grpc_tests;
#[cfg(test)]
mod tests;
