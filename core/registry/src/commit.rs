//! A change on its way into the registry, and the registry's answer.

use std::collections::BTreeMap;
use std::time::SystemTime;

use model::{
    Author, Change, Collection, Entry, Epoch, InstanceId, Position, Revision, RevisionId,
    ServerKey, Snapshot, Term,
};
use sha1_smol::Sha1;
use uuid::Uuid;

use crate::{Leadership, RegistryError};

/// A set of changes that becomes one revision, whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// A commit that is sent again with the same id is not made twice. The revision's own id follows from
    /// it and from the revision before.
    pub id: RevisionId,
    pub author: Author,
    pub changes: Vec<Change>,
    /// The epoch it was decided in. A leader always names it.
    pub epoch: Option<Epoch>,
    /// Who has to lead for the commit to be made, whoever its author is: a leader that another one has
    /// followed meanwhile does nothing any more.
    pub leadership: Option<Leadership>,
    /// The desired revision that its author saw. Another one there is a conflict.
    pub expected: Option<Revision>,
    /// Why, for the history.
    pub reason: String,
    /// The client's `Idempotency-Key`: a second commit with it gets the first one's answer.
    pub idempotency_key: Option<String>,
    /// What stands for the request that the key was sent with: the key with another one is refused. Empty
    /// where any will do.
    pub fingerprint: String,
    /// What its author saw of each element that it replaces. Where something else with a stamp is there, the whole commit is refused
    /// ([`CommitError::Unseen`]). An element that is not named here is replaced, whatever it is.
    pub seen: BTreeMap<(Collection, String), Seen>,
}

/// What an element is taken for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The SHA-1 of its stored text, in hexadecimal. Nothing where it is not there.
    digest: Option<String>,
    /// Whether other hands may have put it there, so that no revision told of it: then it is written anew even where it is the very same.
    pub(crate) is_untold: bool,
    /// Whether the server that others know is at another address than the commit puts it at, whatever is stored.
    pub(crate) has_moved: bool,
}

impl Seen {
    /// What the state has of an element that a change replaces.
    fn before(change: &Change, state: &Snapshot) -> Self {
        let has_moved = match change {
            Change::Server(key, Some(server)) => {
                let known = state.servers.get(key);
                known.is_some_and(|known| known.value.address != server.address)
            }
            _ => false,
        };
        Self {
            digest: state.text_before(change).map(|text| digest(&text)),
            is_untold: false,
            has_moved,
        }
    }

    /// Takes the element for what it was found to be in the registry, which no revision told of.
    pub fn correct(&mut self, stored: &str) {
        self.digest = Some(digest(stored));
        self.is_untold = true;
    }

    pub(crate) fn is(&self, stored: &str) -> bool {
        self.digest.as_ref() == Some(&digest(stored))
    }

    /// Whether there is such an element.
    pub(crate) fn is_there(&self) -> bool {
        self.digest.is_some()
    }

    /// What stands for it where it is compared in a script: never empty.
    pub(crate) fn as_str(&self) -> &str {
        self.digest.as_deref().unwrap_or("nothing")
    }
}

fn digest(text: &str) -> String {
    Sha1::from(text).digest().to_string()
}

/// An element that is not what the author of a commit takes it for, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    pub collection: Collection,
    pub key: String,
    pub stored: String,
}

impl Commit {
    /// A commit of a new id, with no expectations.
    pub fn new(author: Author, changes: Vec<Change>) -> Self {
        Self {
            id: RevisionId::random(),
            author,
            changes,
            epoch: None,
            leadership: None,
            expected: None,
            reason: String::new(),
            idempotency_key: None,
            fingerprint: String::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The same, of an author who decided on this state: what it puts takes the place of what is there by it, and of nothing else.
    #[must_use]
    pub fn over(mut self, state: &Snapshot) -> Self {
        let changes = self.changes.iter();
        let seen = changes.map(|it| ((it.collection(), it.key()), Seen::before(it, state)));
        self.seen = seen.collect();
        self
    }

    /// The same, where that state has the content of these collections from a registry that other hands were in.
    #[must_use]
    pub fn doubting(mut self, collections: impl Fn(Collection) -> bool) -> Self {
        for ((collection, _), seen) in &mut self.seen {
            seen.is_untold |= collections(*collection);
        }
        self
    }
}

/// The id of the revision that a commit makes. It follows from all that came before, so that a commit which
/// is sent again after a failover, and made on another branch of the history, is another revision there.
pub(crate) fn successor(previous: RevisionId, commit: RevisionId) -> RevisionId {
    let digest = Sha1::from(format!("{previous}{commit}")).digest().bytes();
    let (id, _) = digest
        .split_first_chunk()
        .expect("20 bytes are more than 16");
    RevisionId(Uuid::from_bytes(*id))
}

/// What a commit became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision it made; the present one where nothing was left to change.
    pub position: Position,
    pub desired: Revision,
    /// Verdicts that were left out, since the server is gone or has another incarnation.
    pub refused: Vec<ServerKey>,
    /// Whether this is the answer to an earlier commit with the same idempotency key or id.
    pub replayed: bool,
}

/// Why a commit was not made. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("the desired state has changed meanwhile: it is at revision {desired}")]
    Conflict { desired: Revision },
    #[error("not the leader: term {term} is held by {leader:?}")]
    NotLeading {
        term: Term,
        leader: Option<InstanceId>,
    },
    #[error("the registry's history is another one: epoch {epoch}")]
    OtherEpoch { epoch: Epoch },
    #[error("{key}: {rule}")]
    Invalid { key: String, rule: String },
    #[error("{} elements are not what they were taken for, such as {}", .elements.len(), first(.elements))]
    Unseen { elements: Vec<Unseen> },
    #[error("the idempotency key was sent with another request before")]
    KeyReused,
    #[error("the registry holds no fleet yet")]
    Uninitialised,
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

fn first(elements: &[Unseen]) -> String {
    let first = elements.first();
    first.map_or_else(String::new, |it| format!("{} {:?}", it.collection, it.key))
}

/// One desired change as the history keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    pub position: Position,
    pub author: Author,
    pub reason: String,
    /// By the registry's clock.
    pub time: SystemTime,
    pub before: Vec<Entry>,
    pub after: Vec<Entry>,
}
