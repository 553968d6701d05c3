//! `/v1/certificates`: private keys that come in plain and are kept sealed, and what chains say.

use std::sync::Arc;
use std::time::Duration;

use certificates::testing::{Authority, Issued};
use certificates::{Chain, SealKey, SealKeys};
use hyper::StatusCode;
use model::{CertificateId, KeptKey};
use registry::{Memory, Registry};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, args, new_fleet, within};

const PATH: &str = "/v1/certificates";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An API that seals, and who can open.
struct Sealing {
    fixture: Fixture,
    seal_key: SealKey,
    authority: Authority,
}

impl Sealing {
    async fn start() -> Self {
        let registry: Arc<dyn Registry> = Arc::new(Memory::new());
        registry.seed(&new_fleet()).await.expect("seeded");
        let seal_key = SealKey::generate();
        Self {
            fixture: sealing(&registry, &seal_key).await,
            seal_key,
            authority: Authority::new("Test Root"),
        }
    }

    fn issue(&self, name: &str) -> Issued {
        self.authority.issue(&[name])
    }

    async fn put(&self, id: &str, issued: &Issued) -> Answer {
        self.fixture
            .put(&format!("{PATH}/{id}"), body(issued))
            .await
    }

    /// Opens what the API shows.
    fn opens(&self, shown: &Value) {
        let KeptKey::Sealed(sealed) = serde_json::from_value(shown["key"].clone()).unwrap();
        let id: CertificateId = shown["id"].as_str().unwrap().parse().unwrap();
        let keys = SealKeys::from(self.seal_key.clone());
        let key = keys.open(&id, &sealed).expect("it is sealed to this key");
        let chain = Chain::parse(shown["chain"].as_str().unwrap()).unwrap();
        chain.with_key(&key).expect("it is the chain's");
    }
}

async fn sealing(registry: &Arc<dyn Registry>, seal_key: &SealKey) -> Fixture {
    let args = admin_api::Args {
        seal_to: Some(Ok(seal_key.public().clone())),
        ..args()
    };
    let fixture = Fixture::over(Arc::clone(registry), args).await;
    within(fixture.api.ready()).await;
    fixture
}

fn body(issued: &Issued) -> Value {
    json!({"chain": issued.chain, "key": issued.key})
}

#[tokio::test]
async fn a_certificate_is_made_listed_renewed_and_removed_and_its_key_is_sealed() {
    let api = Sealing::start().await;
    let fixture = &api.fixture;
    let issued = api
        .authority
        .issue(&["WWW.example", "*.api.example", "10.0.0.1"]);
    let mut sent = body(&issued);
    sent["id"] = json!("www");
    let made = fixture.post(PATH, sent).await.expect(StatusCode::CREATED);
    assert_eq!(made.header("location"), "/v1/certificates/www");
    let shown = fixture
        .get("/v1/certificates/www")
        .await
        .expect(StatusCode::OK);
    assert_eq!(shown.body, made.body);
    let shown = shown.body;
    assert_eq!(
        shown["names"],
        json!(["www.example", "*.api.example", "10.0.0.1"])
    );
    assert_eq!(shown["subject"], "CN=WWW.example");
    assert_eq!(shown["issuer"], "CN=Test Root");
    let end = Chain::parse(&issued.chain).unwrap().not_after();
    let end = humantime::format_rfc3339_seconds(end).to_string();
    assert_eq!(shown["not_after"], json!(end));
    assert_eq!(
        shown["key"]["sealed"]["to"],
        api.seal_key.public().fingerprint()
    );
    api.opens(&shown);
    assert_eq!(fixture.get(PATH).await.body, json!([shown]));

    // What was read can be sent back, and is no change.
    let same = fixture.put("/v1/certificates/www", shown.clone()).await;
    assert_eq!(same.expect(StatusCode::OK).body, shown);
    let renewed = api.put("www", &api.issue("b.example")).await;
    let renewed = renewed.expect(StatusCode::OK).body;
    assert_eq!(renewed["names"], json!(["b.example"]));
    api.opens(&renewed);
    fixture
        .delete("/v1/certificates/www")
        .await
        .expect(StatusCode::OK);
    assert_eq!(fixture.get(PATH).await.body, json!([]));
}

