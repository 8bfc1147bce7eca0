//! Frames: the reports of one message, as differences to the report before.
//!
//! The log holds them and so does memory, in the same bytes, until the device is sealed. They form a
//! chain: each is read with what the ones before have said. A fresh one begins a chain and needs nothing.
//!
//! ```text
//! frame   := flags[1] spool[16]? sequence received skew reports report*
//! report  := flags[1] time (count slot*)? changes[(count + 7) / 8] value*
//! slot    := number, or the next number with metric and instance: a series that is new in the chain
//! value   := tag[1] bytes: what a number differs in from the one before, yes, no, text or reason
//! ```
//! Numbers are varints. A time is the difference to the step before, so that regular reports cost nothing.
//! A value stands only for those readings that differ from the last of their series.

use std::collections::HashMap;

use rollcall_shared::id::{Sequence, SpoolId};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;

use super::Arrival;
use super::codec::{Decoder, Encoder, Problem};
use crate::device::SeriesKey;

const FRESH: u8 = 1;
const OTHER_SPOOL: u8 = 2;

const FULL: u8 = 1;
const SAME_SERIES: u8 = 2;

const NO: u8 = 0x90;
const YES: u8 = 0x91;
const TEXT: u8 = 0x92;
const UNAVAILABLE: u8 = 0x93;

/// Series after which the next frame begins a new chain: a laptop has some hundred, one that makes them
/// up has to be borne for a message.
const SLOTS: usize = 4096;

/// Series up to which looking through them is faster than an index.
const FEW: usize = 64;

/// What the frames of a chain so far have said.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    slots: Vec<(SeriesKey, Value)>,
    /// Where each series is, once they are many.
    index: HashMap<SeriesKey, u32>,
    /// The slots of the last report, in its order.
    series: Vec<u32>,
    was_full: bool,
    at: i64,
    step: i64,
    spool: Option<SpoolId>,
    sequence: u64,
    received: i64,
    skew_ms: i64,
}

/// What a frame says besides its reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub spool: SpoolId,
    /// The last sequence of the spool.
    pub sequence: Sequence,
    pub received: UnixMs,
    pub skew_ms: i64,
    pub reports: usize,
}

/// What a report does to the latest state of its device.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub at: UnixMs,
    /// The series of a full report; without it those that are known stay.
    pub kept: Option<Vec<SeriesKey>>,
    /// The readings that differ from the last of their series in the chain.
    pub changed: Vec<(SeriesKey, Value)>,
}

impl Head {
    /// The head of an arrival's frame.
    pub fn of(arrival: &Arrival) -> Self {
        let last = arrival.reports.last();
        Self {
            spool: arrival.spool,
            sequence: last.map_or(Sequence::NONE, |(_, report)| report.sequence),
            received: arrival.received,
            skew_ms: arrival.skew_ms,
            reports: arrival.reports.len(),
        }
    }
}

impl Chain {
    /// Whether the next frame begins a chain.
    pub fn is_fresh(&self) -> bool {
        self.spool.is_none()
    }

    /// Writes the next frame, and says what it changes.
    pub fn encode(&mut self, arrival: &Arrival, form: &mut Encoder) -> Vec<Step> {
        if self.slots.len() > SLOTS {
            *self = Self::default();
        }
        let other = self.spool != Some(arrival.spool);
        form.u8((u8::from(self.is_fresh()) * FRESH) | (u8::from(other) * OTHER_SPOOL));
        if other {
            form.raw(arrival.spool.as_bytes());
            self.sequence = 0;
        }
        self.spool = Some(arrival.spool);
        let last = arrival
            .reports
            .last()
            .map_or(0, |(_, report)| report.sequence.0);
        form.varint(last.wrapping_sub(self.sequence).cast_signed());
        form.varint(arrival.received.0.wrapping_sub(self.received));
        form.varint(arrival.skew_ms.wrapping_sub(self.skew_ms));
        (self.sequence, self.received, self.skew_ms) = (last, arrival.received.0, arrival.skew_ms);
        put_count(form, arrival.reports.len());
        let reports = arrival.reports.iter();
        reports
            .map(|(at, report)| self.encode_report(*at, report, form))
            .collect()
    }

