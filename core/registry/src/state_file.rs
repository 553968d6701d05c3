//! The last good state on disk, from which a process starts while its registry is away.
//!
//! The file names its format and its fleet, so that a copied or mixed-up volume is refused instead of
//! served, and it is replaced atomically, so that a crash leaves the old one or the new one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{Collection, FleetName, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const FORMAT: u32 = 1;

/// The operations on a state file. They block, and belong off the async threads.
#[derive(Debug)]
pub struct StateFile;

/// Why a state file was not read or written. It is never a reason to stop.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    #[error("the state file {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the state file {} is damaged or incomplete: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the state file {} is of format {found}; this version reads format {FORMAT}", path.display())]
    OtherFormat { path: PathBuf, found: u32 },
    #[error("the state file {} is of the fleet \"{found}\", not of \"{expected}\"", path.display())]
    OtherFleet {
        path: PathBuf,
        found: FleetName,
        expected: FleetName,
    },
    #[error("the state file {} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What to act on, as it was last saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub snapshot: Snapshot,
    /// How many balancers lived, where that was known.
    pub balancers: Option<u32>,
}

/// What a follower needs to go on where it stopped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saved {
    /// The registry's state, as it was followed.
    pub(crate) snapshot: Snapshot,
    /// What was acted on, where something was held back.
    pub(crate) in_force: Option<Snapshot>,
    /// Collections that were read from a damaged registry: others may know more of them.
    pub(crate) tainted: BTreeSet<Collection>,
    /// How many balancers lived, where that was known.
    pub(crate) balancers: Option<u32>,
}

/// The same, to be saved.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Contents<'a> {
    pub(crate) snapshot: &'a Snapshot,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_force: Option<&'a Snapshot>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tainted: &'a BTreeSet<Collection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) balancers: Option<u32>,
}

/// The file as it is read: what it is before what it holds.
#[derive(Deserialize)]
struct Envelope<'a> {
    format: u32,
    fleet: FleetName,
    #[serde(borrow)]
    snapshot: &'a RawValue,
    #[serde(borrow, default)]
    in_force: Option<&'a RawValue>,
    #[serde(default)]
    tainted: BTreeSet<Collection>,
    #[serde(default)]
    balancers: Option<u32>,
}

/// The file as it is written.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    fleet: &'a FleetName,
    #[serde(flatten)]
    contents: Contents<'a>,
}

impl StateFile {
    /// What to act on, as it was last saved: what was held back is still there. Nothing where there is no
    /// file.
    ///
    /// # Errors
    /// Where there is a file that cannot be used.
    pub fn load(path: &Path, fleet: &FleetName) -> Result<Option<Loaded>, StateFileError> {
        let saved = load(path, fleet)?;
        Ok(saved.map(|saved| Loaded {
            snapshot: saved.in_force.unwrap_or(saved.snapshot),
            balancers: saved.balancers,
        }))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// Where it cannot be written; the old file is then still there.
    pub fn save(path: &Path, fleet: &FleetName, snapshot: &Snapshot) -> Result<(), StateFileError> {
        save(path, fleet, Contents::of(snapshot))
    }
}

impl<'a> Contents<'a> {
    /// Nothing more is known than this.
    fn of(snapshot: &'a Snapshot) -> Self {
        const NONE: &BTreeSet<Collection> = &BTreeSet::new();
        Self {
            snapshot,
            in_force: None,
            tainted: NONE,
            balancers: None,
        }
    }
}

pub(crate) fn load(path: &Path, fleet: &FleetName) -> Result<Option<Saved>, StateFileError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.into();
            return Err(StateFileError::Read { path, source });
        }
    };
    parse(path, fleet, &bytes).map(Some)
}

fn parse(path: &Path, fleet: &FleetName, bytes: &[u8]) -> Result<Saved, StateFileError> {
    let unreadable = |error: serde_json::Error| StateFileError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(unreadable)?;
    if envelope.format != FORMAT {
        let found = envelope.format;
        let path = path.into();
        return Err(StateFileError::OtherFormat { path, found });
    }
    if envelope.fleet != *fleet {
        return Err(StateFileError::OtherFleet {
            path: path.into(),
            found: envelope.fleet,
            expected: fleet.clone(),
        });
    }
    let snapshot = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(unreadable);
    Ok(Saved {
        snapshot: snapshot(envelope.snapshot)?,
        in_force: envelope.in_force.map(snapshot).transpose()?,
        tainted: envelope.tainted,
        balancers: envelope.balancers,
    })
}

