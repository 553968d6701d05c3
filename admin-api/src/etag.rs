//! Entity tags. A resource's tag is the desired revision that last changed it, so that health never spoils
//! an `If-Match`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use model::Revision;

use crate::problem::Problem;

/// The most tags that one header may list.
const TAGS_MAX: usize = 64;

/// A revision as an entity tag.
pub(crate) fn text(revision: Revision) -> String {
    format!("\"{revision}\"")
}

pub(crate) fn value(revision: Revision) -> HeaderValue {
    HeaderValue::try_from(text(revision)).expect("digits in quotes are a header value")
}

/// What a request demands of the resource as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq)]
enum Tags {
    Any,
    /// As sent, weakness marks and quotes included.
    These(Vec<String>),
}

impl Conditions {
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: Tags::parse(headers, &header::IF_MATCH, "If-Match")?,
            if_none_match: Tags::parse(headers, &header::IF_NONE_MATCH, "If-None-Match")?,
        })
    }

    /// Whether a change may be made to the resource that now has this tag, or is not there.
    pub(crate) fn check(
        &self,
        kind: &'static str,
        key: &str,
        present: Option<Revision>,
    ) -> Result<(), Problem> {
        if let Some(tags) = &self.if_match
            && !tags.name(present, false)
        {
            let (key, sent) = (key.to_owned(), tags.to_string());
            return Err(Problem::Stale {
                kind,
                key,
                sent,
                present,
            });
        }
        if let Some(tags) = &self.if_none_match
            && tags.name(present, true)
        {
            let (key, sent) = (key.to_owned(), tags.to_string());
            return Err(Problem::Unexpected {
                kind,
                key,
                sent,
                present,
            });
        }
        Ok(())
    }

    /// Whether a reader has the resource already.
    pub(crate) fn known(&self, present: Revision) -> bool {
        let tags = self.if_none_match.as_ref();
        tags.is_some_and(|tags| tags.name(Some(present), true))
    }
}

impl Tags {
    fn parse(
        headers: &HeaderMap,
        header: &HeaderName,
        name: &'static str,
    ) -> Result<Option<Self>, Problem> {
        let mut tags = Vec::new();
        for value in headers.get_all(header) {
            let text = value.to_str().map_err(|_| malformed(name))?;
            tags.extend(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()));
        }
        if !headers.contains_key(header) {
            return Ok(None);
        }
        if tags == ["*"] {
            return Ok(Some(Self::Any));
        }
        let valid =
            !tags.is_empty() && tags.len() <= TAGS_MAX && tags.iter().all(|tag| is_tag(tag));
        if !valid {
            return Err(malformed(name));
        }
        Ok(Some(Self::These(
            tags.into_iter().map(Into::into).collect(),
        )))
    }

    /// Whether they name what is there. A weak tag does so only for a reader.
    fn name(&self, present: Option<Revision>, weakly: bool) -> bool {
        let Some(present) = present else { return false };
        let wanted = text(present);
        match self {
            Self::Any => true,
            Self::These(tags) => tags
                .iter()
                .any(|tag| *tag == wanted || (weakly && tag.strip_prefix("W/") == Some(&wanted))),
        }
    }
}

impl std::fmt::Display for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::These(tags) => f.write_str(&tags.join(", ")),
        }
    }
}

fn malformed(name: &'static str) -> Problem {
    let rule = "must be * or a list of entity tags such as \"7\", in quotes".into();
    Problem::Header { name, rule }
}

fn is_tag(text: &str) -> bool {
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inner = opaque
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| inner.len() <= 64 && !inner.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(header: HeaderName, value: &'static str) -> Result<Conditions, Problem> {
        let headers = HeaderMap::from_iter([(header, HeaderValue::from_static(value))]);
        Conditions::parse(&headers)
    }

    fn allows(header: HeaderName, value: &'static str, present: Option<u64>) -> bool {
        let conditions = conditions(header, value).expect("well-formed");
        conditions
            .check("server", "default/s1", present.map(Revision))
            .is_ok()
    }

    #[test]
    fn if_match_wants_the_present_tag() {
        for (value, present, allowed) in [
            ("\"7\"", Some(7), true),
            ("\"6\", \"7\"", Some(7), true),
            ("\"7\"", Some(8), false),
            ("\"7\"", None, false),
            ("W/\"7\"", Some(7), false),
            ("*", Some(7), true),
            ("*", None, false),
        ] {
            assert_eq!(
                allows(header::IF_MATCH, value, present),
                allowed,
                "{value} {present:?}"
            );
        }
    }

    #[test]
    fn if_none_match_wants_anything_else() {
        assert!(allows(header::IF_NONE_MATCH, "*", None));
        assert!(!allows(header::IF_NONE_MATCH, "*", Some(7)));
        assert!(allows(header::IF_NONE_MATCH, "\"6\"", Some(7)));
        let reader = conditions(header::IF_NONE_MATCH, "W/\"7\"").expect("well-formed");
        assert!(reader.known(Revision(7)) && !reader.known(Revision(8)));
    }

    #[test]
    fn a_stale_tag_is_answered_with_both() {
        let conditions = conditions(header::IF_MATCH, "\"7\"").expect("well-formed");
        let problem = conditions.check("server", "default/s1", Some(Revision(9)));
        let text = problem.expect_err("stale").to_string();
        assert_eq!(
            text,
            "If-Match says \"7\", but the server \"default/s1\" is at \"9\""
        );
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for value in ["7", "", "\"7", "\"a\"b\"", "*, \"7\""] {
            assert!(conditions(header::IF_MATCH, value).is_err(), "{value}");
        }
    }
}
