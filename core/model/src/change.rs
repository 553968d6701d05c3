//! What can be changed, and a change as it is announced.

use serde::{Deserialize, Serialize};

use crate::{
    Certificate, CertificateId, Collection, Epoch, InstanceId, Limit, LimitId, Listener,
    ListenerId, Moment, NetworkList, NetworkListId, Pool, PoolId, Position, Revision, RevisionId,
    Route, RouteId, Ruling, Secret, SecretId, Server, ServerKey, Term, Verdict,
};

/// One element to write (`Some`) or to remove (`None`).
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Pool(PoolId, Option<Box<Pool>>),
    Server(ServerKey, Option<Server>),
    Verdict(ServerKey, Option<Verdict>),
    Ruling(PoolId, Option<Ruling>),
    Route(RouteId, Option<Box<Route>>),
    Listener(ListenerId, Option<Listener>),
    Networks(NetworkListId, Option<NetworkList>),
    Certificate(CertificateId, Option<Box<Certificate>>),
    Limit(LimitId, Option<Limit>),
    Secret(SecretId, Option<Secret>),
}

impl Change {
    pub fn put_pool(pool: Pool) -> Self {
        Self::Pool(pool.id.clone(), Some(Box::new(pool)))
    }

    pub fn put_server(server: Server) -> Self {
        Self::Server(server.key(), Some(server))
    }

    pub fn collection(&self) -> Collection {
        match self {
            Self::Pool(..) => Collection::Pools,
            Self::Server(..) => Collection::Servers,
            Self::Verdict(..) => Collection::Health,
            Self::Ruling(..) => Collection::Holds,
            Self::Route(..) => Collection::Routes,
            Self::Listener(..) => Collection::Listeners,
            Self::Networks(..) => Collection::Networks,
            Self::Certificate(..) => Collection::Certificates,
            Self::Limit(..) => Collection::Limits,
            Self::Secret(..) => Collection::Secrets,
        }
    }

    /// The element's field in its collection's hash.
    pub fn key(&self) -> String {
        match self {
            Self::Pool(id, _) | Self::Ruling(id, _) => id.to_string(),
            Self::Server(key, _) | Self::Verdict(key, _) => key.to_string(),
            Self::Route(id, _) => id.to_string(),
            Self::Listener(id, _) => id.to_string(),
            Self::Networks(id, _) => id.to_string(),
            Self::Certificate(id, _) => id.to_string(),
            Self::Limit(id, _) => id.to_string(),
            Self::Secret(id, _) => id.to_string(),
        }
    }

    /// The value as JSON, without its stamp; nothing for a removal.
    pub fn value(&self) -> Option<serde_json::Value> {
        let value = match self {
            Self::Pool(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Server(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Verdict(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Ruling(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Route(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Listener(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Networks(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Certificate(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Limit(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Secret(_, value) => value.as_ref().map(serde_json::to_value),
        };
        value.map(|json| json.expect("model types hold nothing that JSON cannot"))
    }
}

/// Who makes a change. An operator's own changes are never held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", from = "Writer")]
pub enum Author {
    /// A person or a deploy script, through the admin API.
    Operator { name: String },
    /// Something that follows another truth: registrations, discovery.
    Source { name: String },
    /// The leading orchestrator, with the term that it believes it holds.
    Leader { instance: InstanceId, term: Term },
}

/// An author as any version writes it. Of what a newer one calls by another kind no more is known than that it was no operator.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Writer {
    Operator {
        name: String,
    },
    Source {
        name: String,
    },
    Leader {
        instance: InstanceId,
        term: Term,
    },
    #[serde(other)]
    Other,
}

impl From<Writer> for Author {
    fn from(writer: Writer) -> Self {
        match writer {
            Writer::Operator { name } => Self::Operator { name },
            Writer::Source { name } => Self::Source { name },
            Writer::Leader { instance, term } => Self::Leader { instance, term },
            Writer::Other => Self::Source {
                name: "unknown".into(),
            },
        }
    }
}

/// One element as a revision left it: its stamped value, or nothing where it was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub collection: Collection,
    pub key: String,
    /// JSON of a `Stamped`.
    pub value: Option<serde_json::Value>,
}

/// One revision: what is logged and published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub epoch: Epoch,
    pub revision: Revision,
    pub id: RevisionId,
    /// The id of the revision before. It applies to no other.
    pub previous: RevisionId,
    /// The revision of the last desired change, this one included.
    pub desired: Revision,
    pub author: Author,
    pub entries: Vec<Entry>,
    /// When it was committed, by the registry's own clock. Nothing where an older version committed it, and of a
    /// history's first entry, which nobody committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Moment>,
}

impl Delta {
    /// Where a follower stands that has applied it.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            revision: self.revision,
            id: self.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_delta_of_an_older_version_has_no_time_and_a_new_one_keeps_its_own() {
        let nil = uuid::Uuid::nil();
        let old = json!({"epoch": nil, "revision": 4, "id": nil, "previous": nil, "desired": 4,
            "author": {"kind": "operator", "name": "ana"}, "entries": []});
        let mut delta: Delta = serde_json::from_value(old.clone()).expect("a delta");
        assert_eq!(delta.time, None);
        assert_eq!(serde_json::to_value(&delta).expect("JSON"), old);
        delta.time = Some(Moment(1_764_133_200_123_456));
        let written = serde_json::to_string(&delta).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Delta>(&written).expect("a delta"),
            delta
        );
    }

    #[test]
    fn a_clock_that_was_set_back_shows_no_time_between() {
        let (earlier, later) = (Moment(1_000), Moment(1_750));
        assert_eq!(later.since(earlier), Duration::from_micros(750));
        assert_eq!(earlier.since(later), Duration::ZERO);
    }

    #[test]
    fn an_author_is_read_as_it_was_written_and_one_of_a_newer_kind_is_no_operator() {
        let (instance, term) = (InstanceId::random(), Term(7));
        let name = || "x".to_owned();
        for author in [
            Author::Operator { name: name() },
            Author::Source { name: name() },
            Author::Leader { instance, term },
        ] {
            let json = serde_json::to_value(&author).unwrap();
            assert_eq!(serde_json::from_value::<Author>(json).unwrap(), author);
        }
        let newer = json!({"kind": "committee", "members": 3});
        let author: Author = serde_json::from_value(newer).unwrap();
        assert!(matches!(author, Author::Source { .. }));
    }

    #[test]
    fn a_delta_of_a_newer_version_is_read_whole() {
        let id = uuid::Uuid::nil();
        let delta = json!({"epoch": id, "revision": 7, "id": id, "previous": id, "desired": 7, "mood": "good",
        "author": {"kind": "operator", "name": "x", "mood": "good"},
        "entries": [
            {"collection": "weather", "key": "r1", "value": {"to": "default"}},
            {"collection": "servers", "key": "default/a", "value": null, "mood": "good"},
        ]});
        let delta: Delta = serde_json::from_value(delta).unwrap();
        let collections: Vec<_> = delta.entries.iter().map(|it| it.collection).collect();
        assert_eq!(
            collections,
            ["weather".parse().unwrap(), Collection::Servers]
        );
    }
}
