//! `roundhouse watch`: a line for everything that changes.

mod line;

use std::time::{Duration, SystemTime};

use client::{Client, Event, Events};
use runtime::{Backoff, complain};
use serde_json::{Value, json};

use super::connection::Connection;
use super::failure::Failure;
use super::output::Output;

/// The pauses between tries to follow the events again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// The flags of `roundhouse watch`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client()?;
    tokio::select! {
        ended = follow(&client, &args.output) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Follows until the output is closed. A connection that was there once is made again when it breaks, and
/// goes on where it was.
async fn follow(client: &Client, output: &Output) -> Result<(), Failure> {
    let mut events = client.events(None).await?;
    let mut last = None;
    loop {
        match events.next().await {
            Ok(event) => {
                write(&event, output)?;
                last = event.id.or(last);
            }
            Err(error) => {
                complain(format_args!("{error}; trying again"));
                events = reconnect(client, last.as_deref()).await?;
            }
        }
    }
}

async fn reconnect(client: &Client, last: Option<&str>) -> Result<Events, Failure> {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
    loop {
        let pause = backoff.next_pause(&mut rand::rng());
        tokio::time::sleep(pause).await;
        match client.events(last).await {
            Ok(events) => return Ok(events),
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn write(event: &Event, output: &Output) -> Result<(), Failure> {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_else(|_| json!(event.data));
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let object = json!({"time": time, "event": event.kind, "data": data});
    output.write_line(&object, |_| {
        format!("{time}  {}", line::describe(&event.kind, &data))
    })
}
