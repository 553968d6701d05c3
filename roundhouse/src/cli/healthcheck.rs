//! `roundhouse healthcheck URL`: one probe, for containers whose image holds no other HTTP client.

use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use model::{HealthCheck, Protocol, StatusRange, parse_duration};
use probe::Prober;

use super::failure::Failure;

/// The flags of `roundhouse healthcheck`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// What to ask, such as http://127.0.0.1:8100/readyz.
    #[arg(value_name = "URL")]
    url: Target,
    /// How long the answer may take.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    timeout: Duration,
}

/// An `http` URL.
#[derive(Debug, Clone)]
struct Target(Uri);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text
            .parse()
            .map_err(|_| "write it as http://HOST:PORT/PATH".to_owned())?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(_)) => Ok(Self(uri)),
            _ => Err("write it as http://HOST:PORT/PATH".to_owned()),
        }
    }
}

impl Target {
    fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(80)
    }

    fn path(&self) -> String {
        let target = self.0.path_and_query().map(PathAndQuery::as_str);
        target.unwrap_or("/").to_owned()
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let Args { url, timeout } = args;
    let unresolved = |reason: String| Failure::Unresolved {
        url: url.0.to_string(),
        reason,
    };
    let host = url.host().trim_matches(['[', ']']);
    let mut addresses = tokio::net::lookup_host((host, url.port()))
        .await
        .map_err(|error| unresolved(error.to_string()))?;
    let address = addresses
        .next()
        .ok_or_else(|| unresolved("it has no address".into()))?;
    let check = HealthCheck {
        path: url.path(),
        host: Some(format!("{}:{}", url.host(), url.port())),
        timeout: *timeout,
        status: vec![StatusRange {
            first: 200,
            last: 299,
        }],
        ..HealthCheck::default()
    };
    let outcome = Prober::new(address).probe(&check, Protocol::Http1).await;
    outcome.map_err(|failure| Failure::Unhealthy {
        url: url.0.to_string(),
        failure,
    })
}
