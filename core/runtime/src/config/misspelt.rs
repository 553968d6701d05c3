//! Variables that were meant for a flag and miss its name: a misspelt setting must not be silently without effect.
//!
//! An unknown key of the file is refused, since the file is ours. The environment is everybody's: tests, scripts and whatever runs
//! containers put names there that begin like ours. So only what is nearly a flag's name is spoken of, and only in a warning.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Command;

use super::CONFIG;
use super::settings::{PREFIX, variable_of};

/// Letters that may be wrong, missing, too many or exchanged, at most.
const MISTAKES_MAX: usize = 2;

/// So many letters of a name may hold one mistake: with more of them it is another word.
const LETTERS_PER_MISTAKE: usize = 3;

/// A line for each of these variables that nearly has the name of one that the command reads, or its subcommands do.
pub(super) fn misspelt(
    command: &Command,
    variables: impl IntoIterator<Item = OsString>,
) -> Vec<String> {
    let mut known = BTreeSet::from([variable_of(CONFIG)]);
    collect(command, &mut known);
    let names = variables
        .into_iter()
        .filter_map(|name| name.into_string().ok());
    let unknown = names.filter(|name| !known.contains(name));
    let mut warnings: Vec<_> = unknown
        .filter_map(|name| {
            let meant = nearest(&name, &known)?;
            Some(format!("{name} is not read; {meant} would be"))
        })
        .collect();
    warnings.sort();
    warnings
}

/// The variables of the flags of a command and its subcommands.
fn collect(command: &Command, known: &mut BTreeSet<String>) {
    let flags = command.get_arguments().filter_map(|arg| arg.get_long());
    known.extend(flags.map(variable_of));
    command
        .get_subcommands()
        .for_each(|subcommand| collect(subcommand, known));
}

/// The known name that this one misses by the fewest mistakes, where those are few; all of them, where it misses several by as many.
fn nearest(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let name = name.to_uppercase();
    let rest = name.strip_prefix(PREFIX)?;
    let most = MISTAKES_MAX.min(rest.chars().count() / LETTERS_PER_MISTAKE);
    let missed_by = |known: &str| mistakes(rest, &known[PREFIX.len()..]);
    let near = known.iter().map(|known| (missed_by(known), known.as_str()));
    let near: Vec<_> = near.filter(|(mistakes, _)| *mistakes <= most).collect();
    let (fewest, _) = near.iter().min()?;
    let nearest = near.iter().filter(|(mistakes, _)| mistakes == fewest);
    let nearest: Vec<_> = nearest.map(|(_, known)| *known).collect();
    Some(nearest.join(" or "))
}

/// How many letters must be changed, added, left out or exchanged with their neighbour to make one word of the other.
fn mistakes(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // Row by row of the table: between the first letters of one word and those of the other.
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for at in 0..one.len() {
        let mut next = vec![at + 1];
        for (to, letter) in other.iter().enumerate() {
            let changed = row[to] + usize::from(one[at] != *letter);
            let mut fewest = changed.min(row[to + 1] + 1).min(next[to] + 1);
            let exchanged = at > 0 && to > 0 && one[at] == other[to - 1] && one[at - 1] == *letter;
            if exchanged {
                fewest = fewest.min(before[to - 1] + 1);
            }
            next.push(fewest);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name);
        let up = Command::new("up").arg(flag("balancers")).arg(flag("id"));
        Command::new("roundhouse")
            .arg(flag("listen"))
            .arg(flag("drain-timeout"))
            .arg(flag("ops"))
            .arg(flag("register"))
            .arg(flag("registry"))
            .subcommand(up)
    }

    fn warned(variable: &str) -> Option<String> {
        misspelt(&command(), [OsString::from(variable)]).pop()
    }

    #[test]
    fn a_name_that_is_nearly_a_flags_is_told_which_one() {
        for (variable, meant) in [
            ("ROUNDHOUSE_LISTNE", "ROUNDHOUSE_LISTEN"),
            ("ROUNDHOUSE_LISTE", "ROUNDHOUSE_LISTEN"),
            ("ROUNDHOUSE_listen", "ROUNDHOUSE_LISTEN"),
            ("roundhouse_listen", "ROUNDHOUSE_LISTEN"),
            ("ROUNDHOUSE_DRAINTIMEOUT", "ROUNDHOUSE_DRAIN_TIMEOUT"),
            ("ROUNDHOUSE_DRAIN_TIMEUOTS", "ROUNDHOUSE_DRAIN_TIMEOUT"),
            ("ROUNDHOUSE_BALANCER", "ROUNDHOUSE_BALANCERS"),
            ("ROUNDHOUSE_OPPS", "ROUNDHOUSE_OPS"),
            ("ROUNDHOUSE_CONIFG", "ROUNDHOUSE_CONFIG"),
        ] {
            let expected = format!("{variable} is not read; {meant} would be");
            assert_eq!(warned(variable), Some(expected));
        }
    }

    #[test]
    fn of_several_that_are_as_near_all_are_named() {
        let warned = warned("ROUNDHOUSE_REGISTERY").expect("a warning");
        assert!(
            warned.ends_with(" ROUNDHOUSE_REGISTER or ROUNDHOUSE_REGISTRY would be"),
            "{warned}"
        );
    }

    #[test]
    fn a_name_that_is_right_or_another_word_is_not_spoken_of() {
        for variable in [
            "ROUNDHOUSE_LISTEN",
            "ROUNDHOUSE_BALANCERS",
            "ROUNDHOUSE_CONFIG",
            "ROUNDHOUSE_",
            "ROUNDHOUSE_IT",
            "ROUNDHOUSE_POD",
            "ROUNDHOUSE_LIST",
            "ROUNDHOUSE_LISTENING_ON",
            "ROUNDHOUSE_BALANCER_SERVICE_HOST",
            "ROUNDHOUSE_BALANCER_PORT_80_TCP_ADDR",
            "LISTNE",
            "PATH",
        ] {
            assert_eq!(warned(variable), None);
        }
    }

    #[test]
    fn each_such_variable_has_its_line() {
        let variables = ["ROUNDHOUSE_OPSS", "HOME", "ROUNDHOUSE_LISTNE"].map(OsString::from);
        let warnings = misspelt(&command(), variables);
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings[0].starts_with("ROUNDHOUSE_LISTNE "),
            "{warnings:?}"
        );
    }

    #[test]
    fn mistakes_are_counted() {
        for (one, other, count) in [
            ("", "", 0),
            ("", "AB", 2),
            ("AB", "BA", 1),
            ("ABC", "CAB", 2),
            ("LISTEN", "SILENT", 4),
        ] {
            assert_eq!(mistakes(one, other), count, "{one} {other}");
            assert_eq!(mistakes(other, one), count, "{other} {one}");
        }
    }
}
