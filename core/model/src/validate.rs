//! What makes an element valid, beyond its shape. All problems are found together.

mod certificate;
mod firewall;
mod limit;
mod pool;
mod route;
mod server;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::format_duration;

pub use certificate::validate_certificate;
pub use firewall::{validate_listener, validate_networks};
pub use limit::validate_limit;
pub use pool::validate_pool;
pub use route::validate_route;
pub use server::validate_server;

/// One thing wrong with an element: the field and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Problem {
    /// The path of the field, dots between its parts: `health.interval`.
    pub field: String,
    pub rule: String,
    #[serde(skip)]
    is_tolerated: bool,
    #[serde(skip)]
    is_relation: bool,
}

/// The rule that a field breaks which this version does not know.
const KNOWN: &str = "is not a known field";

/// What the name of a listener must be: that of one which balancers of this version have.
const LISTENERS: &str = "must be \"http\", for the address of --listen, or \"https\", for that of --listen-tls: \
    no balancer has another listener";

impl Problem {
    /// A field that breaks a rule.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
            is_tolerated: false,
            is_relation: false,
        }
    }

    /// A field that this version does not know.
    pub fn unknown_field(field: impl Into<String>) -> Self {
        Self::tolerated(field, KNOWN)
    }

    fn tolerated(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            is_tolerated: true,
            ..Self::new(field, rule)
        }
    }

    /// Whether it is a mistake where a person sent it, and none where it is stored: a newer version may know it, and an older one may
    /// have taken it.
    pub fn is_tolerated(&self) -> bool {
        self.is_tolerated
    }

    /// Whether it rests on other fields beside this one, so that it says nothing where one of these could not be read.
    pub fn is_relation(&self) -> bool {
        self.is_relation
    }
}

/// What is wrong with a stored element, of what validation found. What another version knows or took is no reason to
/// refuse it: this process reads it, and may write it again.
pub fn first_grave(found: Result<(), Vec<Problem>>) -> Option<Problem> {
    let mut problems = found.err().into_iter().flatten();
    problems.find(|problem| !problem.is_tolerated())
}

/// Fields that this version does not know.
///
/// A stored element may carry a newer version's fields: they are kept when it is written again. In a body
/// that a person sends they are mistakes, and `validate_*` says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unknown(pub BTreeMap<String, serde_json::Value>);

