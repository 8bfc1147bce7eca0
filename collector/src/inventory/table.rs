//! A CSV file by the names of its columns, whatever their case and order.

use std::collections::BTreeSet;

/// Bytes of a row: twenty columns of the longest words, with room for what is not read.
const ROW_BYTES: usize = 8 * 1024;

/// Columns of a file; those of `OneRoster` have up to 40 with what districts add.
const COLUMNS: usize = 200;

/// A file whose columns are known.
pub struct Table<'a> {
    columns: Vec<String>,
    rows: csv::StringRecordsIntoIter<&'a [u8]>,
    read: BTreeSet<&'static str>,
}

/// A row with its line.
pub struct Row<'a> {
    columns: &'a [String],
    record: csv::StringRecord,
    /// Its line in the file, from 1.
    pub line: u64,
}

impl<'a> Table<'a> {
    /// Reads the line with the columns' names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(text: &'a str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| error.to_string())?;
        if header.len() > COLUMNS {
            return Err(format!("{} columns are more than {COLUMNS}", header.len()));
        }
        let columns: Vec<String> = header.iter().map(plain).collect();
        let mut seen = BTreeSet::new();
        let twice = columns.iter().find(|c| !c.is_empty() && !seen.insert(*c));
        if let Some(twice) = twice {
            return Err(format!("the column `{twice}` is there twice"));
        }
        Ok(Self {
            columns,
            rows: reader.into_records(),
            read: BTreeSet::new(),
        })
    }

    /// Whether a column is there; `name` and its other names count as read from then on.
    pub fn has(&mut self, names: &[&'static str]) -> bool {
        self.read.extend(names);
        let known = |name: &&str| self.columns.iter().any(|column| column == *name);
        names.iter().any(known)
    }

    /// The columns that nobody asked for.
    pub fn left_out(&self) -> Vec<String> {
        let unread = |column: &&String| !column.is_empty() && !self.read.contains(column.as_str());
        let shown = |column: &String| column.chars().take(64).collect();
        self.columns.iter().filter(unread).map(shown).collect()
    }

    /// The next row, or what is wrong with it and on which line; `None` after the last.
    pub fn next_row(&mut self) -> Option<Result<Row<'_>, (u64, String)>> {
        let record = loop {
            match self.rows.next()? {
                Ok(record) if record.iter().all(str::is_empty) => {}
                other => break other,
            }
        };
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                return Some(Err((line, "is not UTF-8 text".to_owned())));
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        if record.as_slice().len() > ROW_BYTES {
            let problem = format!("the row has more than {ROW_BYTES} bytes");
            return Some(Err((line, problem)));
        }
        Some(Ok(Row {
            columns: &self.columns,
            record,
            line,
        }))
    }
}

impl Row<'_> {
    /// What stands in a column, by any of its names: `None` where there is no such column, and an empty
    /// text where nothing stands in it.
    pub fn get(&self, names: &[&str]) -> Option<&str> {
        let at = self
            .columns
            .iter()
            .position(|c| names.contains(&c.as_str()))?;
        Some(self.record.get(at).unwrap_or_default())
    }

    /// What stands in a column that must be filled.
    ///
    /// # Errors
    /// The column's first name, where nothing stands in it.
    pub fn required(&self, names: &[&str]) -> Result<&str, String> {
        let found = self.get(names).filter(|text| !text.is_empty());
        found.ok_or_else(|| format!("{}: is missing", names.first().unwrap_or(&"")))
    }
}

/// A column's name without case, spaces and marks: `Asset Tag`, `asset-tag` and `assettag` are one.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_any_of_their_names_and_others_are_told() {
        let text = "\u{feff}Asset Tag, Serial-Number,Family Name\n A1 , s1,Doe\n\n,,\nA2\n";
        let mut table = Table::open(text).unwrap();
        assert!(table.has(&["assettag", "tag"]) && !table.has(&["grade"]));
        assert!(table.has(&["serial", "serialnumber"]));
        assert_eq!(table.left_out(), ["familyname"]);
        let row = table.next_row().unwrap().ok().unwrap();
        assert_eq!((row.line, row.get(&["assettag"])), (2, Some("A1")));
        assert_eq!(row.get(&["grade"]), None);
        let row = table.next_row().unwrap().ok().unwrap();
        assert_eq!((row.line, row.get(&["serialnumber"])), (5, Some("")));
        assert_eq!(
            row.required(&["serialnumber"]).unwrap_err(),
            "serialnumber: is missing"
        );
        assert!(table.next_row().is_none());
        assert!(Table::open("a,A\n").is_err());
    }
}
