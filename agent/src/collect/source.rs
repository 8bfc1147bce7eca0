//! Reading raw sources: bounded, and with a reason in words where it fails.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};

/// Bytes read of any one file: the largest that matters, `/proc/cpuinfo` of a machine with 256
/// processors, has about 400 KiB.
pub const FILE_BYTES: u64 = 1024 * 1024;

/// Entries read of any one folder: `/sys/class/net` of a host of containers has a few hundred.
const FOLDER_ENTRIES: usize = 4096;

/// What was read, or why it could not be.
pub type Sourced<T> = Result<T, String>;

/// The first [`FILE_BYTES`] of a file as text, without space at either end.
///
/// # Errors
/// Which file could not be read and why, in words.
pub fn text(path: &Path) -> Sourced<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| why(path, &error))?;
    Ok(clean(&bytes))
}

/// The last [`FILE_BYTES`] of a file that only grows, such as a log.
///
/// # Errors
/// Which file could not be read and why, in words.
pub fn tail(path: &Path) -> Sourced<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(FILE_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| why(path, &error))
}

/// A file that holds one number.
///
/// # Errors
/// Why there is no number.
pub fn number(path: &Path) -> Sourced<f64> {
    parse_number(&text(path)?).ok_or_else(|| format!("{} holds no number", path.display()))
}

/// The names in a folder, sorted; empty where the folder cannot be read.
pub fn names(folder: &Path) -> Vec<String> {
    try_names(folder).unwrap_or_default()
}

/// The names in a folder, sorted.
///
/// # Errors
/// Which folder could not be read and why, in words.
pub fn try_names(folder: &Path) -> Sourced<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| why(folder, &error))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .take(FOLDER_ENTRIES)
        .collect();
    names.sort();
    Ok(names)
}

/// A finite number, or `None`.
#[must_use]
pub fn parse_number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// A reading of a number, or of why there is none.
#[must_use]
pub fn number_or_why(metric: &'static Metric, instance: &str, number: Sourced<f64>) -> Reading {
    value_or_why(metric, instance, number.map(Value::Number))
}

/// A reading of a text, or of why there is none; an empty text is none.
#[must_use]
pub fn text_or_why(metric: &'static Metric, instance: &str, text: Sourced<String>) -> Reading {
    let text = text.and_then(|text| {
        if text.is_empty() {
            Err("the system leaves it empty".to_owned())
        } else {
            Ok(text)
        }
    });
    value_or_why(metric, instance, text.map(Value::Text))
}

/// A reading of a flag, or of why there is none.
#[must_use]
pub fn flag_or_why(metric: &'static Metric, instance: &str, flag: Sourced<bool>) -> Reading {
    value_or_why(metric, instance, flag.map(Value::Flag))
}

fn value_or_why(metric: &'static Metric, instance: &str, value: Sourced<Value>) -> Reading {
    match value {
        Ok(value) => Reading::measured(metric, instance, value),
        Err(why) => Reading::unavailable(metric, instance, &why),
    }
}

fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .to_owned()
}

fn why(path: &Path, error: &io::Error) -> String {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by the agent".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    format!("{} {problem}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_its_absence_has_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        fs::write(&path, vec![b'7'; usize::try_from(FILE_BYTES).unwrap() + 10]).unwrap();
        assert_eq!(text(&path).unwrap().len() as u64, FILE_BYTES);
        assert_eq!(tail(&path).unwrap().len() as u64, FILE_BYTES);
        let absent = text(&folder.path().join("absent")).unwrap_err();
        assert!(absent.ends_with("absent is not there"), "{absent}");
    }

    #[test]
    fn a_number_is_finite() {
        assert_eq!(parse_number(" 42\n"), Some(42.0));
        assert_eq!(
            (parse_number("inf"), parse_number("NaN"), parse_number("")),
            (None, None, None)
        );
    }
}
