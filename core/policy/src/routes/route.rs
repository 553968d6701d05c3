//! One route, with everything made ready that its requests need.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use model::{NormalPath, PoolId, RouteId, Stamped};
use rand::Rng;

use super::conditions::Conditions;
use super::paths::PathRule;
use super::rank::Standing;
use super::rewrite::PathRewrite;
use super::{Action, HeaderEdits};
use crate::Firewall;
use crate::firewall::Lists;

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    definition: Arc<Stamped<model::Route>>,
    path: PathRule,
    standings: Vec<Standing>,
    conditions: Conditions,
    action: Action,
    rewrite: PathRewrite,
    request: HeaderEdits,
    response: HeaderEdits,
    hsts: Option<Box<[u8]>>,
    firewall: Firewall,
}

impl Route {
    pub(super) fn compile(definition: &Arc<Stamped<model::Route>>, lists: &Lists) -> Self {
        let route = &definition.value;
        let path = PathRule::compile(route.claim.path.as_ref());
        Self {
            standings: Standing::all(definition, &path),
            path,
            conditions: Conditions::compile(&route.claim),
            action: Action::compile(&route.action),
            rewrite: PathRewrite::compile(&route.rewrite, route.claim.path.as_ref()),
            request: HeaderEdits::compile(&route.request_headers),
            response: HeaderEdits::compile(&route.response_headers),
            hsts: route.hsts.as_ref().map(hsts_line),
            firewall: Firewall::compile(&route.firewall, lists),
            definition: Arc::clone(definition),
        }
    }

    pub fn id(&self) -> &RouteId {
        &self.definition.value.id
    }

    /// As desired. Times, retries and the longest body are read here; what is not given there is the pool's.
    pub fn settings(&self) -> &model::Route {
        &self.definition.value
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

    pub(super) fn conditions(&self) -> &Conditions {
        &self.conditions
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

    /// Which clients may use it.
    pub fn firewall(&self) -> &Firewall {
        &self.firewall
    }

    /// Of requests, before they go to a server.
    pub fn request(&self) -> &HeaderEdits {
        &self.request
    }

    /// Of answers, before they go to the client.
    pub fn response(&self) -> &HeaderEdits {
        &self.response
    }

    /// The whole line, for answers over TLS alone (RFC 6797, 7.2).
    pub fn hsts(&self) -> Option<&[u8]> {
        self.hsts.as_deref()
    }

    /// What servers get in place of the request's host.
    pub fn host(&self) -> Option<&[u8]> {
        let host = self.definition.value.rewrite.host.as_ref();
        host.map(String::as_bytes)
    }

    /// What servers get in place of the path, where the route rewrites it. The query stays.
    pub fn rewrite<'a>(&'a self, path: &'a NormalPath<'_>) -> Option<Cow<'a, [u8]>> {
        self.rewrite.apply(path)
    }
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
