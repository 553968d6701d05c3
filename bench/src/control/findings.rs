//! What a measurement found, and the page that says it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::machine::Machine;
use crate::stats::Spread;

/// All that one measurement found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Findings {
    /// What its files are called, and the script in `bench/`.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) introduction: String,
    pub(super) machine: Machine,
    /// With what it was run: names and values.
    pub(super) setting: Vec<(String, String)>,
    pub(super) sections: Vec<Section>,
}

/// Figures that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) figures: Vec<Figure>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: String,
    /// What it was to be at most, if that was said.
    pub(super) at_most: Option<f64>,
}

impl Figure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            value,
            unit: unit.into(),
            at_most: None,
        }
    }

    pub(super) fn at_most(mut self, most: f64) -> Self {
        self.at_most = Some(most);
        self
    }

    fn row(&self) -> String {
        let Self {
            what, value, unit, ..
        } = self;
        let (most, verdict) = match self.at_most {
            Some(most) if *value <= most => (format!("{} {unit}", number(most)), "met"),
            Some(most) => (format!("{} {unit}", number(most)), "**missed**"),
            None => (String::new(), ""),
        };
        format!(
            "| {what} | {} {unit} | {most} | {verdict} |\n",
            number(*value)
        )
    }
}

impl Section {
    pub(super) fn new(title: &str, note: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            note: note.into(),
            figures: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        eprintln!(
            "  {:<70} {} {}",
            figure.what,
            number(figure.value),
            figure.unit
        );
        self.figures.push(figure);
    }

    /// The middle, the 99th of a hundred and the largest of values in milliseconds, with what the first two were to be at most.
    pub(super) fn add_spread(
        &mut self,
        what: &str,
        values_ms: &[f64],
        most: [Option<f64>; 2],
    ) -> Result<(), Error> {
        let nothing = || Error::Unfit(format!("nothing was measured of {what}"));
        let spread = Spread::of(values_ms).ok_or_else(nothing)?;
        let [p50_most, p99_most] = most;
        for (name, value, most) in [
            ("p50", spread.p50, p50_most),
            ("p99", spread.p99, p99_most),
            ("at most", spread.max, None),
        ] {
            let figure = Figure::new(format!("{what}, {name}"), value, "ms");
            self.add(Figure {
                at_most: most,
                ..figure
            });
        }
        Ok(())
    }
}

impl Findings {
    /// Writes the page and the JSON into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder)?;
        let json = serde_json::to_string_pretty(self)?;
        fs::write(folder.join(format!("{}.json", self.name)), json + "\n")?;
        fs::write(folder.join(format!("{}.md", self.name)), self.page())?;
        Ok(())
    }

    fn page(&self) -> String {
        let Self {
            name,
            title,
            introduction,
            ..
        } = self;
        let mut page = format!(
            "# {title}\n\n{introduction}\n\nThis page is written by the tool; to repeat it:\n\n    bench/{name}\n"
        );
        let setting: Vec<_> = self
            .setting
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let network = [("network", self.machine.network.clone())];
        page += &self.machine.table(&[&network[..], &setting].concat());
        for section in &self.sections {
            let _ = write!(page, "\n## {}\n\n", section.title);
            if !section.note.is_empty() {
                let _ = write!(page, "{}\n\n", section.note);
            }
            page += "| figure | seen | to be at most | |\n|---|---:|---:|---|\n";
            page.extend(section.figures.iter().map(Figure::row));
        }
        page
    }
}

/// With as many decimals as three digits need.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let whole = value.fract() == 0.0;
    format!("{value:.*}", if whole { 0 } else { decimals })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(figures: Vec<Figure>) -> Findings {
        let mut section = Section::new("A part", "A note.");
        section.figures = figures;
        Findings {
            name: "some".into(),
            title: "Something".into(),
            introduction: "It says why.".into(),
            machine: Machine::default(),
            setting: vec![("servers".into(), "10".into())],
            sections: vec![section],
        }
    }

    #[test]
    fn the_page_says_what_was_to_be_and_whether_it_is() {
        let page = findings(vec![
            Figure::new("a", 1.234, "ms").at_most(2.0),
            Figure::new("b", 12.5, "ms").at_most(10.0),
            Figure::new("c", 1234.5, "bytes"),
        ])
        .page();
        for row in [
            "# Something\n",
            "    bench/some\n",
            "| servers | 10 |",
            "## A part\n\nA note.\n",
            "| a | 1.23 ms | 2 ms | met |",
            "| b | 12.5 ms | 10 ms | **missed** |",
            "| c | 1234 bytes |  |  |",
        ] {
            assert!(page.contains(row), "{row}: {page}");
        }
    }

    #[test]
    fn both_files_are_written_and_the_json_holds_all_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let findings = findings(vec![Figure::new("a", 0.25, "ms").at_most(2.0)]);
        findings.write(folder.path()).expect("it can be written");
        let json = fs::read_to_string(folder.path().join("some.json")).expect("the figures");
        let read: Findings = serde_json::from_str(&json).expect("as they were");
        assert_eq!(read, findings);
        assert!(folder.path().join("some.md").exists());
    }

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        let all = [0.0, 0.012_34, 0.256, 2.0, 2.345, 23.45, 234.5, 2345.6];
        let shown = all.map(number);
        let expected = ["0", "0.012", "0.26", "2", "2.35", "23.4", "234", "2346"];
        assert_eq!(shown, expected);
    }
}
