//! What a route changes of a head's fields, ready to be written.

use model::HeaderChanges;

/// Which fields go, and which lines come.
#[derive(Debug, Default)]
pub struct HeaderEdits {
    /// In lower case.
    removed: Vec<Box<[u8]>>,
    lines: Box<[u8]>,
}

impl HeaderEdits {
    pub(super) fn compile(changes: &HeaderChanges) -> Self {
        let removed = changes.remove.iter().chain(changes.set.keys());
        let removed = removed.map(|name| name.to_ascii_lowercase().into_bytes().into());
        let set = changes.set.iter();
        let added = changes.add.iter().map(|field| (&field.name, &field.value));
        let mut lines = Vec::new();
        for (name, value) in set.chain(added) {
            for part in [name, ": ", value, "\r\n"] {
                lines.extend_from_slice(part.as_bytes());
            }
        }
        Self {
            removed: removed.collect(),
            lines: lines.into(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.lines.is_empty()
    }

    /// Whether fields of this name, in any case, do not go on: they are removed, or set anew.
    pub fn removes(&self, name: &[u8]) -> bool {
        let mut removed = self.removed.iter();
        removed.any(|other| other.eq_ignore_ascii_case(name))
    }

    /// The fields that are set, then those that are added: whole lines, each with its end.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use model::FieldValue;

    use super::*;

    #[test]
    fn what_is_set_takes_the_place_of_what_was_there_and_what_is_added_does_not() {
        let changes = HeaderChanges {
            remove: vec!["Server".into()],
            set: [("X-Set".to_owned(), "1".to_owned())].into(),
            add: vec![FieldValue {
                name: "X-Add".into(),
                value: "2".into(),
            }],
            ..HeaderChanges::default()
        };
        let edits = HeaderEdits::compile(&changes);
        assert_eq!(edits.lines(), b"X-Set: 1\r\nX-Add: 2\r\n");
        assert!(edits.removes(b"SERVER") && edits.removes(b"x-set") && !edits.removes(b"x-add"));
        assert!(!edits.is_empty() && HeaderEdits::compile(&HeaderChanges::default()).is_empty());
    }
}
