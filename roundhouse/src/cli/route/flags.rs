//! The parts of a route that flags can say: what most routes have. A file says the rest.

use std::str::FromStr;

use model::{
    Action, Claim, Condition, LimitId, PathClaim, PoolId, Rewrite, Route, RouteId, Share, Split,
    SplitBy, Test, Unknown,
};

/// What a route claims and does.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Flags {
    /// A host that it claims: a name, or `*.` and a name. May be repeated.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// The path that it claims.
    #[arg(long, value_name = "PATH", group = "claimed_path")]
    path: Option<String>,
    /// The path that it claims with all below it.
    #[arg(long, value_name = "PATH", group = "claimed_path")]
    path_prefix: Option<String>,
    /// The paths that it claims, with names in braces for any one segment, such as `/users/{id}`.
    #[arg(long, value_name = "PATTERN", group = "claimed_path")]
    path_pattern: Option<String>,
    /// A method that it claims. May be repeated.
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// A header that requests must have, with this value where one is given. May be repeated.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = condition)]
    header: Vec<Condition>,
    /// Goes before how specific a route is: the highest takes a request.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = priority)]
    priority: Option<i32>,
    /// The pool whose servers answer.
    #[arg(long, value_name = "POOL", group = "action")]
    pool: Option<PoolId>,
    /// One of several pools, with its share relative to the others. Is repeated.
    #[arg(long, value_name = "POOL=WEIGHT", value_parser = share, group = "action")]
    split: Vec<Share>,
    /// What servers see in place of the prefix or path that it claims; `/` takes it away.
    #[arg(long, value_name = "PATH")]
    rewrite_prefix: Option<String>,
    /// A limit that its requests are held to. May be repeated.
    #[arg(long, value_name = "LIMIT")]
    limit: Vec<LimitId>,
}

impl Flags {
    pub(super) fn route(self, id: RouteId) -> Route {
        let path = self.path.map(PathClaim::Exact);
        let path = path.or(self.path_prefix.map(PathClaim::Prefix));
        let path = path.or(self.path_pattern.map(PathClaim::Pattern));
        let action = match self.pool {
            Some(pool) => Action::Pool(pool),
            None => Action::Split(Split {
                pools: self.split,
                by: SplitBy::default(),
                unknown: Unknown::default(),
            }),
        };
        Route {
            priority: self.priority.unwrap_or_default(),
            claim: Claim {
                hosts: self.host,
                path,
                methods: self.method,
                headers: self.header,
                ..Claim::default()
            },
            rewrite: Rewrite {
                prefix: self.rewrite_prefix,
                ..Rewrite::default()
            },
            limits: self.limit,
            ..Route::new(id, action)
        }
    }
}

fn priority(text: &str) -> Result<i32, String> {
    let rule = |_| format!("must be a whole number from {} to {}", i32::MIN, i32::MAX);
    text.parse().map_err(rule)
}

fn condition(text: &str) -> Result<Condition, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Test::Exact(value.into())),
        None => (text, Test::Present),
    };
    if name.is_empty() {
        return Err("must be a header's name, or a name, = and a value".into());
    }
    let (name, unknown) = (name.into(), Unknown::default());
    Ok(Condition {
        name,
        value,
        unknown,
    })
}

fn share(text: &str) -> Result<Share, String> {
    let rule = || "must be a pool, = and a weight from 0 to 1000, such as web=90".to_owned();
    let (pool, weight) = text.split_once('=').ok_or_else(rule)?;
    let pool = PoolId::from_str(pool).map_err(|error| error.to_string())?;
    let weight = weight.parse().map_err(|_| rule())?;
    let unknown = Unknown::default();
    Ok(Share {
        pool,
        weight,
        unknown,
    })
}
