//! Limits: how many requests pass, counted by parts of them.
//!
//! The fleet's truth is one token bucket a key, in the registry. Each balancer has a [`Ledger`] beside it, in which each key has a
//! `Meter`: what was leased from the bucket, what was spent before it was told, and this balancer's share of what the bucket held when
//! it was last heard of. So a request is decided on at once. All that this costs is told with each file.

mod compiled;
mod ledger;
mod meter;
mod newcomers;
#[cfg(test)]
mod simulation;
mod slots;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{LimitId, LimitMode, LimitPart, RouteId, Stamped, WithoutRegistry};
use xxhash_rust::xxh3::xxh3_128;

use crate::Fields;
use crate::firewall::Networks;
use crate::routes::HostText;

pub(crate) use compiled::Limits;
pub use ledger::{Checked, InUse, Inquiry, Ledger, Refusal};
use meter::Terms;
use newcomers::Newcomers;

/// A compiled limit.
#[derive(Debug)]
pub struct Limit {
    definition: Arc<Stamped<model::Limit>>,
    /// The headers that requests are counted by, in lower case, in the order of the parts.
    headers: Vec<Box<[u8]>>,
    exempt: Networks,
    policy: Box<str>,
    /// What all of its keys begin with: with another rate it counts anew, since what buckets of another size held says nothing.
    prefix: Box<[u8]>,
    newcomers: Newcomers,
}

/// A request, as far as limits look at it.
#[derive(Clone, Copy)]
pub struct Counted<'a> {
    pub client: IpAddr,
    /// None where no route claims it.
    pub route: Option<&'a RouteId>,
    /// As it is in the request: in any case, with a port or without.
    pub host: &'a [u8],
    pub headers: &'a dyn Fields,
}

impl fmt::Debug for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("client", &self.client)
            .field("route", &self.route)
            .field("host", &String::from_utf8_lossy(self.host))
            .finish_non_exhaustive()
    }
}

impl Limit {
    pub(crate) fn compile(definition: &Arc<Stamped<model::Limit>>) -> Self {
        let limit = &definition.value;
        let headers = limit.by.iter().filter_map(|part| match part {
            LimitPart::Header(name) => Some(name.to_ascii_lowercase().into_bytes().into()),
            LimitPart::Client | LimitPart::Route | LimitPart::Host => None,
        });
        Self {
            headers: headers.collect(),
            exempt: Networks::new(&limit.exempt),
            policy: policy(limit).into(),
            prefix: prefix(limit).into(),
            newcomers: Newcomers::default(),
            definition: Arc::clone(definition),
        }
    }

    pub fn id(&self) -> &LimitId {
        &self.definition.value.id
    }

    /// As desired.
    pub fn settings(&self) -> &model::Limit {
        &self.definition.value
    }

    /// Whether the registry counts, and each request waits for it.
    pub fn is_exact(&self) -> bool {
        let settings = self.settings();
        settings.mode == LimitMode::Exact && settings.requests > 0
    }

    pub(crate) fn without_registry(&self) -> WithoutRegistry {
        self.settings().without_registry
    }

    /// The time in which a bucket is given one token. Only where requests are counted.
    pub fn interval(&self) -> Duration {
        self.settings().per / self.settings().requests.max(1)
    }

    /// Whether the registry may be told of one more key. `now` is in microseconds since the balancer started.
    fn tells_one_more(&self, terms: &Terms, now: u64) -> bool {
        let now = now.saturating_mul(1_000);
        self.newcomers.let_in(terms.filling_nanos(), now)
    }

    /// Whether this client's requests are not counted.
    pub fn exempts(&self, client: IpAddr) -> bool {
        !self.settings().exempt.is_empty() && self.exempt.holds(client)
    }

    /// Its item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What names the bucket of a request, the same at every balancer. `parts` is room for them.
    pub fn key(&self, request: &Counted<'_>, parts: &mut Vec<u8>) -> u128 {
        parts.clear();
        parts.extend_from_slice(&self.prefix);
        let limit = &self.definition.value;
        let mut headers = self.headers.iter();
        for by in &limit.by {
            match by {
                LimitPart::Client => client(parts, request.client),
                LimitPart::Route => {
                    let route = request.route.map(RouteId::as_str).unwrap_or_default();
                    part(parts, route.as_bytes());
                }
                LimitPart::Host => part(parts, HostText::of(request.host).as_bytes()),
                LimitPart::Header(_) => {
                    let name = headers.next().expect("each such part has its name");
                    header(parts, name, request);
                }
            }
        }
        xxh3_128(parts)
    }
}

fn prefix(limit: &model::Limit) -> Vec<u8> {
    let mut prefix = Vec::new();
    part(&mut prefix, limit.id.as_str().as_bytes());
    prefix.extend_from_slice(&limit.requests.to_le_bytes());
    prefix.extend_from_slice(&limit.per.as_nanos().to_le_bytes());
    prefix.extend_from_slice(&limit.capacity().to_le_bytes());
    prefix
}

/// Tells a part from the next one by its length.
fn part(parts: &mut Vec<u8>, bytes: &[u8]) {
    parts.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    parts.extend_from_slice(bytes);
}

