//! The `Connection` field: what the sender wants of this connection, and which fields end with it.

use super::body::Carry;
use super::fields::Fields;
use super::name::{Name, is_token};

/// The most fields that one head may nominate: each is compared with every other field.
const NOMINATED_MAX: usize = 16;

/// What `Connection` said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    close: bool,
    keep_alive: bool,
    /// The upgrade is meant for this hop.
    pub(super) upgrade: bool,
    /// A field is named that may stand in a trailer.
    names_others: bool,
    nominated: usize,
}

/// `Connection` has something else than tokens, too many, or names a field that routing or framing
/// depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadConnection;

impl Options {
    /// Reads every Connection field, marking the fields that they name.
    pub(super) fn read(fields: &mut Fields, buf: &[u8]) -> Result<Self, BadConnection> {
        let mut options = Self::default();
        for at in 0..fields.len() {
            let field = fields.as_slice()[at];
            if field.meaning == Name::Connection {
                options.read_value(field.value.of(buf), fields, buf)?;
            }
        }
        Ok(options)
    }

    fn read_value(
        &mut self,
        value: &[u8],
        fields: &mut Fields,
        buf: &[u8],
    ) -> Result<(), BadConnection> {
        for element in value.split(|byte| *byte == b',') {
            let token = element.trim_ascii();
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !token.is_empty() {
                self.nominate(token, fields, buf)?;
            }
        }
        Ok(())
    }

    fn nominate(
        &mut self,
        token: &[u8],
        fields: &mut Fields,
        buf: &[u8],
    ) -> Result<(), BadConnection> {
        self.nominated += 1;
        let meaning = Name::of(token);
        let untouchable = matches!(
            meaning,
            Name::Host | Name::ContentLength | Name::TransferEncoding | Name::FramingImitation
        );
        if untouchable || !is_token(token) || self.nominated > NOMINATED_MAX {
            return Err(BadConnection);
        }
        self.names_others |= meaning == Name::Other;
        if meaning != Name::Connection {
            fields.nominate(buf, token);
        }
        Ok(())
    }

    /// How the message's body is carried to a peer that speaks HTTP/1.1.
    pub(super) fn carry(self) -> Carry {
        if self.names_others {
            Carry::WireWithoutTrailers
        } else {
            Carry::Wire
        }
    }

    /// Whether the connection outlives the message, by default (`persistent`) or by agreement.
    pub(super) fn keep_alive(self, persistent: bool) -> bool {
        !self.close && (persistent || self.keep_alive)
    }
}
