//! What a process says before it gives up: one line on standard error, and an exit code.

use std::fmt::Display;
use std::process::ExitCode;

/// The exit code of a command line that cannot be understood or followed.
pub(crate) const USAGE: u8 = 2;

/// Says in one line on standard error what went wrong.
pub fn complain(problem: impl Display) {
    eprintln!("roundhouse: {problem}");
}

/// Says what is wrong with the flags, and gives the code to exit with.
pub fn misused(problem: impl Display) -> ExitCode {
    complain(problem);
    ExitCode::from(USAGE)
}
