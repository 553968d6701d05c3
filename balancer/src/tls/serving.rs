//! What the listener does with clients that come by TLS.

use std::sync::Arc;

use model::{Alpn, ClientVerify, ListenerTls, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::showcase::{Showcase, Shown};

/// HTTP/2 within TLS (RFC 9113, 3.1).
pub(super) const H2: &[u8] = b"h2";

/// What clients that come now are served by.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(super) config: Arc<ServerConfig>,
    showcase: Arc<Showcase>,
    /// Whether clients are asked for a certificate.
    pub(super) asks: bool,
}

impl Serving {
    /// How a listener serves, by its settings. Who clients' certificates must be signed by is in `roots`, where they are asked for.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub(super) fn new(
        settings: &ListenerTls,
        showcase: Arc<Showcase>,
        roots: Option<Arc<RootCertStore>>,
        tickets: Arc<dyn ProducesTickets>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
        let builder = builder
            .with_protocol_versions(versions(settings.min_version))
            .map_err(|error| format!("tls: {error}"))?;
        let asks = roots.is_some();
        let builder = match roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
                let verifier = match settings.client.verify {
                    ClientVerify::Optional => verifier.allow_unauthenticated(),
                    ClientVerify::Required | ClientVerify::None => verifier,
                };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| format!("tls.client.ca: {error}"))?,
                )
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&showcase) as _);
        let spoken = settings.alpn.iter();
        config.alpn_protocols = spoken.map(|one| name(*one).into()).collect();
        // Sessions are in their tickets, and nowhere here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets;
        Ok(Self {
            config: Arc::new(config),
            showcase,
            asks,
        })
    }

    /// What is shown to whoever says this.
    pub(super) fn shown_to(&self, hello: &ClientHello<'_>) -> Option<&Arc<Shown>> {
        self.showcase.shown_to(hello)
    }
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
    match min {
        TlsVersion::V1_2 => ALL,
        TlsVersion::V1_3 => &ALL[..1],
    }
}

/// A protocol's name (RFC 7301, 6).
fn name(protocol: Alpn) -> &'static [u8] {
    match protocol {
        Alpn::H2 => H2,
        Alpn::Http1 => b"http/1.1",
    }
}
