//! A head's fields: spans in order of arrival, with each name's meaning.

use std::mem::MaybeUninit;

use super::limits::{FIELDS_MAX, OWN_FIELDS};
use super::name::Name;
use super::span::Span;

/// Room for the parser's borrowed view of a head's fields: on the stack, and never written in vain.
pub(super) type Raw<'a> = [MaybeUninit<httparse::Header<'a>>; FIELDS_MAX + OWN_FIELDS];

/// An empty [`Raw`].
pub(super) fn raw<'a>() -> Raw<'a> {
    [const { MaybeUninit::uninit() }; FIELDS_MAX + OWN_FIELDS]
}

/// A line of a head ends with something other than CRLF.
#[derive(Clone, Copy, Debug)]
pub(super) struct BadLineEnd;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: Span,
    /// The value, without the white space around it.
    pub value: Span,
    /// What the name means.
    pub meaning: Name,
}

/// The fields of one head, in the order of the wire.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
    /// Where the last field line ends.
    end: usize,
}

impl Fields {
    /// With room for ordinary heads.
    pub(super) fn new() -> Self {
        Self {
            list: Vec::with_capacity(24),
            end: 0,
        }
    }

    /// Takes over what the parser found in `buf`, whose first `head_length` bytes are the head. The
    /// parser accepts a bare LF for CRLF; here it is refused.
    pub(super) fn fill(
        &mut self,
        buf: &[u8],
        head_length: usize,
        parsed: &[httparse::Header<'_>],
    ) -> Result<(), BadLineEnd> {
        self.list.clear();
        self.end = head_length - 2;
        for header in parsed {
            let name = Span::locate(buf, header.name.as_bytes());
            ends_with_crlf(buf, name.start())?;
            self.list.push(Field {
                name,
                value: Span::locate(buf, header.value),
                meaning: Name::of(header.name.as_bytes()),
            });
        }
        ends_with_crlf(buf, self.end)
    }

    /// Marks every field called `name` as one that ends here.
    pub(super) fn nominate(&mut self, buf: &[u8], name: &[u8]) {
        for field in &mut self.list {
            if field.name.of(buf).eq_ignore_ascii_case(name) {
                field.meaning = Name::Nominated;
            }
        }
    }

    /// Writes the lines of the fields that `keep` accepts, as they came. Neighbours that stay are
    /// copied in one piece.
    pub(super) fn copy_kept(&self, buf: &[u8], out: &mut Vec<u8>, keep: impl Fn(&Field) -> bool) {
        let mut kept_from = None;
        for field in &self.list {
            let start = field.name.start();
            if keep(field) {
                kept_from.get_or_insert(start);
            } else if let Some(from) = kept_from.take() {
                out.extend_from_slice(&buf[from..start]);
            }
        }
        if let Some(from) = kept_from {
            out.extend_from_slice(&buf[from..self.end]);
        }
    }

    /// The values of the fields with this meaning.
    pub(super) fn meaning<'a>(
        &'a self,
        buf: &'a [u8],
        meaning: Name,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.list
            .iter()
            .filter(move |field| field.meaning == meaning)
            .map(|field| field.value.of(buf))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each field with its meaning.
    pub fn as_slice(&self) -> &[Field] {
        &self.list
    }

    /// Name and value of each field.
    pub fn iter<'a>(&'a self, buf: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.list
            .iter()
            .map(|field| (field.name.of(buf), field.value.of(buf)))
    }

    /// The first value of the field `name`, in any case of letters.
    pub fn get<'a>(&self, buf: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.get_all(buf, name).next()
    }

    /// Every value of the field `name`, in any case of letters.
    pub fn get_all<'a, 'b>(
        &'b self,
        buf: &'a [u8],
        name: &'b str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
        self.list
            .iter()
            .filter(move |field| {
                let own = field.name.of(buf);
                own.len() == name.len() && own.eq_ignore_ascii_case(name.as_bytes())
            })
            .map(move |field| field.value.of(buf))
    }
}

/// Whether the line that ends before `at` ends with CRLF.
fn ends_with_crlf(buf: &[u8], at: usize) -> Result<(), BadLineEnd> {
    if buf[..at].ends_with(b"\r\n") {
        Ok(())
    } else {
        Err(BadLineEnd)
    }
}
