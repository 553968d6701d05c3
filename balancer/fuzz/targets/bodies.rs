//! Chunked bodies, and whatever follows them.

#![no_main]

use codec_fuzz::promises;
use codec_fuzz::seeds::{self, Part};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::plant(&["requests.jsonl", "replies.jsonl"], Part::Body),
    |bytes: &[u8]| promises::bodies(bytes)
);
