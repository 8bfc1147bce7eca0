//! Blocks: the points of one device over a span of time, by column, in pieces that fit a value.
//!
//! A piece stands for itself: it names its series and its times. Series share times, since a report
//! carries what changed and a full report everything. Inside are
//!
//! ```text
//! piece  := version[1] size(head) size(slots) size(texts) head slots texts column*
//! size   := unsigned number, seven bits a byte, the lowest first; of `texts` it is doubled, and odd
//!           where they are packed by zstd with the dictionary `words.txt` and without its magic
//! head   := what is to be known before the rest is read: see `piece`
//! slots  := times, then sets of slots: see `slots`
//! column := differences to what the numbers before foretell, and which points are no numbers: see
//!           `values`, `integers`, `numbers`
//! ```
//! All but `texts` are streams of the arithmetic coder in `coder`: a piece of an hour has some 60
//! points a series, too few for tables of any kind to pay, and models that learn on the way need none.
//! A series that is not wanted is skipped by its size.
//!
//! Bytes a sample, 40 bytes a piece for its key included, as `rollcall-bench-blocks` in `tests/` measured
//! it (60 simulated laptops on a day at school; recorded series of drives, batteries and hosts). The
//! other forms pack numbers only, and no names:
//!
//! | | this | zstd-3 of varints | zstd-12 of varints | pco | schema 1 | ideal |
//! |---|---|---|---|---|---|---|
//! | 36 numbers a minute, an hour | 0.426 | 0.484 | 0.474 | 1.174 | 3.511 | 0.321 |
//! | all numbers, a day | 0.309 | 0.342 | 0.336 | 0.486 | 2.237 | 0.306 |
//! | changes, texts and names as sent, an hour | 2.457 | 2.231 | 2.076 | 15.26 | 22.19 | 0.841 |
//! | the same, a day | 1.278 | 1.426 | 1.301 | 5.883 | 9.249 | 0.698 |
//! | drives, 40 days of five numbers | 0.978 | 1.025 | 1.004 | 2.041 | 2.794 | 0.398 |
//! | batteries, two numbers a week | 1.725 | 2.042 | 2.004 | 3.087 | 3.811 | 0.752 |
//! | hosts, one number in five minutes, a week | 2.108 | 3.578 | 3.441 | 3.915 | 4.626 | 1.985 |
//! | the same, 4,000 numbers | 1.623 | 2.732 | 2.574 | 2.997 | 4.090 | 1.491 |
//!
//! The last column is no form: it is what a coder that learns a series' numbers one by one would come to if
//! heads, names, times and keys cost nothing. It costs 50 to 90 ns a sample to pack and 49 to 85 to unpack, where
//! all numbers are sent, and up to 370 and 260 in the hours of an agent that sends what changed; zstd-3 of
//! varints takes half and less.

mod coder;
mod head;
mod integers;
mod numbers;
mod piece;
mod single;
mod slots;
#[cfg(test)]
mod tests;
mod texts;
mod values;

use std::borrow::Cow;

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::keys::VALUE_BYTES;
use crate::device::SeriesKey;
pub(super) use single::decode as decode_v1;
#[cfg(test)]
pub(super) use single::encode as encode_v1;

/// What is wrong with bytes that were read.
pub type Problem = String;

/// A value at a time.
pub type Point = (UnixMs, Value);

/// The points of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Which series of the device.
    pub key: SeriesKey,
    /// Its points.
    pub points: Vec<Point>,
}

/// Which series are wanted, by the code of their metric and their instance. The others are skipped.
pub type Wanted<'a> = &'a dyn Fn(u16, &str) -> bool;

/// What a piece holds of the series that are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unpacked {
    /// The times at which anything was read, of all series of the piece, ascending.
    pub times: Vec<UnixMs>,
    /// The series that are wanted, by key.
    pub columns: Vec<Column>,
}

/// A part of a column that goes into one piece.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    key: &'a SeriesKey,
    points: &'a [Point],
}

/// The most memory that the points of one piece may take: a day of the largest reports that change
/// throughout has half of it. What no laptop sends, no damaged piece can ask for either.
const POINTS_BYTES: usize = 64 * 1024 * 1024;

/// The most series of a piece: two of the largest reports.
const COLUMNS: usize = 4096;

/// A piece is planned this much below [`VALUE_BYTES`], since parts of a span differ.
const FILL: usize = VALUE_BYTES - VALUE_BYTES / 16;

