//! The head of a piece: numbers of some kinds, each kind with models of its own.

use super::coder::{Reader, Whole, Writer, fold, unfold};

/// What a number of the head says. Numbers of one kind resemble each other.
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(super) enum Field {
    /// How many there are of something.
    Count,
    /// Bytes of a text.
    TextBytes,
    /// Which kind of value an entry of the table of values is.
    Entry,
    /// How much later in the catalogue a series' metric is than the one before.
    Metric,
    /// The text that is a series' instance.
    Instance,
    /// The set of slots that a series has, as the difference to the series before.
    Set,
    /// How many slots a set has.
    SetSize,
    /// What a column holds, and in which form.
    Form,
    /// How many entries of the table of values a column uses.
    Classes,
    /// Which ones.
    Class,
    /// The text that a value has.
    Name,
    /// The first number of a column.
    First,
    /// What all differences in a column are multiples of.
    Grain,
    /// How the next number is foretold.
    Foretelling,
    /// What numbers lie around, or how far they are apart as a rule.
    Centre,
    /// The most bits of a difference.
    Bits,
    /// Bytes of a column.
    Bytes,
}

const FIELDS: usize = Field::Bytes as usize + 1;

fn models() -> Vec<Whole> {
    vec![Whole::new(64); FIELDS]
}

/// Writes a head.
#[derive(Debug)]
pub(super) struct HeadWriter {
    writer: Writer,
    models: Vec<Whole>,
}

impl HeadWriter {
    pub fn new() -> Self {
        Self {
            writer: Writer::default(),
            models: models(),
        }
    }

    pub fn put(&mut self, field: Field, number: u64) {
        self.writer.whole(&mut self.models[field as usize], number);
    }

    pub fn put_signed(&mut self, field: Field, number: i64) {
        self.put(field, fold(number));
    }

    pub fn put_size(&mut self, field: Field, size: usize) {
        self.put(field, size as u64);
    }

    pub fn finish(self) -> Vec<u8> {
        self.writer.finish()
    }
}

/// Reads a head.
#[derive(Debug)]
pub(super) struct HeadReader<'a> {
    reader: Reader<'a>,
    models: Vec<Whole>,
}

impl<'a> HeadReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            models: models(),
        }
    }

    pub fn get(&mut self, field: Field) -> u64 {
        self.reader.whole(&mut self.models[field as usize])
    }

    pub fn get_signed(&mut self, field: Field) -> i64 {
        unfold(self.get(field))
    }

    /// A count of something, at most `most`.
    pub fn get_size(&mut self, field: Field, most: usize) -> Result<usize, String> {
        let size = self.get(field);
        let fits = usize::try_from(size).ok().filter(|size| *size <= most);
        fits.ok_or_else(|| format!("{field:?} {size} is more than {most}"))
    }
}
