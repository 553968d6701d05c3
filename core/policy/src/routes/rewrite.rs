//! What a server sees in place of the path.

use std::borrow::Cow;

use model::{NormalPath, PathClaim};

/// How a path is rewritten.
#[derive(Debug)]
pub(super) enum PathRewrite {
    Nothing,
    /// This one is sent.
    Whole(Box<[u8]>),
    /// In place of what begins with one, what begins with another; neither ends in a slash.
    Prefix {
        claimed: Box<[u8]>,
        sent: Box<[u8]>,
    },
}

impl PathRewrite {
    pub(super) fn compile(rewrite: &model::Rewrite, claim: Option<&PathClaim>) -> Self {
        let trimmed = |path: &str| path.trim_end_matches('/').as_bytes().into();
        match (&rewrite.path, &rewrite.prefix, claim) {
            (Some(path), _, _) => Self::Whole(path.as_bytes().into()),
            (None, Some(sent), Some(PathClaim::Exact(_))) => Self::Whole(sent.as_bytes().into()),
            (None, Some(sent), Some(PathClaim::Prefix(claimed))) => Self::Prefix {
                claimed: trimmed(claimed),
                sent: trimmed(sent),
            },
            _ => Self::Nothing,
        }
    }

    /// The path that is sent, where it is rewritten.
    pub(super) fn apply<'a>(&'a self, path: &'a NormalPath<'_>) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Nothing => None,
            Self::Whole(sent) => Some(Cow::Borrowed(sent)),
            Self::Prefix { claimed, sent } => {
                // Where a slash of the prefix came encoded, the server gets what rules saw.
                let rest = path.forwarded().strip_prefix(&**claimed);
                let rest = rest.or_else(|| path.matched().strip_prefix(&**claimed))?;
                if rest.starts_with(b"/") && sent.is_empty() {
                    return Some(Cow::Borrowed(rest));
                }
                let mut whole = sent.to_vec();
                // What came encoded after the prefix alone begins otherwise.
                if whole.is_empty() {
                    whole.push(b'/');
                }
                whole.extend_from_slice(rest);
                Some(Cow::Owned(whole))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(claim: &PathClaim, prefix: &str, path: &str) -> String {
        let rewrite = model::Rewrite {
            prefix: Some(prefix.into()),
            ..model::Rewrite::default()
        };
        let path = NormalPath::of(path.as_bytes()).expect("a path");
        let rewrite = PathRewrite::compile(&rewrite, Some(claim));
        let sent = rewrite.apply(&path).expect("a path in its place");
        String::from_utf8(sent.into_owned()).expect("text")
    }

    #[test]
    fn a_prefix_takes_the_place_of_the_one_that_is_claimed() {
        for (claimed, sent, path, expected) in [
            ("/api", "/", "/api", "/"),
            ("/api", "/", "/api/", "/"),
            ("/api", "/", "/api/a/b", "/a/b"),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2", "/api/a", "/v2/a"),
            ("/api", "/v2/", "/api/a", "/v2/a"),
            ("/", "/v2", "/a", "/v2/a"),
            ("/", "/v2", "/", "/v2/"),
            ("/api", "/", "/api%2Fa%2fb", "/%2Fa%2Fb"),
            ("/api/v1", "/v2", "/api%2Fv1/a%2Fb", "/v2/a/b"),
        ] {
            let claim = PathClaim::Prefix(claimed.into());
            assert_eq!(
                rewritten(&claim, sent, path),
                expected,
                "{claimed} {sent} {path}"
            );
        }
    }

    #[test]
    fn an_exact_path_is_replaced_as_a_whole() {
        let claim = || PathClaim::Exact("/a/".into());
        assert_eq!(rewritten(&claim(), "/b", "/a/"), "/b");
        assert_eq!(rewritten(&claim(), "/b/", "/a/"), "/b/");
    }

    #[test]
    fn a_path_that_is_given_is_sent_whatever_came() {
        let rewrite = model::Rewrite {
            path: Some("/b".into()),
            ..model::Rewrite::default()
        };
        let path = NormalPath::of(b"/x/y").expect("a path");
        let whole = PathRewrite::compile(&rewrite, None);
        assert_eq!(whole.apply(&path).as_deref(), Some(&b"/b"[..]));
        let nothing = PathRewrite::compile(&model::Rewrite::default(), None);
        assert_eq!(nothing.apply(&path), None);
    }
}
