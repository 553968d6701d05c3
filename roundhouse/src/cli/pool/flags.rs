//! The settings of a pool that flags can say: what is changed most often. A file says the rest.

use std::time::Duration;

use model::{
    Algorithm, CheckKind, HashOn, LimitId, PoolId, Protocol, StickyKind, format_duration,
    parse_duration,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::cli::words::{one_of, read};

/// What is to be changed of a pool.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Flags {
    /// How a server is chosen.
    #[arg(long, value_name = "NAME", value_parser = one_of(&Algorithm::ALL))]
    algorithm: Option<Algorithm>,
    /// What the algorithm `hash` looks at: path, header:NAME, cookie:NAME or query:NAME.
    #[arg(long, value_name = "PART", value_parser = hashed)]
    hash_on: Option<Named<HashOn>>,
    /// What is spoken with the servers.
    #[arg(long, value_name = "NAME", value_parser = one_of(&Protocol::ALL))]
    protocol: Option<Protocol>,
    /// Reach the servers within TLS; `--tls=false` ends that.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    tls: Option<bool>,
    /// Whether a server must show a certificate that leads to a known root and has its name.
    #[arg(long, value_name = "BOOL")]
    tls_verify: Option<bool>,
    /// The name that servers are asked for within TLS, and that their certificates must have.
    #[arg(long, value_name = "HOST")]
    tls_server_name: Option<String>,
    /// How servers are inspected. What such a check does not ask by, as tcp has no path, is reset.
    #[arg(long, value_name = "KIND", value_parser = one_of(&CheckKind::ALL))]
    health: Option<CheckKind>,
    /// The path that an HTTP check asks for.
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// How often a server is inspected.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    health_interval: Option<Duration>,
    /// How long one check may take.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    health_timeout: Option<Duration>,
    /// By what a client is known again, so that it stays with its server: cookie, cookie:NAME, source, application_cookie:NAME,
    /// header:NAME, or none.
    #[arg(long, value_name = "KIND", value_parser = sticky)]
    sticky: Option<Named<StickyKind>>,
    /// Tries after the first, each on another server, at most.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<u32>(0..=10))]
    retries: Option<u32>,
    /// How long a server that has just come up gets less than its share.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    slow_start: Option<Duration>,
    /// From a request's arrival to the first byte of the answer, all tries together.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    response_timeout: Option<Duration>,
    /// For requests in flight to a server that is drained or removed.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    drain_timeout: Option<Duration>,
    /// A limit that its requests are held to, in place of those that it has. May be repeated.
    #[arg(long, value_name = "LIMIT")]
    limit: Vec<LimitId>,
}

/// A part of a request, and its name where it has one.
#[derive(Clone, Debug)]
struct Named<T> {
    part: T,
    name: Option<String>,
}

impl Flags {
    /// What they say, as a merge patch (RFC 7396): null gives a setting its default.
    pub(super) fn patch(&self) -> Map<String, Value> {
        let mut patch = Patch::default();
        patch.set("algorithm", self.algorithm);
        if let Some(Named { part, name }) = &self.hash_on {
            patch.put("hash.on", part);
            patch.put("hash.name", name);
        }
        patch.set("protocol", self.protocol);
        patch.set("tls.enabled", self.tls);
        patch.set("tls.verify", self.tls_verify);
        patch.set("tls.server_name", self.tls_server_name.as_ref());
        self.patch_health(&mut patch);
        self.patch_sticky(&mut patch);
        patch.set("retry.retries", self.retries);
        patch.time("slow_start", self.slow_start);
        patch.time("timeouts.response", self.response_timeout);
        patch.time("timeouts.drain", self.drain_timeout);
        patch.set("limits", (!self.limit.is_empty()).then_some(&self.limit));
        patch.0
    }

    fn patch_health(&self, patch: &mut Patch) {
        for setting in self.health.map(CheckKind::foreign).into_iter().flatten() {
            patch.put(&format!("health.{setting}"), Value::Null);
        }
        patch.set("health.kind", self.health);
        patch.set("health.path", self.health_path.as_ref());
        patch.time("health.interval", self.health_interval);
        patch.time("health.timeout", self.health_timeout);
    }

    /// What only a cookie of the balancer's own has is reset with another kind; with none it is kept for when there is stickiness again.
    fn patch_sticky(&self, patch: &mut Patch) {
        let Some(Named { part, name }) = &self.sticky else {
            return;
        };
        patch.put("sticky.kind", part);
        if *part == StickyKind::None {
            return;
        }
        patch.put("sticky.name", name);
        if *part != StickyKind::Cookie {
            patch.put("sticky.lifetime", Value::Null);
            patch.put("sticky.same_site", Value::Null);
        }
    }

    /// A new pool of what they say, with the default of all else.
    pub(super) fn pool(&self, id: &PoolId) -> Map<String, Value> {
        let mut pool = said(self.patch());
        pool.insert("id".into(), json!(id));
        pool
    }
}

#[derive(Default)]
struct Patch(Map<String, Value>);

impl Patch {
    /// Says something of a setting, if there is something to be said.
    fn set(&mut self, setting: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.put(setting, value);
        }
    }

    fn time(&mut self, setting: &str, time: Option<Duration>) {
        self.set(setting, time.map(format_duration));
    }

    /// A setting's path has a dot between the part of the pool and its own name.
    fn put(&mut self, setting: &str, value: impl Serialize) {
        let (part, name) = setting.split_once('.').unwrap_or((setting, ""));
        let place = self.0.entry(part).or_insert(Value::Null);
        match name {
            "" => *place = json!(value),
            name => place[name] = json!(value),
        }
    }
}

