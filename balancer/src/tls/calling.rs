//! Calls to servers within TLS: what each of a pool is called with, and the call itself, on a connection that was just made, within its time.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use probe::Calling;
use tokio::net::TcpStream;

use super::handshake::in_time;
use crate::buffers::Buffers;
use crate::stream::{HandshakeError, Tls};
use crate::timers::Timer;

/// How the servers of one pool are called.
#[derive(Debug, Clone)]
pub(super) struct PoolCalls {
    common: Arc<Calling>,
    /// Those that were added by a name, where each is asked for its own.
    named: HashMap<Arc<str>, Arc<Calling>>,
}

impl PoolCalls {
    /// Those of a pool some of whose servers were added by these names. What was made before is taken over.
    pub(super) fn new(
        common: Arc<Calling>,
        hostnames: Option<&BTreeSet<Arc<str>>>,
        before: Option<&Self>,
    ) -> Self {
        let before = before.filter(|before| Arc::ptr_eq(&before.common, &common));
        let hostnames = hostnames.into_iter().flatten();
        let named = hostnames.filter(|_| common.asks_by_server()).map(|name| {
            let made = before.and_then(|before| before.named.get(name)).cloned();
            let made = made.unwrap_or_else(|| Arc::new(common.to(Some(name))));
            (Arc::clone(name), made)
        });
        let named = named.collect();
        Self { common, named }
    }

    pub(super) fn common(&self) -> &Arc<Calling> {
        &self.common
    }

    /// How the server is called that was added by this name, if by any.
    pub(super) fn of(&self, hostname: Option<&str>) -> Arc<Calling> {
        let Some(name) = hostname.filter(|_| self.common.asks_by_server()) else {
            return Arc::clone(&self.common);
        };
        // One that was picked before it got another name is still asked for the old one.
        let named = self.named.get(name).cloned();
        named.unwrap_or_else(|| Arc::new(self.common.to(hostname)))
    }
}

/// Makes the handshake with a server before the timer's deadline. Its last flight goes out with the request.
pub(crate) async fn call(
    calling: &Calling,
    server: SocketAddr,
    socket: TcpStream,
    timer: &Timer,
    buffers: &Buffers,
) -> Result<Tls, HandshakeError> {
    let tls = Tls::call(socket, calling, server)?;
    in_time(timer, |context| tls.poll_handshake(context, buffers)).await?;
    Ok(tls)
}
