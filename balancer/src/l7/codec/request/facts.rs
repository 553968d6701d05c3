//! What a request's fields say that the balancer must know, each field looked at once.

use crate::l7::codec::fields::{Field, Fields};
use crate::l7::codec::framing::{BadNumber, Coding, Framing, FramingFields, decimal};
use crate::l7::codec::limits::Limits;
use crate::l7::codec::method::{Method, Version};
use crate::l7::codec::name::Name;
use crate::l7::codec::protocol::Protocol;
use crate::l7::codec::refusal::Refusal;
use crate::l7::codec::span::Span;
use crate::l7::codec::target::is_authority;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) host: Option<Span>,
    pub(super) max_forwards: Option<u64>,
    pub(super) expect_continue: bool,
    framing: FramingFields,
    upgrade: Option<Span>,
    upgrades: usize,
}

impl Facts {
    /// Looks at each field. Exactly one Host is needed, except in HTTP/1.0, where none may come.
    pub(super) fn read(
        fields: &Fields,
        buf: &[u8],
        method: Method,
        version: Version,
    ) -> Result<Self, Refusal> {
        let mut facts = Self::default();
        for field in fields.as_slice() {
            facts.note(field, buf, method, version)?;
        }
        if facts.host.is_none() && version == Version::Http11 {
            return Err(Refusal::Host);
        }
        Ok(facts)
    }

    fn note(
        &mut self,
        field: &Field,
        buf: &[u8],
        method: Method,
        version: Version,
    ) -> Result<(), Refusal> {
        let value = field.value.of(buf);
        match field.meaning {
            Name::Host => self.note_host(field.value, value),
            Name::ContentLength => self.framing.add_length(value).map_err(Refusal::from),
            Name::TransferEncoding => {
                self.framing.add_coding(value);
                Ok(())
            }
            Name::FramingImitation => Err(Refusal::Imitation),
            Name::Expect if version == Version::Http11 => self.note_expectation(value),
            Name::MaxForwards if method == Method::Options => self.note_max_forwards(value),
            Name::Upgrade => {
                self.upgrade = Some(field.value);
                self.upgrades += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_host(&mut self, span: Span, value: &[u8]) -> Result<(), Refusal> {
        if self.host.is_some() || !is_authority(value) {
            return Err(Refusal::Host);
        }
        self.host = Some(span);
        Ok(())
    }

    fn note_expectation(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.expect_continue = value.eq_ignore_ascii_case(b"100-continue");
        if self.expect_continue {
            Ok(())
        } else {
            Err(Refusal::Expectation)
        }
    }

    fn note_max_forwards(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let number = match decimal(value) {
            Ok(number) => number,
            Err(BadNumber::TooLarge) => u64::MAX,
            Err(BadNumber::Malformed) => return Err(Refusal::MaxForwards),
        };
        match self.max_forwards.replace(number) {
            None => Ok(()),
            Some(_) => Err(Refusal::MaxForwards),
        }
    }

    /// Where the body ends, where nothing is in doubt.
    pub(super) fn framing(&self, version: Version, limits: &Limits) -> Result<Framing, Refusal> {
        match (self.framing.coding, self.framing.length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) if length > limits.body => Err(Refusal::BodyTooLong),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(Coding::Unknown), _) => Err(Refusal::UnknownCoding),
            (Some(Coding::Chunked), None) if version == Version::Http11 => Ok(Framing::Chunked),
            (Some(_), _) => Err(Refusal::TransferEncoding),
        }
    }

    /// The one protocol asked for. `h2c` is never one: its bytes could not be judged here.
    pub(super) fn upgrade(&self, buf: &[u8]) -> Option<Protocol> {
        let value = self.upgrade.filter(|_| self.upgrades == 1)?.of(buf);
        Protocol::read(value).filter(|protocol| !protocol.is_named(b"h2c"))
    }
}

impl From<BadNumber> for Refusal {
    fn from(number: BadNumber) -> Self {
        match number {
            BadNumber::Malformed => Self::ContentLength,
            BadNumber::TooLarge => Self::BodyTooLong,
        }
    }
}