/// Packs the points of one device into pieces of at most [`VALUE_BYTES`], each with a span of time of
/// its own where that is possible. Points come back ordered by time, series by key.
#[must_use]
pub fn encode(columns: &[Column]) -> Vec<Vec<u8>> {
    let sorted: Vec<Cow<'_, Column>> = columns.iter().map(in_order_of_time).collect();
    let mut views: Vec<View<'_>> = sorted.iter().map(|column| column.view()).collect();
    views.retain(|view| !view.points.is_empty());
    views.sort_by_key(|view| view.key);
    let mut pieces = Vec::new();
    put(&mut pieces, &views);
    pieces
}

/// Unpacks a piece: all series, or only the wanted one.
///
/// # Errors
/// [`Problem`] says what is wrong with the piece.
pub fn decode(piece: &[u8], wanted: Option<&SeriesKey>) -> Result<Vec<Column>, Problem> {
    let is_wanted = |metric: u16, instance: &str| {
        wanted.is_none_or(|key| key.metric == metric && key.instance == instance)
    };
    unpack(piece, &is_wanted).map(|unpacked| unpacked.columns)
}

/// Unpacks a piece: its times, and the series that are wanted.
///
/// # Errors
/// [`Problem`] says what is wrong with the piece.
pub fn unpack(piece: &[u8], wanted: Wanted<'_>) -> Result<Unpacked, Problem> {
    piece::decode(piece, wanted)
}

impl Column {
    fn view(&self) -> View<'_> {
        View {
            key: &self.key,
            points: &self.points,
        }
    }
}

fn in_order_of_time(column: &Column) -> Cow<'_, Column> {
    if column.points.is_sorted_by_key(|(at, _)| *at) {
        return Cow::Borrowed(column);
    }
    let mut column = column.clone();
    // Equal times keep their order.
    column.points.sort_by_key(|(at, _)| *at);
    Cow::Owned(column)
}

fn put(pieces: &mut Vec<Vec<u8>>, views: &[View<'_>]) {
    if views.is_empty() {
        return;
    }
    // What is far too large tells by its halves how far.
    let mut size = (2 * FILL, 0);
    if fits(views)
        && let Some(piece) = piece::encode(views)
    {
        if piece.bytes.len() <= VALUE_BYTES {
            pieces.push(piece.bytes);
            return;
        }
        size = (piece.bytes.len(), piece.named);
    }
    for part in split(views, size) {
        put(pieces, &part);
    }
}

fn fits(views: &[View<'_>]) -> bool {
    let points = views.iter().flat_map(|view| view.points);
    let bytes: usize = points.map(|(_, value)| values::weight(value)).sum();
    bytes <= POINTS_BYTES / 2 && views.len() <= COLUMNS
}

/// Splits by time; by series where there is one time only, or names take most of the room.
fn split<'a>(views: &[View<'a>], (size, named): (usize, usize)) -> Vec<Vec<View<'a>>> {
    let times = views
        .iter()
        .flat_map(|view| view.points)
        .map(|(at, _)| at.0);
    let mut times: Vec<i64> = times.collect();
    times.sort_unstable();
    times.dedup();
    if views.len() > COLUMNS || views.len() > 1 && (times.len() < 2 || named > VALUE_BYTES / 2) {
        let (a, b) = views.split_at(views.len() / 2);
        return vec![a.to_vec(), b.to_vec()];
    }
    if times.len() < 2 {
        return halves_of_one(views);
    }
    let parts = size.div_ceil(FILL).clamp(2, times.len());
    let ends = (1..=parts).map(|part| times.get(times.len() * part / parts).copied());
    let mut rest = views.to_vec();
    ends.map(|end| take_before(&mut rest, end)).collect()
}

/// Points of one series at one time.
fn halves_of_one<'a>(views: &[View<'a>]) -> Vec<Vec<View<'a>>> {
    views
        .iter()
        .flat_map(|view| {
            view.points
                .chunks(view.points.len().div_ceil(2))
                .map(|points| {
                    vec![View {
                        key: view.key,
                        points,
                    }]
                })
        })
        .collect()
}

/// Takes what lies before `end` from views; everything where there is none.
fn take_before<'a>(rest: &mut [View<'a>], end: Option<i64>) -> Vec<View<'a>> {
    let mut taken = Vec::with_capacity(rest.len());
    for view in rest {
        let count = view
            .points
            .partition_point(|(at, _)| end.is_none_or(|end| at.0 < end));
        let (points, later) = view.points.split_at(count);
        view.points = later;
        if !points.is_empty() {
            taken.push(View {
                key: view.key,
                points,
            });
        }
    }
    taken
}
