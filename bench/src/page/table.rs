//! A case as a table: a row for each contestant, a column for each figure that anyone has.

use crate::results::{CaseResult, Figure, Measured};

/// A figure's column.
struct Column {
    figure: Figure,
    heading: &'static str,
    decimals: usize,
    /// Whether the ratio stands beside it.
    with_ratio: bool,
}

const COLUMNS: [Column; 12] = [
    column(Figure::CpuUs, "CPU us/request", 2, true),
    column(Figure::UserShare, "user share", 2, false),
    column(Figure::RequestsPerSecond, "requests/s", 0, true),
    column(Figure::Rate, "asked for/s", 0, false),
    column(Figure::Changes, "changes/s", 1, false),
    column(Figure::ResumedShare, "resumed share", 2, false),
    column(Figure::P50Us, "p50 us", 0, false),
    column(Figure::P99Us, "p99 us", 0, true),
    column(Figure::P999Us, "p99.9 us", 0, false),
    column(Figure::MaxUs, "max us", 0, false),
    column(Figure::KibPerConnection, "KiB/connection", 2, true),
    column(Figure::PeakMib, "peak MiB", 1, true),
];

const fn column(
    figure: Figure,
    heading: &'static str,
    decimals: usize,
    with_ratio: bool,
) -> Column {
    Column {
        figure,
        heading,
        decimals,
        with_ratio,
    }
}

pub(super) fn render(case: &CaseResult) -> String {
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|column| has_figures(case, column.figure))
        .collect();
    let heading = |column: &&Column| match column.with_ratio {
        true => format!(" {} | ratio |", column.heading),
        false => format!(" {} |", column.heading),
    };
    let line = |column: &&Column| {
        if column.with_ratio {
            "---:|---:|"
        } else {
            "---:|"
        }
    };
    let mut text = String::from("| |");
    text.extend(columns.iter().map(heading));
    text += "\n|---|";
    text.extend(columns.iter().map(line));
    text += "\n";
    let is_measured = |measured: &&Measured| measured.rounds.iter().any(Option::is_some);
    for measured in case.contestants.iter().filter(is_measured) {
        text += &format!("| {} |", measured.name);
        text.extend(columns.iter().map(|column| cells(case, measured, column)));
        text += "\n";
    }
    text
}

fn has_figures(case: &CaseResult, figure: Figure) -> bool {
    case.contestants
        .iter()
        .any(|measured| measured.median(figure).is_some())
}

fn cells(case: &CaseResult, measured: &Measured, column: &Column) -> String {
    let figure = measured.median(column.figure);
    let figure = figure.map_or(String::new(), |figure| {
        format!("{figure:.*}", column.decimals)
    });
    if !column.with_ratio {
        return format!(" {figure} |");
    }
    let ratio = case.ratio(measured, column.figure);
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    format!(" {figure} | {ratio} |")
}
