//! One piece: its head, and how the parts follow from it.
//!
//! ```text
//! head   := slots columns times sets size(set)* column*
//! column := metric instance set form classes? numbers? steps? bytes
//! numbers, steps := first grain (way centre? bits)?
//! ```
//! `metric` and `set` are differences to the column before, and `instance` is 0 where it is the same;
//! texts and values are numbered as they come up: see [`Names`] and [`Table`]. `numbers` is there where a
//! column has numbers, `steps` where these lie near decimals (see `numbers`), and `bytes` where it has any.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rollcall_shared::reading::Value;

use super::coder::Writer;
use super::head::{Field, HeadReader, HeadWriter};
use super::integers;
use super::numbers::{ordered, unordered};
use super::slots::{self, SLOTS, SlotReader, Slots};
use super::texts::{self, TEXT_BYTES};
use super::values::{Exact, Shape, Sorted, weight};
use super::{COLUMNS, Column, POINTS_BYTES, Problem, Unpacked, View, Wanted};
use crate::device::SeriesKey;

const VERSION: u8 = 2;

/// Sets of slots times slots, for reading which a tenth of a second is to be enough.
const PLACES: usize = 1 << 24;

/// A packed piece.
#[derive(Debug)]
pub(super) struct Piece {
    pub bytes: Vec<u8>,
    /// Bytes that names and texts take: a piece with fewer times has as many.
    pub named: usize,
}

/// Packs series into one piece, of any size; `None` where there is more than a piece may hold.
pub(super) fn encode(views: &[View<'_>]) -> Option<Piece> {
    let mut slots = Slots::of(views);
    let sets: Vec<usize> = views.iter().map(|view| slots.set_of(view.points)).collect();
    if slots.times.len() > SLOTS || slots.count_sets() * slots.times.len() > PLACES {
        return None;
    }
    let (mut head, mut of_slots) = (HeadWriter::new(), Writer::default());
    head.put_size(Field::Count, slots.times.len());
    head.put_size(Field::Count, views.len());
    slots.put(&mut head, &mut of_slots);
    let mut table = Table::default();
    let (mut before, mut bodies) = (Before::default(), Vec::new());
    for (view, set) in views.iter().zip(sets) {
        before.put(&mut head, &mut table.names, view, set);
        bodies.extend(column(&mut head, &mut table, view));
    }
    Some(joined(
        &head.finish(),
        &of_slots.finish(),
        &table.names.texts,
        &bodies,
    ))
}

fn joined(head: &[u8], slots: &[u8], texts: &[u8], bodies: &[u8]) -> Piece {
    let packed = texts::pack(texts);
    let (texts, is_packed) = packed.as_deref().map_or((texts, 0), |packed| (packed, 1));
    let mut bytes = vec![VERSION];
    put_size(&mut bytes, head.len());
    put_size(&mut bytes, slots.len());
    put_size(&mut bytes, texts.len() << 1 | is_packed);
    let named = head.len() + texts.len();
    bytes.extend([head, slots, texts, bodies].concat());
    Piece { bytes, named }
}

fn column<'a>(head: &mut HeadWriter, table: &mut Table<'a>, view: &View<'a>) -> Vec<u8> {
    let sorted = Sorted::new(view.points);
    head.put(Field::Form, sorted.form());
    if !sorted.others.is_empty() {
        head.put_size(Field::Classes, sorted.others.len());
        sorted
            .others
            .iter()
            .for_each(|value| table.put(head, value));
    }
    let (body, is_sized) = sorted.put(head);
    if is_sized {
        head.put_size(Field::Bytes, body.len());
    }
    body
}

/// Unpacks a piece: its times, and the series that are wanted.
pub(super) fn decode(piece: &[u8], wanted: Wanted<'_>) -> Result<Unpacked, Problem> {
    let parts = Parts::of(piece)?;
    let texts = parts.texts()?;
    let mut head = HeadReader::new(parts.head);
    let slots = head.get_size(Field::Count, SLOTS)?;
    let columns = head.get_size(Field::Count, COLUMNS)?;
    let times = integers::plan(&mut head, slots)?;
    let sizes = slots::sizes(&mut head, slots, columns)?;
    if sizes.len() * slots > PLACES {
        return Err(format!(
            "{} sets of {slots} slots are too many",
            sizes.len()
        ));
    }
    let mut slots = SlotReader::new(&times, slots, sizes, parts.slots);
    let mut table = ReadTable::new(&texts);
    let (mut before, mut bodies) = (Before::default(), parts.bodies);
    let (mut found, mut room) = (Vec::new(), POINTS_BYTES);
    for _ in 0..columns {
        before.get(&mut head, &mut table.names)?;
        let shape = shape(&mut head, &mut table)?;
        let body = match shape.is_sized() {
            true => take(&mut bodies, head.get_size(Field::Bytes, piece.len())?)?,
            false => &[],
        };
        if wanted(before.metric, before.instance) {
            let times = slots.times_of(before.set)?;
            let values = shape.get(body, times.len(), &table.values, &mut room)?;
            let points = times.into_iter().zip(values).collect();
            let key = before.key();
            found.push(Column { key, points });
        }
    }
    Ok(Unpacked {
        times: slots.times_of(0)?,
        columns: found,
    })
}

