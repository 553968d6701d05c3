//! How answers are written: aligned columns without lines or colour, or JSON.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::failure::Failure;

/// The flag that chooses.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Output {
    /// How the answer is written.
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts: what the admin API answered.
    Json,
}

impl Output {
    /// Writes an answer in the chosen way.
    pub(super) fn write<T: Serialize>(
        &self,
        answer: &T,
        for_people: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.output {
            Format::Table => say(&for_people(answer)),
            Format::Json => say(&json(answer)),
        }
    }

    /// The same of what is told to people in another way.
    pub(super) fn write_for_scripts<T: Serialize>(&self, answer: &T) -> Result<(), Failure> {
        match self.output {
            Format::Table => Ok(()),
            Format::Json => say(&json(answer)),
        }
    }

    /// The same on one line, for answers that come one after another.
    pub(super) fn write_line<T: Serialize>(
        &self,
        answer: &T,
        for_people: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.output {
            Format::Table => say(&for_people(answer)),
            Format::Json => {
                let line = serde_json::to_string(answer);
                say(&line.expect("what was read as JSON can be written as JSON"))
            }
        }
    }
}

fn json(answer: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(answer);
    text.expect("what was read as JSON can be written as JSON")
}

/// Writes lines to standard output.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::Output)
}

/// Rows under a header, in columns as wide as they need to be. An empty cell is a dash.
pub(super) fn columns<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.map(str::to_owned));
    let filled = |cell: String| {
        if cell.is_empty() {
            "-".to_owned()
        } else {
            cell
        }
    };
    table.add_rows(rows.into_iter().map(|row| row.map(filled)));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Something that may be absent.
pub(super) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The first of many names in one cell, so that a row stays one line on a terminal; JSON has all.
pub(super) fn shortened(names: Vec<String>, most: usize) -> String {
    let total = names.len();
    shortened_of(names, most, total)
}

/// The same where these are not all, of which there is this total.
pub(super) fn shortened_of(mut names: Vec<String>, most: usize, total: usize) -> String {
    names.truncate(most);
    let rest = total.saturating_sub(names.len());
    names.extend((rest > 0).then(|| format!("and {rest} more")));
    names.join(", ")
}

/// How many there are, and of those that are so or so, as far as there are any: `3, 2 up, 1 down`.
pub(super) fn counts(total: usize, counted: &[(usize, &str)]) -> String {
    let counted = counted.iter().filter(|(count, _)| *count > 0);
    let counted = counted.map(|(count, what)| format!(", {count} {what}"));
    total.to_string() + &counted.collect::<String>()
}
