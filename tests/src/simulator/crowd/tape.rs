//! Reports of the crowd at the cost of a copy: minutes that the model has played once are played
//! again by many laptops, each from another minute on and with other last digits.
//!
//! A tape holds a report's readings as they are encoded, of which only the numbers' eight bytes
//! change from minute to minute. So a report costs some hundred nanoseconds instead of the model's
//! fifteen microseconds, and its numbers move as the model's do.

use prost::Message as _;
use prost::encoding::encode_varint;
use rollcall_proto::v1;
use rollcall_shared::metric::Kind;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::Taken;
use rollcall_shared::time::{UnixMs, days_from_civil};

use crate::simulator::calendar::Local;
use crate::simulator::chance::{Chance, Topic};
use crate::simulator::{Fleet, Laptop, Probe, TARGETS};

/// Tapes of a crowd: enough that no two laptops of one commit play the same minute of the same one.
const TAPES: u32 = 256;

/// A Tuesday with lessons; which one does not matter, as long as it stays the same.
const DAY: (i64, u32, u32) = (2026, 11, 17);

/// From seven in the morning to eleven at night, in minutes.
const MINUTES: std::ops::Range<u32> = 7 * 60..23 * 60;

/// Below this many minutes a laptop was hardly used, and another's day is taken.
const LEAST_FRAMES: usize = 60;

/// How far, in steps of its least digit, a laptop's number lies from its tape's.
const SPREAD: u64 = 16;

/// What a report holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How many readings, numbers first; 0 for all that the model has.
    pub readings: usize,
    /// Whether only what moved by more than its dead band is in it.
    pub changed_only: bool,
}

/// All tapes.
#[derive(Debug)]
pub struct Tapes {
    tapes: Vec<Tape>,
    chance: Chance,
    content: Content,
}

#[derive(Debug, Default)]
struct Tape {
    /// The readings, each with its head in `Report`.
    bytes: Vec<u8>,
    segments: Vec<Segment>,
    /// For each minute the value of each segment.
    frames: Vec<Vec<f64>>,
    /// For each minute whether a segment moved by more than its dead band.
    moved: Vec<Vec<bool>>,
}

#[derive(Debug)]
struct Segment {
    start: usize,
    end: usize,
    is_number: bool,
    /// The least digit of a number that moves; 0 where it does not move.
    step: f64,
    low: f64,
}

/// Which report of which laptop.
#[derive(Debug, Clone, Copy)]
pub struct Which {
    /// The laptop.
    pub number: u32,
    /// The how many-th report since the start, from 0.
    pub index: u64,
    /// Its sequence.
    pub sequence: u64,
    /// When it was taken.
    pub taken: Taken,
}

impl Tapes {
    /// Plays the model once for each tape, about two seconds of one core for 36 readings.
    #[must_use]
    pub fn record(seed: u64, devices: u32, content: Content) -> Self {
        let fleet = Fleet::new(seed);
        let mut tapes = Vec::new();
        let mut number = 0;
        while tapes.len() < devices.min(TAPES) as usize {
            // A laptop that stayed at home that day gives no tape; nine of ten give one.
            tapes.extend(Tape::record(&fleet.laptop(number), content.readings));
            number += 1;
        }
        Self {
            tapes,
            chance: Chance::seeded(seed),
            content,
        }
    }

