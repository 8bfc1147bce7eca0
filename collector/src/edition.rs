//! An Edition: one version of the rules, as it was written, so that any of them can be read and put back.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

/// Editions that are kept: a year of a change a week.
pub const EDITIONS: usize = 50;

/// Bytes of all texts together: 50 editions of a school's own rules of 80 KB.
pub const EDITION_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a note.
pub const NOTE_BYTES: usize = 320;

/// One version of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// Its number; the first is 1, and no number is given twice.
    pub number: u32,
    /// When it came into force.
    pub at: UnixMs,
    /// Who put it in force.
    pub by: String,
    /// Why, in words; may be empty.
    pub note: String,
    /// Where it came from.
    pub origin: Origin,
    /// The whole file.
    pub text: String,
}

/// Where an edition came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The file that the configuration names was changed.
    File,
    /// Somebody wrote it through the collector.
    Api,
}

impl Origin {
    /// The origin in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

/// What holds at a start, when a file and editions are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// The rules that the collector brings.
    Default,
    /// The file, as a new edition.
    File,
    /// The edition with this number.
    Edition(u32),
}

/// The last change counts: a file that reads otherwise than when it was adopted last was changed since.
#[must_use]
pub fn holds(file: Option<&str>, editions: &BTreeMap<u32, Arc<Edition>>) -> Holds {
    let Some(last) = editions.values().next_back() else {
        return file.map_or(Holds::Default, |_| Holds::File);
    };
    let of_file = |edition: &&Arc<Edition>| edition.origin == Origin::File;
    let last_file = editions.values().rev().find(of_file);
    match file {
        Some(text) if last_file.is_none_or(|edition| edition.text != text) => Holds::File,
        None if last.origin == Origin::File => Holds::Default,
        _ => Holds::Edition(last.number),
    }
}

/// The editions that are too many once another one of `bytes` comes: the oldest, but never the newest one
/// of the file, by which it is known whether the file has changed.
#[must_use]
pub fn surplus(editions: &BTreeMap<u32, Arc<Edition>>, bytes: usize) -> Vec<u32> {
    let of_file = |edition: &&Arc<Edition>| edition.origin == Origin::File;
    let last_file = editions.values().rev().find(of_file).map(|e| e.number);
    let mut count = editions.len() + 1;
    let mut total = bytes + editions.values().map(|e| e.text.len()).sum::<usize>();
    let mut gone = Vec::new();
    for edition in editions.values() {
        if count <= EDITIONS && total <= EDITION_BYTES {
            break;
        }
        if Some(edition.number) == last_file {
            continue;
        }
        count -= 1;
        total -= edition.text.len();
        gone.push(edition.number);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(number: u32, origin: Origin, text: &str) -> (u32, Arc<Edition>) {
        let edition = Edition {
            number,
            at: UnixMs(i64::from(number)),
            by: "admin".to_owned(),
            note: String::new(),
            origin,
            text: text.to_owned(),
        };
        (number, Arc::new(edition))
    }

    #[test]
    fn the_last_change_counts_whether_it_was_made_to_the_file_or_through_the_collector() {
        let none = BTreeMap::new();
        assert_eq!(holds(None, &none), Holds::Default);
        assert_eq!(holds(Some("a"), &none), Holds::File);
        let file = BTreeMap::from([edition(1, Origin::File, "a")]);
        assert_eq!(holds(Some("a"), &file), Holds::Edition(1));
        assert_eq!(holds(Some("b"), &file), Holds::File);
        assert_eq!(
            holds(None, &file),
            Holds::Default,
            "the file was taken away"
        );
        let both = BTreeMap::from([edition(1, Origin::File, "a"), edition(2, Origin::Api, "b")]);
        assert_eq!(holds(Some("a"), &both), Holds::Edition(2));
        assert_eq!(holds(Some("c"), &both), Holds::File);
        assert_eq!(holds(None, &both), Holds::Edition(2));
        let api = BTreeMap::from([edition(7, Origin::Api, "b")]);
        assert_eq!(holds(Some("a"), &api), Holds::File);
        assert_eq!(holds(None, &api), Holds::Edition(7));
    }

    #[test]
    fn editions_are_bounded_in_number_and_in_bytes_and_the_file_s_last_stays() {
        let mut many = BTreeMap::from([edition(1, Origin::File, "a")]);
        many.extend((2..=50).map(|number| edition(number, Origin::Api, "b")));
        assert_eq!(surplus(&many, 1), [2]);
        let large = "x".repeat(EDITION_BYTES / 2);
        let few = BTreeMap::from([
            edition(1, Origin::Api, &large),
            edition(2, Origin::Api, &large),
        ]);
        assert_eq!(surplus(&few, 1), [1]);
        assert!(surplus(&BTreeMap::new(), 9).is_empty());
    }
}
