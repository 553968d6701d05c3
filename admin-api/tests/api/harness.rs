//! An admin API over a memory registry, a client that speaks to it over a real socket, and balancers that
//! are nothing but their reports.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use admin_api::{AdminApi, Args};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::{
    Epoch, InstanceId, Origin, Position, Report, Revision, RevisionId, Role, ServerKey, ServerLoad,
    Snapshot,
};
use registry::{Memory, Registry};
use runtime::Supervisor;
use serde_json::Value;

/// What nothing in a test takes unless something is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The API under test.
pub(crate) struct Fixture {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) api: AdminApi,
    pub(crate) supervisor: Supervisor,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null where there is none.
    pub(crate) body: Value,
}

/// A fleet with the pool `default` and nothing else.
pub(crate) fn new_fleet() -> Snapshot {
    Snapshot::first(Epoch::random(), RevisionId::random())
}

pub(crate) fn args() -> Args {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Args {
        registry: registry::Options::new("memory", model::FleetName::standard()),
        listen,
        ops: Some(listen),
        token_file: None,
        durability: registry::Durability::None,
        seal_to: None,
    }
}

impl Fixture {
    /// A fleet with the pool `default`, and the API over it.
    pub(crate) async fn start() -> Self {
        Self::start_over(Arc::new(Memory::new())).await
    }

    pub(crate) async fn start_over(registry: Arc<dyn Registry>) -> Self {
        registry.seed(&new_fleet()).await.expect("seeded");
        let fixture = Self::over(registry, args()).await;
        within(fixture.api.ready()).await;
        fixture
    }

    /// The API over whatever there is, whether or not it is ready.
    pub(crate) async fn over(registry: Arc<dyn Registry>, args: Args) -> Self {
        let supervisor = Supervisor::new();
        let api = AdminApi::start(args, Arc::clone(&registry), &supervisor).await;
        Self {
            registry,
            api: api.expect("a free port"),
            supervisor,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Call<'_> {
        self.request_to(self.api.address(), method, path)
    }

    pub(crate) fn request_to(&self, address: SocketAddr, method: &str, path: &str) -> Call<'_> {
        Call {
            fixture: self,
            builder: Request::builder()
                .method(Method::from_bytes(method.as_bytes()).expect("a method"))
                .uri(format!("http://{address}{path}")),
            body: Bytes::new(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.request("POST", path).json(&body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.request("PUT", path).json(&body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request("PATCH", path).json(&body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path).send().await
    }

    /// Adds a server to the pool `default`.
    pub(crate) async fn add(&self, id: &str, address: &str) -> Answer {
        let path = "/v1/pools/default/servers";
        let body = serde_json::json!({"id": id, "address": address});
        self.post(path, body).await.expect(StatusCode::CREATED)
    }

    /// Where the registry stands.
    pub(crate) async fn position(&self) -> Position {
        let head = self.registry.head().await.expect("reachable");
        head.expect("a fleet").position
    }

    pub(crate) async fn report(&self, report: &Report) {
        let reported = self.registry.report(report, true).await;
        reported.expect("reported");
    }
}

/// Puts a report in the registry as if it had been made so long ago.
pub(crate) fn report_of(registry: &Memory, report: &Report, age: Duration) {
    registry.tamper(|store| store.report(report, ago(age)));
}

/// What a registry within this process took for its time so long ago.
pub(crate) fn ago(age: Duration) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970") - age
}

/// A request under way to being sent.
pub(crate) struct Call<'a> {
    fixture: &'a Fixture,
    builder: hyper::http::request::Builder,
    body: Bytes,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
            .header("content-type", "application/json")
    }

    pub(crate) fn text(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn open(self) -> Response<Incoming> {
        let request = self.builder.body(Full::new(self.body)).expect("a request");
        let answer = within(self.fixture.client.request(request)).await;
        answer.expect("an answer")
    }

    pub(crate) async fn send(self) -> Answer {
        let (parts, body) = self.open().await.into_parts();
        let body = within(body.collect()).await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }

    /// The fields that a refusal names.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice);
        let fields = errors.unwrap_or_default().iter();
        fields.filter_map(|error| error["field"].as_str()).collect()
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// A balancer's report, with nothing applied.
pub(crate) fn balancer(advertise: &str) -> Report {
    Report {
        region: "eu".into(),
        zone: "a".into(),
        origin: Origin::Registry,
        ..Report::new(InstanceId::random(), Role::Balancer, advertise)
    }
}

/// What a balancer says of a server that leaves.
pub(crate) fn in_flight(key: &str, incarnation: u64, in_flight: u64) -> (ServerKey, ServerLoad) {
    let incarnation = Revision(incarnation);
    let load = ServerLoad {
        incarnation,
        in_flight,
        sticky: false,
    };
    (key.parse().expect("a key"), load)
}

/// Fails a test that would otherwise hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(SOON, future).await;
    outcome.expect("it should have happened by now")
}
