//! A Block: points of one series, by column.
//!
//! ```text
//! block   := version[1] count[4] first[8] delta* kind[1] column
//! delta   := difference to the difference before, varint
//! numbers := 8 planes of count bytes, the most significant first: neighbours are alike
//! mixed   := (length[4] rollcall.v1.Reading with a value only)*
//! ```

use prost::Message as _;
use rollcall_proto::v1;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::super::codec::{Decoder, Problem, unpack};

const VERSION: u8 = 1;
const NUMBERS: u8 = 0;
const MIXED: u8 = 1;

/// Points of the largest block: half a day at one a minute.
const POINTS: usize = 720;

use super::Point;

/// Unpacks a block.
pub(in super::super) fn decode(bytes: &[u8]) -> Result<Vec<Point>, Problem> {
    let bytes = unpack(bytes)?;
    let mut form = Decoder(&bytes);
    let version = form.u8()?;
    if version != VERSION {
        return Err(format!("its form {version} is unknown"));
    }
    let count = form.u32()? as usize;
    if count > POINTS {
        return Err(format!("{count} points are more than {POINTS}"));
    }
    let times = times(&mut form, count)?;
    let values = match form.u8()? {
        NUMBERS => numbers(&mut form, count)?,
        MIXED => mixed(&mut form, count)?,
        other => return Err(format!("its column of kind {other} is unknown")),
    };
    Ok(times.into_iter().zip(values).collect())
}

fn times(form: &mut Decoder<'_>, count: usize) -> Result<Vec<UnixMs>, Problem> {
    let mut last = form.i64()?;
    let mut step = 0_i64;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        step = step.wrapping_add(form.varint()?);
        last = last.wrapping_add(step);
        times.push(UnixMs(last));
    }
    Ok(times)
}

fn numbers(form: &mut Decoder<'_>, count: usize) -> Result<Vec<Value>, Problem> {
    let planes = form.raw(8 * count)?;
    let number =
        |at: usize| f64::from_be_bytes(std::array::from_fn(|plane| planes[plane * count + at]));
    Ok((0..count).map(|at| Value::Number(number(at))).collect())
}

fn mixed(form: &mut Decoder<'_>, count: usize) -> Result<Vec<Value>, Problem> {
    (0..count).map(|_| mixed_value(form)).collect()
}

fn mixed_value(form: &mut Decoder<'_>) -> Result<Value, Problem> {
    let reading = v1::Reading::decode(form.bytes()?).map_err(|error| error.to_string())?;
    let value = reading.value.ok_or("a point has no value")?;
    Ok(value.into())
}

/// How schema 1 wrote: tests make its stores.
#[cfg(test)]
mod writing {
    use super::super::super::codec::{Encoder, pack};
    use super::super::super::keys::VALUE_BYTES;
    use super::*;

    /// Packs points into blocks, each small enough for a value.
    pub(in super::super::super) fn encode(points: &[Point]) -> Vec<Vec<u8>> {
        points.chunks(POINTS).flat_map(encode_or_halve).collect()
    }

    fn encode_or_halve(points: &[Point]) -> Vec<Vec<u8>> {
        let packed = encode_one(points);
        if packed.len() <= VALUE_BYTES || points.len() < 2 {
            return vec![packed];
        }
        let (a, b) = points.split_at(points.len() / 2);
        [encode_or_halve(a), encode_or_halve(b)].concat()
    }

    fn encode_one(points: &[Point]) -> Vec<u8> {
        let mut form = Encoder::default();
        form.u8(VERSION);
        form.u32(u32::try_from(points.len()).expect("at most POINTS"));
        put_times(&mut form, points);
        let numbers: Option<Vec<f64>> = points.iter().map(|(_, value)| value.as_number()).collect();
        match numbers {
            Some(numbers) => put_numbers(&mut form, &numbers),
            None => put_mixed(&mut form, points),
        }
        pack(&form.0)
    }

    fn put_times(form: &mut Encoder, points: &[Point]) {
        let first = points.first().map_or(0, |(at, _)| at.0);
        form.i64(first);
        let (mut last, mut step) = (first, 0_i64);
        for (at, _) in points {
            let delta = at.0.wrapping_sub(last);
            form.varint(delta.wrapping_sub(step));
            (last, step) = (at.0, delta);
        }
    }

    fn put_numbers(form: &mut Encoder, numbers: &[f64]) {
        form.u8(NUMBERS);
        let bits: Vec<[u8; 8]> = numbers.iter().map(|n| n.to_be_bytes()).collect();
        for plane in 0..8 {
            bits.iter().for_each(|bytes| form.u8(bytes[plane]));
        }
    }

    fn put_mixed(form: &mut Encoder, points: &[Point]) {
        form.u8(MIXED);
        for (_, value) in points {
            let reading = v1::Reading {
                value: Some(value.clone().into()),
                ..v1::Reading::default()
            };
            form.bytes(&reading.encode_to_vec());
        }
    }
}
#[cfg(test)]
pub(in super::super) use writing::encode;

#[cfg(test)]
mod tests {
    use super::super::super::keys::VALUE_BYTES;
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<f64>()
                .prop_filter("finite", |n| n.is_finite())
                .prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag),
            ".{0,80}".prop_map(Value::Text),
            ".{0,80}".prop_map(Value::Unavailable),
        ]
    }

    proptest! {
        #[test]
        fn points_come_back(points in prop::collection::vec((any::<i64>().prop_map(UnixMs), value()), 0..200)) {
            let blocks = encode(&points);
            prop_assert!(blocks.iter().all(|block| block.len() <= VALUE_BYTES));
            let back: Vec<Point> = blocks.iter().flat_map(|block| decode(block).unwrap()).collect();
            prop_assert_eq!(back, points);
        }
    }

    #[test]
    fn a_day_of_a_battery_is_small() {
        let points: Vec<Point> = (0..720)
            .map(|n| {
                (
                    UnixMs(1_790_000_000_000 + n * 60_000),
                    Value::Number((100 - n / 8) as f64 / 100.0),
                )
            })
            .collect();
        let bytes: usize = encode(&points).iter().map(Vec::len).sum();
        assert!(bytes < 720, "{bytes} bytes are more than one a point");
    }
}