impl Unknown {
    /// Takes over what another value has of such fields and this one lacks.
    pub fn inherit(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            let own = self.0.entry(name.clone());
            own.or_insert_with(|| value.clone());
        }
    }

    /// Drops what another value has just so.
    pub fn drop_same(&mut self, other: &Self) {
        self.0
            .retain(|name, value| other.0.get(name) != Some(value));
    }

    fn check(&self, prefix: &str, problems: &mut Problems) {
        for name in self.0.keys() {
            let field = format!("{prefix}{name}");
            problems.0.push(Problem::unknown_field(field));
        }
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push(Problem::new(field, rule));
    }

    fn check(&mut self, holds: bool, field: &str, rule: impl Into<String>) {
        if !holds {
            self.add(field, rule);
        }
    }

    /// Something that is refused where a person sends it, and read where it is stored.
    fn check_sent(&mut self, holds: bool, field: &str, rule: impl Into<String>) {
        if !holds {
            self.refuse_sent(field, rule);
        }
    }

    /// The same, of what was found already.
    fn refuse_sent(&mut self, field: &str, rule: impl Into<String>) {
        self.0.push(Problem::tolerated(field, rule));
    }

    /// Rules that look at other fields beside those that they name.
    fn relation(&mut self, check: impl FnOnce(&mut Self)) {
        let known = self.0.len();
        check(self);
        for problem in &mut self.0[known..] {
            problem.is_relation = true;
        }
    }

    /// A share of a whole.
    fn share(&mut self, field: &str, value: f64) {
        self.check((0.0..=1.0).contains(&value), field, "must be from 0 to 1");
    }

    /// A number that is either nothing or within bounds.
    fn off_or(&mut self, field: &str, value: f64, least: f64, most: f64) {
        let rule = format!("must be 0, or from {least} to {most}");
        let within = value == 0.0 || (least..=most).contains(&value);
        self.check(within, field, rule);
    }

    fn duration(&mut self, field: &str, value: Duration, least: Duration, most: Duration) {
        let rule = format!(
            "must be from {} to {}",
            format_duration(least),
            format_duration(most)
        );
        self.check((least..=most).contains(&value), field, rule);
    }

    fn into_result(self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckKind, Pool, PoolId, Server};

    #[test]
    fn every_problem_is_reported_at_once_by_field() {
        let mut pool = Pool::new(PoolId::standard());
        pool.health.interval = Duration::ZERO;
        pool.health.path = "no slash".into();
        pool.guard.withdrawal_share = f64::NAN;
        let problems = validate_pool(&pool).expect_err("three problems");
        let fields: Vec<_> = problems
            .iter()
            .map(|problem| problem.field.as_str())
            .collect();
        assert_eq!(
            fields,
            ["health.path", "health.interval", "guard.withdrawal_share"]
        );
    }

    #[test]
    fn a_connection_is_not_checked_for_what_only_http_has() {
        let of_kind = |kind: &str| {
            let health = format!(
                r#"{{"kind":"{kind}","path":"/healthy","host":"a","status":["204"],"interval":"1s","timeout":"5s"}}"#
            );
            let mut pool = Pool::new(PoolId::standard());
            pool.health = serde_json::from_str(&health).expect("a check");
            validate_pool(&pool)
        };
        assert_eq!((of_kind("http"), of_kind("none")), (Ok(()), Ok(())));
        let problems = of_kind("tcp").expect_err("three problems");
        let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["health.path", "health.host", "health.status"]);
        let problems = of_kind("grpc").expect_err("two problems");
        let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["health.path", "health.status"]);
        let mut plain = Pool::new(PoolId::standard());
        for kind in [CheckKind::Tcp, CheckKind::Grpc] {
            plain.health.kind = kind;
            assert_eq!(validate_pool(&plain), Ok(()));
        }
    }

    #[test]
    fn only_a_grpc_check_asks_for_a_service() {
        let of_kind = |kind: &str, service: &str| {
            let mut pool = Pool::new(PoolId::standard());
            let health = serde_json::json!({"kind": kind, "service": service});
            pool.health = serde_json::from_value(health).expect("a check");
            validate_pool(&pool)
        };
        assert_eq!(of_kind("grpc", "shop.v1.Orders"), Ok(()));
        assert_eq!(of_kind("none", "shop.v1.Orders"), Ok(()));
        for (kind, service) in [
            ("http", "shop.v1.Orders".to_owned()),
            ("tcp", "shop.v1.Orders".to_owned()),
            ("grpc", "a\nb".to_owned()),
            ("grpc", "a".repeat(256)),
        ] {
            let problems = of_kind(kind, &service).expect_err("one problem");
            let fields: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
            assert_eq!(fields, ["health.service"], "{kind} {service:?}");
        }
    }

    #[test]
    fn an_unknown_field_is_kept_when_stored_and_refused_when_sent() {
        let text = r#"{"id":"default","from_the_future":1,"health":{"path":"/","gentle":true}}"#;
        let pool: Pool = serde_json::from_str(text).expect("a pool");
        let again = serde_json::to_value(&pool).expect("JSON");
        assert_eq!(again["from_the_future"], 1);
        assert_eq!(again["health"]["gentle"], true);
        let problems = validate_pool(&pool).expect_err("two unknown fields");
        let fields: Vec<_> = problems
            .iter()
            .map(|problem| problem.field.as_str())
            .collect();
        assert_eq!(fields, ["health.gentle", "from_the_future"]);
        assert_eq!(first_grave(validate_pool(&pool)), None);
        let retries = 11;
        let retry = crate::Retry {
            retries,
            ..pool.retry
        };
        let grave = first_grave(validate_pool(&Pool { retry, ..pool }));
        assert_eq!(grave.expect("too many retries").field, "retry.retries");
    }

    #[test]
    fn a_server_needs_an_address_that_one_host_can_have() {
        let server = |address: &str| {
            Server::new(
                PoolId::standard(),
                "s".parse().expect("an id"),
                address.parse().expect("an address"),
            )
        };
        assert_eq!(validate_server(&server("10.0.0.5:80")), Ok(()));
        assert!(validate_server(&server("0.0.0.0:80")).is_err());
        assert!(validate_server(&server("10.0.0.5:0")).is_err());
        assert!(
            validate_server(&Server {
                weight: 1001,
                ..server("10.0.0.5:80")
            })
            .is_err()
        );
    }
}