/// What a patch says of what is not there yet.
fn said(patch: Map<String, Value>) -> Map<String, Value> {
    let values = patch.into_iter().filter(|(_, value)| !value.is_null());
    let values = values.map(|(name, value)| match value {
        Value::Object(part) => (name, Value::Object(said(part))),
        value => (name, value),
    });
    values.collect()
}

fn hashed(text: &str) -> Result<Named<HashOn>, String> {
    let hashed = named(text).filter(|it| it.name.is_none() == (it.part == HashOn::Path));
    hashed.ok_or_else(|| "must be path, or header:, cookie: or query: and a name".into())
}

fn sticky(text: &str) -> Result<Named<StickyKind>, String> {
    let fits = |it: &Named<StickyKind>| match it.part {
        StickyKind::None | StickyKind::Source => it.name.is_none(),
        StickyKind::Cookie => true,
        StickyKind::ApplicationCookie | StickyKind::Header => it.name.is_some(),
    };
    let rule =
        "must be none, cookie, source, or cookie:, application_cookie: or header: and a name";
    named(text).filter(fits).ok_or_else(|| rule.into())
}

/// A word, or a word, a colon and a name.
fn named<T: DeserializeOwned>(text: &str) -> Option<Named<T>> {
    let (word, name) = match text.split_once(':') {
        Some((_, "")) => return None,
        Some((word, name)) => (word, Some(name.to_owned())),
        None => (text, None),
    };
    let part = read(word)?;
    Some(Named { part, name })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use model::{Pool, validate_pool};

    use super::*;
    use crate::cli::words::word;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        flags: Flags,
    }

    fn flags(words: &str) -> Flags {
        let words = ["set"].into_iter().chain(words.split_whitespace());
        let parsed = CommandLine::try_parse_from(words);
        parsed.unwrap_or_else(|error| panic!("{error}")).flags
    }

    fn patch(words: &str) -> Value {
        Value::Object(flags(words).patch())
    }

    fn valid(pool: Value) -> Pool {
        let pool = serde_json::from_value(pool).expect("a pool's shape");
        assert_eq!(validate_pool(&pool), Ok(()));
        pool
    }

    #[test]
    fn what_no_flag_names_is_in_no_patch() {
        assert_eq!(patch(""), json!({}));
        let words = "--algorithm p2c --protocol h2 --tls --tls-verify false --retries 1 --slow-start 90s --limit a --limit b";
        let expected = json!({
            "algorithm": "p2c", "protocol": "h2", "tls": {"enabled": true, "verify": false},
            "retry": {"retries": 1}, "slow_start": "1m 30s", "limits": ["a", "b"],
        });
        assert_eq!(patch(words), expected);
    }

    #[test]
    fn a_check_of_another_kind_loses_what_it_does_not_ask_by() {
        let expected = json!({"kind": "tcp", "path": null, "host": null, "status": null, "service": null, "interval": "5s"});
        assert_eq!(
            patch("--health tcp --health-interval 5s")["health"],
            expected
        );
        assert_eq!(patch("--health none")["health"], json!({"kind": "none"}));
        let own = patch("--health http --health-path /up");
        let expected = json!({"kind": "http", "path": "/up", "service": null});
        assert_eq!(own["health"], expected);
    }

    #[test]
    fn a_client_that_is_known_by_something_else_has_no_settings_of_a_cookie() {
        let expected =
            json!({"kind": "header", "name": "X-User", "lifetime": null, "same_site": null});
        assert_eq!(patch("--sticky header:X-User")["sticky"], expected);
        let expected = json!({"kind": "cookie", "name": null});
        assert_eq!(patch("--sticky cookie")["sticky"], expected);
        assert_eq!(patch("--sticky none")["sticky"], json!({"kind": "none"}));
    }

    #[test]
    fn a_new_pool_is_what_was_said_with_the_default_of_all_else() {
        let words = "--algorithm hash --hash-on header:X-User --health tcp --sticky source";
        let pool = valid(Value::Object(flags(words).pool(&PoolId::standard())));
        assert_eq!(pool.hash.name, "X-User");
        assert_eq!(pool.health.kind, CheckKind::Tcp);
        assert_eq!(pool.sticky.kind, StickyKind::Source);
        assert_eq!(pool.retry, model::Retry::default());
    }

    #[test]
    fn the_model_knows_every_word_that_the_help_names() {
        let made = |flag: &str, word: &str| {
            let flags = flags(&format!("{flag} {word}"));
            valid(Value::Object(flags.pool(&PoolId::standard())))
        };
        for algorithm in Algorithm::ALL {
            assert_eq!(made("--algorithm", &word(&algorithm)).algorithm, algorithm);
        }
        for protocol in Protocol::ALL {
            assert_eq!(made("--protocol", &word(&protocol)).protocol, protocol);
        }
        for kind in CheckKind::ALL {
            assert_eq!(made("--health", &word(&kind)).health.kind, kind);
        }
        for part in ["path", "header:a", "cookie:a", "query:a"] {
            made("--hash-on", part);
        }
        let kinds = ["none", "cookie", "cookie:a", "source", "header:a"];
        for kind in kinds.into_iter().chain(["application_cookie:a"]) {
            made("--sticky", kind);
        }
    }

    #[test]
    fn a_part_without_its_name_is_refused() {
        for words in [
            "--hash-on header",
            "--hash-on header:",
            "--hash-on path:a",
            "--hash-on moon:a",
            "--sticky header",
            "--sticky source:a",
            "--sticky none:a",
            "--algorithm best",
            "--retries 11",
        ] {
            let all = ["set"].into_iter().chain(words.split(' '));
            assert!(CommandLine::try_parse_from(all).is_err(), "{words}");
        }
    }
}
