//! `roundhouse export`: the whole desired state as a document to keep in a file.

use clap::ValueEnum;

use super::connection::Connection;
use super::document;
use super::failure::Failure;
use super::output::say;

/// The flags of `roundhouse export`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// How the document is written. Both can be applied again.
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Yaml,
    Json,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let fleet = args.connection.client()?.export().await?;
    let text = match args.output {
        Format::Yaml => document::yaml(&fleet),
        Format::Json => document::json(&fleet),
    };
    say(text.trim_end())
}
