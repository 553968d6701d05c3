//! Who is let in.

use std::io::Write;

use hyper::StatusCode;
use registry::{Memory, Registry};
use serde_json::json;
use std::sync::Arc;

use admin_api::{AdminApi, Args, StartError};
use registry::Committing;
use runtime::Supervisor;

use crate::harness::{Fixture, args, new_fleet, within};

pub(crate) const TOKEN: &str = "a-token-of-many-letters";

pub(crate) async fn guarded() -> Fixture {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "deploy:{TOKEN}").unwrap();
    let registry = Arc::new(Memory::new());
    registry.seed(&new_fleet()).await.unwrap();
    let token_file = Some(file.path().to_owned());
    let args = Args {
        token_file,
        ..args()
    };
    let fixture = Fixture::over(registry, args).await;
    within(fixture.api.ready()).await;
    fixture
}

#[tokio::test]
async fn without_its_token_nothing_is_shown_or_changed() {
    let fixture = guarded().await;
    for (method, path) in [
        ("GET", "/v1/pools"),
        ("GET", "/v1/nothing-here"),
        ("POST", "/v1/pools"),
        ("DELETE", "/v1/pools"),
        ("GET", "/v1/events"),
    ] {
        for authorization in ["", "Bearer a-token-of-many-letterz", "Basic abc"] {
            let mut call = fixture.request(method, path).json(&json!({"id": "web"}));
            if !authorization.is_empty() {
                call = call.header("authorization", authorization);
            }
            let answer = call.send().await.expect(StatusCode::UNAUTHORIZED);
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            assert!(!answer.body.to_string().contains(TOKEN));
        }
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn a_tokens_name_is_the_author_of_its_changes() {
    let fixture = guarded().await;
    let call = fixture
        .request("POST", "/v1/pools")
        .json(&json!({"id": "web"}));
    let call = call.header("authorization", &format!("Bearer {TOKEN}"));
    call.send().await.expect(StatusCode::CREATED);
    let history = fixture.registry.history(1).await.unwrap();
    let author = serde_json::to_value(&history[0].author).unwrap();
    assert_eq!(author, json!({"kind": "operator", "name": "deploy"}));
}

#[tokio::test]
async fn without_a_token_other_sites_pages_are_kept_away() {
    let fixture = Fixture::start().await;
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let call = fixture
            .request("POST", "/v1/pools")
            .json(&json!({"id": "web"}));
        let answer = call
            .header(name, value)
            .send()
            .await
            .expect(StatusCode::FORBIDDEN);
        assert!(answer.detail().contains("token"), "{}", answer.detail());
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

async fn start(args: Args) -> Result<AdminApi, StartError> {
    let registry: Arc<dyn Registry> = Arc::new(Memory::new());
    AdminApi::start(args, registry, &Supervisor::new()).await
}

#[tokio::test]
async fn an_address_beyond_loopback_needs_a_token_and_is_not_even_bound() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let args = Args { listen, ..args() };
    assert!(args.check().is_err());
    let error = start(args).await.expect_err("no token");
    assert!(matches!(error, StartError::Configuration(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("--token-file") && text.contains("0.0.0.0:0"),
        "{text}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = start(Args { listen, ..args() })
        .await
        .expect_err("taken")
        .to_string();
    assert!(
        error.contains(&format!("port {}", listen.port())),
        "{error}"
    );
    let ops = Some(listen);
    let error = start(Args { ops, ..args() })
        .await
        .expect_err("taken")
        .to_string();
    assert!(
        error.contains(&format!("port {}", listen.port())),
        "{error}"
    );
}
