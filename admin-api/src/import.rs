//! A document of the whole desired state, read and laid over the state as it is. Each element is held to the same
//! rules as one that is put alone; those among the elements are checked once, on what comes of all of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::StreamExt;
use futures_util::stream;
use model::{
    Certificate, Fleet, Limit, Listener, NetworkList, Pool, PoolId, Route, Server, ServerKey,
    Snapshot,
};
use serde_json::{Map, Value};

use crate::address::is_name;
use crate::body::Accepted;
use crate::edit;
use crate::problem::{Problem, taken};
use crate::resource::{Means, Resource, Target, check_room, missing};

/// How many names are looked up at a time.
const LOOKUPS_AT_ONCE: usize = 32;

/// The fields of the document's elements, by key, without those that only the registry sets.
#[derive(Debug)]
pub(crate) struct Imported {
    pools: Elements<Pool>,
    servers: Elements<Server>,
    routes: Elements<Route>,
    listeners: Elements<Listener>,
    networks: Elements<NetworkList>,
    limits: Elements<Limit>,
    certificates: Elements<Certificate>,
    /// Whether what it does not hold is removed, of the kinds that it says something of.
    prunes: bool,
    /// What is wrong with it whatever there is.
    problems: Vec<model::Problem>,
}

/// Nothing where the document says nothing of them.
type Elements<R> = Option<BTreeMap<<R as Resource>::Key, Map<String, Value>>>;

/// An element's key and fields.
type Element<R> = (<R as Resource>::Key, Map<String, Value>);

impl Imported {
    /// Reads a document. What is wrong with it is said together with what turns out once it is laid over the state.
    pub(crate) async fn read(
        sent: Map<String, Value>,
        prunes: bool,
        means: &Means,
    ) -> Result<Self, Problem> {
        let mut reading = Reading {
            sent,
            means,
            problems: Problems::default(),
        };
        let mut imported = Self {
            pools: reading.elements::<Pool>().await?,
            servers: reading.elements::<Server>().await?,
            routes: reading.elements::<Route>().await?,
            listeners: reading.elements::<Listener>().await?,
            networks: reading.elements::<NetworkList>().await?,
            certificates: reading.elements::<Certificate>().await?,
            limits: reading.elements::<Limit>().await?,
            prunes,
            problems: Vec::new(),
        };
        let unknown = reading.sent.keys().map(model::Problem::unknown_field);
        imported.problems = reading.problems.0;
        imported.problems.extend(unknown);
        Ok(imported)
    }

    /// The state that comes of the document and, unless it prunes, of what else there is.
    pub(crate) fn over(&self, snapshot: &Snapshot) -> Result<Fleet, Problem> {
        let mut fleet = Fleet::of(snapshot);
        let mut laying = Laying {
            snapshot,
            prunes: self.prunes,
            named: self.problems.iter().map(|it| it.field.as_str()).collect(),
            problems: Problems(self.problems.clone()),
            unlaid: HashSet::new(),
        };
        laying.lay(&self.pools, &mut fleet.pools);
        laying.lay(&self.servers, &mut fleet.servers);
        laying.lay(&self.routes, &mut fleet.routes);
        laying.lay(&self.listeners, &mut fleet.listeners);
        laying.lay(&self.networks, &mut fleet.networks);
        laying.lay(&self.limits, &mut fleet.limits);
        laying.lay(&self.certificates, &mut fleet.certificates);
        laying.check_among(&fleet);
        laying.problems.none()?;
        check_counts(&fleet)?;
        Ok(fleet)
    }
}

/// What is wrong with a document, by element and field.
#[derive(Default)]
struct Problems(Vec<model::Problem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push(model::Problem::new(field, rule));
    }

    /// What is wrong with an element: its name goes before its fields.
    fn within(&mut self, element: &str, errors: impl IntoIterator<Item = model::Problem>) {
        self.0.extend(errors.into_iter().map(|mut error| {
            error.field = match error.field.as_str() {
                "." => element.to_owned(),
                field => format!("{element}.{field}"),
            };
            error
        }));
    }

    /// One of the document's lists, where it is there.
    fn list(&mut self, sent: &mut Map<String, Value>, name: &str) -> Option<Vec<Value>> {
        match sent.remove(name)? {
            Value::Array(elements) => Some(elements),
            _ => {
                self.add(name, "must be a list");
                None
            }
        }
    }

    fn none(self) -> Result<(), Problem> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(self.0.into()),
        }
    }
}

