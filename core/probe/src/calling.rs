//! How a pool's servers are called within TLS: whom they must have been certified by, what for, and what is shown to them.
//!
//! It is here so that a probe believes what the balancers believe, and nothing else.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use certificates::parse_roots;
use model::{Elements, Pool, PoolId, PoolTls, Protocol};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Sessions that are remembered per pool: a server's name or address has one place.
const SESSIONS_MAX: usize = 1024;

/// How the servers of a pool are called, or one of them.
#[derive(Clone)]
pub struct Calling {
    common: Arc<Common>,
    /// The name that is asked for; nothing where that is the server's address.
    name: Option<ServerName<'static>>,
}

/// What all servers of the pool are called with.
struct Common {
    http1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    settings: PoolTls,
    protocol: Protocol,
    own: Option<Arc<CertifiedKey>>,
}

/// The roots that this host trusts, read once: before the first pool is taken in whose servers must be verified and that has no `tls.ca`.
#[derive(Debug, Default)]
pub struct HostRoots(OnceCell<Arc<RootCertStore>>);

/// Without the key that may be in it.
impl fmt::Debug for Calling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling")
            .field("settings", &self.common.settings)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl HostRoots {
    /// Reads them, unless that was done or none of these pools needs them. It takes some milliseconds of a thread that may block.
    pub async fn read_for(&self, pools: &Elements<PoolId, Pool>) {
        let mut pools = pools.values().map(|pool| &pool.value.tls);
        if !self.0.initialized() && pools.any(believes_host) {
            self.read_by(read).await;
        }
    }

    async fn read_by(&self, read: impl FnOnce() -> RootCertStore + Send + 'static) {
        let read = async {
            let read = spawn_blocking(read).await;
            Arc::new(read.expect("reading roots does not panic"))
        };
        self.0.get_or_init(|| read).await;
    }

    /// None of them where they were not read: then nobody is believed.
    fn get(&self) -> Arc<RootCertStore> {
        let none = || Arc::new(RootCertStore::empty());
        self.0.get().cloned().unwrap_or_else(none)
    }
}

/// Whether the pool's servers are verified by the roots of the host.
fn believes_host(settings: &PoolTls) -> bool {
    settings.enabled && settings.verify && settings.ca.is_empty()
}

fn read() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    // What cannot be read is missing then: a server that needs it is not believed.
    for error in &found.errors {
        tracing::warn!(%error, "a root of this host cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "read the roots that this host trusts");
    roots
}

impl Calling {
    /// How the servers of this pool are called, where it says that they are called within TLS; `own` is what they are shown, if they ask.
    /// The host's roots were read for it.
    ///
    /// # Errors
    /// What of it cannot be used, by its field.
    pub fn new(
        pool: &Pool,
        own: Option<Arc<CertifiedKey>>,
        roots: &HostRoots,
    ) -> Result<Self, String> {
        let settings = &pool.tls;
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(settings, roots, &provider)?;
        let name = match settings.server_name.as_str() {
            "" => None,
            name => {
                let name = ServerName::try_from(name.to_owned());
                Some(name.map_err(|_| "tls.server_name: is no name that a certificate can have")?)
            }
        };
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("tls: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let own = SingleCertAndKey::from(Arc::clone(own));
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let speaking = |protocol| {
            let mut config = config.clone();
            config.alpn_protocols = vec![alpn(protocol).into()];
            Arc::new(config)
        };
        let common = Common {
            http1: speaking(Protocol::Http1),
            h2: speaking(Protocol::H2),
            settings: settings.clone(),
            protocol: pool.protocol,
            own,
        };
        Ok(Self {
            common: Arc::new(common),
            name,
        })
    }

    /// How the server is called that was added by this name, if by any.
    #[must_use]
    pub fn to(&self, hostname: Option<&str>) -> Self {
        let mut one = self.clone();
        if self.asks_by_server() {
            // What no certificate can be for is no name: then its address counts.
            one.name = hostname.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        }
        one
    }

    /// Whether each server is asked for a name of its own.
    pub fn asks_by_server(&self) -> bool {
        self.common.settings.server_name.is_empty()
    }

    /// Whether a connection that was made by the one is as good as one that is made by the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.common, &other.common) && self.name == other.name
    }

    /// Whether it is how the servers of this pool are to be called.
    pub fn is_of(&self, pool: &Pool, own: Option<&Arc<CertifiedKey>>) -> bool {
        let common = &self.common;
        let same_own = match (&common.own, own) {
            (Some(mine), Some(own)) => Arc::ptr_eq(mine, own),
            (mine, own) => mine.is_none() && own.is_none(),
        };
        same_own && common.settings == pool.tls && common.protocol == pool.protocol
    }

    /// To speak what is spoken with the pool's servers.
    pub fn config(&self) -> &Arc<ClientConfig> {
        self.config_of(self.common.protocol)
    }

    /// To speak this.
    pub(crate) fn config_of(&self, protocol: Protocol) -> &Arc<ClientConfig> {
        match protocol {
            Protocol::Http1 => &self.common.http1,
            Protocol::H2 => &self.common.h2,
        }
    }

    /// What a server is asked for, and what its certificate must be for.
    pub fn name_of(&self, server: SocketAddr) -> ServerName<'static> {
        let address = || ServerName::IpAddress(server.ip().to_canonical().into());
        self.name.clone().unwrap_or_else(address)
    }
}

