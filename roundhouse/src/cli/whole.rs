//! How a change of the whole desired state is told: a line an element, and one for each field that differs.

use client::{ChangeKind, ElementChange, FieldDiff, WholeChange};

/// What was changed, and at the end what was `done`, or that there was nothing to do.
pub(super) fn text(whole: &WholeChange, done: &str) -> String {
    let mut lines: Vec<_> = whole.changes.iter().flat_map(lines).collect();
    lines.push(summary(whole, done));
    lines.join("\n")
}

fn summary(whole: &WholeChange, done: &str) -> String {
    let revision = whole.revision;
    if !whole.changed {
        return format!("nothing to change at revision {revision}");
    }
    let count = |kind| whole.changes.iter().filter(|it| it.change == kind).count();
    let counts = format!(
        "{} created, {} changed, {} removed",
        count(ChangeKind::Created),
        count(ChangeKind::Changed),
        count(ChangeKind::Removed)
    );
    match whole.more.get("dry_run").is_some_and(|it| it == true) {
        true => format!("would change revision {revision}: {counts}"),
        false => format!("{done} by revision {revision}: {counts}"),
    }
}

fn lines(element: &ElementChange) -> Vec<String> {
    let sign = match element.change {
        ChangeKind::Created => '+',
        ChangeKind::Changed => '~',
        ChangeKind::Removed => '-',
    };
    let mut lines = vec![format!("{sign} {} {}", element.collection, element.key)];
    if element.change == ChangeKind::Changed {
        lines.extend(element.diff.iter().map(field));
    }
    lines
}

fn field(field: &FieldDiff) -> String {
    let FieldDiff {
        path,
        before,
        after,
    } = field;
    format!("    {path}: {before} -> {after}")
}
