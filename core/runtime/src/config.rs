//! A process's flags, wherever they are given: on the command line, in the environment, in a file.
//!
//! Every flag `--some-flag` also reads `ROUNDHOUSE_SOME_FLAG` and the key `some-flag` of the TOML file that
//! `--config` names; the command line goes before the environment, and that before the file. Whatever is
//! wrong is said in one line that names the flag and the value. What flags exist is for the roles to say.

mod file;
mod misspelt;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, Parser};

use crate::complain;

use file::ConfigFile;
use misspelt::misspelt;
use refusal::Refusal;
use settings::{Settings, variable};

const CONFIG: &str = "config";

/// Where variables are looked up: the process's environment, but for tests.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads the flags of this process. Help and version are answered here. A variable that nearly has the name of a flag's is warned of on
/// standard error first, since it may be what is missing.
///
/// # Errors
/// The code to exit with: 0 after help or version, 2 after a line on standard error about what is wrong.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    // An empty one counts as not set.
    let variables = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    for warning in misspelt(&T::command(), variables.map(|(name, _)| name)) {
        complain(warning);
    }
    let arguments = std::env::args_os().collect();
    parse_from(arguments, &|name| std::env::var_os(name)).map_err(Refusal::say)
}

fn parse_from<T: Parser>(
    arguments: Vec<OsString>,
    environment: Environment<'_>,
) -> Result<T, Refusal> {
    let arguments = with_negative_values(arguments);
    let command = with_config_flag(T::command());
    // Which subcommand is meant, and where the file is, must be known before the flags are complete.
    let given = relaxed(command.clone()).try_get_matches_from(&arguments)?;
    let file = config_path(&given, environment).map(ConfigFile::read);
    let file = file.transpose()?.unwrap_or_default();
    file.check(&T::command())?;
    let command = Settings::new(environment, &file).complete(command, &given)?;
    let mut matches = command.try_get_matches_from(arguments)?;
    Ok(T::from_arg_matches_mut(&mut matches)?)
}

/// Joins `--flag -1` to `--flag=-1`: no flag begins with a digit, so this is a value, and it is the flag before it that is to
/// say what it takes.
fn with_negative_values(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut only_values = false;
    for argument in arguments {
        let before = joined.last_mut().filter(|_| !only_values);
        match before.filter(|flag| is_open_flag(flag) && is_negative(&argument)) {
            Some(flag) => {
                flag.push("=");
                flag.push(argument);
            }
            None => {
                only_values |= argument == "--";
                joined.push(argument);
            }
        }
    }
    joined
}

/// Whether a value may follow.
fn is_open_flag(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    text.len() > "--".len() && text.starts_with("--") && !text.contains('=')
}

fn is_negative(argument: &OsStr) -> bool {
    let bytes = argument.as_encoded_bytes();
    bytes.first() == Some(&b'-') && bytes.get(1).is_some_and(u8::is_ascii_digit)
}

fn with_config_flag(command: Command) -> Command {
    let flag = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help("A TOML file that holds flags as keys; flags of a subcommand in a table of its name");
    command.arg(flag).after_help(
        "Every flag can also be given as ROUNDHOUSE_<FLAG>, or in the file that --config names.",
    )
}

/// The same command without required flags: they may still come from elsewhere.
fn relaxed(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let required = arg.is_required_set() && arg.is_positional();
            arg.required(required)
        })
        .mut_subcommands(relaxed)
}

fn config_path(given: &ArgMatches, environment: Environment<'_>) -> Option<PathBuf> {
    let flag = given.get_one::<PathBuf>(CONFIG).cloned();
    flag.or_else(|| variable(CONFIG, environment).map(|(_, path)| path.into()))
}