/// One client has a network of 64 bits where it has an address of IPv6.
fn client(parts: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => part(parts, &address.octets()),
        IpAddr::V6(address) => part(parts, &address.octets()[..8]),
    }
}

/// The first one that is not empty. Who has none is told apart by the client's address.
fn header(parts: &mut Vec<u8>, name: &[u8], request: &Counted<'_>) {
    let has_one = request.headers.any(name, &mut |value| {
        let is_one = !value.is_empty();
        if is_one {
            parts.push(1);
            part(parts, value);
        }
        is_one
    });
    if !has_one {
        parts.push(0);
        client(parts, request.client);
    }
}

/// `"name";q=100;w=60`: so many requests in so many seconds, where these are whole. The unit is requests, if nothing else is said.
fn policy(limit: &model::Limit) -> String {
    let id = &limit.id;
    if limit.requests == 0 {
        return format!("\"{id}\";q={};qu=\"concurrent-requests\"", limit.concurrent);
    }
    let requests = limit.requests;
    match (limit.per.as_secs(), limit.per.subsec_nanos()) {
        (seconds, 0) => format!("\"{id}\";q={requests};w={seconds}"),
        _ => format!("\"{id}\";q={requests}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use model::Revision;
    use serde_json::{Value, json};

    use super::*;

    fn limit(settings: Value) -> Limit {
        let mut settings = settings;
        settings["id"] = json!("api");
        let limit = serde_json::from_value(settings).expect("a limit");
        Limit::compile(&Arc::new(Stamped::new(Revision(1), limit)))
    }

    fn key<const N: usize>(
        limit: &Limit,
        client: &str,
        host: &str,
        headers: &[(&[u8], &[u8]); N],
    ) -> u128 {
        let route = "web".parse().expect("a name");
        let request = Counted {
            client: client.parse().expect("an address"),
            route: Some(&route),
            host: host.as_bytes(),
            headers,
        };
        limit.key(&request, &mut vec![7; 100])
    }

    #[test]
    fn requests_count_together_by_the_parts_that_are_named() {
        let all = limit(json!({"requests": 1}));
        assert_eq!(key(&all, "10.0.0.1", "a", &[]), key(&all, "::1", "b", &[]));
        let client = limit(json!({"by": ["client"], "requests": 1}));
        let of = |address| key(&client, address, "a", &[]);
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        let host = limit(json!({"by": ["host"], "requests": 1}));
        let at = |name| key(&host, "10.0.0.1", name, &[]);
        assert_eq!(at("Example.org:8080"), at("example.org"));
        assert_ne!(at("example.org"), at("example.com"));
    }

    #[test]
    fn a_limit_with_another_rate_counts_anew() {
        let of = |settings| key(&limit(settings), "10.0.0.1", "a", &[]);
        let before = of(json!({"requests": 5}));
        for other in [
            json!({"requests": 6}),
            json!({"requests": 5, "per": "2s"}),
            json!({"requests": 5, "burst": 9}),
        ] {
            assert_ne!(of(other), before);
        }
        let same = json!({"requests": 5, "burst": 5, "concurrent": 3, "deadline": "1s"});
        assert_eq!(of(same), before);
    }

    #[test]
    fn a_header_counts_by_its_value_and_else_by_the_client() {
        let limit = limit(json!({"by": [{"header": "X-Api-Key"}], "requests": 1}));
        let with = |client, value: &[u8]| key(&limit, client, "a", &[(b"x-api-KEY", value)]);
        assert_eq!(with("10.0.0.1", b"k"), with("10.0.0.2", b"k"));
        assert_ne!(with("10.0.0.1", b"k"), with("10.0.0.1", b"l"));
        let without = |client| key(&limit, client, "a", &[]);
        assert_ne!(without("10.0.0.1"), without("10.0.0.2"));
        assert_eq!(without("10.0.0.1"), with("10.0.0.1", b""));
        assert_ne!(without("10.0.0.1"), with("10.0.0.1", &[10, 0, 0, 1]));
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        let limit = limit(json!({"by": [{"header": "a"}, {"header": "b"}], "requests": 1}));
        let pairs: [(&[u8], &[u8]); 4] =
            [(b"xy", b"z"), (b"x", b"yz"), (b"xyz", b"q"), (b"x", b"y")];
        let keys: HashSet<_> = pairs
            .iter()
            .map(|(a, b)| key(&limit, "::1", "", &[(b"a", a), (b"b", b)]))
            .collect();
        assert_eq!(keys.len(), pairs.len());
    }

    #[test]
    fn a_policy_is_said_in_whole_seconds_or_without() {
        let said = |settings| limit(settings).policy().to_owned();
        let per_minute = json!({"requests": 100, "per": "1m"});
        assert_eq!(said(per_minute), "\"api\";q=100;w=60");
        assert_eq!(said(json!({"requests": 5, "per": "100ms"})), "\"api\";q=5");
        let concurrent = "\"api\";q=3;qu=\"concurrent-requests\"";
        assert_eq!(said(json!({"concurrent": 3})), concurrent);
    }
}
