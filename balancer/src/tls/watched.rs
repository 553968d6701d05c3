//! What a few files make together, looked at again and again: the last that could be used stays in force.

use std::sync::Arc;

use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

/// What files make together.
#[derive(Debug)]
pub(super) struct Watched<T> {
    /// Of the content.
    digest: Vec<u8>,
    /// The last that could be used.
    good: Option<Arc<T>>,
    /// Why what is there now cannot be used.
    fault: Option<String>,
    /// That was said.
    said: bool,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self {
            digest: Vec::new(),
            good: None,
            fault: None,
            said: false,
        }
    }
}

impl<T> Watched<T> {
    pub(super) fn good(&self) -> Option<&Arc<T>> {
        self.good.as_ref()
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.fault.clone()
    }

    /// Looks at what was read; says whether something else is in force now. What cannot be used is said at the second look that finds it
    /// so, and once: at the first, one of two files may just have been replaced.
    pub(super) fn look(
        &mut self,
        what: &str,
        read: Result<Vec<Zeroizing<String>>, String>,
        parse: impl FnOnce(&[Zeroizing<String>]) -> Result<T, String>,
    ) -> bool {
        let digest = match &read {
            Ok(texts) => digest(texts.iter().map(|text| text.as_str())),
            Err(reason) => digest([reason.as_str()]),
        };
        if digest == self.digest {
            self.say(what);
            return false;
        }
        self.digest = digest;
        self.said = false;
        match read.and_then(|texts| parse(&texts)) {
            Ok(good) => {
                tracing::info!(what, "what is in files now is in force");
                self.good = Some(Arc::new(good));
                self.fault = None;
                true
            }
            Err(reason) => {
                self.fault = Some(reason);
                false
            }
        }
    }

    fn say(&mut self, what: &str) {
        let Some(reason) = &self.fault else { return };
        if !std::mem::replace(&mut self.said, true) {
            let in_force = if self.good.is_some() {
                "what was there before"
            } else {
                "nothing"
            };
            tracing::warn!(
                what,
                reason,
                in_force,
                "what is in files now cannot be used"
            );
        }
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().to_vec()
}
