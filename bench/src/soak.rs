//! The soak: a balancer under load whose servers are killed, hung, reset and slowed at random while its membership
//! changes, and a count of the requests that failed although they need not have.
//!
//! Need not have: an idempotent request whose body can be sent again, always, since most servers are well at any time; any
//! other of which nothing had been sent. Any server may be in trouble, those that come and go too, but never most of those
//! that stay. What chance decides follows from a seed that is printed.

mod chaos;
mod client;
mod page;
mod request;
mod tally;
mod victim;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Error;
use crate::machine::Machine;
use crate::origin::addresses;
use crate::peers::{Peer, Places, Running, Setting};
use crate::process::free_address_v4;
use crate::rules::Rules;
use chaos::Chaos;
use client::Asker;
use tally::Tally;
use victim::Victim;

/// Servers that stay members.
const STAYING: usize = 10;

/// Servers that come and go, whatever befalls them.
const GUESTS: usize = 5;

/// How the soak is run.
#[derive(clap::Args, Debug)]
pub(crate) struct SoakArgs {
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,

    /// Client connections, each of which asks, takes the answer, waits a little, and asks again.
    #[arg(long, default_value_t = 32)]
    connections: u64,

    /// Servers that may be in trouble at the same time, of the ten that stay and the five that come and go.
    #[arg(long, default_value_t = 3)]
    troubled: usize,

    /// What chance follows from; a new one where it is not given.
    #[arg(long)]
    seed: Option<u64>,

    /// Where soak.md is written.
    #[arg(long, default_value = "docs/benchmarks")]
    output: PathBuf,

    /// The binary that is tried.
    #[arg(long, default_value = "target/release/roundhouse")]
    roundhouse: PathBuf,

    /// Where logs go.
    #[arg(long, default_value = "target/soak")]
    work: PathBuf,
}

/// Runs it and writes the page. Fails where a request failed that need not have.
pub(crate) fn run(args: &SoakArgs) -> Result<(), Error> {
    let seed = args.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}, {} minutes", args.minutes);
    let places = args.places()?;
    let machine = Machine::here(&[Peer::Roundhouse], &places);
    let tally = soak(args, seed, &places)?;
    std::fs::create_dir_all(&args.output)?;
    std::fs::write(
        args.output.join("soak.md"),
        page::render(&tally, &machine, args.minutes, seed),
    )?;
    eprintln!("{}", tally.summary());
    match tally.unforced() {
        0 => Ok(()),
        failures => Err(Error::Unfit(format!(
            "{failures} requests failed that need not have (seed {seed})"
        ))),
    }
}

fn soak(args: &SoakArgs, seed: u64, places: &Places) -> Result<Tally, Error> {
    let all: Vec<_> = addresses(free_address_v4()?, STAYING + GUESTS).collect();
    let victims = all.iter().map(|address| Victim::start((*address).into()));
    let victims = victims.collect::<Result<Vec<_>, _>>()?;
    let setting = Setting {
        servers: all[..STAYING].to_vec(),
        threads: 2,
        algorithm: None,
        rules: Rules::default(),
        identity: None,
    };
    let running = Peer::Roundhouse.start("fleet", &setting, places)?;
    let mut random = StdRng::seed_from_u64(seed);
    let chaos = Chaos::new(&victims, &all[STAYING..], args.troubled, &mut random);
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    under_load(args, seed, &running, chaos, length)
}

/// Lets chaos reign while clients ask, and adds up what each saw.
fn under_load(
    args: &SoakArgs,
    seed: u64,
    running: &Running,
    mut chaos: Chaos<'_>,
    length: Duration,
) -> Result<Tally, Error> {
    let over = AtomicBool::new(false);
    let admin = running.admin.as_ref();
    let admin = admin.ok_or_else(|| Error::Unfit("a fleet has an admin API".into()))?;
    thread::scope(|scope| {
        let askers: Vec<_> = (0..args.connections)
            .map(|index| {
                let asker = Asker::new(running.address, seed.wrapping_add(index + 1));
                let over = &over;
                scope.spawn(move || asker.ask_until(over))
            })
            .collect();
        let reigned = chaos.reign(admin, Instant::now() + length);
        over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for asker in askers {
            let tally = asker.join();
            all.add(tally.map_err(|_| Error::Unfit("a client gave up".into()))?);
        }
        all.troubles = reigned?;
        Ok(all)
    })
}

impl SoakArgs {
    fn places(&self) -> std::io::Result<Places> {
        std::fs::create_dir_all(&self.work)?;
        Ok(Places {
            roundhouse: self.roundhouse.clone(),
            envoy: PathBuf::new(),
            bench: std::env::current_exe()?,
            work: self.work.canonicalize()?,
        })
    }
}