/// How problems name an element: `servers[default/s1]`.
fn name<R: Resource>(key: &impl std::fmt::Display) -> String {
    format!("{}[{key}]", R::COLLECTION)
}

/// A document while it is read.
struct Reading<'a> {
    /// What has not been read yet.
    sent: Map<String, Value>,
    means: &'a Means,
    problems: Problems,
}

impl Reading<'_> {
    /// The document's elements of one kind.
    async fn elements<R: Resource>(&mut self) -> Result<Elements<R>, Problem> {
        let Self {
            sent,
            means,
            problems,
        } = self;
        let Some(list) = problems.list(sent, R::COLLECTION.as_str()) else {
            return Ok(None);
        };
        let mut elements = BTreeMap::new();
        let mut prepared = stream::iter(list.into_iter().enumerate())
            .map(|(index, element)| element_of::<R>(index, element, means))
            .buffered(LOOKUPS_AT_ONCE);
        while let Some((name, element, wrong)) = prepared.next().await {
            problems.within(&name, wrong.map_or(Ok(Vec::new()), Problem::into_errors)?);
            if let Some((key, fields)) = element
                && elements.insert(key, fields).is_some()
            {
                problems.add(name, "is given more than once");
            }
        }
        Ok(Some(elements))
    }
}

/// An element, if it has a key, what is wrong with it, and the name to say that under. A field that is wrong is left out, so that it is
/// not refused a second time when the rest is read.
async fn element_of<R: Resource>(
    index: usize,
    element: Value,
    means: &Means,
) -> (String, Option<Element<R>>, Option<Problem>) {
    let place = name::<R>(&index);
    let Value::Object(mut fields) = element else {
        let problem = Problem::field(".", "must be an object");
        return (place, None, Some(problem));
    };
    let key = match R::sent_key(&fields) {
        Ok(key) => key,
        Err(problem) => return (place, None, Some(problem)),
    };
    let hostname = fields.get(HOSTNAME).cloned();
    edit::drop_read_only::<R>(&mut fields);
    let prepared = R::prepare(Some(&key), &mut fields, means).await;
    let prepared = prepared.and_then(|()| keep_name(&mut fields, hostname));
    let wrong = prepared.err();
    for error in wrong.iter().flat_map(Problem::errors) {
        fields.remove(&error.field);
    }
    (name::<R>(&key), Some((key, fields)), wrong)
}

const HOSTNAME: &str = "hostname";

/// A document tells under which name an address was found, which is nowhere else to be read where the server is new.
fn keep_name(fields: &mut Map<String, Value>, sent: Option<Value>) -> Result<(), Problem> {
    let was_looked_up = fields.get(HOSTNAME).is_none_or(|found| !found.is_null());
    match sent {
        None | Some(Value::Null) => {}
        Some(_) if was_looked_up => {}
        Some(Value::String(name)) if is_name(&name) => {
            fields.insert(HOSTNAME.into(), name.into());
        }
        Some(_) => return Err(Problem::field(HOSTNAME, "must be the name of a host")),
    }
    Ok(())
}

/// A document on its way over the state.
struct Laying<'a> {
    snapshot: &'a Snapshot,
    prunes: bool,
    /// The fields of which something is said already: that they are missed is no news.
    named: HashSet<&'a str>,
    problems: Problems,
    /// Elements that are too broken to be laid. What names one names something that is there.
    unlaid: HashSet<String>,
}

