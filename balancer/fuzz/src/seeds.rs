//! Where fuzzing begins: the listed protocol cases, those that were given and our own, each as one
//! file of the corpus.

use std::path::Path;
use std::{env, fs};

use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    raw: String,
}

/// What of a case is a seed.
#[derive(Clone, Copy)]
pub enum Part {
    /// All that is sent.
    Whole,
    /// What stands behind the first head.
    Body,
}

/// Writes the cases of these lists, and of our own beside each, into the first folder that the
/// command line names, which is where the fuzzer keeps its corpus. Without one, as when a single
/// input is tried again, there is nothing to do. Panics where the cases cannot be read or written:
/// they would be missed silently.
pub fn plant(lists: &[&str], part: Part) {
    let mut arguments = env::args().skip(1);
    let Some(corpus) = arguments.find(|argument| Path::new(argument).is_dir()) else {
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/protocol-cases");
    for list in lists {
        for file in [(*list).to_owned(), format!("own-{list}")] {
            plant_file(&folder.join(file), Path::new(&corpus), part);
        }
    }
}

fn plant_file(cases: &Path, corpus: &Path, part: Part) {
    let cases = fs::read_to_string(cases).expect("the listed cases");
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).expect("a case on each line");
        let path = corpus.join(&case.id);
        fs::write(path, part.of(&bytes(&case.raw))).expect("a corpus that can be written");
    }
}

impl Part {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        match (self, end) {
            (Self::Body, Some(end)) => &bytes[end + 4..],
            _ => bytes,
        }
    }
}

/// The cases hold bytes as latin-1.
fn bytes(raw: &str) -> Vec<u8> {
    let narrow = |letter| u8::try_from(u32::from(letter)).expect("latin-1");
    raw.chars().map(narrow).collect()
}