fn shape(head: &mut HeadReader<'_>, table: &mut ReadTable<'_>) -> Result<Shape, Problem> {
    let (mut shape, has_classes) = Shape::of(head.get(Field::Form))?;
    if has_classes {
        let classes = head.get_size(Field::Classes, SLOTS)?;
        for _ in 0..classes {
            shape.classes.push(table.get(head)?);
        }
    }
    if shape.has_numbers() {
        shape.plan = integers::plan(head, 1)?;
    }
    if shape.has_steps() {
        shape.steps = integers::plan(head, 1)?;
    }
    Ok(shape)
}

/// What a series' names and slots are told apart from: the series before.
#[derive(Debug, Default)]
struct Before<'a> {
    metric: u16,
    instance: &'a str,
    set: usize,
}

impl<'a> Before<'a> {
    fn put(&mut self, head: &mut HeadWriter, names: &mut Names<'a>, view: &View<'a>, set: usize) {
        let apart = i64::from(view.key.metric) - i64::from(self.metric);
        head.put_signed(Field::Metric, apart);
        let instance = view.key.instance.as_str();
        if instance == self.instance {
            head.put(Field::Instance, 0);
        } else {
            names.put(head, Field::Instance, 1, instance);
        }
        head.put_signed(Field::Set, set as i64 - self.set as i64);
        (self.metric, self.instance, self.set) = (view.key.metric, instance, set);
    }

    fn get(&mut self, head: &mut HeadReader<'_>, names: &mut ReadNames<'a>) -> Result<(), Problem> {
        let metric = i64::from(self.metric).wrapping_add(head.get_signed(Field::Metric));
        self.metric = u16::try_from(metric).map_err(|_| format!("no metric has code {metric}"))?;
        if let Some(name) = head.get(Field::Instance).checked_sub(1) {
            self.instance = names.get(head, name)?;
        }
        let set = (self.set as i64).wrapping_add(head.get_signed(Field::Set));
        self.set = usize::try_from(set).map_err(|_| format!("there is no set {set}"))?;
        Ok(())
    }

    fn key(&self) -> SeriesKey {
        SeriesKey {
            metric: self.metric,
            instance: self.instance.to_owned(),
        }
    }
}

/// Texts by the order in which they come up first: 0 is a new one, others count from 1.
#[derive(Debug, Default)]
struct Names<'a> {
    known: HashMap<&'a str, u64>,
    texts: Vec<u8>,
}

impl<'a> Names<'a> {
    /// Writes a text's number, counted from `first`.
    fn put(&mut self, head: &mut HeadWriter, field: Field, first: u64, text: &'a str) {
        let next = self.known.len() as u64 + 1;
        match self.known.entry(text) {
            Entry::Occupied(known) => head.put(field, first + known.get()),
            Entry::Vacant(place) => {
                place.insert(next);
                head.put(field, first);
                head.put_size(Field::TextBytes, text.len());
                self.texts.extend(text.as_bytes());
            }
        }
    }
}

#[derive(Debug)]
struct ReadNames<'a> {
    known: Vec<&'a str>,
    rest: &'a str,
}

impl<'a> ReadNames<'a> {
    fn get(&mut self, head: &mut HeadReader<'_>, name: u64) -> Result<&'a str, Problem> {
        let Some(at) = name.checked_sub(1) else {
            let size = head.get_size(Field::TextBytes, TEXT_BYTES)?;
            let (text, rest) = self
                .rest
                .split_at_checked(size)
                .ok_or("its texts end early")?;
            self.rest = rest;
            self.known.push(text);
            return Ok(text);
        };
        let known = usize::try_from(at).ok().and_then(|at| self.known.get(at));
        known
            .copied()
            .ok_or_else(|| format!("there is no text {at}"))
    }
}

/// Values that are no numbers of a column's form, each once: 0 is a new one, others count from 1.
#[derive(Debug, Default)]
struct Table<'a> {
    known: HashMap<Exact<'a>, u64>,
    names: Names<'a>,
}

