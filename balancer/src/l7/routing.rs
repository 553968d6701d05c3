//! Where a request goes: what stands before all servers (the listener's firewall, the balancer's health, the path's normal form, the routes),
//! and what is answered there and then.

use std::net::IpAddr;
use std::sync::Arc;

use model::{NormalPath, Paths, StickyKind};
use policy::{Action, Asked, Pool, Question, Redirect, Route, Table};

use super::codec::Refusal;
use super::health::Aspect;
use super::incoming::Incoming;
use super::problem::Problem;
use super::space::Space;
use super::talk::Talk;
use crate::listen::Entrance;

/// Where a request goes.
pub(super) struct Destination {
    pub(super) pool: Arc<Pool>,
    /// The route that claims it; none where it goes to the pool `default` because no route does.
    pub(super) route: Option<Arc<Route>>,
    /// Whether the client came over TLS, as far as is known; not asked where neither a route nor a cookie depends on it.
    pub(super) secure: bool,
}

/// Why a request goes to no server.
pub(super) enum Early {
    /// The balancer is asked what it can do.
    Options,
    /// It is asked how it is, at a listener that is open to that.
    Health(Aspect),
    Problem(Problem),
    /// The route answers.
    Route(RouteReply),
}

/// What a route answers by itself.
pub(super) struct RouteReply {
    pub(super) route: Arc<Route>,
    pub(super) status: u16,
    /// Where the client is sent.
    pub(super) location: Option<Vec<u8>>,
    pub(super) secure: bool,
}

impl From<Problem> for Early {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Finds where the request goes whose head is in the client's buffer. The path that the server gets, where it is not the client's own,
/// is in `space.path` then.
pub(super) fn route(talk: &Talk, space: &mut Space) -> Result<Destination, Early> {
    let Space {
        client,
        request,
        path,
        ..
    } = space;
    path.clear();
    let incoming = Incoming {
        talk,
        request,
        head: client.filled(),
    };
    let worker = &talk.worker;
    // Judged here too: a connection may be that of many clients, or older than the rule.
    if !talk.is_let_in(incoming.source()) {
        return Err(Problem::Denied.into());
    }
    // Before all that may be wrong with where the request is for: watchers know an address, and often no name.
    if worker.answers_health(talk.entrance)
        && let Some(aspect) = Aspect::of(request, incoming.head)
    {
        return Err(Early::Health(aspect));
    }
    if request.ends_here() {
        return Err(Early::Options);
    }
    // RFC 9110, 7.4. A proxy that is believed may have taken TLS off.
    if request.target.secure && !talk.is_trusted && talk.entrance == Entrance::Http {
        return Err(Problem::Misdirected.into());
    }
    let authority = request.authority(incoming.head);
    if authority.is_some_and(|authority| !talk.is_for(authority)) {
        return Err(Problem::Misdirected.into());
    }
    if worker.is_stale() {
        return Err(Problem::CutOff.into());
    }
    let table = worker.table();
    if table.routes().is_empty() {
        return to_standard(&table, &incoming, None, path);
    }
    let normal = incoming.normal_path()?;
    claim(&table, &incoming, normal.as_ref(), path)
}

/// By the route that claims the request.
fn claim(
    table: &Table,
    incoming: &Incoming<'_>,
    normal: Option<&NormalPath<'_>>,
    path: &mut Vec<u8>,
) -> Result<Destination, Early> {
    let client = incoming.source();
    let question = question(incoming, normal, client);
    let Some(route) = table.routes().find(&question) else {
        return to_standard(table, incoming, normal, path);
    };
    let worker = &incoming.talk.worker;
    let admits = route.lets_in(client);
    worker.counters.claimed(route.slot(), admits);
    if !admits {
        return Err(Problem::RouteDenied.into());
    }
    match route.action() {
        Action::Pool(_) | Action::Split(_) => {}
        Action::Answer(answer) => return Err(reply(incoming, route, answer.status, None)),
        Action::Redirect(redirect) => {
            let location = location(incoming, redirect, route, normal)?;
            return Err(reply(incoming, route, redirect.status(), Some(location)));
        }
    }
    let id = worker.with_chance(|chance| route.pool(client, chance));
    let pool = id.and_then(|id| table.pool(id));
    let pool = pool.ok_or(Problem::UnknownPool)?;
    set_path(pool, normal, Some(route), path)?;
    Ok(Destination {
        pool: Arc::clone(pool),
        route: Some(Arc::clone(route)),
        secure: incoming.is_secure(),
    })
}

fn reply(
    incoming: &Incoming<'_>,
    route: &Arc<Route>,
    status: u16,
    location: Option<Vec<u8>>,
) -> Early {
    Early::Route(RouteReply {
        route: Arc::clone(route),
        status,
        location,
        secure: incoming.is_secure(),
    })
}

fn question<'a>(
    incoming: &'a Incoming<'a>,
    normal: Option<&'a NormalPath<'a>>,
    client: IpAddr,
) -> Question<'a> {
    let Incoming { request, head, .. } = incoming;
    Question {
        host: request.authority(head).unwrap_or_default(),
        path: normal.map_or(b"*", NormalPath::matched),
        query: incoming.query().unwrap_or_default(),
        method: request.method_name(head),
        scheme: incoming.scheme(),
        client,
        headers: incoming,
    }
}

