//! A server's address as people give it: an address and a port, or a name and a port that is looked up.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// How long a name may take to resolve.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

const RULE: &str =
    "must be an address with a port, such as \"10.0.0.5:8080\", or a name with a port";

/// An address, and the name that it was found under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) address: SocketAddr,
    pub(crate) hostname: Option<String>,
}

/// Puts what the sent `address` stands for in its place, if one was sent.
pub(crate) async fn settle(sent: &mut Map<String, Value>) -> Result<(), Problem> {
    let Some(address) = sent.get("address") else {
        return Ok(());
    };
    let text = address
        .as_str()
        .ok_or_else(|| Problem::field("address", RULE))?;
    let found = find(text).await?;
    sent.insert("address".into(), json!(found.address));
    // Where it is nothing, a patch removes the old name with it.
    sent.insert("hostname".into(), json!(found.hostname));
    Ok(())
}

/// Reads an address, or looks a name up and takes the first address that it has.
pub(crate) async fn find(text: &str) -> Result<Found, Problem> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        return Ok(Found {
            address,
            hostname: None,
        });
    }
    let (host, port) = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
        .filter(|(host, _)| is_name(host))
        .ok_or_else(|| Problem::field("address", RULE))?;
    let address = look_up(host, port).await?;
    let hostname = Some(host.to_ascii_lowercase());
    Ok(Found { address, hostname })
}

async fn look_up(host: &str, port: u16) -> Result<SocketAddr, Problem> {
    let lookup = tokio::time::timeout(LOOKUP_TIME, tokio::net::lookup_host((host, port))).await;
    let reason = match lookup {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) => return Ok(SocketAddr::new(address.ip().to_canonical(), port)),
            None => "it has no address".into(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".into(),
    };
    let rule = format!("must be a name that resolves; {host:?} does not: {reason}");
    Err(Problem::field("address", rule))
}

/// A host name. One whose last part is a number would be an address written wrongly.
pub(crate) fn is_name(host: &str) -> bool {
    let last = host
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&host.len())
        && host.bytes().all(letters)
        && !last.is_empty()
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_taken_as_it_is_and_a_name_is_looked_up() {
        let found = find("[::ffff:10.0.0.5]:80").await.expect("an address");
        assert_eq!(found.address.to_string(), "10.0.0.5:80");
        assert_eq!(found.hostname, None);
        let found = find("LocalHost:3009").await.expect("a name");
        assert!(found.address.ip().is_loopback() && found.address.port() == 3009);
        assert_eq!(found.hostname.as_deref(), Some("localhost"));
    }

    #[tokio::test]
    async fn what_is_neither_is_refused_by_rule() {
        for text in [
            "",
            "10.0.0.5",
            "10.0.0.300:80",
            "127.1:80",
            "host:",
            "host:99999",
            ":80",
            "a b:80",
            "http://a:80",
        ] {
            let problem = find(text).await.expect_err(text);
            assert_eq!(problem, Problem::field("address", RULE), "{text:?}");
        }
        let text = find("no-such-host.invalid:80")
            .await
            .expect_err("no such name")
            .to_string();
        assert!(
            text.starts_with("address: must be a name that resolves"),
            "{text}"
        );
    }
}
