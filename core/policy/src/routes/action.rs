//! What becomes of a route's requests.

use model::PoolId;

use super::names::Names;
use super::{Redirect, Split};

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    Pool(PoolId),
    Split(Split),
    Redirect(Box<Redirect>),
    Answer(Box<Answer>),
}

/// An answer that is always the same.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: Box<[u8]>,
    pub body: Box<[u8]>,
}

impl Action {
    pub(super) fn compile(action: &model::Action, names: &Names<'_>) -> Self {
        match action {
            model::Action::Pool(pool) => Self::Pool(names.pool(pool)),
            model::Action::Split(split) => Self::Split(Split::compile(split)),
            model::Action::Redirect(redirect) => Self::Redirect(Redirect::compile(redirect).into()),
            model::Action::Answer(answer) => Self::Answer(
                Answer {
                    status: answer.status,
                    content_type: answer.content_type.as_bytes().into(),
                    body: answer.body.as_bytes().into(),
                }
                .into(),
            ),
        }
    }
}
