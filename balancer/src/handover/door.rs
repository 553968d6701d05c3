//! The Unix socket at which a successor asks: who may, and what became of the file of a process that died.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};

/// Only the owner may connect.
const MODE: u32 = 0o600;

/// A process of another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it runs as user {theirs}, and this balancer as user {own}")]
pub(crate) struct Stranger {
    theirs: u32,
    own: u32,
}

/// A connection to the balancer that runs; nothing where none does, whether or not one has left its file behind.
pub(super) async fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

/// Listens for a successor. A socket's file at which nobody answers is replaced; any other file is left alone.
///
/// Whoever calls it has the clients' port already, which two processes that start at once do not both get.
pub(crate) fn open(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // Until then the user who connects is checked all the same.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Takes the file away at an end without a successor.
pub(crate) fn remove(path: &Path) {
    // Nobody answers there any more in any case.
    let _ = fs::remove_file(path);
}

/// The user of this process.
pub(super) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether the other end is of this user, as the kernel says.
pub(super) fn check(stream: &UnixStream, own: u32) -> Result<(), Stranger> {
    // Where the kernel does not say it, nobody is trusted.
    let theirs = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
    if theirs == own {
        Ok(())
    } else {
        Err(Stranger { theirs, own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_the_owners_alone_and_that_of_a_dead_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover");
        assert!(connect(&path).await.unwrap().is_none());
        drop(open(&path).unwrap());
        assert!(path.exists(), "as a process that was killed leaves it");
        assert!(connect(&path).await.unwrap().is_none());
        let _listener = open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(connect(&path).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_of_another_kind_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        open(&path).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn another_users_process_is_a_stranger() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let own = own_user();
        assert_eq!(check(&stream, own), Ok(()));
        let stranger = check(&stream, own + 1).unwrap_err();
        let said = format!(
            "it runs as user {own}, and this balancer as user {}",
            own + 1
        );
        assert_eq!(stranger.to_string(), said);
    }
}
