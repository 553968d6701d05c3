//! The codec's reading of either side's bytes against hyper's.

#![no_main]

use codec_fuzz::promises;
use codec_fuzz::seeds::{self, Part};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::plant(&["requests.jsonl", "replies.jsonl"], Part::Whole),
    |bytes: &[u8]| promises::readings(bytes)
);