#[tokio::test]
async fn a_key_in_plain_is_nowhere_to_be_read() {
    let api = Sealing::start().await;
    let issued = api.issue("a.example");
    let before = api.fixture.position().await;
    let request = || {
        let put = api.fixture.request("PUT", "/v1/certificates/www");
        put.header("idempotency-key", "k1")
            .json(&body(&issued))
            .send()
    };
    let made = request().await.expect(StatusCode::CREATED);
    let again = request().await.expect(StatusCode::CREATED);
    assert_eq!(again.body, made.body);
    let snapshot = api.fixture.registry.snapshot().await.unwrap().unwrap();
    let mut places = vec![serde_json::to_string(&snapshot.snapshot).unwrap()];
    let history = api.fixture.registry.history(10).await.unwrap();
    places.push(serde_json::to_string(&history[0].after).unwrap());
    let log = api.fixture.registry.log_after(before).await.unwrap();
    let log = log.expect("it reaches back so far");
    assert_eq!((log.len(), history.len()), (1, 1));
    places.push(format!("{log:?} {history:?}"));
    for path in [
        "/v1/certificates",
        "/v1/export",
        "/v1/revisions",
        "/v1/status",
    ] {
        places.push(api.fixture.get(path).await.body.to_string());
    }
    let secret = issued.key.lines().nth(1).expect("a line of the key");
    for place in places {
        assert!(
            !place.contains(secret) && !place.contains("PRIVATE KEY"),
            "{place}"
        );
    }
}

/// Bodies that are refused, with the field and the rule that are named.
fn broken(issued: &Issued, other: &Issued) -> Vec<(Value, &'static str, &'static str)> {
    let secret = line_of(&issued.key);
    let sealed = json!({"sealed": {"to": "0".repeat(32), "box": "AAAA"}});
    let keys = [
        (json!(other.key), "key", "not the key of this certificate"),
        (json!(secret), "key", "holds no private key"),
        (
            json!({"plain": issued.key}),
            "key",
            "must be a private key in PEM",
        ),
        (
            json!({"sealed": issued.key}),
            "key.sealed",
            "must be a private key in PEM",
        ),
        (
            json!({"sealed": {"to": "x", "box": "AAAA"}}),
            "key.sealed.to",
            "fingerprint",
        ),
    ];
    let keys = keys.map(|(key, field, rule)| {
        let body = json!({"chain": issued.chain, "key": key});
        (body, field, rule)
    });
    let chains = [
        (json!("x"), "certificates in PEM"),
        (json!(7), "must be a string"),
        (
            json!(issued.chain.replacen("MII", "AAA", 1)),
            "cannot be read",
        ),
        (
            json!(format!("{}{}", issued.chain, issued.key)),
            "holds a private key",
        ),
    ];
    let chains = chains.map(|(chain, rule)| {
        let body = json!({"chain": chain, "key": sealed});
        (body, "chain", rule)
    });
    let fields = [
        (
            json!({"chain": issued.chain}),
            "key",
            "must be a private key in PEM",
        ),
        (json!({"key": issued.key}), "chain", "is required"),
        (
            json!({"chain": issued.chain, "key": sealed, "colour": 1}),
            "colour",
            "not a known field",
        ),
    ];
    keys.into_iter().chain(chains).chain(fields).collect()
}

/// A part of a key that means nothing to anybody, and would give it away.
fn line_of(key: &str) -> &str {
    key.lines().nth(1).expect("a line of the key")
}

#[tokio::test]
async fn whatever_is_wrong_is_named_and_nothing_of_a_key_is_repeated() {
    let api = Sealing::start().await;
    let (issued, other) = (api.issue("a.example"), api.issue("b.example"));
    let secret = line_of(&issued.key);
    for (body, field, rule) in broken(&issued, &other) {
        let refused = api.fixture.put("/v1/certificates/www", body).await;
        let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.fields(), [field], "{}", refused.body);
        assert!(refused.detail().contains(rule), "{}", refused.body);
        assert!(
            !refused.body.to_string().contains(secret),
            "{}",
            refused.body
        );
    }
    assert_eq!(api.fixture.get(PATH).await.body, json!([]));
}

