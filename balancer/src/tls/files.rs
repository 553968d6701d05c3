//! What of TLS is in files: the certificates of a directory, and the seal keys. They are looked at once a second, whatever replaces them,
//! and by whatever means: content counts, and no time of a file, so that links which are switched over are noticed too.
//!
//! `NAME.pem` with `NAME.key` is a certificate, and so is a directory `NAME` with `tls.crt` and `tls.key`, as Kubernetes mounts secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certificates::{Chain, PrivateKey, SealKeys};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::showcase::{Origin, Shown};
use super::watched::Watched;

/// How often the files are looked at.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 256 << 10;

/// What of the files can be used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    pub(super) seal_keys: Arc<SealKeys>,
    certificates: BTreeMap<String, Arc<Shown>>,
}

/// The files, and what they held when they were looked at last.
#[derive(Debug)]
pub(crate) struct Disk {
    seal_key_file: Option<PathBuf>,
    /// Those that are in no file.
    own_seal_keys: Arc<SealKeys>,
    directory: Option<PathBuf>,
    seal_keys: Watched<SealKeys>,
    certificates: BTreeMap<String, Watched<Shown>>,
    /// Why the directory could not be read.
    unread: Option<io::ErrorKind>,
}

/// Where the two files of a certificate are.
struct Pair {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    pub(super) fn shown(&self) -> impl Iterator<Item = &Arc<Shown>> {
        self.certificates.values()
    }
}

/// Looks at the files until the receivers are gone, and shows what has changed.
pub(crate) async fn follow_files(mut disk: Disk, files: watch::Sender<Arc<Files>>) {
    let mut ticks = interval(LOOK_EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = files.closed() => return,
        }
        let looking = tokio::task::spawn_blocking(move || {
            let seen = disk.look();
            (disk, seen)
        });
        let (back, seen) = looking.await.expect("looking at files does not panic");
        disk = back;
        if let Some(seen) = seen {
            files.send_replace(seen);
        }
    }
}

impl Disk {
    pub(crate) fn new(
        seal_key_file: Option<&Path>,
        own_seal_keys: SealKeys,
        directory: Option<&Path>,
    ) -> Self {
        Self {
            seal_key_file: seal_key_file.map(Into::into),
            own_seal_keys: Arc::new(own_seal_keys),
            directory: directory.map(Into::into),
            seal_keys: Watched::default(),
            certificates: BTreeMap::new(),
            unread: None,
        }
    }

    /// Whether there is any file to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.seal_key_file.is_none() && self.directory.is_none()
    }

    /// Looks at the seal keys for the first time.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        self.look_at_seal_keys();
        self.seal_keys.fault().map_or(Ok(()), Err)
    }

    /// What can be used now.
    pub(crate) fn files(&self) -> Arc<Files> {
        let seal_keys = self.seal_keys.good().unwrap_or(&self.own_seal_keys);
        let seal_keys = Arc::clone(seal_keys);
        let certificates = self.certificates.iter();
        let usable = |(name, watched): (&String, &Watched<Shown>)| {
            Some((name.clone(), Arc::clone(watched.good()?)))
        };
        Arc::new(Files {
            seal_keys,
            certificates: certificates.filter_map(usable).collect(),
        })
    }

    /// Looks once; what can be used now, if that has changed.
    pub(crate) fn look(&mut self) -> Option<Arc<Files>> {
        let changed = self.look_at_seal_keys() | self.look_at_certificates();
        changed.then(|| self.files())
    }

    fn look_at_seal_keys(&mut self) -> bool {
        let Some(path) = &self.seal_key_file else {
            return false;
        };
        let at = path.display();
        let own = &self.own_seal_keys;
        let parse = |texts: &[Zeroizing<String>]| {
            let keys = SealKeys::parse(texts.first().map_or("", |text| text));
            let keys = keys.map_err(|error| format!("--seal-key-file {at} {error}"));
            keys.map(|keys| keys.and(SealKeys::clone(own)))
        };
        let read = read(path).map(|text| vec![text]);
        let read = read.map_err(|error| format!("--seal-key-file {error}"));
        self.seal_keys.look("the seal keys", read, parse)
    }

    fn look_at_certificates(&mut self) -> bool {
        let Some(directory) = &self.directory else {
            return false;
        };
        let names = match names(directory) {
            Ok(names) => names,
            Err(error) => {
                // What was there stays in force.
                if self.unread.replace(error.kind()) != Some(error.kind()) {
                    let directory = directory.display();
                    tracing::warn!(%directory, %error, "--certificate-dir cannot be read");
                }
                return false;
            }
        };
        self.unread = None;
        let before = self.certificates.len();
        self.certificates.retain(|name, _| names.contains(name));
        let mut changed = self.certificates.len() != before;
        for name in names {
            let pair = Pair::of(directory, &name);
            let what = format!("the certificate {name} of --certificate-dir");
            let watched = self.certificates.entry(name.clone()).or_default();
            let parse = |texts: &[Zeroizing<String>]| pair.parse(&name, texts);
            changed |= watched.look(&what, pair.read(), parse);
        }
        changed
    }
}