impl<'a> Table<'a> {
    fn put(&mut self, head: &mut HeadWriter, value: &'a Value) {
        let next = self.known.len() as u64 + 1;
        let known = *self.known.entry(Exact::of(value)).or_insert(next);
        if known != next {
            return head.put(Field::Class, known);
        }
        head.put(Field::Class, 0);
        match value {
            Value::Flag(flag) => head.put(Field::Entry, u64::from(*flag)),
            Value::Number(number) => {
                head.put(Field::Entry, 2);
                head.put_signed(Field::First, ordered(*number));
            }
            Value::Text(text) => {
                head.put(Field::Entry, 3);
                self.names.put(head, Field::Name, 0, text);
            }
            Value::Unavailable(why) => {
                head.put(Field::Entry, 4);
                self.names.put(head, Field::Name, 0, why);
            }
        }
    }
}

#[derive(Debug)]
struct ReadTable<'a> {
    values: Vec<Value>,
    names: ReadNames<'a>,
    room: usize,
}

impl<'a> ReadTable<'a> {
    fn new(texts: &'a str) -> Self {
        let names = ReadNames {
            known: Vec::new(),
            rest: texts,
        };
        Self {
            values: Vec::new(),
            names,
            room: POINTS_BYTES,
        }
    }

    /// The place of a value.
    fn get(&mut self, head: &mut HeadReader<'_>) -> Result<usize, Problem> {
        let known = head.get(Field::Class);
        let Some(at) = known.checked_sub(1) else {
            let value = self.value(head)?;
            self.room = self
                .room
                .checked_sub(weight(&value))
                .ok_or("it has too many values")?;
            self.values.push(value);
            return Ok(self.values.len() - 1);
        };
        let place = usize::try_from(at)
            .ok()
            .filter(|at| *at < self.values.len());
        place.ok_or_else(|| format!("there is no value {at}"))
    }

    fn value(&mut self, head: &mut HeadReader<'_>) -> Result<Value, Problem> {
        match head.get(Field::Entry) {
            flag @ 0..=1 => Ok(Value::Flag(flag == 1)),
            2 => Ok(Value::Number(unordered(head.get_signed(Field::First)))),
            3 => Ok(Value::Text(self.text(head)?)),
            4 => Ok(Value::Unavailable(self.text(head)?)),
            other => Err(format!("there is no kind of value {other}")),
        }
    }

    fn text(&mut self, head: &mut HeadReader<'_>) -> Result<String, Problem> {
        let name = head.get(Field::Name);
        self.names.get(head, name).map(str::to_owned)
    }
}

/// The parts of a piece.
#[derive(Debug)]
struct Parts<'a> {
    head: &'a [u8],
    slots: &'a [u8],
    texts: &'a [u8],
    are_packed: bool,
    bodies: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(piece: &'a [u8]) -> Result<Self, Problem> {
        let (version, mut rest) = piece.split_first().ok_or("it is empty")?;
        if *version != VERSION {
            return Err(format!("its form {version} is unknown"));
        }
        let sizes = [size(&mut rest)?, size(&mut rest)?, size(&mut rest)?];
        Ok(Self {
            head: take(&mut rest, sizes[0])?,
            slots: take(&mut rest, sizes[1])?,
            texts: take(&mut rest, sizes[2] >> 1)?,
            are_packed: sizes[2] & 1 == 1,
            bodies: rest,
        })
    }

    fn texts(&self) -> Result<String, Problem> {
        let texts = match self.are_packed {
            true => texts::unpack(self.texts)?,
            false => self.texts.to_vec(),
        };
        String::from_utf8(texts).map_err(|error| format!("its texts are none: {error}"))
    }
}

fn put_size(bytes: &mut Vec<u8>, size: usize) {
    let mut rest = size;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn size(bytes: &mut &[u8]) -> Result<usize, Problem> {
    let mut size = 0;
    for shift in [0, 7, 14] {
        let (byte, rest) = bytes.split_first().ok_or("it ends in a size")?;
        *bytes = rest;
        size |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
    Err("a size is larger than a piece".to_owned())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Problem> {
    let missing = count.saturating_sub(bytes.len());
    let (taken, rest) = bytes
        .split_at_checked(count)
        .ok_or_else(|| format!("it ends {missing} bytes early"))?;
    *bytes = rest;
    Ok(taken)
}