    /// Appends the encoded body of a `Report`. The first report of a laptop is full.
    pub fn write(&self, which: &Which, out: &mut Vec<u8>) {
        let tape = &self.tapes[which.number as usize % self.tapes.len()];
        let own = self.chance.of(Topic::Laptop, i64::from(which.number));
        let start = own.bits(Topic::Slot);
        let at = (start.wrapping_add(which.index) % tape.frames.len() as u64) as usize;
        let full = which.index == 0;
        let all = full || !self.content.changed_only;
        write_head(which, full, out);
        for (index, segment) in tape.segments.iter().enumerate() {
            if !all && !tape.moved[at][index] {
                continue;
            }
            out.extend_from_slice(&tape.bytes[segment.start..segment.end]);
            if segment.is_number {
                let value = segment.shifted(tape.frames[at][index], own, index);
                let place = out.len() - 8;
                out[place..].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

impl Tape {
    fn record(laptop: &Laptop, most: usize) -> Option<Self> {
        let (year, month, date) = DAY;
        let day = days_from_civil(year, month, date);
        let at = |minute: u32| {
            laptop.school().zone.moment(Local {
                day,
                second: minute * 60,
            })
        };
        let minutes: Vec<Vec<Reading>> = MINUTES
            .filter_map(|minute| readings(laptop, at(minute)))
            .collect();
        if minutes.len() < LEAST_FRAMES {
            return None;
        }
        let chosen = chosen(&minutes[0], most);
        let mut tape = Self::default();
        for reading in &chosen {
            tape.add_segment(reading);
        }
        tape.add_frames(&chosen, &minutes);
        tape.find_steps(&chosen);
        tape.find_moves(&chosen);
        Some(tape)
    }

    fn add_segment(&mut self, reading: &Reading) {
        let body = v1::Reading::from(reading).encode_to_vec();
        let start = self.bytes.len();
        // Field 5 of Report, of a length.
        self.bytes.push(5 << 3 | 2);
        encode_varint(body.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(&body);
        let low = match reading.metric().kind {
            Kind::Gauge { low, .. } | Kind::Counter { low, .. } => low,
            Kind::Flag | Kind::State(_) | Kind::Text => 0.0,
        };
        self.segments.push(Segment {
            start,
            end: self.bytes.len(),
            is_number: matches!(reading.value(), Value::Number(_)),
            step: 0.0,
            low,
        });
    }

    /// A number that is missing in a minute stands as it was in the one before.
    fn add_frames(&mut self, chosen: &[&Reading], minutes: &[Vec<Reading>]) {
        let mut values: Vec<f64> = chosen.iter().map(|reading| number_of(reading)).collect();
        for minute in minutes {
            for (value, wanted) in values.iter_mut().zip(chosen) {
                let same = |reading: &&Reading| {
                    reading.metric() == wanted.metric() && reading.instance() == wanted.instance()
                };
                let found = minute.iter().find(same);
                *value = found.and_then(|r| r.value().as_number()).unwrap_or(*value);
            }
            self.frames.push(values.clone());
        }
    }

    fn find_steps(&mut self, chosen: &[&Reading]) {
        for (index, segment) in self.segments.iter_mut().enumerate() {
            let values = || self.frames.iter().map(|frame| frame[index]);
            let moves = values().any(|value| value != values().next().unwrap_or(value));
            let gauge = matches!(chosen[index].metric().kind, Kind::Gauge { .. });
            if segment.is_number && moves && gauge {
                segment.step = least_digit(values());
            }
        }
    }

    fn find_moves(&mut self, chosen: &[&Reading]) {
        let mut sent = self.frames[0].clone();
        for (at, frame) in self.frames.iter().enumerate() {
            let mut moved = vec![at == 0; frame.len()];
            for (index, value) in frame.iter().enumerate() {
                moved[index] |= (value - sent[index]).abs() > chosen[index].metric().deadband;
                if moved[index] {
                    sent[index] = *value;
                }
            }
            self.moved.push(moved);
        }
    }
}

impl Segment {
    /// A tape's value as this laptop has it: some steps lower where there is room.
    fn shifted(&self, value: f64, own: Chance, index: usize) -> f64 {
        if self.step == 0.0 {
            return value;
        }
        let steps = own.of(Topic::Slot, index as i64).bits(Topic::Signal) % SPREAD;
        let lower = value - steps as f64 * self.step;
        // The digits stay as few as the model's.
        let rounded = (lower / self.step).round() * self.step;
        if rounded < self.low { value } else { rounded }
    }
}

/// Every reading of a minute, the hourly ones too, so that all minutes have the same.
fn readings(laptop: &Laptop, at: UnixMs) -> Option<Vec<Reading>> {
    let moment = laptop.moment(at)?;
    Some(laptop.read(&moment, Probe::ALL, &TARGETS))
}

/// The readings that a report holds: numbers first, then the others.
fn chosen(all: &[Reading], most: usize) -> Vec<&Reading> {
    let is_number = |reading: &&Reading| matches!(reading.value(), Value::Number(_));
    let numbers = all.iter().filter(is_number);
    let others = all.iter().filter(|reading| !is_number(reading));
    let most = if most == 0 { usize::MAX } else { most };
    numbers.chain(others).take(most).collect()
}

fn number_of(reading: &Reading) -> f64 {
    reading.value().as_number().unwrap_or(0.0)
}

/// The power of ten that every value is a multiple of, at least a millionth.
fn least_digit(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let whole = |step: f64| {
        let mut values = values.clone();
        values.all(|value| (value / step - (value / step).round()).abs() < 1e-4)
    };
    let steps = [10.0, 1.0, 0.1, 0.01, 0.001, 0.0001, 0.000_01];
    steps
        .into_iter()
        .find(|step| whole(*step))
        .unwrap_or(0.000_001)
}

fn write_head(which: &Which, full: bool, out: &mut Vec<u8>) {
    let head = v1::Report {
        sequence: which.sequence,
        taken: Some(v1::Moment {
            wall_ms: which.taken.wall.0,
            boot: which.taken.boot.as_bytes().to_vec(),
            since_boot_ms: which.taken.since_boot.0,
        }),
        full,
        urgent: false,
        readings: Vec::new(),
    };
    head.encode(out).expect("a vector grows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_proto::convert::Admitted;
    use rollcall_shared::id::BootId;
    use rollcall_shared::time::SinceBootMs;

    fn which(number: u32, index: u64) -> Which {
        Which {
            number,
            index,
            sequence: index + 1,
            taken: Taken {
                wall: UnixMs(1_790_000_000_000),
                boot: BootId::from_bytes([number as u8; 16]),
                since_boot: SinceBootMs(60_000 * (index + 1)),
            },
        }
    }

    fn decoded(tapes: &Tapes, which: &Which) -> Admitted {
        let mut bytes = Vec::new();
        tapes.write(which, &mut bytes);
        Admitted::try_from(v1::Report::decode(&bytes[..]).unwrap()).unwrap()
    }

    fn record(readings: usize, changed_only: bool) -> Tapes {
        let content = Content {
            readings,
            changed_only,
        };
        Tapes::record(3, 8, content)
    }

    #[test]
    fn every_report_is_whole_and_fits_the_catalogue() {
        for readings in [1, 36, 0] {
            let tapes = record(readings, false);
            for number in 0..40 {
                for index in [0, 1, 2, 500] {
                    let which = which(number, index);
                    let admitted = decoded(&tapes, &which);
                    assert!(admitted.rejected.is_empty(), "{:?}", admitted.rejected);
                    let report = admitted.report;
                    assert_eq!(report.taken, which.taken);
                    assert_eq!((report.sequence.0, report.full), (index + 1, index == 0));
                    match readings {
                        0 => assert!(report.readings.len() > 80, "{}", report.readings.len()),
                        _ => assert_eq!(report.readings.len(), readings),
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_laptops_differ() {
        let bytes = |tapes: &Tapes, number| {
            let mut bytes = Vec::new();
            tapes.write(&which(number, 7), &mut bytes);
            bytes
        };
        let (one, two) = (record(36, false), record(36, false));
        assert_eq!(bytes(&one, 5), bytes(&two, 5));
        // Laptops 5 and 13 play the same of the eight tapes.
        assert_ne!(bytes(&one, 5)[40..], bytes(&one, 13)[40..]);
    }

    #[test]
    fn numbers_move_from_minute_to_minute_and_changes_are_fewer() {
        let (all, changed) = (record(36, false), record(36, true));
        let numbers = |index| -> Vec<f64> {
            let report = decoded(&all, &which(1, index)).report;
            report
                .readings
                .iter()
                .filter_map(|r| r.value().as_number())
                .collect()
        };
        assert_ne!(numbers(20), numbers(21));
        let count: usize = (1..200)
            .map(|index| decoded(&changed, &which(1, index)).report.readings.len())
            .sum();
        assert!((199..199 * 20).contains(&count), "{count} in 199 minutes");
    }
}
