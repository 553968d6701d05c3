//! Why a command line was not taken, in one line.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::complaint::{USAGE, misused};

/// Instead of the flags: something to say, and then to end.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Help or version, which was asked for, or help where a subcommand is missing.
    Shown(clap::Error),
    /// What is wrong, in one line.
    Wrong(String),
}

impl Refusal {
    /// Says it, and gives the code to exit with.
    pub(super) fn say(self) -> ExitCode {
        match self {
            Self::Shown(text) => {
                // Nothing is left to do where even that cannot be written.
                let _ = text.print();
                ExitCode::from(u8::try_from(text.exit_code()).unwrap_or(USAGE))
            }
            Self::Wrong(line) => misused(line),
        }
    }
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::Shown(error),
            _ => Self::Wrong(one_line(&error)),
        }
    }
}

/// The paragraphs that clap writes, without the usage, behind one another.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraphs = text.split("\n\n").map(words);
    let kept: Vec<_> = paragraphs
        .filter(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("Usage: "))
        .map(|paragraph| paragraph.replace("For more information, ", ""))
        .collect();
    let line = kept.join("; ");
    line.trim_start_matches("error: ")
        .trim_end_matches('.')
        .to_owned()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