#[tokio::test]
async fn an_api_without_a_seal_key_takes_sealed_keys_alone() {
    let fixture = Fixture::start().await;
    let issued = Authority::new("Test Root").issue(&["a.example"]);
    let refused = fixture.put("/v1/certificates/www", body(&issued)).await;
    let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.fields(), ["key"]);
    assert!(refused.detail().contains("--seal-to"), "{}", refused.body);
    let key = certificates::PrivateKey::parse(&issued.key).unwrap();
    let sealed = SealKey::generate()
        .public()
        .seal(&"www".parse().unwrap(), &key);
    let sent = json!({"chain": issued.chain, "key": {"sealed": sealed}});
    let made = fixture.put("/v1/certificates/www", sent.clone()).await;
    let made = made.expect(StatusCode::CREATED).body;
    assert_eq!(made["key"], sent["key"]);
}

#[tokio::test]
async fn a_chain_alone_can_be_renewed_only_for_the_same_key() {
    let api = Sealing::start().await;
    let issued = api.issue("a.example");
    api.put("www", &issued).await.expect(StatusCode::CREATED);
    let patch = |chain: String| {
        api.fixture
            .patch("/v1/certificates/www", json!({"chain": chain}))
    };
    let refused = patch(api.issue("a.example").chain).await;
    let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.detail().contains("another public key"),
        "{}",
        refused.body
    );
    let longer = format!("{}{}", issued.chain, api.authority.pem());
    let renewed = patch(longer).await.expect(StatusCode::OK).body;
    api.opens(&renewed);
}

#[tokio::test]
async fn a_certificate_that_is_named_is_there_and_stays() {
    let api = Sealing::start().await;
    let fixture = &api.fixture;
    let listener = |tls: Value| fixture.put("/v1/listeners/https", json!({"tls": tls}));
    let pool = |tls: Value| fixture.put("/v1/pools/web", json!({"tls": tls}));
    let named = json!({"certificates": ["www"], "default": "www"});
    let refused = listener(named.clone()).await;
    let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.fields(), ["tls.certificates[0]", "tls.default"]);
    let refused = pool(json!({"certificate": "www"})).await;
    let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.fields(), ["tls.certificate"]);
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let refused = pool(json!({"ca": rubbish})).await;
    assert_eq!(refused.fields(), ["tls.ca"]);
    let refused = listener(json!({"client": {"verify": "required", "ca": rubbish}})).await;
    assert_eq!(refused.fields(), ["tls.client.ca"]);

    api.put("www", &api.issue("a.example"))
        .await
        .expect(StatusCode::CREATED);
    listener(named).await.expect(StatusCode::CREATED);
    let tls = json!({"enabled": true, "ca": api.authority.pem(), "certificate": "www"});
    pool(tls).await.expect(StatusCode::CREATED);
    let refused = fixture.delete("/v1/certificates/www").await;
    let refused = refused.expect(StatusCode::CONFLICT);
    let users = r#"the listener "https", the pool "web""#;
    assert!(refused.detail().contains(users), "{}", refused.body);
    listener(json!({})).await.expect(StatusCode::OK);
    pool(json!({})).await.expect(StatusCode::OK);
    fixture
        .delete("/v1/certificates/www")
        .await
        .expect(StatusCode::OK);
}

#[tokio::test]
async fn a_document_has_certificates_sealed_and_takes_them_sealed_or_plain() {
    let api = Sealing::start().await;
    let fixture = &api.fixture;
    let document = |certificates: Value| {
        let listeners = json!([{"id": "https", "tls": {"certificates": ["www"]}}]);
        json!({"certificates": certificates, "listeners": listeners})
    };
    let missing = fixture.put("/v1/import", document(json!([]))).await;
    assert_eq!(missing.fields(), ["listeners[https].tls.certificates[0]"]);
    let mut plain = body(&api.issue("a.example"));
    plain["id"] = json!("www");
    let wrong = json!({"id": "www", "chain": "x", "key": "y"});
    let wrong = fixture.put("/v1/import", document(json!([wrong]))).await;
    assert_eq!(wrong.fields(), ["certificates[www].key"]);
    let imported = fixture.put("/v1/import", document(json!([plain]))).await;
    let imported = imported.expect(StatusCode::OK).body;
    let created = &imported["changes"][1];
    assert_eq!(
        (&created["collection"], &created["key"]),
        (&json!("certificates"), &json!("www"))
    );

    let export = fixture.get("/v1/export").await.body;
    let mut shown = export["certificates"][0].clone();
    assert_eq!(
        shown["key"]["sealed"]["to"],
        api.seal_key.public().fingerprint()
    );
    assert_eq!(shown.as_object().unwrap().len(), 3, "{shown}");
    let same = fixture.put("/v1/import?prune=true", export.clone()).await;
    assert_eq!(same.expect(StatusCode::OK).body["changed"], false);
    let before = export["certificates"].clone();
    shown["chain"] = json!("x");
    let bad = json!({"certificates": [shown]});
    let bad = fixture.put("/v1/import", bad).await;
    assert_eq!(bad.fields(), ["certificates[www].chain"]);
    let restored = fixture.get("/v1/export").await.body;
    assert_eq!(restored["certificates"], before);
}

