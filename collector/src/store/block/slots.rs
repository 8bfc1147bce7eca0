//! The times of a piece, and which of them each series has.
//!
//! A slot is a time at which some series has a point; a time at which one series has several points
//! has as many slots. Sets of slots are shared, and a set is foretold by the sets before it: a full
//! report names every series.

use std::collections::HashMap;

use rollcall_shared::time::UnixMs;

use super::coder::{Bit, Reader, Writer};
use super::head::{Field, HeadReader, HeadWriter};
use super::integers::{self, Plan};
use super::{Point, View};

/// The most slots of a piece: a month and a half of minutes.
pub(super) const SLOTS: usize = 1 << 16;

/// The slots of a piece, and the sets of them that its series have.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub times: Vec<i64>,
    sets: Vec<Vec<u32>>,
    known: HashMap<Vec<u32>, usize>,
}

impl Slots {
    /// The slots of some series.
    pub fn of(views: &[View<'_>]) -> Self {
        let mut times = Vec::new();
        for view in views {
            if !is_same(&times, view.points) {
                times = united(&times, view.points);
            }
        }
        Self {
            times,
            ..Self::default()
        }
    }

    /// The number of the set that a series has; the first is all slots.
    pub fn set_of(&mut self, points: &[Point]) -> usize {
        if is_same(&self.times, points) {
            return 0;
        }
        let places = places(&self.times, points);
        let (sets, next) = (&mut self.sets, self.known.len() + 1);
        *self.known.entry(places).or_insert_with_key(|places| {
            sets.push(places.clone());
            next
        })
    }

    /// How many sets there are beside that of all slots.
    pub const fn count_sets(&self) -> usize {
        self.sets.len()
    }

    /// Writes the times and the sets.
    pub fn put(&self, head: &mut HeadWriter, body: &mut Writer) {
        integers::put(head, body, &self.times);
        head.put_size(Field::Count, self.sets.len());
        let mut crowd = Crowd::new(self.times.len());
        for set in &self.sets {
            head.put_size(Field::SetSize, set.len());
            crowd.put(body, set);
        }
    }
}

/// How many slots each set has.
pub(super) fn sizes(
    head: &mut HeadReader<'_>,
    slots: usize,
    columns: usize,
) -> Result<Vec<usize>, String> {
    let sets = head.get_size(Field::Count, columns)?;
    (0..sets)
        .map(|_| head.get_size(Field::SetSize, slots))
        .collect()
}

/// Reads the times, and the sets in their order, as far as they are asked for.
#[derive(Debug)]
pub(super) struct SlotReader<'a> {
    body: Reader<'a>,
    times: Vec<i64>,
    sizes: Vec<usize>,
    crowd: Crowd,
    sets: Vec<Vec<u32>>,
}

impl<'a> SlotReader<'a> {
    pub fn new(plan: &Plan, slots: usize, sizes: Vec<usize>, body: &'a [u8]) -> Self {
        let mut body = Reader::new(body);
        Self {
            times: integers::get(plan, &mut body, slots),
            body,
            sizes,
            crowd: Crowd::new(slots),
            sets: Vec::new(),
        }
    }

    /// The times of a set.
    pub fn times_of(&mut self, set: usize) -> Result<Vec<UnixMs>, String> {
        let Some(at) = set.checked_sub(1) else {
            return Ok(self.times.iter().copied().map(UnixMs).collect());
        };
        while self.sets.len() <= at {
            let size = self.sizes.get(self.sets.len());
            let size = *size.ok_or_else(|| format!("there is no set {set}"))?;
            self.sets.push(self.crowd.get(&mut self.body, size));
        }
        let time = |slot: &u32| UnixMs(self.times[*slot as usize]);
        Ok(self.sets[at].iter().map(time).collect())
    }
}

/// How many of the sets so far have each slot.
#[derive(Debug)]
struct Crowd {
    members: Vec<u32>,
    sets: u32,
}

impl Crowd {
    fn new(slots: usize) -> Self {
        Self {
            members: vec![0; slots],
            sets: 0,
        }
    }

    fn put(&mut self, body: &mut Writer, set: &[u32]) {
        let mut rest = set.iter().copied().peekable();
        self.walk(set.len(), |slot, bit| {
            let is_in = rest.next_if_eq(&slot).is_some();
            body.bit(bit, is_in);
            is_in
        });
    }

    fn get(&mut self, body: &mut Reader<'_>, size: usize) -> Vec<u32> {
        let mut set = Vec::with_capacity(size);
        self.walk(size, |slot, bit| {
            let is_in = body.bit(bit);
            if is_in {
                set.push(slot);
            }
            is_in
        });
        // Of the last slots, all of which are in, none was asked.
        let slots = self.members.len() as u32;
        let missing = (size - set.len()) as u32;
        set.extend(slots - missing..slots);
        set
    }

    /// Asks of each slot whether it is in a set of `size`, until no question is left.
    fn walk(&mut self, size: usize, mut ask: impl FnMut(u32, &mut Bit) -> bool) {
        let mut bits = [Bit::expecting(size, self.members.len()); 8];
        let (mut before, mut missing) = (false, size);
        let slots = self.members.len();
        for (slot, members) in self.members.iter_mut().enumerate() {
            if missing == 0 || missing == slots - slot {
                break;
            }
            let context = popularity(*members, self.sets) << 1 | usize::from(before);
            before = ask(slot as u32, &mut bits[context]);
            *members += u32::from(before);
            missing -= usize::from(before);
        }
        self.members[slots - missing..]
            .iter_mut()
            .for_each(|members| *members += 1);
        self.sets += 1;
    }
}

const fn popularity(members: u32, sets: u32) -> usize {
    if members == 0 {
        0
    } else if members == sets {
        3
    } else if members * 2 < sets {
        1
    } else {
        2
    }
}

fn is_same(times: &[i64], points: &[Point]) -> bool {
    times.len() == points.len()
        && times
            .iter()
            .zip(points)
            .all(|(time, (at, _))| *time == at.0)
}

/// The slots that hold both.
fn united(times: &[i64], points: &[Point]) -> Vec<i64> {
    let mut united = Vec::with_capacity(times.len().max(points.len()));
    let (mut a, mut b) = (times.iter().peekable(), points.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(a), Some((b, _))) => (**a).min(b.0),
            (Some(a), None) => **a,
            (None, Some((b, _))) => b.0,
            (None, None) => return united,
        };
        a.next_if(|time| **time == next);
        b.next_if(|(at, _)| at.0 == next);
        united.push(next);
    }
}

/// The slots of points, each of which has one.
fn places(times: &[i64], points: &[Point]) -> Vec<u32> {
    let mut slot = 0;
    points
        .iter()
        .map(|(at, _)| {
            while times[slot] != at.0 {
                slot += 1;
            }
            slot += 1;
            slot as u32 - 1
        })
        .collect()
}
