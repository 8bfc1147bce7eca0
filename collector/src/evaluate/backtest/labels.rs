//! What really happened: `device,event,time`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rollcall_shared::time::UnixMs;

use super::{columns, open_csv, parse_time};

/// Labels of one file.
const LABELS: usize = 10_000_000;

/// Something that happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What, in the file's word.
    pub event: String,
    /// When.
    pub at: UnixMs,
}

/// What happened, by device.
#[derive(Debug, Default)]
pub struct Labels {
    of: HashMap<String, Vec<Label>>,
}

impl Labels {
    /// Reads `path`.
    ///
    /// # Errors
    /// When it cannot be read, a column is missing, or a field is empty or wrong; the error names the
    /// line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let mut csv = open_csv(path)?;
        let header = csv
            .headers()
            .with_context(|| path.display().to_string())?
            .clone();
        let at = columns(path, &header, ["device", "event", "time"])?;
        let mut labels = Self::default();
        let mut count = 0;
        for record in csv.records() {
            let record = record.with_context(|| path.display().to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let [device, event, time] =
                at.map(|column| record.get(column).unwrap_or_default().trim());
            let Some(time) = parse_time(time) else {
                bail!(
                    "{}: line {line}: time `{time}` is not RFC 3339, such as 2026-08-24T07:45:00Z",
                    path.display()
                );
            };
            ensure!(
                !device.is_empty() && !event.is_empty(),
                "{}: line {line}: device and event must not be empty",
                path.display()
            );
            count += 1;
            ensure!(
                count <= LABELS,
                "{}: more than {LABELS} labels",
                path.display()
            );
            labels.of.entry(device.to_owned()).or_default().push(Label {
                event: event.to_owned(),
                at: time,
            });
        }
        Ok(labels)
    }

    /// The first event of `device` that `rule` is there to foresee.
    #[must_use]
    pub fn first(&self, device: &str, rule: &str) -> Option<UnixMs> {
        let of_rule = |label: &&Label| concerns(&label.event, rule);
        let labels = self.of.get(device)?;
        labels.iter().filter(of_rule).map(|label| label.at).min()
    }

    /// Every labelled device.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }

    /// Whether any label is one that `rule` is there to foresee.
    #[must_use]
    pub fn any_for(&self, rule: &str) -> bool {
        self.of
            .values()
            .flatten()
            .any(|label| concerns(&label.event, rule))
    }
}

/// The three forecasts and words of their events; a rule's own name is a word for it too.
const WORDS: [(&str, &[&str]); 3] = [
    ("disk-filling", &["full", "filling", "filled", "space"]),
    (
        "battery-worn",
        &["battery", "worn", "replaced", "replacement"],
    ),
    (
        "drive-failing",
        &[
            "drive", "fail", "fails", "failed", "failing", "failure", "died",
        ],
    ),
];

/// Whether an event is what a rule foresees. A word that belongs to no rule is the event of every
/// forecast: a file about drives alone may call it what it likes.
fn concerns(event: &str, rule: &str) -> bool {
    let event = event.to_ascii_lowercase();
    if event == rule {
        return true;
    }
    let words: Vec<&str> = event.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let meant = WORDS
        .iter()
        .find(|(_, known)| words.iter().any(|word| known.contains(word)));
    match meant {
        Some((meant, _)) => *meant == rule,
        None => WORDS.iter().any(|(forecast, _)| *forecast == rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_belongs_to_the_rule_that_foresees_it() {
        for (event, rule) in [
            ("failed", "drive-failing"),
            ("drive_failure", "drive-failing"),
            ("drive-failing", "drive-failing"),
            ("battery-worn", "battery-worn"),
            ("battery failed", "battery-worn"),
            ("disk-full", "disk-filling"),
            ("full", "disk-filling"),
        ] {
            for (other, _) in WORDS {
                assert_eq!(concerns(event, other), other == rule, "{event} {other}");
            }
        }
        assert!(concerns("event", "drive-failing") && !concerns("event", "clock-wrong"));
        assert!(concerns("clock-wrong", "clock-wrong"));
    }
}
