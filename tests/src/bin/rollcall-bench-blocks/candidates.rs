//! Forms that a block could have. All but the store's own pack numbers only, and each series' names
//! and times as cheaply as it goes, so that they look better than they would be.

use std::cell::RefCell;

use anyhow::{Context, Result, anyhow};
use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress};
use rollcall_collector::store::block::{self, Column};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use zstd::bulk::{Compressor, Decompressor};

/// A form that a block could have.
pub struct Candidate {
    /// Its name.
    pub name: &'static str,
    /// Packs one block into values.
    pub encode: fn(&[Column]) -> Vec<Vec<u8>>,
    /// Unpacks the values of one block.
    pub decode: fn(&[Vec<u8>]) -> Result<Vec<Column>>,
    /// Whether it holds what is no number, and names.
    whole: bool,
}

/// All of them, the store's own first.
pub const CANDIDATES: &[Candidate] = &[
    Candidate {
        name: "rollcall",
        encode: block::encode,
        decode: own_decode,
        whole: true,
    },
    Candidate {
        name: "varint_zstd3",
        encode: |block| varints(block, 3),
        decode: from_varints,
        whole: false,
    },
    Candidate {
        name: "varint_zstd12",
        encode: |block| varints(block, 12),
        decode: from_varints,
        whole: false,
    },
    Candidate {
        name: "planes_zstd3",
        encode: planes,
        decode: from_planes,
        whole: false,
    },
    Candidate {
        name: "pco",
        encode: pcos,
        decode: from_pcos,
        whole: false,
    },
];

impl Candidate {
    /// Whether everything came back that this form holds, to the bit.
    pub fn holds(&self, block: &[Column], back: &[Column]) -> bool {
        let bits = |columns: &[Column]| -> Vec<(i64, u64)> {
            columns
                .iter()
                .flat_map(numbers)
                .map(|(at, n)| (at.0, n.to_bits()))
                .collect()
        };
        let mut back = back.to_vec();
        if self.whole {
            back = joined(back);
        }
        bits(block) == bits(&back) && (!self.whole || block == back)
    }
}

fn own_decode(pieces: &[Vec<u8>]) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for piece in pieces {
        columns.extend(block::decode(piece, None).map_err(|problem| anyhow!(problem))?);
    }
    Ok(columns)
}

/// The parts of each series in one.
fn joined(columns: Vec<Column>) -> Vec<Column> {
    let mut joined = std::collections::BTreeMap::<_, Vec<_>>::new();
    for column in columns {
        joined.entry(column.key).or_default().extend(column.points);
    }
    joined
        .into_iter()
        .map(|(key, points)| Column { key, points })
        .collect()
}

fn numbers(column: &Column) -> impl Iterator<Item = (UnixMs, f64)> {
    column
        .points
        .iter()
        .filter_map(|(at, value)| Some((*at, value.as_number()?)))
}

fn column(index: usize, points: Vec<(UnixMs, f64)>) -> Column {
    let key = rollcall_collector::device::SeriesKey {
        metric: index as u16,
        instance: String::new(),
    };
    Column {
        key,
        points: points
            .into_iter()
            .map(|(at, n)| (at, Value::Number(n)))
            .collect(),
    }
}

/// Decimals that bring all numbers back, and the whole numbers; their bits where there are none.
fn scaled(numbers: &[f64]) -> (u8, Vec<i64>) {
    for decimals in 0..10_u8 {
        let power = 10_f64.powi(decimals.into());
        let whole = numbers.iter().map(|n| (n * power).round() as i64);
        let whole: Vec<i64> = whole.collect();
        let exact = |(n, whole): (&f64, &i64)| (*whole as f64 / power).to_bits() == n.to_bits();
        if numbers.iter().zip(&whole).all(exact) {
            return (decimals, whole);
        }
    }
    (
        255,
        numbers.iter().map(|n| n.to_bits().cast_signed()).collect(),
    )
}

fn unscaled(decimals: u8, whole: i64) -> f64 {
    match decimals {
        255 => f64::from_bits(whole.cast_unsigned()),
        decimals => whole as f64 / 10_f64.powi(decimals.into()),
    }
}

