//! The routes of a snapshot, compiled so that finding a request's does not grow with how many there are.
//!
//! Each route stands in a tree of paths for each of its hosts, or in the one for any host. A request looks its host up, then the names
//! above it that a wildcard claims, then any host; and in each of these trees goes down along its path's segments. On that way stand all
//! routes that claim the host and the path, usually one or two. Each has its place in one order of all routes: the first in that order
//! whose other conditions hold is the one. So a priority holds over hosts and paths, and whatever cannot come before the best found so far
//! is not looked at.

mod action;
mod compiler;
mod conditions;
mod edits;
mod explanation;
mod host;
mod names;
mod paths;
mod question;
mod rank;
mod redirect;
mod rewrite;
mod route;
mod split;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Elements, Fault, NetworkListId, PoolId, RouteId, Snapshot};

use crate::firewall::Lists;

use tree::{Best, Tree};

pub(crate) use host::HostText;

pub use action::{Action, Answer};
pub use edits::HeaderEdits;
pub use explanation::{Considered, Explanation, PoolShare};
pub use question::{Fields, Question};
pub use redirect::{Asked, Redirect};
pub use route::Route;
pub use split::Split;

/// All routes. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    by_id: BTreeMap<RouteId, Arc<Route>>,
    /// By whole names, in lower case.
    hosts: ByHost,
    /// By what comes after `*.`.
    wildcards: ByHost,
    /// Of routes that claim any host.
    any: Tree,
    lists: Arc<Lists>,
    faults: Vec<Fault>,
    source: Option<Source>,
}

/// Operators choose the names: nobody gains by making them collide.
type ByHost = HashMap<Box<[u8]>, Tree, foldhash::fast::RandomState>;

/// What routes are compiled from.
#[derive(Debug)]
struct Source {
    routes: Elements<RouteId, model::Route>,
    lists: Elements<NetworkListId, model::NetworkList>,
    listeners: Elements<model::ListenerId, model::Listener>,
    pools: Elements<PoolId, model::Pool>,
    unread: model::Unread,
}

impl Routes {
    /// Compiles a snapshot's routes. What has not changed is taken over from those before: all of it, or route by route and list by list.
    ///
    /// A route that breaks a rule is a fault, and stays as it was before. One whose pool or list is not there is a fault and in force: no
    /// other route takes its requests.
    pub fn compile(snapshot: &Snapshot, previous: &Self) -> Self {
        compiler::compile(snapshot, previous)
    }

    /// Whether there are none, so that a request needs no question.
    pub fn is_empty(&self) -> bool {
        self.0.by_id.is_empty()
    }

    /// Whether they are the same, in memory too.
    pub fn is_same(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0)
    }

    /// The route that takes a request, if any does.
    pub fn find(&self, question: &Question<'_>) -> Option<&Arc<Route>> {
        let compiled = &*self.0;
        let mut best = Best::none(question);
        if !(compiled.hosts.is_empty() && compiled.wildcards.is_empty()) {
            let text = HostText::of(question.host);
            let host = text.as_bytes();
            if let Some(tree) = compiled.hosts.get(host) {
                tree.search(&mut best);
            }
            if !compiled.wildcards.is_empty() {
                for tree in host::above(host).filter_map(|name| compiled.wildcards.get(name)) {
                    tree.search(&mut best);
                }
            }
        }
        compiled.any.search(&mut best);
        best.route()
    }

    pub fn get(&self, id: &RouteId) -> Option<&Arc<Route>> {
        self.0.by_id.get(id)
    }

    /// Every route, by its name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.by_id.values()
    }

    /// Which route takes a request and why, and what of the others came near.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        explanation::explain(self, question)
    }

    /// The routes that cannot be compiled, or name what is not there.
    pub fn faults(&self) -> &[Fault] {
        &self.0.faults
    }

    /// The lists of networks that its routes and the snapshot's listeners name.
    pub(crate) fn lists(&self) -> &Arc<Lists> {
        &self.0.lists
    }
}

#[cfg(test)]
mod tests;
