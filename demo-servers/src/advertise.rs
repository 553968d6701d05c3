//! The address at which others reach this server.

use std::io;
use std::net::SocketAddr;

use client::AdminUrl;
use tokio::net::UdpSocket;

/// What to tell the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advertised {
    /// What was said, or the one address that is listened on.
    Fixed(String),
    /// Every address is listened on: the one that this host has toward the admin API, with this port.
    TowardAdmin { port: u16 },
}

impl Advertised {
    pub(crate) fn of(given: Option<String>, listening: SocketAddr) -> Self {
        match given {
            Some(address) => Self::Fixed(address),
            None if listening.ip().is_unspecified() => Self::TowardAdmin {
                port: listening.port(),
            },
            None => Self::Fixed(listening.to_string()),
        }
    }

    pub(crate) async fn resolve(&self, admin: &AdminUrl) -> io::Result<String> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::TowardAdmin { port } => {
                let own = own_address_toward(admin).await?;
                Ok(SocketAddr::new(own.ip(), *port).to_string())
            }
        }
    }
}

/// The kernel chooses the address by the route; connecting a UDP socket sends nothing.
async fn own_address_toward(admin: &AdminUrl) -> io::Result<SocketAddr> {
    let mut failure = io::Error::other("the admin API's name has no address");
    for remote in tokio::net::lookup_host((admin.host(), admin.port())).await? {
        let any: SocketAddr = match remote {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0; 16], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        match socket
            .connect(remote)
            .await
            .and_then(|()| socket.local_addr())
        {
            Ok(own) => return Ok(own),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_everywhere_tells_the_address_it_has_toward_the_admin_api() {
        let admin: AdminUrl = "http://127.0.0.1:8080".parse().unwrap();
        let everywhere = Advertised::of(None, "0.0.0.0:3001".parse().unwrap());
        assert_eq!(everywhere.resolve(&admin).await.unwrap(), "127.0.0.1:3001");
    }

    #[tokio::test]
    async fn what_was_said_or_listened_on_is_told_as_it_is() {
        let admin: AdminUrl = "http://127.0.0.1:8080".parse().unwrap();
        let listening = "10.0.0.5:3001".parse().unwrap();
        let one = Advertised::of(None, listening);
        assert_eq!(one.resolve(&admin).await.unwrap(), "10.0.0.5:3001");
        let said = Advertised::of(Some("web:80".into()), listening);
        assert_eq!(said.resolve(&admin).await.unwrap(), "web:80");
    }
}
