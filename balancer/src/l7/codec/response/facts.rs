//! What a response's fields say that the balancer must know.

use crate::l7::codec::fields::Fields;
use crate::l7::codec::framing::{Coding, Framing, FramingFields};
use crate::l7::codec::method::Version;
use crate::l7::codec::name::Name;
use crate::l7::codec::refusal::BadResponse;
use crate::l7::codec::span::Span;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    upgrade: Option<Span>,
    upgrades: usize,
    framing: FramingFields,
}

impl Facts {
    /// Looks at each field.
    pub(super) fn read(fields: &Fields, buf: &[u8]) -> Result<Self, BadResponse> {
        let mut facts = Self::default();
        for field in fields.as_slice() {
            let value = field.value.of(buf);
            match field.meaning {
                Name::ContentLength => facts
                    .framing
                    .add_length(value)
                    .map_err(|_| BadResponse::ContentLength)?,
                Name::TransferEncoding => facts.framing.add_coding(value),
                Name::Upgrade => {
                    facts.upgrade = Some(field.value);
                    facts.upgrades += 1;
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// What the one Upgrade field says.
    pub(super) fn upgrade(&self) -> Option<Span> {
        self.upgrade.filter(|_| self.upgrades == 1)
    }

    /// Where the body ends. Fields that contradict each other are an error even where no body can
    /// come: whoever sent them cannot be followed.
    pub(super) fn framing(
        &self,
        has_no_body: bool,
        version: Version,
    ) -> Result<Framing, BadResponse> {
        let framing = match (self.framing.coding, self.framing.length) {
            (None, None) => Framing::UntilClose,
            (None, Some(length)) => Framing::Length(length),
            (Some(Coding::Chunked), None) if version == Version::Http11 => Framing::Chunked,
            (Some(_), _) => return Err(BadResponse::TransferEncoding),
        };
        Ok(if has_no_body { Framing::None } else { framing })
    }

    /// The length to tell the client although no body comes: of HEAD and 304 alone, since 1xx and
    /// 204 must not declare one.
    pub(super) fn declared_length(&self, has_no_body: bool, status: u16) -> Option<u64> {
        let may_declare = has_no_body && status >= 200 && status != 204;
        self.framing.length.filter(|_| may_declare)
    }

    /// Whether the status allows no body while the fields announce one (a length is usual in 304):
    /// the server may send it all the same, so its connection ends.
    pub(super) fn announces_forbidden_body(&self, status: u16) -> bool {
        let has_length = self.framing.length.is_some_and(|length| length > 0);
        match status {
            304 => self.framing.coding.is_some(),
            100..200 | 204 => self.framing.coding.is_some() || has_length,
            _ => false,
        }
    }
}