    fn encode_report(&mut self, at: UnixMs, report: &Report, form: &mut Encoder) -> Step {
        let known = self.slots.len();
        let series = self.slots_of(&report.readings);
        let same = series == self.series && known == self.slots.len();
        form.u8((u8::from(report.full) * FULL) | (u8::from(same) * SAME_SERIES));
        let delta = at.0.wrapping_sub(self.at);
        form.varint(delta.wrapping_sub(self.step));
        (self.at, self.step) = (at.0, delta);
        if !same {
            self.put_series(&series, known, form);
        }
        let kept = self.kept(report.full, same, &series);
        self.series = series;
        let changed = self.put_values(&report.readings, known, form);
        Step { at, kept, changed }
    }

    /// The slot of each reading. Most reports name the series of the one before, in the same order.
    fn slots_of(&mut self, readings: &[Reading]) -> Vec<u32> {
        let mut slots = Vec::with_capacity(readings.len());
        for (place, reading) in readings.iter().enumerate() {
            let guess = self.series.get(place).copied();
            let slot = guess.filter(|slot| is_of(&self.slots[*slot as usize].0, reading));
            slots.push(slot.unwrap_or_else(|| self.slot_of(reading)));
        }
        slots
    }

    fn slot_of(&mut self, reading: &Reading) -> u32 {
        let found = if self.slots.len() <= FEW {
            let slot = self.slots.iter().position(|(key, _)| is_of(key, reading));
            slot.map(slot_number)
        } else {
            self.index_all();
            self.index.get(&SeriesKey::of(reading)).copied()
        };
        found.unwrap_or_else(|| {
            self.slots
                .push((SeriesKey::of(reading), Value::Number(0.0)));
            slot_number(self.slots.len() - 1)
        })
    }

    fn index_all(&mut self) {
        for slot in self.index.len()..self.slots.len() {
            let key = self.slots[slot].0.clone();
            self.index.insert(key, slot_number(slot));
        }
    }

    fn put_series(&self, series: &[u32], known: usize, form: &mut Encoder) {
        put_count(form, series.len());
        let mut next = known;
        for slot in series {
            put_count(form, *slot as usize);
            if *slot as usize == next {
                let (key, _) = &self.slots[next];
                put_count(form, usize::from(key.metric));
                put_text(form, &key.instance);
                next += 1;
            }
        }
    }

    /// What a full report keeps; `None` where it is what the one before kept.
    fn kept(&mut self, full: bool, same: bool, series: &[u32]) -> Option<Vec<SeriesKey>> {
        let nothing_new = same && self.was_full;
        self.was_full = full;
        let key = |slot: &u32| self.slots[*slot as usize].0.clone();
        (full && !nothing_new).then(|| series.iter().map(key).collect())
    }

    fn put_values(
        &mut self,
        readings: &[Reading],
        known: usize,
        form: &mut Encoder,
    ) -> Vec<(SeriesKey, Value)> {
        let bits = form.0.len();
        form.0.resize(bits + readings.len().div_ceil(8), 0);
        let mut changed = Vec::new();
        for (place, (reading, slot)) in readings.iter().zip(&self.series).enumerate() {
            let slot = *slot as usize;
            let (key, last) = &mut self.slots[slot];
            if slot < known && is_same(last, reading.value()) {
                continue;
            }
            form.0[bits + place / 8] |= 1 << (place % 8);
            put_value(form, last, reading.value());
            last.clone_from(reading.value());
            changed.push((key.clone(), reading.value().clone()));
        }
        changed
    }

    /// Reads the next frame; `each` is given every reading that it holds.
    pub fn decode(
        &mut self,
        form: &mut Decoder<'_>,
        mut each: impl FnMut(UnixMs, &SeriesKey, &Value),
    ) -> Result<(Head, Vec<Step>), Problem> {
        let flags = form.u8()?;
        if flags & FRESH != 0 {
            *self = Self::default();
        } else if self.is_fresh() {
            return Err("the frame that it continues is missing".to_owned());
        }
        if flags & OTHER_SPOOL != 0 {
            self.spool = Some(SpoolId::from_bytes(form.array()?));
            self.sequence = 0;
        }
        let spool = self.spool.ok_or("its first frame names no spool")?;
        self.sequence = self.sequence.wrapping_add(form.varint()?.cast_unsigned());
        self.received = self.received.wrapping_add(form.varint()?);
        self.skew_ms = self.skew_ms.wrapping_add(form.varint()?);
        let reports = count(form)?;
        let mut steps = Vec::new();
        for _ in 0..reports {
            steps.push(self.decode_report(form, &mut each)?);
        }
        let head = Head {
            spool,
            sequence: Sequence(self.sequence),
            received: UnixMs(self.received),
            skew_ms: self.skew_ms,
            reports,
        };
        Ok((head, steps))
    }

