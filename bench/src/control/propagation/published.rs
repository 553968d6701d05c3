//! What is published for one change, in fleets of several sizes.

use model::FleetName;

use super::super::findings::{Figure, Section};
use super::super::fleet::{fill, put, seed, server};
use super::{Stage, section};
use crate::Error;

/// How many changes are looked at.
const CHANGES: usize = 20;

const NOTE: &str = "The length of the one message that is published for a change of one server, in the mean. It is not to grow with the fleet.";

pub(super) fn measure(stage: &Stage<'_>) -> Result<Section, Error> {
    let mut section = section("Bytes published for a change", NOTE);
    let mut smallest = None;
    for servers in [10, 1000, 10_000] {
        let bytes = published(stage, servers)?;
        // Numbers of revisions have more digits in a larger fleet.
        let most = *smallest.get_or_insert(bytes) * 1.05;
        let figure = Figure::new(format!("{servers} servers"), bytes, "bytes");
        section.add(figure.at_most(most.round()));
    }
    Ok(section)
}

/// Bytes for a change, in a fleet of its own.
fn published(stage: &Stage<'_>, servers: usize) -> Result<f64, Error> {
    let name: FleetName = format!("of-{servers}").parse().expect("a name");
    let registry = stage.fleet.registry(&name)?;
    let address = |index: usize| stage.addresses[index % stage.addresses.len()];
    stage.runtime.block_on(async {
        seed(&*registry).await?;
        fill(&*registry, 1, |_| {}, (0..servers).map(address)).await
    })?;
    let mut listener = stage.fleet.connection()?;
    listener.ask(&["SUBSCRIBE", &format!("roundhouse:{{{name}}}:changes")])?;
    let mut bytes = 0;
    for number in 0..CHANGES {
        let index = number % servers;
        let mut server = server(index, 1, address(index));
        server.weight = 100 + u16::try_from(number).unwrap_or(0);
        let change = vec![model::Change::put_server(server)];
        stage.runtime.block_on(put(&*registry, change))?;
        bytes += listener.next_message()?.len();
    }
    Ok(bytes as f64 / CHANGES as f64)
}
