//! What a watcher asks about the balancer itself, at a listener that is open to that.

use std::borrow::Cow;

use super::codec::{Method, RequestHead};
use crate::condition::Condition;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aspect {
    /// Does it live.
    Live,
    /// May clients come.
    Ready,
}

impl Aspect {
    /// Nothing where the request is about something else. The paths are those of `--ops` to the letter, whatever the query.
    pub(super) fn of(request: &RequestHead, head: &[u8]) -> Option<Self> {
        let aspect = match request.path(head) {
            b"/livez" => Self::Live,
            b"/readyz" => Self::Ready,
            _ => return None,
        };
        matches!(request.method, Method::Get | Method::Head).then_some(aspect)
    }

    /// The status and the text, which are those of `--ops` as well.
    pub(super) fn answer(self, condition: &Condition) -> (u16, Cow<'static, str>) {
        match self {
            Self::Live => (200, runtime::LIVE.into()),
            Self::Ready => {
                let (status, text) = runtime::readiness(condition.check());
                (status.as_u16(), text)
            }
        }
    }
}
