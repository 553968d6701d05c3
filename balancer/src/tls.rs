//! TLS, to clients and to servers: what is shown, asked for and believed, compiled off the request path from the registry, from files and
//! from the flags.
//!
//! `compiler` makes a `Tls` of each snapshot, which is published with the table and swapped with it: a change is applied once every
//! thread has both. What has not changed is taken over as it is, and where something cannot be used, the last good stays in force and is
//! reported by name. `showcase` finds the certificate for a name, `serving` is what a listener does, `calling` what a pool's servers are
//! called with; `tickets` lets clients go on with a session, wherever in the fleet it was begun. `files` looks at what is on disk.
//! The bytes themselves are `stream`'s.

mod calling;
mod compiler;
mod files;
mod handshake;
mod names;
mod serving;
mod showcase;
mod tickets;
mod watched;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Fault, PoolId};
use probe::Calling;

use calling::PoolCalls;
pub(crate) use calling::call;
pub(crate) use compiler::Compiler;
pub(crate) use files::{Disk, Files, follow_files};
pub(crate) use handshake::{Made, Secured, handshake};
pub(crate) use serving::Serving;

/// What TLS is spoken with.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    serving: Option<Arc<Serving>>,
    /// The field that names the subject of a client's certificate, which no client may send.
    subject_header: Option<Arc<str>>,
    /// Clients are asked for certificates.
    verifies_clients: bool,
    /// Of the pools that are reached within TLS.
    calling: HashMap<PoolId, PoolCalls>,
    /// What cannot be used, of which the last good is in force.
    faults: Vec<Fault>,
    /// When what is shown expires, in seconds since 1970, by the certificate's name and where it is from.
    expiries: BTreeMap<(String, &'static str), u64>,
}

impl Tls {
    /// How clients are served. Nothing before the first table.
    pub(crate) fn serving(&self) -> Option<&Arc<Serving>> {
        self.serving.as_ref()
    }

    pub(crate) fn subject_header(&self) -> Option<&Arc<str>> {
        self.subject_header.as_ref()
    }

    /// Whether servers may rely on what is said of clients' certificates.
    pub(crate) fn verifies_clients(&self) -> bool {
        self.verifies_clients
    }

    /// How a server is called of a pool that is reached within TLS; `hostname` is the name that it was added by, if by any. Nothing where nothing
    /// that was said of the pool could be used.
    pub(crate) fn calling(&self, pool: &PoolId, hostname: Option<&str>) -> Option<Arc<Calling>> {
        let calls = self.calling.get(pool)?;
        Some(calls.of(hostname))
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(crate) fn expiries(&self) -> &BTreeMap<(String, &'static str), u64> {
        &self.expiries
    }
}