impl Laying<'_> {
    /// Lays the values that the sent fields make over those that are there, each in place of the stored one. A list that the document
    /// does not have says nothing of that kind: nothing of it is changed, nor pruned.
    fn lay<R: Resource>(&mut self, elements: &Elements<R>, present: &mut BTreeMap<R::Key, R>) {
        let Some(elements) = elements else {
            return;
        };
        if self.prunes {
            present.clear();
        }
        for (key, fields) in elements {
            let name = name::<R>(key);
            let stored = R::find(self.snapshot, key).map(|stored| &stored.value);
            let Accepted { value, errors } = edit::replacing(key, stored, fields);
            let is_news =
                |it: &model::Problem| !self.named.contains(&*format!("{name}.{}", it.field));
            self.problems
                .within(&name, errors.into_iter().filter(is_news));
            match value {
                Some(value) => drop(present.insert(key.clone(), value)),
                None => {
                    present.remove(key);
                    self.unlaid.insert(name);
                }
            }
        }
    }

    /// The rules among the elements: what a single one is held to, in one go over all of them.
    fn check_among(&mut self, fleet: &Fleet) {
        let (snapshot, unlaid) = (self.snapshot, &self.unlaid);
        // What only a newer version can read is in no document, and stays.
        let is_there = |target: Target<'_>| {
            let is_said = match target {
                Target::Pool(id) => is_laid(&fleet.pools, id, unlaid),
                Target::List(id) => is_laid(&fleet.networks, id, unlaid),
                Target::Limit(id) => is_laid(&fleet.limits, id, unlaid),
                Target::Certificate(id) => is_laid(&fleet.certificates, id, unlaid),
            };
            is_said || target.is_unread_in(snapshot)
        };
        let problems = &mut self.problems;
        check_references(&fleet.pools, is_there, problems);
        check_references(&fleet.routes, is_there, problems);
        check_references(&fleet.listeners, is_there, problems);
        let has_pool = |id| is_there(Target::Pool(id));
        let standard = PoolId::standard();
        if !has_pool(&standard) {
            let rule = "must hold the pool \"default\", which cannot be removed";
            problems.add(Pool::COLLECTION.as_str(), rule);
        }
        for (key, _) in fleet.servers.iter().filter(|(key, _)| !has_pool(&key.pool)) {
            let field = format!("{}.pool", name::<Server>(key));
            problems.add(field, format!("there is no pool {:?}", key.pool.as_str()));
        }
        check_addresses(fleet, snapshot, problems);
    }
}

fn is_laid<R: Resource>(
    elements: &BTreeMap<R::Key, R>,
    key: &R::Key,
    unlaid: &HashSet<String>,
) -> bool {
    elements.contains_key(key) || unlaid.contains(&name::<R>(key))
}

/// No two servers of a pool have one address. Two that are stored already are no mistake of the document's.
fn check_addresses(fleet: &Fleet, snapshot: &Snapshot, problems: &mut Problems) {
    let is_new = |server: &Server| {
        let stored = snapshot.servers.get(&server.key());
        stored.is_none_or(|stored| stored.value != *server)
    };
    let mut holders: HashMap<_, &Server> = HashMap::new();
    for (key, server) in &fleet.servers {
        let twin = holders.insert((&key.pool, server.address), server);
        if let Some(twin) = twin.filter(|twin| is_new(twin) || is_new(server)) {
            // The one that comes is wrong, and not the one that is there.
            let (wrong, other) = if is_new(server) {
                (server, twin)
            } else {
                (twin, server)
            };
            let field = format!("{}.address", name::<Server>(&wrong.key()));
            problems.add(field, taken(&other.key(), other.state));
        }
    }
}

/// What the elements of one kind name must be there.
fn check_references<R: Resource>(
    elements: &BTreeMap<R::Key, R>,
    is_there: impl Fn(Target<'_>) -> bool + Copy,
    problems: &mut Problems,
) {
    for (key, element) in elements {
        problems.within(&name::<R>(key), missing(element, is_there));
    }
}

fn check_counts(fleet: &Fleet) -> Result<(), Problem> {
    check_room::<Pool>(fleet.pools.len())?;
    check_room::<Route>(fleet.routes.len())?;
    check_room::<Listener>(fleet.listeners.len())?;
    check_room::<NetworkList>(fleet.networks.len())?;
    check_room::<Limit>(fleet.limits.len())?;
    check_room::<Certificate>(fleet.certificates.len())?;
    let mut counts: HashMap<&PoolId, usize> = HashMap::new();
    for ServerKey { pool, .. } in fleet.servers.keys() {
        *counts.entry(pool).or_default() += 1;
    }
    let largest = counts.into_values().max().unwrap_or_default();
    check_room::<Server>(largest)
}
