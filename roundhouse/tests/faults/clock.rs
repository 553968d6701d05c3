//! A wall clock that can be set while a process runs: libfaketime, which reads from a file how wrong it is.

use std::fs;
use std::path::{Path, PathBuf};

/// The wall clock of one process.
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One that is right.
    pub(crate) fn new(folder: &Path) -> Self {
        let clock = Self {
            library: library().expect("the stage was found possible"),
            file: folder.join("clock"),
        };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds forward, or back, compared with what is right.
    pub(crate) fn set(&self, seconds: i32) {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).expect("a file");
        // Whoever reads it meanwhile reads the one or the other.
        fs::rename(&next, &self.file).expect("a file that replaces another");
    }

    /// What a process needs to go by it. Its monotonic clock stays what it is, as in a machine whose time is set.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.to_str().expect("a path in text").to_owned();
        [
            ("LD_PRELOAD", path(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", path(&self.file)),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Where Debian's package has the library, if it is installed.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let places = folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    places.into_iter().find(|place| place.exists())
}