/// The names of which there is a part at least.
fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        // Kubernetes keeps what it switches over under such names.
        if name.starts_with('.') {
            continue;
        }
        let stem = name.strip_suffix(".pem").or(name.strip_suffix(".key"));
        match stem {
            Some(stem) => _ = names.insert(stem.to_owned()),
            None if path.join("tls.crt").exists() => _ = names.insert(name.to_owned()),
            None => {}
        }
    }
    Ok(names)
}

impl Pair {
    fn of(directory: &Path, name: &str) -> Self {
        let inside = directory.join(name);
        match inside.is_dir() {
            true => Self {
                chain: inside.join("tls.crt"),
                key: inside.join("tls.key"),
            },
            false => Self {
                chain: directory.join(format!("{name}.pem")),
                key: directory.join(format!("{name}.key")),
            },
        }
    }

    fn read(&self) -> Result<Vec<Zeroizing<String>>, String> {
        Ok(vec![read(&self.chain)?, read(&self.key)?])
    }

    fn parse(&self, name: &str, texts: &[Zeroizing<String>]) -> Result<Shown, String> {
        let [chain, key] = texts else {
            return Err("it has two files".into());
        };
        let chain_at = self.chain.display();
        let chain = Chain::parse(chain).map_err(|error| format!("{chain_at} {error}"))?;
        let key_at = self.key.display();
        let key = PrivateKey::parse(key).map_err(|error| format!("{key_at} {error}"))?;
        let shown = Shown::new(name, Origin::File, &chain, &key);
        shown.map_err(|error| format!("{key_at} {error}"))
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let at = path.display();
    let length = std::fs::metadata(path).map(|known| known.len());
    match length {
        Ok(length) if length > FILE_MAX => Err(format!("{at} has more than {FILE_MAX} bytes")),
        _ => std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| format!("{at} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use certificates::testing::Authority;

    use super::*;

    #[test]
    fn a_seal_key_file_that_cannot_be_read_is_named_with_its_flag() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("seal.key");
        let at = path.display().to_string();
        let mut disk = Disk::new(Some(&path), SealKeys::default(), None);
        let missing = disk.begin().expect_err("it is not there");
        let wanted = format!("--seal-key-file {at} cannot be read: ");
        assert!(missing.starts_with(&wanted), "{missing}");
        std::fs::write(&path, "# nothing").expect("a file");
        let empty = disk.begin().expect_err("there is none");
        let wanted = format!("--seal-key-file {at} holds no seal key");
        assert!(empty.starts_with(&wanted), "{empty}");
    }

    #[test]
    fn a_key_of_another_certificate_is_named_once() {
        let authority = Authority::new("test authority");
        let (one, other) = (authority.issue(&["a"]), authority.issue(&["a"]));
        let pair = Pair {
            chain: "a.pem".into(),
            key: "a.key".into(),
        };
        let texts = [one.chain, other.key].map(Zeroizing::new);
        let failed = pair.parse("a", &texts).expect_err("they differ");
        assert_eq!(failed, "a.key is not the key of this certificate");
    }
}