    fn decode_report(
        &mut self,
        form: &mut Decoder<'_>,
        each: &mut impl FnMut(UnixMs, &SeriesKey, &Value),
    ) -> Result<Step, Problem> {
        let flags = form.u8()?;
        self.step = self.step.wrapping_add(form.varint()?);
        self.at = self.at.wrapping_add(self.step);
        let (at, same) = (UnixMs(self.at), flags & SAME_SERIES != 0);
        if !same {
            self.series = self.read_series(form)?;
        }
        let series = std::mem::take(&mut self.series);
        let kept = self.kept(flags & FULL != 0, same, &series);
        let bits = form.raw(series.len().div_ceil(8))?;
        let mut changed = Vec::new();
        for (place, slot) in series.iter().enumerate() {
            let (key, last) = &mut self.slots[*slot as usize];
            if bits[place / 8] >> (place % 8) & 1 == 1 {
                *last = value(form, last)?;
                changed.push((key.clone(), last.clone()));
            }
            each(at, key, last);
        }
        self.series = series;
        Ok(Step { at, kept, changed })
    }

    fn read_series(&mut self, form: &mut Decoder<'_>) -> Result<Vec<u32>, Problem> {
        let mut series = Vec::new();
        for _ in 0..count(form)? {
            let slot = count(form)?;
            if slot == self.slots.len() {
                let metric = u16::try_from(count(form)?).map_err(|error| error.to_string())?;
                let instance = text(form)?;
                self.slots
                    .push((SeriesKey { metric, instance }, Value::Number(0.0)));
            } else if slot > self.slots.len() {
                return Err(format!("its series {slot} is not known"));
            }
            series.push(slot_number(slot));
        }
        Ok(series)
    }
}

fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).expect("a message has fewer readings")
}

fn is_of(key: &SeriesKey, reading: &Reading) -> bool {
    key.metric == reading.metric().code && key.instance == reading.instance()
}

/// Minus zero is not zero here: what was sent comes back bit for bit.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

/// A number costs the bytes in which it differs from the one before: their count, how many lie before
/// them, and they themselves.
pub(super) fn put_value(form: &mut Encoder, last: &Value, value: &Value) {
    match value {
        Value::Number(number) => {
            let bits = number.to_bits() ^ last.as_number().unwrap_or(0.0).to_bits();
            let before = (bits.leading_zeros() / 8).min(7) as usize;
            let after = (bits.trailing_zeros() / 8).min(7) as usize;
            let bytes = &bits.to_be_bytes()[before..8 - after.min(7 - before)];
            form.u8((before << 4 | bytes.len()) as u8);
            form.raw(bytes);
        }
        Value::Flag(flag) => form.u8(if *flag { YES } else { NO }),
        Value::Text(text) => {
            form.u8(TEXT);
            put_text(form, text);
        }
        Value::Unavailable(why) => {
            form.u8(UNAVAILABLE);
            put_text(form, why);
        }
    }
}

/// Reads what [`put_value`] writes.
pub(super) fn value(form: &mut Decoder<'_>, last: &Value) -> Result<Value, Problem> {
    match form.u8()? {
        NO => Ok(Value::Flag(false)),
        YES => Ok(Value::Flag(true)),
        TEXT => text(form).map(Value::Text),
        UNAVAILABLE => text(form).map(Value::Unavailable),
        tag => {
            let (before, length) = (usize::from(tag >> 4), usize::from(tag & 15));
            if before + length > 8 {
                return Err(format!("its value of kind {tag} is unknown"));
            }
            let mut bytes = [0; 8];
            bytes[before..before + length].copy_from_slice(form.raw(length)?);
            let last = last.as_number().unwrap_or(0.0).to_bits();
            let number = f64::from_bits(u64::from_be_bytes(bytes) ^ last);
            Ok(Value::Number(number))
        }
    }
}

pub(super) fn put_count(form: &mut Encoder, count: usize) {
    form.varint(i64::try_from(count).expect("counts are bounded far below 2^63"));
}

/// A count; that there is as much to count is found out by reading it.
pub(super) fn count(form: &mut Decoder<'_>) -> Result<usize, Problem> {
    usize::try_from(form.varint()?).map_err(|_| "a count is negative".to_owned())
}

pub(super) fn put_text(form: &mut Encoder, text: &str) {
    put_count(form, text.len());
    form.raw(text.as_bytes());
}

