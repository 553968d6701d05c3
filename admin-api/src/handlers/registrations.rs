//! `/v1/registrations/{pool}/{server}`: servers that put themselves in, and renew their lease while they live.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use model::{Author, Registration, Server, ServerKey, Snapshot, format_duration, parse_duration};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::JsonObject;
use crate::edit::{self, Edited, Plan};
use crate::etag::Conditions;
use crate::extract::{Intent, KeyPath};
use crate::problem::Problem;
use crate::resource::{Resource, check_pool, twin, unread};
use crate::serve::Peer;

const LIFETIME_DEFAULT: Duration = Duration::from_secs(10);
const LIFETIME_MIN: Duration = Duration::from_secs(1);
const LIFETIME_MAX: Duration = Duration::from_secs(3600);

/// Registers a server, or renews its lease. What an operator made of the server meanwhile (its weight, zone
/// and state) stays: what is sent of these is for a server that is new. `If-Match: *` renews without making
/// a server anew that was removed.
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    KeyPath(key): KeyPath<Server>,
    Extension(peer): Extension<Peer>,
    intent: Intent,
    JsonObject(mut sent): JsonObject,
) -> Result<Answer, Problem> {
    let intent = own(intent).saying(&sent);
    let lifetime = take_lifetime(&mut sent)?;
    edit::refuse_read_only::<Server>(&sent)?;
    edit::check_names::<Server>(&key, &sent)?;
    Server::prepare(Some(&key), &mut sent, &app.means).await?;
    complete(&mut sent, peer);
    let wanted = edit::replacing::<Server>(&key, None, &sent).whole()?;
    let mut answer = match unchanged(&app, &intent, &wanted)? {
        Some((position, edited)) => {
            app.registry.renew_registration(&key, lifetime).await?;
            app.answer_edit(&intent, position, Some(edited)).await?
        }
        None => {
            retire_predecessor(&app, &intent, &wanted).await?;
            register(&app, &intent, &wanted, lifetime).await?
        }
    };
    answer.body["lifetime"] = json!(format_duration(lifetime));
    Ok(answer)
}

/// Ends the lease and takes the server out.
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    KeyPath(key): KeyPath<Server>,
    intent: Intent,
) -> Result<Answer, Problem> {
    let intent = own(intent);
    let leases = app.registry.registrations().await?;
    let leased = leases.iter().any(|lease| lease.key == key);
    let snapshot = app.snapshot()?;
    if leased && edit::check_presence::<Server>(&snapshot, &key).is_err() {
        app.registry.remove_registration(&key).await?;
        return Ok(Answer::bare(Server::names(&key), snapshot.desired));
    }
    let plan = |snapshot: &Snapshot| {
        if !leased {
            return Err(Problem::not_found("registration", &key));
        }
        edit::check_presence::<Server>(snapshot, &key)?;
        // Its lease goes with it.
        Ok(Plan::<Server> {
            key: key.clone(),
            after: None,
        })
    };
    app.edit(&intent, Some(&key), plan).await
}

/// What servers do of themselves is no operator's own change.
fn own(intent: Intent) -> Intent {
    let name = "registrations".into();
    Intent {
        author: Author::Source { name },
        ..intent
    }
}

fn take_lifetime(sent: &mut Map<String, Value>) -> Result<Duration, Problem> {
    let Some(sent) = sent.remove("lifetime") else {
        return Ok(LIFETIME_DEFAULT);
    };
    let rule = || Problem::field("lifetime", "must be from 1s to 1h, such as \"10s\"");
    let lifetime = sent.as_str().and_then(|text| parse_duration(text).ok());
    lifetime
        .filter(|lifetime| (LIFETIME_MIN..=LIFETIME_MAX).contains(lifetime))
        .ok_or_else(rule)
}

/// A server that listens everywhere is reached where its request comes from.
fn complete(sent: &mut Map<String, Value>, Peer(peer): Peer) {
    let address = sent.get("address").and_then(Value::as_str);
    let address: Option<SocketAddr> = address.and_then(|address| address.parse().ok());
    if let Some(address) = address.filter(|address| address.ip().is_unspecified()) {
        let address = SocketAddr::new(peer.ip().to_canonical(), address.port());
        sent.insert("address".into(), json!(address));
    }
}

/// The server, if it is there already at this address, so that nothing but its lease needs renewing.
fn unchanged(
    app: &App,
    intent: &Intent,
    wanted: &Server,
) -> Result<Option<(model::Position, Edited<Server>)>, Problem> {
    let snapshot = app.snapshot()?;
    let key = wanted.key();
    let Some(stored) = Server::find(&snapshot, &key) else {
        return Ok(None);
    };
    if stored.value.address != wanted.address {
        return Ok(None);
    }
    intent
        .conditions
        .check(Server::KIND, &key.to_string(), Some(stored.revision))?;
    let server = Some((**stored).clone());
    let (before, after) = (server.clone(), server);
    Ok(Some((snapshot.position, Edited { key, before, after })))
}

/// Takes out the server that registered itself at this address and has not renewed in time: there is another
/// process now, under another name, as when a container is made anew. Probes cannot tell the two apart.
async fn retire_predecessor(app: &App, intent: &Intent, wanted: &Server) -> Result<(), Problem> {
    let snapshot = app.snapshot()?;
    let key = wanted.key();
    let Some(other) = twin(wanted, &snapshot).map(|other| other.value.key()) else {
        return Ok(());
    };
    if unread::<Server>(&snapshot, &other).is_some() {
        return Ok(());
    }
    // What would be refused takes nobody out.
    let present = Server::find(&snapshot, &key).map(|stored| stored.revision);
    intent
        .conditions
        .check(Server::KIND, &key.to_string(), present)?;
    let leases = app.registry.registrations().await?;
    let is_its_own = |lease: &&Registration| lease.key == other;
    if !leases
        .iter()
        .find(is_its_own)
        .is_some_and(Registration::is_expired)
    {
        return Ok(());
    }
    let intent = Intent {
        author: intent.author.clone(),
        reason: format!("{key} registered at its address"),
        idempotency_key: None,
        fingerprint: String::new(),
        conditions: Conditions::default(),
        wait: None,
    };
    let plan = |snapshot: &Snapshot| {
        let found = twin(wanted, snapshot).map(|found| found.value.key());
        if found.as_ref() != Some(&other) {
            return Err(Problem::not_found(Server::KIND, &other));
        }
        Ok(Plan::<Server> {
            key: other.clone(),
            after: None,
        })
    };
    match app.make_edit(&intent, Some(&other), plan).await {
        // Somebody else took it out, or it has moved: the address is free.
        Ok(_) | Err(Problem::NotFound { .. }) => Ok(()),
        Err(problem) => Err(problem),
    }
}

async fn register(
    app: &App,
    intent: &Intent,
    wanted: &Server,
    lifetime: Duration,
) -> Result<Answer, Problem> {
    let key: ServerKey = wanted.key();
    let plan = |snapshot: &Snapshot| {
        check_pool(&key.pool, snapshot)?;
        let after = match Server::find(snapshot, &key) {
            None => wanted.clone(),
            Some(stored) => Server {
                address: wanted.address,
                hostname: wanted.hostname.clone(),
                ..stored.value.clone()
            },
        };
        let (key, after) = (key.clone(), Some(after));
        Ok(Plan { key, after })
    };
    let (kept, edited) = app.make_edit(intent, Some(&key), plan).await?;
    app.registry.renew_registration(&key, lifetime).await?;
    let position = kept.committed.position;
    let answer = app.answer_edit(intent, position, edited).await?;
    Ok(answer.of_change(intent, &kept))
}
