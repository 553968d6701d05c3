//! Until when certificates are valid, as every orchestrator tells it.

use std::time::Duration;

use certificates::testing::{Authority, Issued};
use certificates::{Chain, PrivateKey, SealKey};
use model::{Certificate, CertificateId, Change};

use crate::support::{Running, Stage, eventually};

fn put(id: &str, issued: &Issued) -> Change {
    let id: CertificateId = id.parse().expect("a name");
    let key = PrivateKey::parse(&issued.key).expect("a key");
    let sealed = SealKey::generate().public().seal(&id, &key);
    let certificate = Certificate::new(id.clone(), issued.chain.clone(), sealed);
    Change::Certificate(id, Some(Box::new(certificate)))
}

#[tokio::test]
async fn the_end_of_each_certificate_is_a_metric_and_what_is_near_it_is_counted() {
    let stage = Stage::new();
    let first = Running::start(&stage.registry, &[]).await;
    stage.initialised().await;
    first.stop().await;
    let authority = Authority::new("Test Root");
    let near = authority.issue_for(&["a.example"], Duration::from_secs(3600));
    let far = authority.issue(&["b.example"]);
    stage
        .commit_all(vec![put("near", &near), put("far", &far)])
        .await;
    let running = Running::start(&stage.registry, &[]).await;
    let shows = async |line: &str| {
        let shown = async || running.ops("/metrics").await.contains(line).then_some(());
        eventually(line, shown).await;
    };
    for (id, issued) in [("near", near), ("far", far)] {
        let end = Chain::parse(&issued.chain)
            .expect("a chain")
            .not_after_seconds();
        let line =
            format!("\nroundhouse_certificate_not_after_seconds{{certificate=\"{id}\"}} {end}\n");
        shows(&line).await;
    }
    shows("\nroundhouse_orchestrator_alarms{alarm=\"certificate\"} 1\n").await;
    let id: CertificateId = "near".parse().expect("a name");
    stage.commit(Change::Certificate(id, None)).await;
    let gone = async || {
        let metrics = running.ops("/metrics").await;
        (!metrics.contains("certificate=\"near\"")).then_some(())
    };
    eventually("what was removed is told of no more", gone).await;
    running.stop().await;
}
