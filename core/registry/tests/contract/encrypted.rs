//! TLS: what is trusted, who is let in, and what is said where it is not so.

use std::path::PathBuf;
use std::sync::Arc;

use model::FleetName;
use registry::testing::{Certificates, RedisServer};
use registry::{Commit, OpenError, Options, Registry, TlsFiles, open};

use crate::fixture::{first_snapshot, next_delta, operator, put};

fn files(ca: Option<PathBuf>, own: Option<&Certificates>) -> TlsFiles {
    TlsFiles {
        registry_ca: ca,
        registry_cert: own.map(Certificates::certificate),
        registry_key: own.map(Certificates::key),
    }
}

fn try_connect(url: &str, tls: TlsFiles) -> Result<Arc<dyn Registry>, OpenError> {
    let options = Options {
        tls,
        ..Options::new(url, FleetName::standard())
    };
    open(&options)
}

/// What a connection that must fail says: one line.
async fn said(url: &str, tls: TlsFiles) -> String {
    let registry = try_connect(url, tls).expect("an address");
    let error = registry
        .head()
        .await
        .expect_err("it will not do")
        .to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[tokio::test]
async fn a_registry_is_used_through_tls_with_an_own_ca_and_a_client_certificate() {
    let certificates = Certificates::make();
    let (_server, port) = RedisServer::with_tls(&certificates, &[]);
    let url = format!("rediss://127.0.0.1:{port}");
    let tls = files(Some(certificates.authority()), Some(&certificates));
    let registry = try_connect(&url, tls).expect("an address");
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let mut changes = registry.announcements().await.expect("a subscription");
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let committed = registry.commit(commit).await.expect("a commit");
    assert_eq!(
        next_delta(&mut changes).await.position(),
        committed.position
    );
}

#[tokio::test]
async fn a_server_that_asks_for_no_client_certificate_gets_none() {
    let certificates = Certificates::make();
    let (_server, port) = RedisServer::with_tls(&certificates, &["--tls-auth-clients", "no"]);
    let tls = files(Some(certificates.authority()), None);
    let url = format!("rediss://localhost:{port}");
    let registry = try_connect(&url, tls).expect("an address");
    assert_eq!(registry.head().await, Ok(None));
}

#[tokio::test]
async fn who_is_not_trusted_is_refused_with_what_to_do() {
    let (ours, others) = (Certificates::make(), Certificates::make());
    let (server, port) = RedisServer::with_tls(&ours, &[]);
    let url = format!("rediss://127.0.0.1:{port}");
    let wrong = said(&url, files(Some(others.authority()), Some(&ours))).await;
    assert!(wrong.contains("its certificate is not from"), "{wrong}");
    let system = said(&url, files(None, Some(&ours))).await;
    assert!(system.contains("--registry-ca"), "{system}");
    let nobody = said(&url, files(Some(ours.authority()), None)).await;
    assert!(
        nobody.contains("give --registry-cert and --registry-key"),
        "{nobody}"
    );
    let stranger = said(&url, files(Some(ours.authority()), Some(&others))).await;
    assert!(stranger.contains("--registry-cert"), "{stranger}");
    let elsewhere = format!("rediss://127.0.0.2:{port}");
    let elsewhere = said(&elsewhere, files(Some(ours.authority()), Some(&ours))).await;
    assert!(elsewhere.contains("127.0.0.2"), "{elsewhere}");
    let plain = format!("rediss://{}", server.address());
    let plain = said(&plain, files(Some(ours.authority()), Some(&ours))).await;
    assert!(
        plain.contains("it does not speak TLS on that port"),
        "{plain}"
    );
}

#[test]
fn a_file_that_is_missing_or_wrong_is_named_before_anything_connects() {
    let (ours, others) = (Certificates::make(), Certificates::make());
    let url = "rediss://:hunter2@127.0.0.1:1";
    let nowhere = || PathBuf::from("/nowhere/ca.pem");
    let ca = || Some(ours.authority());
    let mixed = TlsFiles {
        registry_key: Some(others.key()),
        ..files(ca(), Some(&ours))
    };
    let half = TlsFiles {
        registry_key: None,
        ..files(ca(), Some(&ours))
    };
    for (url, tls, what) in [
        (
            url,
            files(Some(nowhere()), None),
            "--registry-ca /nowhere/ca.pem cannot be read",
        ),
        (
            url,
            files(Some(ours.key()), None),
            "holds no certificate in PEM",
        ),
        (url, half, "--registry-cert needs --registry-key"),
        (url, mixed, "is not that of --registry-cert"),
        (
            "redis://:hunter2@127.0.0.1:1",
            files(ca(), None),
            "write rediss",
        ),
    ] {
        let error = try_connect(url, tls).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
        assert!(
            !error.contains('\n') && !error.contains("hunter2"),
            "{error}"
        );
    }
}
