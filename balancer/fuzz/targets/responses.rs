//! What a server sends, and what a client gets of it.

#![no_main]

use codec_fuzz::promises;
use codec_fuzz::seeds::{self, Part};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::plant(&["replies.jsonl"], Part::Whole),
    |bytes: &[u8]| promises::responses(bytes)
);
