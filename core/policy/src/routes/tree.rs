//! A tree of path segments, at whose nodes the routes stand that claim the way there.

use std::collections::HashMap;
use std::sync::Arc;

use super::paths::{End, PathRule, Segment, after_slash, split_first};
use super::{Question, Route};

/// The routes for one host.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

#[derive(Debug)]
struct Node {
    /// The first place in the order of all routes that some route here or below has.
    first: u32,
    /// In the order of all routes.
    entries: Vec<Entry>,
    /// Apart, so that a node without any, as most are, is small.
    children: Option<Box<Children>>,
    any: Option<Box<Self>>,
}

type Children = HashMap<Box<[u8]>, Node, foldhash::fast::RandomState>;

/// A route, and its place in the order of all.
#[derive(Debug)]
struct Entry {
    place: u32,
    /// What of the paths below is claimed.
    end: End,
    route: Arc<Route>,
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Best<'a, 'q> {
    question: &'q Question<'q>,
    found: Option<&'a Entry>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            first: u32::MAX,
            entries: Vec::new(),
            children: None,
            any: None,
        }
    }
}

impl Tree {
    /// Adds a route. Those that come first in the order of all must be added first.
    pub(super) fn add(&mut self, place: u32, route: &Arc<Route>, path: &PathRule) {
        let mut node = &mut self.root;
        node.first = node.first.min(place);
        for segment in &path.segments {
            node = match segment {
                Segment::Literal(text) => {
                    let children = node.children.get_or_insert_default();
                    children.entry(text.clone()).or_default()
                }
                Segment::Any => node.any.get_or_insert_default(),
            };
            node.first = node.first.min(place);
        }
        node.entries.push(Entry {
            place,
            end: path.end,
            route: Arc::clone(route),
        });
    }

    /// Looks for a route that comes before what was found.
    pub(super) fn search<'a>(&'a self, best: &mut Best<'a, '_>) {
        self.root.search(after_slash(best.question.path), best);
    }
}

impl Node {
    /// `rest` is what is left of the path: nothing where it ended here.
    fn search<'a>(&'a self, rest: Option<&[u8]>, best: &mut Best<'a, '_>) {
        if !best.is_after(self.first) {
            return;
        }
        let Some(text) = rest else {
            return best.consider(&self.entries, |end| end != End::Rest);
        };
        let (segment, after) = split_first(text);
        let children = self.children.as_ref();
        if let Some(child) = children.and_then(|children| children.get(segment)) {
            child.search(after, best);
        }
        let is_empty = segment.is_empty();
        if let Some(any) = self.any.as_ref().filter(|_| !is_empty) {
            any.search(after, best);
        }
        best.consider(&self.entries, |end| {
            end == End::Open || (end == End::Rest && !is_empty)
        });
    }
}

impl<'a, 'q> Best<'a, 'q> {
    pub(super) fn none(question: &'q Question<'q>) -> Self {
        Self {
            question,
            found: None,
        }
    }

    pub(super) fn route(&self) -> Option<&'a Arc<Route>> {
        self.found.map(|entry| &entry.route)
    }

    fn is_after(&self, place: u32) -> bool {
        self.found.is_none_or(|found| place < found.place)
    }

    /// Takes the first of these whose conditions hold, where it comes before what was found.
    fn consider(&mut self, entries: &'a [Entry], claims: impl Fn(End) -> bool) {
        for entry in entries {
            if !self.is_after(entry.place) {
                return;
            }
            if !claims(entry.end) {
                continue;
            }
            let conditions = entry.route.conditions();
            if conditions.is_none_or(|conditions| conditions.hold(self.question)) {
                self.found = Some(entry);
                return;
            }
        }
    }
}
