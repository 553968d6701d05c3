//! What a route changes of a head's fields: those that end here, and the lines that are written beside what is left.

use std::fmt::Debug;

use super::fields::Field;
use super::name::Name;

/// Changes of a head's fields, prepared, so that a request costs a comparison of names and a copy of bytes.
pub trait FieldChanges: Debug {
    /// Whether the fields of this name end here. It is written in any case of letters.
    fn removes(&self, name: &[u8]) -> bool;

    /// Writes whole lines: of no field that frames the message, belongs to one connection, or is the balancer's to write.
    fn write(&self, out: &mut Vec<u8>);
}

/// Whether a route may take fields of this meaning away. Framing, routing or the connection depends on the others, or they are the
/// balancer's to write.
fn is_free(meaning: Name) -> bool {
    matches!(meaning, Name::Other | Name::Claim)
}

/// Whether a field goes on as far as the route is concerned. One that is removed is so in every way in which servers read its name.
pub(super) fn stays(changes: Option<&dyn FieldChanges>, field: &Field, buf: &[u8]) -> bool {
    let Some(changes) = changes.filter(|_| is_free(field.meaning)) else {
        return true;
    };
    let name = field.name.of(buf);
    let is_removed =
        changes.removes(name) || (name.contains(&b'_') && changes.removes(&plain(name)));
    !is_removed
}

/// Whether the balancer's own field of this name is written.
pub(super) fn keeps_own(changes: Option<&dyn FieldChanges>, name: &[u8]) -> bool {
    changes.is_none_or(|changes| !changes.removes(name))
}

/// Writes the lines of the route.
pub(super) fn write(changes: Option<&dyn FieldChanges>, out: &mut Vec<u8>) {
    if let Some(changes) = changes {
        changes.write(out);
    }
}

/// A name as lenient servers read it.
fn plain(name: &[u8]) -> Vec<u8> {
    let plain = name.iter().map(|byte| match byte {
        b'_' => b'-',
        byte => *byte,
    });
    plain.collect()
}
