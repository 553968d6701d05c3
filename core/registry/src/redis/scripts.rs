//! The Lua scripts, sent to a Redis once and then called by their digests.

use redis::Script;

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("../lua/common.lua"),
            "\n",
            include_str!(concat!("../lua/", $name, ".lua"))
        ))
    };
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) commit: Script,
    pub(super) seed: Script,
    pub(super) acquire: Script,
    pub(super) renew: Script,
    pub(super) release: Script,
    pub(super) stamp: Script,
    pub(super) clear: Script,
    pub(super) take: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            commit: script!("commit"),
            seed: script!("seed"),
            acquire: script!("acquire"),
            renew: script!("renew"),
            release: script!("release"),
            stamp: script!("stamp"),
            clear: script!("clear"),
            take: script!("take"),
        }
    }
}
