//! Makes what TLS is spoken with of what the registry and the files hold, and takes over what has not changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use certificates::{Chain, KeyError, SealKeys, parse_roots};
use model::{
    Certificate, CertificateId, ClientVerify, Collection, Elements, Fault, KeptKey, Listener,
    ListenerId, ListenerTls, Pool, PoolId, Server, ServerKey, Snapshot, Stamped, differing,
};
use probe::{Calling, HostRoots};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;

use super::Tls;
use super::calling::PoolCalls;
use super::files::Files;
use super::names::Names;
use super::serving::Serving;
use super::showcase::{Origin, Showcase, Shown};
use super::tickets::Tickets;

/// What was made last, and of what.
#[derive(Debug)]
pub(crate) struct Compiler {
    /// Whether this process takes clients within TLS.
    listens: bool,
    host_roots: HostRoots,
    provider: Arc<CryptoProvider>,
    elements: Elements<CertificateId, Certificate>,
    opened: BTreeMap<CertificateId, Opened>,
    files: Arc<Files>,
    listener: Option<Arc<Stamped<Listener>>>,
    /// The last settings of the listener that could be used.
    settings: Option<ListenerTls>,
    tickets: Option<(Vec<u8>, Arc<dyn ProducesTickets>)>,
    pools: Elements<PoolId, Pool>,
    servers: Elements<ServerKey, Server>,
    hostnames: Hostnames,
    latest: Arc<Tls>,
}

/// A certificate of the registry.
#[derive(Debug)]
struct Opened {
    /// The last that could be used.
    shown: Option<Arc<Shown>>,
    /// Why what the registry holds now cannot be.
    fault: Option<String>,
}

/// The names by which servers were added, of the pools whose servers are asked for them.
type Hostnames = BTreeMap<PoolId, BTreeSet<Arc<str>>>;

/// What can be shown, by name.
type All<'a> = BTreeMap<&'a str, &'a Arc<Shown>>;

impl Compiler {
    pub(crate) fn new(listens: bool) -> Self {
        Self {
            listens,
            host_roots: HostRoots::default(),
            provider: Arc::new(ring::default_provider()),
            elements: Elements::new(),
            opened: BTreeMap::new(),
            files: Arc::default(),
            listener: None,
            settings: None,
            tickets: None,
            pools: Elements::new(),
            servers: Elements::new(),
            hostnames: Hostnames::new(),
            latest: Arc::default(),
        }
    }

    /// What is in force with this snapshot and these files. The same as before, where nothing of it has changed.
    pub(crate) async fn compile(&mut self, snapshot: &Snapshot, files: &Arc<Files>) -> Arc<Tls> {
        self.host_roots.read_for(&snapshot.pools).await;
        let is_first = self.latest.serving.is_none();
        let shown = self.open(snapshot, files) | !Arc::ptr_eq(&self.files, files);
        self.files = Arc::clone(files);
        let listener = snapshot.listeners.get(&https());
        let listened = self.listener.as_ref() != listener;
        self.listener = listener.cloned();
        let called = self.note_pools(snapshot);
        if is_first || shown || listened || called {
            self.latest = Arc::new(self.make(is_first || shown || listened));
        }
        Arc::clone(&self.latest)
    }

    /// Takes in the pools and the names of their servers; says whether that may change how they are called.
    fn note_pools(&mut self, snapshot: &Snapshot) -> bool {
        let changed = differing(&self.pools, &snapshot.pools).next().is_some();
        let moved = differing(&self.servers, &snapshot.servers).next().is_some();
        self.pools = snapshot.pools.clone();
        self.servers = snapshot.servers.clone();
        if !changed && !moved {
            return false;
        }
        let hostnames = hostnames(snapshot);
        let renamed = hostnames != self.hostnames;
        self.hostnames = hostnames;
        changed || renamed
    }

    /// Opens the certificates that have changed, and with other seal keys all of them; says whether there was any.
    fn open(&mut self, snapshot: &Snapshot, files: &Files) -> bool {
        if !Arc::ptr_eq(&self.files.seal_keys, &files.seal_keys) {
            self.elements = Elements::new();
            self.tickets = None;
        }
        self.opened
            .retain(|id, _| snapshot.certificates.contains_key(id));
        let changed: Vec<_> = differing(&self.elements, &snapshot.certificates)
            .cloned()
            .collect();
        self.elements = snapshot.certificates.clone();
        for id in &changed {
            let Some(element) = self.elements.get(id) else {
                continue;
            };
            let made = open(&files.seal_keys, &element.value);
            let before = self.opened.remove(id).and_then(|opened| opened.shown);
            let opened = match made {
                Ok(shown) => Opened {
                    shown: Some(Arc::new(shown)),
                    fault: None,
                },
                Err(reason) => Opened {
                    shown: before,
                    fault: Some(reason),
                },
            };
            self.opened.insert(id.clone(), opened);
        }
        !changed.is_empty()
    }

