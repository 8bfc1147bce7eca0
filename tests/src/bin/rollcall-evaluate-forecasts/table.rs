//! Reads the CSV files of the recorded histories by the names of their columns.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A CSV file, gzip or not, read row by row.
pub struct Table {
    reader: csv::Reader<Box<dyn Read>>,
    header: csv::StringRecord,
}

/// The columns that a caller asked for, in its order.
pub struct Columns(Vec<usize>);

impl Table {
    /// Opens `path` and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let packed = path.extension().is_some_and(|ending| ending == "gz");
        let raw: Box<dyn Read> = if packed {
            Box::new(flate2::read::MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let mut reader = csv::Reader::from_reader(raw);
        let header = reader.headers()?.clone();
        Ok(Self { reader, header })
    }

    /// Where the columns of these names are.
    pub fn columns(&self, names: &[&str]) -> Result<Columns> {
        let at = |name: &&str| self.header.iter().position(|column| column == *name);
        let found: Vec<usize> = names.iter().filter_map(at).collect();
        ensure!(
            found.len() == names.len(),
            "the file lacks one of the columns {names:?}"
        );
        Ok(Columns(found))
    }

    /// Every row.
    pub fn rows(mut self) -> impl Iterator<Item = Result<csv::StringRecord>> {
        let mut row = csv::StringRecord::new();
        std::iter::from_fn(move || match self.reader.read_record(&mut row) {
            Ok(true) => Some(Ok(row.clone())),
            Ok(false) => None,
            Err(error) => Some(Err(error.into())),
        })
    }
}

impl Columns {
    /// The text of the column asked for as number `which`.
    pub fn text<'a>(&self, row: &'a csv::StringRecord, which: usize) -> &'a str {
        row.get(self.0[which]).unwrap_or_default()
    }

    /// Its number; `None` where it is empty or none.
    pub fn number(&self, row: &csv::StringRecord, which: usize) -> Option<f64> {
        self.text(row, which).parse().ok()
    }
}