/// What no route claims goes to the pool `default`.
fn to_standard(
    table: &Table,
    incoming: &Incoming<'_>,
    normal: Option<&NormalPath<'_>>,
    path: &mut Vec<u8>,
) -> Result<Destination, Early> {
    let pool = table.route().ok_or(Problem::NoPool)?;
    match normal {
        // Nobody has looked at it yet, and where servers get it as it came, nobody need.
        None if pool.settings().value.paths != Paths::AsIs => {
            let normal = incoming.normal_path()?;
            set_path(pool, normal.as_ref(), None, path)?;
        }
        normal => set_path(pool, normal, None, path)?,
    }
    let has_cookies = pool.settings().value.sticky.kind == StickyKind::Cookie;
    Ok(Destination {
        pool: Arc::clone(pool),
        route: None,
        secure: has_cookies && incoming.is_secure(),
    })
}

/// Says which path the server gets, unless that is the client's own.
fn set_path(
    pool: &Pool,
    normal: Option<&NormalPath<'_>>,
    route: Option<&Route>,
    path: &mut Vec<u8>,
) -> Result<(), Problem> {
    let Some(normal) = normal else {
        return Ok(());
    };
    let paths = pool.settings().value.paths;
    if paths == Paths::Reject && !normal.was_normal() {
        return Err(Problem::PathNotNormal);
    }
    if let Some(rewritten) = route.and_then(|route| route.rewrite(normal)) {
        path.extend_from_slice(&rewritten);
    } else if paths == Paths::Normalise && !normal.was_normal() {
        path.extend_from_slice(normal.forwarded());
    }
    Ok(())
}

fn names_host(route: &Route) -> bool {
    matches!(&route.settings().action, model::Action::Redirect(redirect) if redirect.host.is_some())
}

/// Where a redirect sends the client.
fn location(
    incoming: &Incoming<'_>,
    redirect: &Redirect,
    route: &Route,
    normal: Option<&NormalPath<'_>>,
) -> Result<Vec<u8>, Problem> {
    let rewritten = normal.and_then(|normal| route.rewrite(normal));
    let path = match &rewritten {
        Some(path) => path,
        None => normal.map_or(&b"/"[..], NormalPath::forwarded),
    };
    let authority = incoming.request.authority(incoming.head);
    if authority.is_none() && !names_host(route) {
        // Only HTTP/1.0 may name no host, and then there is none to send the client to.
        return Err(Problem::Refused(Refusal::Host));
    }
    Ok(redirect.location(&Asked {
        scheme: incoming.scheme(),
        authority: authority.unwrap_or_default(),
        path,
        query: incoming.query(),
    }))
}
