//! What a client sends, one message or several, and what a server gets of it.

#![no_main]

use codec_fuzz::promises;
use codec_fuzz::seeds::{self, Part};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::plant(&["requests.jsonl"], Part::Whole),
    |bytes: &[u8]| promises::requests(bytes)
);
