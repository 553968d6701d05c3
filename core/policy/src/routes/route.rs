//! One route, with everything made ready that its requests need.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use model::{HeaderChanges, LimitId, NormalPath, PoolId, RouteId, RouteTimeouts, Stamped};
use rand::Rng;

use super::conditions::Conditions;
use super::names::Names;
use super::paths::PathRule;
use super::rank::Standing;
use super::rewrite::PathRewrite;
use super::{Action, HeaderEdits};
use crate::Firewall;

/// A compiled route. With many routes each is seldom in a near cache: what every request looks at comes first and close together, and what
/// most routes have nothing of is kept apart.
#[derive(Debug)]
#[repr(C)]
pub struct Route {
    slot: u32,
    /// Whether it says itself how long things may take, what is tried again, or how long a body may be.
    has_own_terms: bool,
    /// Nothing where all that it asks for is a host and a path.
    conditions: Option<Box<Conditions>>,
    firewall: Option<Arc<Firewall>>,
    action: Action,
    limits: Option<Arc<[LimitId]>>,
    edits: Option<Box<Edits>>,
    definition: Arc<Stamped<model::Route>>,
    path: PathRule,
    standings: Vec<Standing>,
}

/// What is changed of requests and answers.
#[derive(Debug)]
struct Edits {
    rewrite: PathRewrite,
    request: HeaderEdits,
    response: HeaderEdits,
    hsts: Option<Box<[u8]>>,
    host: Option<Box<[u8]>>,
}

impl Route {
    pub(super) fn compile<'a>(
        definition: &'a Arc<Stamped<model::Route>>,
        slot: u32,
        names: &Names<'a>,
    ) -> Self {
        let route = &definition.value;
        let path = PathRule::compile(route.claim.path.as_ref());
        Self {
            slot,
            has_own_terms: has_own_terms(route),
            standings: Standing::all(definition, &path),
            path,
            conditions: Conditions::compile(&route.claim).map(Box::new),
            firewall: names.firewall(&route.firewall),
            action: Action::compile(&route.action, names),
            limits: names.limits(&route.limits),
            edits: Edits::compile(route).map(Box::new),
            definition: Arc::clone(definition),
        }
    }

    pub fn id(&self) -> &RouteId {
        &self.definition.value.id
    }

    /// Where it is counted: kept for as long as there is a route of its name, and given to another after that.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// As desired.
    pub fn settings(&self) -> &model::Route {
        &self.definition.value
    }

    /// Where it says itself how long things may take, what is tried again, or how long a body may be; what is not given there is the
    /// pool's.
    pub fn own_terms(&self) -> Option<&model::Route> {
        self.has_own_terms.then(|| self.settings())
    }

    pub(super) fn definition(&self) -> &Arc<Stamped<model::Route>> {
        &self.definition
    }

    pub(super) fn path(&self) -> &PathRule {
        &self.path
    }

    /// One for each host that it claims, and one where it claims any; never none.
    pub(super) fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// What it asks for beside a host and a path, if anything.
    pub(super) fn conditions(&self) -> Option<&Conditions> {
        self.conditions.as_deref()
    }

    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The pool that takes a request of this client; nothing where the balancer answers by itself.
    pub fn pool(&self, client: IpAddr, chance: &mut impl Rng) -> Option<&PoolId> {
        match &self.action {
            Action::Pool(pool) => Some(pool),
            Action::Split(split) => split.choose(client, chance),
            Action::Redirect(_) | Action::Answer(_) => None,
        }
    }

    /// Whether a client may use it.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        let firewall = self.firewall.as_ref();
        firewall.is_none_or(|firewall| firewall.lets_in(client))
    }

    pub(super) fn firewall(&self) -> Option<&Firewall> {
        self.firewall.as_deref()
    }

    /// The limits that its requests are held to, in their order.
    pub fn limits(&self) -> &[LimitId] {
        self.limits.as_deref().unwrap_or_default()
    }

    /// Of requests, before they go to a server.
    pub fn request(&self) -> Option<&HeaderEdits> {
        let edits = self.edits.as_ref().map(|edits| &edits.request);
        edits.filter(|edits| !edits.is_empty())
    }

    /// Of answers, before they go to the client.
    pub fn response(&self) -> Option<&HeaderEdits> {
        let edits = self.edits.as_ref().map(|edits| &edits.response);
        edits.filter(|edits| !edits.is_empty())
    }

    /// The whole line, for answers over TLS alone (RFC 6797, 7.2).
    pub fn hsts(&self) -> Option<&[u8]> {
        self.edits.as_ref()?.hsts.as_deref()
    }

    /// What servers get in place of the request's host.
    pub fn host(&self) -> Option<&[u8]> {
        self.edits.as_ref()?.host.as_deref()
    }

    /// What servers get in place of the path, where the route rewrites it. The query stays.
    pub fn rewrite<'a>(&'a self, path: &'a NormalPath<'_>) -> Option<Cow<'a, [u8]>> {
        self.edits.as_ref()?.rewrite.apply(path)
    }
}

impl Edits {
    /// Nothing where nothing is changed.
    fn compile(route: &model::Route) -> Option<Self> {
        let changes = route.rewrite != model::Rewrite::default()
            || route.request_headers != HeaderChanges::default()
            || route.response_headers != HeaderChanges::default()
            || route.hsts.is_some();
        changes.then(|| Self {
            rewrite: PathRewrite::compile(&route.rewrite, route.claim.path.as_ref()),
            request: HeaderEdits::compile(&route.request_headers),
            response: HeaderEdits::compile(&route.response_headers),
            hsts: route.hsts.as_ref().map(hsts_line),
            host: route
                .rewrite
                .host
                .as_ref()
                .map(|host| host.as_bytes().into()),
        })
    }
}

fn has_own_terms(route: &model::Route) -> bool {
    route.timeouts != RouteTimeouts::default()
        || route.retry.is_some()
        || route.max_body_bytes.is_some()
}

fn hsts_line(hsts: &model::Hsts) -> Box<[u8]> {
    let mut line = format!(
        "Strict-Transport-Security: max-age={}",
        hsts.max_age.as_secs()
    );
    let directives = [
        (hsts.include_subdomains, "; includeSubDomains"),
        (hsts.preload, "; preload"),
    ];
    for (_, directive) in directives.iter().filter(|(is_given, _)| *is_given) {
        line.push_str(directive);
    }
    line.push_str("\r\n");
    line.into_bytes().into()
}
