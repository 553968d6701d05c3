//! Clients that go on with a session, at whichever thread and balancer they come to.

use std::net::SocketAddr;
use std::sync::Arc;

use certificates::testing::Issued;
use model::{ClientCertificates, ClientVerify, ListenerTls};
use rustls::SupportedProtocolVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fleet::Fleet;
use crate::secure::{TLS12, TLS13, Trust, connect, listener, seen, tls_of};
use crate::upstream::Upstream;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

async fn fleet(trust: &Trust, issued: &Issued, server: SocketAddr) -> Fleet {
    trust
        .fleet(&[("a", issued)], &[server], &["--threads", "2"])
        .await
}

/// Makes a request; whether a session was resumed for it.
async fn resumes(fleet: &Fleet, config: &Arc<rustls::ClientConfig>) -> bool {
    let made = connect(tls_of(fleet), "shop.example", config).await;
    let mut stream = made.expect("a handshake");
    stream.write_all(REQUEST).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.ends_with("one"), "{answer}");
    seen(&stream).resumed
}

async fn goes_on_everywhere(versions: &[&'static SupportedProtocolVersion], version: &str) {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let here = fleet(&trust, &issued, server.address).await;
    let config = Arc::new(trust.client(versions));
    assert!(!resumes(&here, &config).await);
    for _ in 0..8 {
        assert!(
            resumes(&here, &config).await,
            "at another connection, of whichever thread"
        );
    }
    let made = "roundhouse_balancer_tls_handshakes_total";
    let resumed = format!("{made}{{version=\"{version}\",resumed=\"true\"}}");
    here.counts(&resumed, 8).await;
    let there = fleet(&trust, &issued, server.address).await;
    assert!(
        resumes(&there, &config).await,
        "at another balancer of the fleet"
    );
    let other = Trust {
        seal_key: certificates::SealKey::generate(),
        ..Trust::new()
    };
    let foreign = trust_with(&trust, other);
    let elsewhere = fleet(&foreign, &issued, server.address).await;
    assert!(
        !resumes(&elsewhere, &config).await,
        "where other seal keys are"
    );
}

/// The authority of one, and the seal key of the other.
fn trust_with(of: &Trust, other: Trust) -> Trust {
    let seal_key = other.seal_key.line();
    std::fs::write(other.seal_key_file(), &*seal_key).expect("a file");
    assert_ne!(*of.seal_key.line(), *seal_key);
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_at_every_thread_and_balancer_by_tls_1_3() {
    goes_on_everywhere(TLS13, "1.3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_at_every_thread_and_balancer_by_tls_1_2() {
    goes_on_everywhere(TLS12, "1.2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_where_other_client_certificates_are_asked_for() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let fleet = fleet(&trust, &issued, server.address).await;
    let config = Arc::new(trust.client(TLS13));
    assert!(!resumes(&fleet, &config).await);
    assert!(resumes(&fleet, &config).await);
    let tls = ListenerTls {
        client: ClientCertificates {
            verify: ClientVerify::Optional,
            ca: trust.authority.pem().into(),
            ..ClientCertificates::default()
        },
        ..ListenerTls::default()
    };
    fleet.change(listener(tls)).await;
    assert!(!resumes(&fleet, &config).await);
    assert!(resumes(&fleet, &config).await);
}