    fn make(&mut self, serves_anew: bool) -> Tls {
        let mut faults: Vec<_> = self.opened.iter().filter_map(fault_of).collect();
        let (settings, serving) = if serves_anew {
            self.serve(&mut faults)
        } else {
            let before = self.latest.faults.iter();
            let of_listener = |fault: &&Fault| fault.collection == Collection::Listeners;
            faults.extend(before.filter(of_listener).cloned());
            (self.settings.clone(), self.latest.serving.clone())
        };
        let calling = self.call(&mut faults);
        faults.retain(|fault| self.concerns(fault));
        let expiries = all(&self.opened, &self.files).into_values();
        let expiries = expiries.map(|one| ((one.id.clone(), one.origin.as_str()), one.not_after));
        let in_force = settings.as_ref();
        let wanted = self.listener.as_ref().map(|it| &it.value.tls);
        // Where nothing is said of the listener, nobody relies on the field.
        let clients = wanted.map(|wanted| &in_force.unwrap_or(wanted).client);
        let subject_header = clients.map(|clients| clients.subject_header.as_str().into());
        let verifies_clients = clients.is_some_and(|it| it.verify != ClientVerify::None);
        let expiries = expiries.collect();
        self.settings = settings;
        Tls {
            serving,
            subject_header,
            verifies_clients,
            calling,
            faults,
            expiries,
        }
    }

    /// Whether this process does without something because of it. Where no client comes within TLS, nothing is missed of the listener, nor of
    /// a certificate that is shown to no server.
    fn concerns(&self, fault: &Fault) -> bool {
        match fault.collection {
            Collection::Listeners => self.listens,
            Collection::Certificates => self.listens || self.shows_servers(&fault.key),
            _ => true,
        }
    }

    fn shows_servers(&self, id: &str) -> bool {
        let mut pools = self.pools.values().map(|pool| &pool.value.tls);
        pools.any(|tls| tls.enabled && tls.certificate.as_ref().is_some_and(|it| it.as_str() == id))
    }

    /// How the listener serves, and by which settings: the last that could be used.
    fn serve(&mut self, faults: &mut Vec<Fault>) -> (Option<ListenerTls>, Option<Arc<Serving>>) {
        let wanted = self.listener.as_ref();
        let wanted = wanted.map_or_else(ListenerTls::default, |it| it.value.tls.clone());
        let last = self.settings.take().filter(|last| *last != wanted);
        let mut reasons = Vec::new();
        for settings in [Some(wanted), last].into_iter().flatten() {
            let tickets = self.tickets(&settings);
            let all = all(&self.opened, &self.files);
            let mut missing = Vec::new();
            let showcase = Arc::new(showcase(&settings, &all, &mut missing));
            let made = roots(&settings).and_then(|roots| {
                Serving::new(&settings, showcase, roots, tickets, &self.provider)
            });
            match made {
                Ok(serving) => {
                    reasons.extend(missing);
                    faults.extend(reasons.into_iter().map(listener_fault));
                    return (Some(settings), Some(Arc::new(serving)));
                }
                Err(reason) => reasons.push(reason),
            }
        }
        faults.extend(reasons.into_iter().map(listener_fault));
        (None, None)
    }

    /// What makes tickets. Sessions that were begun under other rules for clients' certificates are not gone on with.
    fn tickets(&mut self, settings: &ListenerTls) -> Arc<dyn ProducesTickets> {
        let context = serde_json::to_vec(&settings.client);
        let context = context.expect("settings can be written as they were read");
        if let Some((of, tickets)) = &self.tickets
            && *of == context
        {
            return Arc::clone(tickets);
        }
        let tickets: Arc<dyn ProducesTickets> =
            match Tickets::new(self.files.seal_keys.secrets(), &context) {
                Some(tickets) => Arc::new(tickets),
                None => ring::Ticketer::new().expect("the system gives randomness"),
            };
        self.tickets = Some((context, Arc::clone(&tickets)));
        tickets
    }

    /// How the servers of each pool are called: as before, where what the pool says now cannot be used.
    fn call(&self, faults: &mut Vec<Fault>) -> HashMap<PoolId, PoolCalls> {
        let all = all(&self.opened, &self.files);
        let mut calling = HashMap::new();
        let pools = self.pools.iter();
        for (id, pool) in pools.filter(|(_, pool)| pool.value.tls.enabled) {
            let before = self.latest.calling.get(id);
            let common = before.map(PoolCalls::common);
            let made = match self.call_one(&pool.value, common, &all) {
                Ok(made) => Some(made),
                Err(reason) => {
                    faults.push(pool_fault(id, reason));
                    common.cloned()
                }
            };
            let hostnames = self.hostnames.get(id);
            let made = made.map(|made| PoolCalls::new(made, hostnames, before));
            calling.extend(made.map(|made| (id.clone(), made)));
        }
        calling
    }

