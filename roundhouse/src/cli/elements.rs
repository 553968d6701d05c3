//! What the commands of pools, routes, listeners, lists of networks and limits have in common: elements that are known by a name alone.

use std::time::Duration;

use client::{Changed, Client, Demand, Element, Name, Removed, Shown, Wait};
use model::{Revision, parse_duration};
use serde::Serialize;

use super::change::{demand, finish};
use super::connection::Connection;
use super::document;
use super::failure::Failure;
use super::output::Output;

/// The flags of a command that lists all.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) output: Output,
}

/// The flags of a command that shows one.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Show<Id: Name> {
    /// Its name.
    #[arg(value_name = "NAME", value_parser = str::parse::<Id>)]
    id: Id,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// The flags of a command that removes one.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Remove<Id: Name> {
    /// Its name.
    #[arg(value_name = "NAME", value_parser = str::parse::<Id>)]
    id: Id,
    #[command(flatten)]
    common: Common,
}

/// The flags of every change.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Common {
    /// Wait until every balancer works with it.
    #[arg(long)]
    wait: bool,
    /// How long a wait may last.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, requires = "wait")]
    timeout: Duration,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

impl Common {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.connection.client()
    }

    pub(super) fn demand(&self) -> Demand {
        demand(self.wait.then(|| Wait::applied(self.timeout)))
    }

    /// Says what became of an element, such as `added`, and how the wait for it ended.
    pub(super) fn finish<T: Element>(
        &self,
        done: &str,
        changed: Changed<Shown<T>>,
    ) -> Result<(), Failure> {
        self.finish_since(None, done, changed)
    }

    /// The same of one that this revision had changed last, if there was one: where it still has, there was nothing to change.
    pub(super) fn finish_since<T: Element>(
        &self,
        before: Option<Revision>,
        done: &str,
        changed: Changed<Shown<T>>,
    ) -> Result<(), Failure> {
        let Changed {
            value,
            outcome,
            durability,
        } = changed;
        let name = format!("{} {}", T::KIND, value.value.id());
        let is_unchanged = before == Some(value.revision);
        let text = |it: &Shown<T>| match is_unchanged {
            true => nothing_to_change(it),
            false => format!("{done} {name} by revision {}", it.revision),
        };
        self.output.write(&value, text)?;
        let change = match is_unchanged {
            true => format!("the last change of {name}"),
            false => format!("the change of {name}"),
        };
        finish(change, outcome, durability.as_ref())
    }

    /// The same where nothing was to be changed.
    pub(super) fn leave<T: Element>(&self, shown: &Shown<T>) -> Result<(), Failure> {
        self.output.write(shown, nothing_to_change)
    }
}

fn nothing_to_change<T: Element>(shown: &Shown<T>) -> String {
    let (kind, id, revision) = (T::KIND, shown.value.id(), shown.revision);
    format!("nothing to change in {kind} {id} at revision {revision}")
}

/// Puts an element in the place of the one of that name, if there is one, and says whether that changed anything.
pub(super) async fn set<T: Element>(
    id: &T::Id,
    description: &(impl Serialize + ?Sized),
    common: &Common,
) -> Result<(), Failure> {
    let (client, demand) = (common.client()?, common.demand());
    let before = revision_of::<T>(&client, id).await?;
    let set = client.put_element::<T>(id, description, &demand).await?;
    common.finish_since(before, "set", set)
}

/// The revision that last changed an element, if there is one.
pub(super) async fn revision_of<T: Element>(
    client: &Client,
    id: &T::Id,
) -> Result<Option<Revision>, Failure> {
    match client.element::<T>(id).await {
        Ok(shown) => Ok(Some(shown.revision)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn list<T: Element>(
    args: &List,
    text: impl FnOnce(&[Shown<T>]) -> String,
) -> Result<(), Failure> {
    let elements = args.connection.client()?.elements::<T>().await?;
    args.output.write(&elements, |elements| text(elements))
}

/// Shows an element as a document that can be given back.
pub(super) async fn show<T: Element>(args: &Show<T::Id>) -> Result<(), Failure> {
    let shown = args.connection.client()?.element::<T>(&args.id).await?;
    let text = |it: &Shown<T>| document::yaml(&it.value).trim_end().to_owned();
    args.output.write(&shown, text)
}

pub(super) async fn remove<T: Element>(args: &Remove<T::Id>) -> Result<(), Failure> {
    let Remove { id, common } = args;
    remove_by::<T>(id, common).await
}

pub(super) async fn remove_by<T: Element>(id: &T::Id, common: &Common) -> Result<(), Failure> {
    let client = common.client()?;
    let changed = client.remove_element::<T>(id, &common.demand()).await?;
    let Changed {
        value,
        outcome,
        durability,
    } = changed;
    let name = format!("{} {id}", T::KIND);
    common.output.write(&value, |it: &Removed| {
        format!("removed {name} by revision {}", it.revision)
    })?;
    finish(
        format!("the removal of {name}"),
        outcome,
        durability.as_ref(),
    )
}
