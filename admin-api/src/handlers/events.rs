//! `/v1/events`: what happens in the fleet, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use model::Position;

use crate::app::App;
use crate::events::{Event, greeting, since};
use crate::problem::Problem;

/// How often a silent connection is shown to be alive.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(10);

/// A greeting that says where the fleet stands, then every event: those from now on, or, with a
/// `Last-Event-ID`, those after it. A listener that falls behind is told, and the connection ends.
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    let listener = app.feed.listen()?;
    let present = app.snapshot()?.position;
    let mut told = vec![greeting(&app.view())];
    if let Some(id) = headers.get("last-event-id") {
        let last = id.to_str().ok().and_then(parse_id);
        told.extend(since(&*app.registry, last, present).await?);
    }
    let standing = told.iter().rev().find_map(|event| event.position);
    let standing = standing.unwrap_or(present);
    let stop = app.stop.clone();
    let events = stream::iter(told)
        .chain(listener.events(standing))
        .take_until(stop.cancelled_owned())
        .map(|event| Ok(render(&event)));
    let heartbeat = KeepAlive::new()
        .interval(HEARTBEAT_PERIOD)
        .text("heartbeat");
    Ok(Sse::new(events).keep_alive(heartbeat))
}

fn render(event: &Event) -> sse::Event {
    let rendered = sse::Event::default().event(event.name).data(&*event.data);
    match event.position {
        Some(position) => rendered.id(position.to_string()),
        None => rendered,
    }
}

/// Reads a position as it writes itself.
fn parse_id(text: &str) -> Option<Position> {
    let mut parts = text.split(':');
    let position = Position {
        epoch: parts.next()?.parse().ok()?,
        revision: model::Revision(parts.next()?.parse().ok()?),
        id: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(position)
}