pub(crate) fn save(
    path: &Path,
    fleet: &FleetName,
    contents: Contents<'_>,
) -> Result<(), StateFileError> {
    let written = Written {
        format: FORMAT,
        fleet,
        contents,
    };
    let bytes = serde_json::to_vec(&written).expect("model types hold nothing that JSON cannot");
    replace(path, &bytes).map_err(|source| StateFileError::Write {
        path: path.into(),
        source,
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    // It holds secrets of the fleet.
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    let mut file = options.mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename itself is on disk only once the directory is.
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use model::{Epoch, Position, Revision, RevisionId};

    use super::*;

    fn snapshot(revision: u64) -> Snapshot {
        Snapshot::empty(Position {
            epoch: Epoch::random(),
            revision: Revision(revision),
            id: RevisionId::random(),
        })
    }

    fn unnumbered(snapshot: Snapshot) -> Loaded {
        Loaded {
            snapshot,
            balancers: None,
        }
    }

    fn fleet(name: &str) -> FleetName {
        name.parse().expect("a fleet's name")
    }

    #[test]
    fn what_is_saved_is_loaded_and_replaced_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/state.json");
        assert_eq!(StateFile::load(&path, &fleet("main")).unwrap(), None);
        for revision in [7, 8] {
            let snapshot = snapshot(revision);
            StateFile::save(&path, &fleet("main"), &snapshot).unwrap();
            let loaded = StateFile::load(&path, &fleet("main")).unwrap();
            assert_eq!(loaded, Some(unnumbered(snapshot)));
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it holds secrets");
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "only the state file is there");
    }

    #[test]
    fn what_was_held_back_is_saved_beside_the_registrys_own_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (truth, in_force) = (snapshot(2), snapshot(2));
        let tainted = [Collection::Servers].into();
        let main = fleet("main");
        let contents = Contents {
            in_force: Some(&in_force),
            tainted: &tainted,
            ..Contents::of(&truth)
        };
        save(&path, &main, contents).unwrap();
        let saved = load(&path, &main).unwrap().unwrap();
        assert_eq!(saved.snapshot, truth);
        assert_eq!(saved.in_force.as_ref(), Some(&in_force));
        assert_eq!(saved.tainted, tainted);
        let shown = StateFile::load(&path, &main).unwrap();
        let expected = unnumbered(in_force);
        assert_eq!(shown, Some(expected), "it is what to act on");
    }

    #[test]
    fn older_and_newer_versions_read_each_others_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (main, snapshot) = (fleet("main"), snapshot(3));
        let contents = Contents {
            balancers: Some(4),
            ..Contents::of(&snapshot)
        };
        save(&path, &main, contents).unwrap();
        let loaded = StateFile::load(&path, &main).unwrap();
        assert_eq!(loaded.and_then(|loaded| loaded.balancers), Some(4));
        let text = fs::read_to_string(&path).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let file = file.as_object_mut().unwrap();
        // As a version wrote it that did not count balancers, and as one may that says more.
        assert!(file.remove("balancers").is_some());
        file.insert("later".into(), 1.into());
        fs::write(&path, serde_json::to_vec(file).unwrap()).unwrap();
        let loaded = StateFile::load(&path, &main).unwrap();
        assert_eq!(loaded, Some(unnumbered(snapshot)));
    }

    #[test]
    fn another_fleets_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        StateFile::save(&path, &fleet("staging"), &snapshot(1)).unwrap();
        let error = StateFile::load(&path, &fleet("main")).expect_err("refused");
        assert!(matches!(&error, StateFileError::OtherFleet { .. }));
        let text = error.to_string();
        assert!(
            text.contains("\"staging\"") && text.contains("\"main\""),
            "{text}"
        );
    }

    #[test]
    fn a_half_written_file_is_an_error_at_every_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        StateFile::save(&path, &fleet("main"), &snapshot(1)).unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = StateFile::load(&path, &fleet("main")).expect_err("incomplete");
            assert!(
                matches!(error, StateFileError::Unreadable { .. }),
                "{length}"
            );
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        fs::write(&path, r#"{"format":2,"fleet":"main","snapshot":{"new":1}}"#).unwrap();
        let error = StateFile::load(&path, &fleet("main")).expect_err("refused");
        assert!(matches!(
            error,
            StateFileError::OtherFormat { found: 2, .. }
        ));
    }
}
