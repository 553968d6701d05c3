//! `roundhouse seal-key new|public`: the keys by which private keys are sealed. It asks no admin API.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use certificates::{SealKey, SealKeys, SealTo};
use clap::Subcommand;
use zeroize::Zeroizing;

use super::document::refused;
use super::failure::{EXIT_CODES, Failure};
use super::output::say;

/// What can be done with seal keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a seal key, write its secret half into a new file that nobody else can read, and print its public half.
    #[command(after_help = EXIT_CODES)]
    New(Args),
    /// Print the public halves of a file's seal keys, one a line.
    #[command(after_help = EXIT_CODES)]
    Public(Args),
}

/// The flags of `roundhouse seal-key new` and `public`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The file of --seal-key-file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::New(Args { file }) => {
            let key = SealKey::generate();
            write(file, &key).map_err(|error| refused(file, error.to_string()))?;
            say(&key.public().to_string())
        }
        Command::Public(Args { file }) => {
            let keys = read(file).map_err(|reason| refused(file, reason))?;
            let lines: Vec<_> = keys.public().map(SealTo::to_string).collect();
            say(&lines.join("\n"))
        }
    }
}

/// What is there already may be a key that something is sealed to: it is never written over.
fn write(file: &Path, key: &SealKey) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(file)?;
    let line = Zeroizing::new([key.line().as_str(), "\n"].concat());
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Reads a file of seal keys.
pub(crate) fn read(file: &Path) -> Result<SealKeys, String> {
    let text = fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| error.to_string())?;
    SealKeys::parse(&text).map_err(|error| error.to_string())
}