fn alarms(status: &Value, kind: &str) -> Vec<(String, String)> {
    let alarms = status["alarms"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_kind = alarms.filter(|alarm| alarm["kind"] == kind);
    of_kind
        .map(|it| (text(&it["subject"]), text(&it["detail"])))
        .collect()
}

#[tokio::test]
async fn the_status_names_what_expires_and_what_an_old_seal_key_opens() {
    let api = Sealing::start().await;
    api.put("fresh", &api.issue("a.example"))
        .await
        .expect(StatusCode::CREATED);
    for (id, lifetime) in [("soon", 20 * DAY + DAY / 2), ("gone", Duration::ZERO)] {
        let issued = api.authority.issue_for(&["a.example"], lifetime);
        api.put(id, &issued).await.expect(StatusCode::CREATED);
    }
    // The last second of the one that is over may not be over yet.
    let expired = async || loop {
        let status = api.fixture.get("/v1/status").await.body;
        let found = alarms(&status, "certificate");
        if found[0].1.starts_with("expired at ") {
            return status;
        }
        tokio::task::yield_now().await;
    };
    let status = within(expired()).await;
    let found = alarms(&status, "certificate");
    let subjects: Vec<_> = found.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["certificate gone", "certificate soon"]);
    assert!(
        found[1].1.starts_with("expires in 20 days, at 20"),
        "{found:?}"
    );
    let old = api.seal_key.public().fingerprint();
    let listed = status["certificates"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|it| it["sealed_to"] == old), "{listed:?}");
    assert_eq!(alarms(&status, "seal"), []);

    let new = SealKey::generate();
    let later = sealing(&api.fixture.registry, &new).await;
    let put = later
        .put("/v1/certificates/fresh", body(&api.issue("a.example")))
        .await;
    put.expect(StatusCode::OK);
    let status = later.get("/v1/status").await.body;
    let found = alarms(&status, "seal");
    let subjects: Vec<_> = found.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["certificate gone", "certificate soon"]);
    let names_both =
        |detail: &String| detail.contains(old) && detail.contains(new.public().fingerprint());
    assert!(
        found.iter().all(|(_, detail)| names_both(detail)),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_revision_with_another_certificate_can_be_restored() {
    let api = Sealing::start().await;
    let first = api.put("www", &api.issue("a.example")).await;
    let first = first.expect(StatusCode::CREATED).body;
    api.put("www", &api.issue("b.example"))
        .await
        .expect(StatusCode::OK);
    let path = format!("/v1/revisions/{}/restore", first["revision"]);
    api.fixture
        .post(&path, json!({}))
        .await
        .expect(StatusCode::OK);
    let shown = api.fixture.get("/v1/certificates/www").await.body;
    assert_eq!(
        (&shown["chain"], &shown["key"]),
        (&first["chain"], &first["key"])
    );
}

#[test]
fn a_secret_seal_key_is_refused_without_being_repeated() {
    let seal_key = SealKey::generate();
    let args = admin_api::Args {
        seal_to: Some(seal_key.line().parse()),
        ..args()
    };
    let error = args.check().expect_err("it is the secret half").to_string();
    assert!(error.starts_with("--seal-to is the secret half"), "{error}");
    assert!(
        !error.contains(&*seal_key.line()) && !error.contains('\n'),
        "{error}"
    );
}
