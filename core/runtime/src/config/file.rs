//! The configuration file: keys are the long flags, tables are subcommands.

use std::path::PathBuf;

use clap::Command;
use toml::{Table, Value};

use super::refusal::Refusal;

/// What `--config` names; empty where nothing does.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    root: Table,
}

impl ConfigFile {
    pub(super) fn read(path: PathBuf) -> Result<Self, Refusal> {
        let name = path.display();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Refusal::Wrong(format!("--config {name}: cannot be read: {error}")))?;
        let root = text.parse::<Table>().map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| 1 + text[..span.start].matches('\n').count());
            Refusal::Wrong(format!("{name}, line {line}: {}", error.message()))
        })?;
        Ok(Self { path, root })
    }

    /// Refuses keys that no flag has: a misspelt setting must not be silently without effect.
    pub(super) fn check(&self, command: &Command) -> Result<(), Refusal> {
        match unknown_key(&self.root, command, &mut Vec::new()) {
            Some(path) => Err(self.refuse(&path)),
            None => Ok(()),
        }
    }

    fn refuse(&self, path: &[String]) -> Refusal {
        let (key, tables) = path.split_last().expect("an unknown key has a name");
        let place = match tables {
            [] => String::new(),
            tables => format!(" in [{}]", tables.join(".")),
        };
        let file = self.path.display();
        Refusal::Wrong(format!(
            "{file}: unknown key {key:?}{place}: keys are the long flags that --help lists"
        ))
    }

    /// The value for a flag of the command that `path` names: the innermost table's goes before.
    pub(super) fn find(&self, path: &[&str], flag: &str) -> Result<Option<Vec<String>>, Refusal> {
        let mut table = &self.root;
        let mut found = table.get(flag).filter(|value| !value.is_table());
        for name in path {
            let Some(inner) = table.get(*name).and_then(Value::as_table) else {
                break;
            };
            table = inner;
            found = table.get(flag).or(found);
        }
        found.map(|value| self.texts(flag, value)).transpose()
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn texts(&self, flag: &str, value: &Value) -> Result<Vec<String>, Refusal> {
        let texts = match value {
            Value::Array(values) => values.iter().map(text).collect(),
            value => text(value).map(|text| vec![text]),
        };
        texts.ok_or_else(|| {
            let file = self.path.display();
            Refusal::Wrong(format!(
                "{file}: {flag}: must be a text, a number, a boolean or a list of them"
            ))
        })
    }
}

/// The path of the first key that is neither a flag nor a subcommand's table.
fn unknown_key(table: &Table, command: &Command, path: &mut Vec<String>) -> Option<Vec<String>> {
    for (key, value) in table {
        // A role's own binary takes the same file as the whole: its table is there under its name.
        let own = Some(command).filter(|command| path.is_empty() && command.get_name() == key);
        path.push(key.clone());
        let unknown = match (value, command.find_subcommand(key).or(own)) {
            (Value::Table(inner), Some(subcommand)) => unknown_key(inner, subcommand, path),
            _ => (!has_flag(command, key)).then(|| path.clone()),
        };
        if unknown.is_some() {
            return unknown;
        }
        path.pop();
    }
    None
}

/// Whether the command or one of its subcommands has the flag: a key above a table is for all below it.
fn has_flag(command: &Command, flag: &str) -> bool {
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(flag))
        || command
            .get_subcommands()
            .any(|subcommand| has_flag(subcommand, flag))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
