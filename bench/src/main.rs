//! What is behind the scripts in `bench/`: one program that plays every part of them that is not a peer's.

mod admin;
mod args;
mod cases;
mod compare;
mod control;
mod error;
mod identity;
mod load;
mod machine;
mod origin;
mod page;
mod peers;
mod process;
mod relay;
mod request;
mod results;
mod rules;
mod slots;
mod soak;
mod stats;
mod usage;
mod waiting;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command, CompareArgs};
use error::Error;
use machine::Machine;
use results::Results;

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Compare(args) => compare(&args),
        Command::Page { output } => {
            let text = fs::read_to_string(output.join("results.json"))?;
            page::write(&serde_json::from_str(&text)?, &output)
        }
        Command::Soak(args) => soak::run(&args),
        Command::Probes(args) => control::run_probes(&args),
        Command::Propagation(args) => control::run_propagation(&args),
        Command::Suspicion(args) => control::run_suspicion(&args),
        Command::Origin {
            address,
            everywhere,
        } => Ok(origin::run(address, everywhere)?),
        Command::Relay { address, server } => Ok(relay::run(address, server)?),
        Command::Load { plan } => {
            let report = load::run(&serde_json::from_str(&plan)?)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(())
        }
    }
}

fn compare(args: &CompareArgs) -> Result<(), Error> {
    let plans = args.plans()?;
    let cases = chosen(args)?;
    let mut results = Results {
        machine: Machine::here(&args.peers, &plans.places),
        rounds: plans.rounds,
        seconds: plans.duration.as_secs_f64(),
        cases: Vec::new(),
    };
    for case in &cases {
        results.cases.push(compare::run(case, &plans)?);
        // What has been found so far is kept, should a later case fail.
        save(&results, &args.output)?;
    }
    Ok(())
}

fn chosen(args: &CompareArgs) -> Result<Vec<cases::Case>, Error> {
    let mut all = cases::all(&args.peers);
    let unknown = |name: &&String| !all.iter().any(|case| case.name == **name);
    if let Some(name) = args.cases.iter().find(unknown) {
        let known: Vec<_> = all.iter().map(|case| case.name).collect();
        return Err(Error::Unfit(format!(
            "there is no case {name:?}, only {}",
            known.join(", ")
        )));
    }
    if !args.cases.is_empty() {
        all.retain(|case| args.cases.iter().any(|name| name == case.name));
    }
    Ok(all)
}

fn save(results: &Results, output: &Path) -> Result<(), Error> {
    fs::create_dir_all(output)?;
    let text = serde_json::to_string_pretty(results)?;
    fs::write(output.join("results.json"), text + "\n")?;
    page::write(results, output)
}