fn put_varint(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn varint(bytes: &mut std::slice::Iter<'_, u8>) -> Result<i64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let byte = *bytes.next().context("it ends early")?;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
}

fn put_deltas(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for number in numbers {
        put_varint(bytes, number.wrapping_sub(before));
        before = number;
    }
}

fn deltas(bytes: &mut std::slice::Iter<'_, u8>, count: usize) -> Result<Vec<i64>> {
    let mut number = 0_i64;
    (0..count)
        .map(|_| {
            number = number.wrapping_add(varint(bytes)?);
            Ok(number)
        })
        .collect()
}

thread_local! {
    static UNPACK: RefCell<Decompressor<'static>> = RefCell::new(Decompressor::new().expect("memory"));
    static PACK: [RefCell<Compressor<'static>>; 2] =
        [3, 12].map(|level| RefCell::new(Compressor::new(level).expect("memory")));
}

fn pack(bytes: &[u8], level: i32) -> Vec<u8> {
    PACK.with(|pack| {
        pack[usize::from(level != 3)]
            .borrow_mut()
            .compress(bytes)
            .expect("memory")
    })
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(UNPACK.with_borrow_mut(|unpack| unpack.decompress(bytes, 1 << 24))?)
}

/// Differences of scaled numbers as varints, all series behind one another, by zstd.
fn varints(block: &[Column], level: i32) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for column in block {
        let points: Vec<(UnixMs, f64)> = numbers(column).collect();
        let values: Vec<f64> = points.iter().map(|(_, n)| *n).collect();
        let (decimals, whole) = scaled(&values);
        bytes.push(decimals);
        put_varint(&mut bytes, whole.len() as i64);
        put_deltas(&mut bytes, points.iter().map(|(at, _)| at.0));
        put_deltas(&mut bytes, whole.into_iter());
    }
    vec![pack(&bytes, level)]
}

fn from_varints(values: &[Vec<u8>]) -> Result<Vec<Column>> {
    let bytes = unpack(&values[0])?;
    let (mut bytes, mut columns) = (bytes.iter(), Vec::new());
    while let Some(decimals) = bytes.next() {
        let count = varint(&mut bytes)? as usize;
        let times = deltas(&mut bytes, count)?;
        let whole = deltas(&mut bytes, count)?;
        let points = times.into_iter().zip(whole);
        let points = points.map(|(at, n)| (UnixMs(at), unscaled(*decimals, n)));
        columns.push(column(columns.len(), points.collect()));
    }
    Ok(columns)
}

/// What schema 1 had: a value for each series, numbers by planes of their bytes.
fn planes(block: &[Column]) -> Vec<Vec<u8>> {
    block
        .iter()
        .map(|column| plane(&numbers(column).collect::<Vec<_>>()))
        .collect()
}

fn plane(points: &[(UnixMs, f64)]) -> Vec<u8> {
    let mut bytes = (points.len() as u32).to_le_bytes().to_vec();
    put_deltas(&mut bytes, points.iter().map(|(at, _)| at.0));
    for plane in 0..8 {
        bytes.extend(points.iter().map(|(_, n)| n.to_be_bytes()[plane]));
    }
    pack(&bytes, 3)
}

fn from_planes(values: &[Vec<u8>]) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for value in values {
        let bytes = unpack(value)?;
        let count = u32::from_le_bytes(bytes[..4].try_into()?) as usize;
        let mut rest = bytes[4..].iter();
        let times = deltas(&mut rest, count)?;
        let planes = rest.as_slice();
        let number =
            |at: usize| f64::from_be_bytes(std::array::from_fn(|plane| planes[plane * count + at]));
        let points = times
            .iter()
            .enumerate()
            .map(|(at, time)| (UnixMs(*time), number(at)));
        columns.push(column(columns.len(), points.collect()));
    }
    Ok(columns)
}

/// pco for times and for scaled numbers, all series in one value.
fn pcos(block: &[Column]) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let of_first: Vec<i64> = block
        .iter()
        .take(1)
        .flat_map(numbers)
        .map(|(at, _)| at.0)
        .collect();
    for column in block {
        let points: Vec<(UnixMs, f64)> = numbers(column).collect();
        let times: Vec<i64> = points.iter().map(|(at, _)| at.0).collect();
        let values: Vec<f64> = points.iter().map(|(_, n)| *n).collect();
        let (decimals, whole) = scaled(&values);
        bytes.push(decimals);
        let same = bytes.len() > 1 && times == of_first;
        for numbers in [if same { &[][..] } else { &times }, &whole] {
            let packed =
                simple_compress(numbers, &ChunkConfig::default()).expect("sizes are small");
            put_varint(&mut bytes, packed.len() as i64);
            bytes.extend(packed);
        }
    }
    vec![bytes]
}

fn from_pcos(values: &[Vec<u8>]) -> Result<Vec<Column>> {
    let (mut bytes, mut columns) = (values[0].iter(), Vec::<Column>::new());
    while let Some(decimals) = bytes.next() {
        let mut next = || -> Result<Vec<i64>> {
            let size = varint(&mut bytes)? as usize;
            let (packed, rest) = bytes.as_slice().split_at(size);
            bytes = rest.iter();
            Ok(simple_decompress(packed)?)
        };
        let (mut times, whole) = (next()?, next()?);
        if times.is_empty()
            && let Some(first) = columns.first()
        {
            times = first.points.iter().map(|(at, _)| at.0).collect();
        }
        let points = times
            .into_iter()
            .zip(whole)
            .map(|(at, n)| (UnixMs(at), unscaled(*decimals, n)));
        columns.push(column(columns.len(), points.collect()));
    }
    Ok(columns)
}
