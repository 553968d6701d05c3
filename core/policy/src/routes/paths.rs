//! What a route's claim on a path says, segment by segment.

use model::PathClaim;

/// A compiled claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathRule {
    pub(super) segments: Vec<Segment>,
    pub(super) end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<[u8]>),
    /// Any one that is not empty.
    Any,
}

/// What may come after the last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Anything, or nothing.
    Open,
    /// At least one more segment that is not empty.
    Rest,
    /// Nothing.
    Closed,
}

impl PathRule {
    /// Where no path is claimed, every path is.
    pub(super) fn compile(claim: Option<&PathClaim>) -> Self {
        match claim {
            None => Self::literal("", End::Open),
            Some(PathClaim::Exact(path)) => Self::literal(path, End::Closed),
            Some(PathClaim::Prefix(path)) => Self::literal(path.trim_end_matches('/'), End::Open),
            Some(PathClaim::Pattern(pattern)) => Self::pattern(pattern),
        }
    }

    fn literal(path: &str, end: End) -> Self {
        let segments = path.split('/').skip(1).map(Segment::literal);
        Self {
            segments: segments.collect(),
            end,
        }
    }

    fn pattern(pattern: &str) -> Self {
        let mut end = End::Closed;
        let mut segments = Vec::new();
        for text in pattern.split('/').skip(1) {
            if text.starts_with("{*") {
                end = End::Rest;
            } else if text.starts_with('{') {
                segments.push(Segment::Any);
            } else {
                segments.push(Segment::literal(text));
            }
        }
        Self { segments, end }
    }

    /// Whether it claims a path. What a tree finds at once, for those who ask of one route alone.
    pub(super) fn claims(&self, path: &[u8]) -> bool {
        let mut rest = after_slash(path);
        for segment in &self.segments {
            let Some(text) = rest else {
                return false;
            };
            let (first, after) = split_first(text);
            let is_claimed = match segment {
                Segment::Literal(literal) => **literal == *first,
                Segment::Any => !first.is_empty(),
            };
            if !is_claimed {
                return false;
            }
            rest = after;
        }
        match self.end {
            End::Open => true,
            End::Rest => rest.is_some_and(|text| !text.is_empty()),
            End::Closed => rest.is_none(),
        }
    }
}

impl Segment {
    fn literal(text: &str) -> Self {
        Self::Literal(text.as_bytes().into())
    }
}

/// What comes after the slash that a path begins with.
pub(super) fn after_slash(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(b"/")
}

/// The first segment, and the others where there are some.
pub(super) fn split_first(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'/') {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}
