//! Plays many scenes, several at once, each with a stage of its own.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::report::{Outcome, Row, page};
use crate::scene::{Form, play, setup_of};
use crate::table::{Fault, all};

/// Scenes at the same time. Most of a scene is waiting.
const AT_ONCE: usize = 6;

/// How many pairs the long form plays where nobody says.
const ROUNDS: usize = 10;

/// The short form of some faults.
pub(crate) fn play_each(faults: &'static [Fault]) {
    let rows = play_all(chosen(faults.iter()), Form::Short);
    assert_all_held(&rows);
}

/// The long form: each fault for its whole time, then pairs by chance, and the page of what was seen.
pub(crate) fn long_form() {
    let rounds = number("ROUNDHOUSE_FAULTS_ROUNDS").unwrap_or(ROUNDS as u64);
    let seed =
        number("ROUNDHOUSE_FAULTS_SEED").unwrap_or_else(|| rand::rng().random_range(..1 << 32));
    eprintln!("seed {seed}: ROUNDHOUSE_FAULTS_SEED={seed} plays the same pairs");
    let singles = play_all(chosen(all()), Form::Long);
    let pairs = play_all(pairs(rounds, seed), Form::Long);
    if let Ok(path) = std::env::var("ROUNDHOUSE_FAULTS_PAGE") {
        std::fs::write(&path, page(&singles, &pairs, seed)).expect("the page is written");
    }
    let rows: Vec<_> = singles.into_iter().chain(pairs).collect();
    assert_all_held(&rows);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

fn chosen(faults: impl Iterator<Item = &'static Fault>) -> Vec<Vec<&'static Fault>> {
    let words = std::env::var("ROUNDHOUSE_FAULTS_ONLY").unwrap_or_default();
    let chosen = faults.filter(|fault| fault.name.contains(&words));
    chosen.map(|fault| vec![fault]).collect()
}

/// Pairs that can hold at once. The same seed makes the same ones.
fn pairs(rounds: u64, seed: u64) -> Vec<Vec<&'static Fault>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let possible: Vec<_> = all()
        .flat_map(|one| all().map(move |other| vec![one, other]))
        .filter(|pair| pair[0].goes_with(pair[1]))
        .collect();
    let choose = |_| {
        possible
            .choose(&mut random)
            .expect("some go together")
            .clone()
    };
    (0..rounds).map(choose).collect()
}

fn play_all(scenes: Vec<Vec<&'static Fault>>, form: Form) -> Vec<Row> {
    let count = scenes.len();
    let waiting = Mutex::new(scenes.into_iter().enumerate().collect::<VecDeque<_>>());
    let played = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no holder panics").pop_front();
                    let Some((place, faults)) = next else { return };
                    let row = row(faults, form);
                    eprintln!("{}", row.line());
                    played.lock().expect("no holder panics").push((place, row));
                }
            });
        }
    });
    let mut played = played.into_inner().expect("no holder panics");
    played.sort_by_key(|(place, _)| *place);
    played.into_iter().map(|(_, row)| row).collect()
}

/// Plays one scene. What it was that did not hold is part of the row, so that the others are played all the same.
fn row(faults: Vec<&'static Fault>, form: Form) -> Row {
    let outcome = match setup_of(&faults).missing() {
        Some(reason) => Outcome::Skipped(reason),
        None => match catch_unwind(AssertUnwindSafe(|| play(&faults, form))) {
            Ok(facts) => Outcome::Held(facts),
            Err(panic) => Outcome::Broken(said(&*panic)),
        },
    };
    Row { faults, outcome }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

fn assert_all_held(rows: &[Row]) {
    let broken = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Broken(_)));
    let broken: Vec<_> = broken.map(Row::line).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_same_seed_makes_the_same_pairs_and_none_breaks_one_thing_twice() {
    let names = |seed| {
        let pairs = pairs(200, seed).into_iter();
        pairs
            .map(|pair| [pair[0].name, pair[1].name])
            .collect::<Vec<_>>()
    };
    assert_eq!(names(7), names(7));
    assert!(names(7).iter().all(|[one, other]| one != other));
}