pub(super) fn text(form: &mut Decoder<'_>) -> Result<String, Problem> {
    let length = count(form)?;
    let bytes = form.raw(length)?.to_vec();
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rollcall_shared::id::{BootId, DeviceId};
    use rollcall_shared::report::Taken;
    use rollcall_shared::time::SinceBootMs;

    fn reading() -> impl Strategy<Value = Reading> {
        use rollcall_shared::metric as m;
        let instance = prop::sample::select(vec!["", "BAT0", "/", "/home"]);
        let value = prop_oneof![
            (0_i32..100).prop_map(|n| (&m::BATTERY_CHARGE, Value::Number(f64::from(n) / 100.0))),
            Just((&m::BATTERY_CHARGE, Value::Number(-0.0))),
            any::<bool>().prop_map(|flag| (&m::RESTART_PENDING, Value::Flag(flag))),
            ".{0,9}".prop_map(|text| (&m::OS_NAME, Value::Text(text))),
            ".{0,9}".prop_map(|why| (&m::OS_NAME, Value::Unavailable(why))),
        ];
        (instance, value)
            .prop_map(|(instance, (metric, value))| Reading::measured(metric, instance, value))
    }

    fn report() -> impl Strategy<Value = (UnixMs, Report)> {
        let readings = prop::collection::vec(reading(), 0..12);
        (any::<i64>(), any::<u64>(), any::<bool>(), readings).prop_map(
            |(at, sequence, full, readings)| {
                let taken = Taken {
                    wall: UnixMs(1),
                    boot: BootId::from_bytes([7; 16]),
                    since_boot: SinceBootMs(1),
                };
                let sequence = Sequence(sequence);
                let report = Report {
                    sequence,
                    taken,
                    full,
                    urgent: false,
                    readings,
                };
                (UnixMs(at), report)
            },
        )
    }

    fn arrival() -> impl Strategy<Value = Arrival> {
        let reports = prop::collection::vec(report(), 1..6);
        (reports, 0_u8..2, any::<i64>(), any::<i64>()).prop_map(
            |(reports, spool, received, skew_ms)| Arrival {
                device: DeviceId::from_bytes([1; 16]),
                spool: SpoolId::from_bytes([spool; 16]),
                reports,
                received: UnixMs(received),
                skew_ms,
            },
        )
    }

    proptest! {
        #[test]
        fn readings_steps_and_heads_come_back(arrivals in prop::collection::vec(arrival(), 1..8)) {
            let (mut writing, mut reading) = (Chain::default(), Chain::default());
            for arrival in arrivals {
                let mut form = Encoder::default();
                let steps = writing.encode(&arrival, &mut form);
                let (mut points, mut bytes) = (Vec::new(), Decoder(&form.0));
                let read = reading.decode(&mut bytes, |at, key, value| {
                    points.push((at, key.clone(), value.clone()));
                });
                prop_assert_eq!(read, Ok((Head::of(&arrival), steps)));
                prop_assert!(bytes.is_empty());
                let sent = arrival.reports.iter().flat_map(|(at, report)| {
                    let of = |r: &Reading| (*at, SeriesKey::of(r), r.value().clone());
                    report.readings.iter().map(of)
                });
                prop_assert_eq!(points, sent.collect::<Vec<_>>());
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // An answer or an error, and no panic.
            let _ = Chain::default().decode(&mut Decoder(&bytes), |_, _, _| {});
        }
    }

    #[test]
    fn a_message_with_very_many_series_is_borne() {
        let name = |n: usize| Reading::text(&rollcall_shared::metric::OS_NAME, &n.to_string(), "x");
        let of = |first: usize| (first..first + 2048).map(name).collect::<Vec<_>>();
        let mut chain = Chain::default();
        for first in [0, 2048, 4096, 6144] {
            let at = UnixMs(1);
            let taken = Taken {
                wall: at,
                boot: BootId::from_bytes([7; 16]),
                since_boot: SinceBootMs(1),
            };
            let report = Report {
                sequence: Sequence(1),
                taken,
                full: true,
                urgent: false,
                readings: of(first),
            };
            let arrival = Arrival {
                device: DeviceId::from_bytes([1; 16]),
                spool: SpoolId::from_bytes([1; 16]),
                reports: vec![(at, report)],
                received: at,
                skew_ms: 0,
            };
            chain.encode(&arrival, &mut Encoder::default());
            assert!(
                chain.slots.len() <= SLOTS + 2048,
                "{} series",
                chain.slots.len()
            );
        }
    }
}
