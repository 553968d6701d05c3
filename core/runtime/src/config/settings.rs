//! Flags that were not given on the command line, completed from the environment and the file.
//!
//! Such a value becomes the flag's default, so that the command line goes before it. It is checked first, by
//! the flag's own parser, to say where a bad value comes from.

use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::file::ConfigFile;
use super::refusal::{Refusal, one_line};
use super::{CONFIG, Environment};

/// What the variables of all flags begin with.
pub(super) const PREFIX: &str = "ROUNDHOUSE_";

pub(super) struct Settings<'a> {
    environment: Environment<'a>,
    file: &'a ConfigFile,
}

/// A flag's values, and where they were found.
struct Setting {
    source: String,
    values: Vec<OsString>,
}

/// The name of a flag's variable.
pub(super) fn variable_of(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// A flag's variable and its value. An empty one counts as not set, as compose files need it.
pub(super) fn variable(flag: &str, environment: Environment<'_>) -> Option<(String, OsString)> {
    let name = variable_of(flag);
    let value = environment(&name).filter(|value| !value.is_empty())?;
    Some((name, value))
}

impl<'a> Settings<'a> {
    pub(super) fn new(environment: Environment<'a>, file: &'a ConfigFile) -> Self {
        Self { environment, file }
    }

    /// Completes the command and the subcommands that were called.
    pub(super) fn complete(
        &self,
        command: Command,
        given: &ArgMatches,
    ) -> Result<Command, Refusal> {
        self.complete_within(command, given, &[])
    }

    /// `path` names the subcommand, from the outermost.
    fn complete_within(
        &self,
        mut command: Command,
        given: &ArgMatches,
        path: &[&str],
    ) -> Result<Command, Refusal> {
        for arg in open_flags(&command, given) {
            if let Some(setting) = self.find(&command, &arg, path)? {
                let values = setting.checked(&arg)?;
                command = command.mut_arg(arg.get_id(), |arg| with_default(arg, values));
            }
        }
        let Some((name, given)) = given.subcommand() else {
            return Ok(command);
        };
        let subcommand = command.find_subcommand(name).expect("it was called");
        let inner = [path, &[name]].concat();
        let subcommand = self.complete_within(subcommand.clone(), given, &inner)?;
        Ok(command.mut_subcommand(name, |_| subcommand))
    }

    fn find(
        &self,
        command: &Command,
        arg: &Arg,
        path: &[&str],
    ) -> Result<Option<Setting>, Refusal> {
        let flag = arg.get_long().expect("only flags are completed");
        if let Some((source, value)) = variable(flag, self.environment) {
            let values = vec![value];
            return Ok(Some(Setting { source, values }));
        }
        // A role's own binary finds its flags in the same table as the role's subcommand.
        let own = [command.get_name()];
        let path = if path.is_empty() { &own } else { path };
        let values = self.file.find(path, flag)?;
        Ok(values.map(|values| Setting {
            source: self.file.name(),
            values: values.into_iter().map(OsString::from).collect(),
        }))
    }
}

impl Setting {
    /// The values, if the flag takes them.
    fn checked(self, arg: &Arg) -> Result<Vec<OsString>, Refusal> {
        let flag = arg.get_long().expect("only flags are completed");
        let many = arg
            .get_num_args()
            .is_some_and(|count| count.max_values() > 1)
            || matches!(arg.get_action(), ArgAction::Append);
        if self.values.len() != 1 && !many {
            let source = self.source;
            return Err(Refusal::Wrong(format!(
                "{source}: --{flag} takes one value"
            )));
        }
        let trial = Command::new("roundhouse")
            .no_binary_name(true)
            .arg(trial(arg, flag));
        let given = self.values.iter().map(|value| {
            let mut text = OsString::from(format!("--{flag}="));
            text.push(value);
            text
        });
        trial.try_get_matches_from(given).map_err(|error| {
            let line = one_line(&error);
            let line = line.strip_suffix("; try '--help'").unwrap_or(&line);
            Refusal::Wrong(format!("{}: {line}", self.source))
        })?;
        Ok(if is_switch(arg) {
            self.values.iter().map(truth).collect()
        } else {
            self.values
        })
    }
}

/// The flag alone, to try a value on.
fn trial(arg: &Arg, flag: &str) -> Arg {
    let trial = Arg::new("value")
        .long(flag.to_owned())
        .action(ArgAction::Append);
    let trial = match arg.get_value_names() {
        Some(names) => trial.value_names(names),
        None => trial.value_name(flag.to_uppercase()),
    };
    let trial = trial.num_args(1).value_delimiter(arg.get_value_delimiter());
    if is_switch(arg) {
        return trial.value_parser(BoolishValueParser::new());
    }
    trial.value_parser(arg.get_value_parser().clone())
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

/// What `BoolishValueParser` accepted, as a switch's own parser takes it.
fn truth(value: &OsString) -> OsString {
    let value = value.to_string_lossy().to_lowercase();
    let on = ["y", "yes", "t", "true", "on", "1"].contains(&value.as_str());
    on.to_string().into()
}

fn with_default(arg: Arg, values: Vec<OsString>) -> Arg {
    // Help must not show a password that the environment holds.
    let shown = !arg.get_action().takes_values();
    arg.required(false)
        .default_values(values.into_iter().map(clap::builder::OsStr::from))
        .hide_default_value(!shown)
}

/// The flags that the command line leaves open.
fn open_flags(command: &Command, given: &ArgMatches) -> Vec<Arg> {
    let on_command_line =
        |arg: &&Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some_and(|flag| flag != CONFIG))
        .filter(|arg| !on_command_line(arg))
        .cloned()
        .collect()
}
