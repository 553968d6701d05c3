//! `roundhouse certificate list|show|put|remove`: certificates, whose private keys are kept sealed.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use certificates::{Chain, KeyError, PrivateKey, SealKeyError, SealTo};
use clap::Subcommand;
use client::Shown;
use model::{Certificate, CertificateId, KeptKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::document::{read_text, refused};
use super::elements::{self, Common, List, Remove, Show};
use super::failure::{EXIT_CODES, Failure};
use super::output::{columns, shortened};

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the certificates, with their names and until when each is valid.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a certificate with its chain and its sealed key, as a document for `apply`.
    #[command(after_help = EXIT_CODES)]
    Show(Show<CertificateId>),
    /// Put a certificate with its private key in the place of the one of that name, if there is one.
    #[command(after_help = EXIT_CODES)]
    Put(Put),
    /// Remove a certificate that nothing names.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove<CertificateId>),
}

/// The flags of `roundhouse certificate put`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Put {
    /// The certificate's name.
    #[arg(value_name = "NAME")]
    id: CertificateId,
    /// Its chain as PEM, the certificate itself first; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// Its private key as PEM, not encrypted; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The public half of the balancers' seal key: the private key is then sealed here, and the admin API never sees it in plain.
    // What is wrong with it is said without repeating it: it may be the secret half.
    #[arg(long, value_name = "KEY", value_parser = |key: &str| Ok::<_, Infallible>(key.parse::<SealTo>()))]
    seal_to: Option<Result<SealTo, SealKeyError>>,
    #[command(flatten)]
    common: Common,
}

/// What the API takes: the key in plain, or sealed.
#[derive(Serialize)]
struct Sent<'a, K: Serialize> {
    chain: &'a str,
    key: K,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => elements::list(&args, text).await,
        Command::Show(args) => elements::show::<Certificate>(&args).await,
        Command::Put(args) => put(args).await,
        Command::Remove(args) => elements::remove::<Certificate>(&args).await,
    }
}

async fn put(args: Put) -> Result<(), Failure> {
    let Put {
        id,
        chain: chain_file,
        key: key_file,
        seal_to,
        common,
    } = args;
    let seal_to = seal_to.transpose();
    let seal_to = seal_to.map_err(|error| refused("--seal-to".as_ref(), error.to_string()))?;
    let chain = read_text(&chain_file)?;
    let plain = Zeroizing::new(read_text(&key_file)?);
    let key = check((&chain_file, &chain), (&key_file, &plain))?;
    let (client, demand) = (common.client()?, common.demand());
    let put = match seal_to {
        Some(seal_to) => {
            let key = KeptKey::Sealed(seal_to.seal(&id, &key));
            let sent = Sent { chain: &chain, key };
            client.put_element(&id, &sent, &demand).await?
        }
        None => {
            let key = plain.as_str();
            let sent = Sent { chain: &chain, key };
            client.put_element(&id, &sent, &demand).await?
        }
    };
    common.finish::<Certificate>("put", put)
}

/// The key, if it is the chain's: what is wrong with the files is said by their names.
fn check(
    (chain_file, chain): (&Path, &str),
    (key_file, key): (&Path, &str),
) -> Result<PrivateKey, Failure> {
    let chain = Chain::parse(chain).map_err(|error| refused(chain_file, error.to_string()))?;
    let of_key = |error: KeyError| refused(key_file, error.to_string());
    let key = PrivateKey::parse(key).map_err(of_key)?;
    chain.with_key(&key).map_err(of_key)?;
    Ok(key)
}

/// How many names a row has.
const NAMES_MAX: usize = 3;

pub(super) fn text(certificates: &[Shown<Certificate>]) -> String {
    let row = |it: &Shown<Certificate>| {
        let KeptKey::Sealed(key) = &it.value.key;
        [
            it.value.id.to_string(),
            shortened(it.attested.names.clone(), NAMES_MAX),
            it.attested.not_after.clone().unwrap_or_default(),
            key.to.clone(),
            it.revision.to_string(),
        ]
    };
    let rows = certificates.iter().map(row).collect();
    let header = ["NAME", "FOR", "VALID UNTIL", "SEALED TO", "REVISION"];
    columns(header, rows)
}