/// A protocol's name (RFC 7301, 6).
fn alpn(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::H2 => b"h2",
    }
}

fn verifier(
    settings: &PoolTls,
    host: &HostRoots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if !settings.verify {
        return Ok(Arc::new(Credulous(Arc::clone(provider))));
    }
    let roots = match settings.ca.as_str() {
        "" => host.get(),
        own => own_roots(own)?,
    };
    if roots.is_empty() {
        return Err("tls.ca: is empty, and this host trusts no root: name one".into());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
    Ok(verifier
        .build()
        .map_err(|error| format!("tls.ca: {error}"))?)
}

fn own_roots(pem: &str) -> Result<Arc<RootCertStore>, String> {
    let parsed = parse_roots(pem).map_err(|error| format!("tls.ca {error}"))?;
    let mut roots = RootCertStore::empty();
    for root in parsed {
        let added = roots.add(root);
        added.map_err(|error| format!("tls.ca holds what is no root: {error}"))?;
    }
    Ok(Arc::new(roots))
}

/// Believes every certificate, where a pool says so, but still asks for its key.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use model::{Revision, Stamped};

    use super::*;

    fn pools(tls: PoolTls) -> Elements<PoolId, Pool> {
        let mut pool = Pool::new(PoolId::standard());
        pool.tls = tls;
        let stamped = Arc::new(Stamped::new(Revision(1), pool));
        [(PoolId::standard(), stamped)].into_iter().collect()
    }

    #[tokio::test]
    async fn the_hosts_roots_are_read_for_the_first_pool_that_needs_them() {
        let roots = HostRoots::default();
        let tls = PoolTls {
            enabled: true,
            ..PoolTls::default()
        };
        for needless in [
            PoolTls::default(),
            PoolTls {
                verify: false,
                ..tls.clone()
            },
            PoolTls {
                ca: "its own".into(),
                ..tls.clone()
            },
        ] {
            roots.read_for(&pools(needless)).await;
            assert!(!roots.0.initialized());
        }
        roots.read_for(&pools(tls)).await;
        assert!(roots.0.initialized());
    }

    #[tokio::test]
    async fn while_the_roots_are_read_the_thread_does_other_work() {
        let (works, waits) = mpsc::channel();
        let roots = HostRoots::default();
        let reading = roots.read_by(move || {
            let worked = waits.recv_timeout(Duration::from_secs(10));
            worked.expect("somebody else works meanwhile");
            RootCertStore::empty()
        });
        let working = async { works.send(()).expect("the roots are being read") };
        tokio::join!(reading, working);
    }
}