    fn call_one(
        &self,
        pool: &Pool,
        before: Option<&Arc<Calling>>,
        all: &All<'_>,
    ) -> Result<Arc<Calling>, String> {
        let own = match &pool.tls.certificate {
            None => None,
            Some(id) => {
                let shown = all.get(id.as_str()).ok_or_else(|| {
                    let id = id.as_str();
                    format!("tls.certificate: there is no certificate {id:?} that can be used")
                })?;
                Some(&shown.key)
            }
        };
        if let Some(before) = before.filter(|before| before.is_of(pool, own)) {
            return Ok(Arc::clone(before));
        }
        Calling::new(pool, own.cloned(), &self.host_roots).map(Arc::new)
    }
}

fn hostnames(snapshot: &Snapshot) -> Hostnames {
    let asks = |pool: &Pool| pool.tls.enabled && pool.tls.server_name.is_empty();
    let pools = snapshot.pools.iter().filter(|(_, pool)| asks(&pool.value));
    let mut hostnames: Hostnames = pools.map(|(id, _)| (id.clone(), BTreeSet::new())).collect();
    if hostnames.is_empty() {
        return hostnames;
    }
    for server in snapshot.servers.values().map(|server| &server.value) {
        if let Some(name) = server.hostname.as_deref()
            && let Some(names) = hostnames.get_mut(&server.pool)
        {
            names.insert(name.into());
        }
    }
    hostnames
}

fn https() -> ListenerId {
    "https".parse().expect("a valid name")
}

/// Opens the key of a certificate, and checks that the two belong together.
fn open(seal_keys: &SealKeys, certificate: &Certificate) -> Result<Shown, String> {
    let Certificate { id, chain, key, .. } = certificate;
    let chain = Chain::parse(chain).map_err(|error| format!("chain {error}"))?;
    let KeptKey::Sealed(sealed) = key;
    let key = seal_keys.open(id, sealed);
    let key = key.map_err(|error| error.to_string())?;
    let shown = Shown::new(id.as_str(), Origin::Registry, &chain, &key);
    shown.map_err(|error| format!("key {error}"))
}

impl Shown {
    /// A certificate with its key.
    ///
    /// # Errors
    /// The two do not belong together, or cannot be used here.
    pub(super) fn new(
        id: &str,
        origin: Origin,
        chain: &Chain,
        key: &certificates::PrivateKey,
    ) -> Result<Self, KeyError> {
        let certified = chain.with_key(key)?;
        Ok(Self {
            id: id.to_owned(),
            origin,
            names: Names::new(chain.names()),
            not_before: chain.not_before(),
            not_after: chain.not_after_seconds(),
            key: Arc::new(certified),
        })
    }
}

/// Files go before the registry where both have a name.
fn all<'a>(opened: &'a BTreeMap<CertificateId, Opened>, files: &'a Files) -> All<'a> {
    let registered = opened.values().filter_map(|opened| opened.shown.as_ref());
    let all = registered.chain(files.shown());
    all.map(|shown| (shown.id.as_str(), shown)).collect()
}

/// What the listener shows; what it names and is not there goes to `missing`.
fn showcase(settings: &ListenerTls, all: &All<'_>, missing: &mut Vec<String>) -> Showcase {
    let mut find = |field: &str, id: &CertificateId| {
        let found = all.get(id.as_str()).map(|shown| Arc::clone(shown));
        if found.is_none() {
            missing.push(format!(
                "{field}: there is no certificate {:?} that can be used",
                id.as_str()
            ));
        }
        found
    };
    let standard = settings.default.as_ref();
    let standard = standard.and_then(|id| find("tls.default", id));
    let named = settings.certificates.iter();
    let named: Vec<_> = named
        .filter_map(|id| find("tls.certificates", id))
        .collect();
    let shown = match settings.certificates.is_empty() {
        true => all.values().map(|shown| Arc::clone(shown)).collect(),
        false => named,
    };
    Showcase::new(shown, standard)
}

/// Whom clients' certificates must be signed by, where they are asked for.
fn roots(settings: &ListenerTls) -> Result<Option<Arc<RootCertStore>>, String> {
    if settings.client.verify == ClientVerify::None {
        return Ok(None);
    }
    let parsed = parse_roots(&settings.client.ca);
    let mut roots = RootCertStore::empty();
    for root in parsed.map_err(|error| format!("tls.client.ca {error}"))? {
        let added = roots.add(root);
        added.map_err(|error| format!("tls.client.ca holds what is no root: {error}"))?;
    }
    Ok(Some(Arc::new(roots)))
}

fn fault_of((id, opened): (&CertificateId, &Opened)) -> Option<Fault> {
    Some(Fault {
        collection: Collection::Certificates,
        key: id.to_string(),
        reason: opened.fault.clone()?,
    })
}

fn listener_fault(reason: String) -> Fault {
    Fault {
        collection: Collection::Listeners,
        key: "https".into(),
        reason,
    }
}

fn pool_fault(pool: &PoolId, reason: String) -> Fault {
    Fault {
        collection: Collection::Pools,
        key: pool.to_string(),
        reason,
    }
}
