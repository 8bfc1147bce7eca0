//! What a device has reported since it was sealed last: frames in memory, as they are in the log.

use std::collections::HashMap;

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::block::{Column, Unpacked, Wanted};
use super::codec::{Decoder, Problem};
use super::frame::Chain;
use crate::device::SeriesKey;

/// Frames that follow each other in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// (length[4] frame)*
    bytes: Vec<u8>,
    /// The log entry of the first frame.
    pub first: u64,
    /// The log entry of the last frame.
    pub through: u64,
}

/// The frames of a device that are not sealed, and the chain that they form.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// What a seal is copying.
    frozen: Option<Box<Segment>>,
    live: Segment,
    /// `None` while the next frame begins a chain.
    pub chain: Option<Box<Chain>>,
}

impl Segment {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn push(&mut self, frame: &[u8], entry: u64) {
        if self.is_empty() {
            self.first = entry;
            // Most laptops send a message of a hundred bytes every five minutes; doubling wastes half.
            self.bytes.reserve_exact(frame.len() + 4);
        } else if self.bytes.capacity() - self.bytes.len() < frame.len() + 4 {
            self.bytes
                .reserve_exact((self.bytes.len() / 4).max(frame.len() + 4));
        }
        self.through = entry;
        let length = u32::try_from(frame.len()).expect("a message is bounded far below 4 GB");
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(frame);
    }

    /// The points of each series, in the order of their time.
    pub fn columns(&self) -> Result<Vec<Column>, Problem> {
        self.unpack(&|_, _| true).map(|unpacked| unpacked.columns)
    }

    /// The times of all reports, and the points of the series that are wanted, in the order of their time.
    pub fn unpack(&self, wanted: Wanted<'_>) -> Result<Unpacked, Problem> {
        let (mut columns, mut times) = (Columns::default(), Vec::new());
        let mut add = |at: UnixMs, key: &SeriesKey, value: &Value| {
            if wanted(key.metric, &key.instance) {
                columns.add(at, key, value);
            }
        };
        let (mut form, mut chain) = (Decoder(&self.bytes), Chain::default());
        while !form.is_empty() {
            let (_, steps) = chain.decode(&mut Decoder(form.bytes()?), &mut add)?;
            times.extend(steps.iter().map(|step| step.at));
        }
        times.sort_unstable();
        times.dedup();
        let columns = columns.finish();
        Ok(Unpacked { times, columns })
    }
}

/// Columns as they come, a report after the other.
#[derive(Debug, Default)]
struct Columns {
    columns: Vec<Column>,
    places: HashMap<SeriesKey, usize>,
    /// Where the next reading belongs, if it comes in the order of the report before.
    next: usize,
}

impl Columns {
    fn add(&mut self, at: UnixMs, key: &SeriesKey, value: &Value) {
        let is_next = self.columns.get(self.next);
        let place = match is_next.is_some_and(|column| column.key == *key) {
            true => self.next,
            false => self.place_of(key),
        };
        self.columns[place].points.push((at, value.clone()));
        self.next = (place + 1) % self.columns.len();
    }

    fn place_of(&mut self, key: &SeriesKey) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = self.columns.len();
        self.places.insert(key.clone(), place);
        self.columns.push(Column {
            key: key.clone(),
            points: Vec::new(),
        });
        place
    }

    /// By key, each with its points in the order of their time.
    fn finish(self) -> Vec<Column> {
        let mut columns = self.columns;
        for column in &mut columns {
            column.points.sort_by_key(|(at, _)| *at);
        }
        columns.sort_by(|a, b| a.key.cmp(&b.key));
        columns
    }
}

impl Tail {
    pub fn push(&mut self, frame: &[u8], entry: u64) {
        self.live.push(frame, entry);
    }

    /// What was not frozen.
    pub const fn live(&self) -> &Segment {
        &self.live
    }

    /// What a seal is copying.
    pub fn frozen(&self) -> Option<&Segment> {
        self.frozen.as_deref()
    }

    /// Both, the older first.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.frozen.as_deref().into_iter().chain([&self.live])
    }

    pub fn is_empty(&self) -> bool {
        self.segments().all(Segment::is_empty)
    }

    /// The oldest log entry that is needed.
    pub fn first(&self) -> Option<u64> {
        self.segments()
            .find(|segment| !segment.is_empty())
            .map(|segment| segment.first)
    }

    /// Sets what there is aside for a seal; the next frame begins a chain. Nothing is to be frozen yet.
    pub fn freeze(&mut self) {
        if self.frozen.is_none() && !self.live.is_empty() {
            self.frozen = Some(Box::new(std::mem::take(&mut self.live)));
            self.chain = None;
        }
    }

    /// Forgets what is sealed now.
    pub fn forget_frozen(&mut self) {
        self.frozen = None;
    }
}
