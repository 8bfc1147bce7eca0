//! The values of one column: numbers in one form, and a few other values by their place in a table.

use std::collections::HashMap;

use rollcall_shared::reading::Value;

use super::Point;
use super::coder::{Bit, Reader, Whole, Writer};
use super::head::HeadWriter;
use super::integers::{self, Plan};
use super::numbers::{self, DECIMALS};

/// What the values of a column are.
#[derive(Debug)]
pub(super) struct Shape {
    /// The form of its numbers.
    form: Form,
    /// Whether it has numbers at all.
    numbers: bool,
    /// Entries in the table of values for what is no such number.
    pub classes: Vec<usize>,
    /// How its numbers are written.
    pub plan: Plan,
    /// How their steps are written, where they lie near decimals.
    pub steps: Plan,
}

/// The form of a column's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In units of this decimal.
    Decimals(usize),
    /// Their bits.
    Bits,
    /// In units of this decimal, and steps from there: see [`numbers::near`].
    Near(usize),
}

/// Numbers that fit no decimals are entries of the table while they are this few.
const ODD_NUMBERS: usize = 4;

/// The most decimals by which numbers may lie: more, and the decimals are closer than the steps.
const MOST_NEAR: usize = 12;

/// A column on its way into a piece.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    form: Form,
    numbers: Vec<i64>,
    /// The numbers' steps in the form [`Form::Near`].
    steps: Vec<i64>,
    /// For each point 0 where it is a number, else the place of its value in `others`, from 1.
    symbols: Vec<usize>,
    /// The values that are no numbers of its form, each once.
    pub others: Vec<&'a Value>,
}

impl<'a> Sorted<'a> {
    /// Sorts the values of a column by what they are.
    pub fn new(points: &'a [Point]) -> Self {
        let form = Form::of(points);
        let mut sorted = Self {
            form,
            numbers: Vec::with_capacity(points.len()),
            steps: Vec::new(),
            symbols: Vec::with_capacity(points.len()),
            others: Vec::new(),
        };
        let mut places = HashMap::new();
        for (_, value) in points {
            let number = value.as_number().and_then(|number| form.whole(number));
            let symbol = number.map_or_else(|| sorted.place(&mut places, value), |_| 0);
            sorted.numbers.extend(number.map(|(number, _)| number));
            if matches!(form, Form::Near(_)) {
                sorted.steps.extend(number.map(|(_, steps)| steps));
            }
            sorted.symbols.push(symbol);
        }
        sorted
    }

    fn place(&mut self, places: &mut HashMap<Exact<'a>, usize>, value: &'a Value) -> usize {
        let next = places.len() + 1;
        let place = *places.entry(Exact::of(value)).or_insert(next);
        if place == next {
            self.others.push(value);
        }
        place
    }

    /// The form as a number of the head.
    pub fn form(&self) -> u64 {
        let (numbers, others) = (!self.numbers.is_empty(), !self.others.is_empty());
        self.form.code() << 2 | u64::from(numbers) << 1 | u64::from(others)
    }

    /// Writes the column, and says whether its size must be told.
    pub fn put(&self, head: &mut HeadWriter) -> (Vec<u8>, bool) {
        let mut body = Writer::default();
        let has_symbols = self.others.len() + usize::from(!self.numbers.is_empty()) > 1;
        if has_symbols {
            let mut symbols = Symbols::new(self.others.len());
            for symbol in &self.symbols {
                symbols.put(&mut body, *symbol);
            }
        }
        let is_constant = integers::put(head, &mut body, &self.numbers)
            & integers::put(head, &mut body, &self.steps);
        (body.finish(), has_symbols || !is_constant)
    }
}

impl Shape {
    /// A form of the head: the shape without its classes and plan, and whether it has classes.
    pub fn of(form: u64) -> Result<(Self, bool), String> {
        let shape = Self {
            form: Form::parse(form >> 2)?,
            numbers: form & 2 > 0,
            classes: Vec::new(),
            plan: Plan::NOTHING,
            steps: Plan::NOTHING,
        };
        Ok((shape, form & 1 > 0))
    }

    /// Whether a column of this shape has numbers.
    pub const fn has_numbers(&self) -> bool {
        self.numbers
    }

    /// Whether its numbers have steps.
    pub const fn has_steps(&self) -> bool {
        self.numbers && matches!(self.form, Form::Near(_))
    }

    /// Whether it must be said of each point which value it is.
    const fn has_symbols(&self) -> bool {
        self.classes.len() + self.numbers as usize > 1
    }

    /// Whether the size of such a column is told.
    pub const fn is_sized(&self) -> bool {
        self.has_symbols() || !self.plan.is_constant() || !self.steps.is_constant()
    }

    /// Reads the values of `count` points into what `room` there is.
    pub fn get(
        &self,
        body: &[u8],
        count: usize,
        table: &[Value],
        room: &mut usize,
    ) -> Result<Vec<Value>, String> {
        let mut body = Reader::new(body);
        if !self.has_symbols() && self.numbers {
            make_room(room, count * POINT_BYTES)?;
            return Ok(self.numbers(&mut body, count));
        }
        let symbols = self.symbols(&mut body, count)?;
        let other = |symbol: &usize| {
            symbol
                .checked_sub(1)
                .map(|place| &table[self.classes[place]])
        };
        let others = symbols.iter().filter_map(other);
        make_room(
            room,
            count * POINT_BYTES + others.map(weight).sum::<usize>(),
        )?;
        let numbers = symbols.iter().filter(|symbol| **symbol == 0).count();
        let mut numbers = self.numbers(&mut body, numbers).into_iter();
        let mut next = || numbers.next().expect("they were counted");
        let values = symbols.iter();
        Ok(values
            .map(|symbol| other(symbol).cloned().unwrap_or_else(&mut next))
            .collect())
    }

    fn symbols(&self, body: &mut Reader<'_>, count: usize) -> Result<Vec<usize>, String> {
        let lone = usize::from(!self.numbers);
        if !self.has_symbols() {
            let symbols = vec![lone; count];
            return if self.classes.len() < lone {
                Err("a column has no values".to_owned())
            } else {
                Ok(symbols)
            };
        }
        let mut symbols = Symbols::new(self.classes.len());
        let symbols: Vec<usize> = (0..count).map(|_| symbols.get(body)).collect();
        let is_known = |symbol: &usize| (lone..=self.classes.len()).contains(symbol);
        match symbols.iter().find(|symbol| !is_known(symbol)) {
            Some(unknown) => Err(format!("a column has no value {unknown}")),
            None => Ok(symbols),
        }
    }

    fn numbers(&self, body: &mut Reader<'_>, count: usize) -> Vec<Value> {
        let numbers = integers::get(&self.plan, body, count);
        if let Form::Near(decimals) = self.form {
            let steps = integers::get(&self.steps, body, count);
            let both = numbers.into_iter().zip(steps);
            let number = |(whole, steps)| numbers::from_near(whole, steps, decimals);
            return both.map(number).map(Value::Number).collect();
        }
        let number = |number| match self.form {
            Form::Decimals(decimals) | Form::Near(decimals) => numbers::unscaled(number, decimals),
            Form::Bits => numbers::unordered(number),
        };
        numbers.into_iter().map(number).map(Value::Number).collect()
    }
}

/// Which of some values each point is: mostly the one before.
#[derive(Debug)]
struct Symbols {
    same: [Bit; 2],
    which: Whole,
    before: usize,
    was_same: bool,
}

impl Symbols {
    fn new(classes: usize) -> Self {
        Self {
            same: [Bit::EVEN; 2],
            which: Whole::new(usize::BITS - classes.leading_zeros()),
            before: 0,
            was_same: true,
        }
    }

    fn put(&mut self, body: &mut Writer, symbol: usize) {
        let is_same = symbol == self.before;
        body.bit(&mut self.same[usize::from(self.was_same)], is_same);
        if !is_same {
            body.whole(&mut self.which, symbol as u64);
        }
        (self.before, self.was_same) = (symbol, is_same);
    }

    fn get(&mut self, body: &mut Reader<'_>) -> usize {
        let is_same = body.bit(&mut self.same[usize::from(self.was_same)]);
        if !is_same {
            self.before = body.whole(&mut self.which) as usize;
        }
        self.was_same = is_same;
        self.before
    }
}

impl Form {
    /// The form of most numbers of a column.
    fn of(points: &[Point]) -> Self {
        let numbers = || points.iter().filter_map(|(_, value)| value.as_number());
        if let Some(decimals) = decimals_of(numbers()) {
            return Self::Decimals(decimals);
        }
        let near = (0..=MOST_NEAR).find(|decimals| {
            let odd = numbers().filter(|number| numbers::near(*number, *decimals).is_none());
            odd.take(ODD_NUMBERS + 1).count() <= ODD_NUMBERS
        });
        near.map_or(Self::Bits, Self::Near)
    }

    /// A number in this form, and its steps.
    fn whole(self, number: f64) -> Option<(i64, i64)> {
        match self {
            Self::Decimals(decimals) => numbers::scaled(number, decimals).map(|whole| (whole, 0)),
            Self::Bits => Some((numbers::ordered(number), 0)),
            Self::Near(decimals) => numbers::near(number, decimals),
        }
    }

    const fn code(self) -> u64 {
        match self {
            Self::Decimals(decimals) => decimals as u64,
            Self::Bits => DECIMALS,
            Self::Near(decimals) => DECIMALS + 1 + decimals as u64,
        }
    }

    fn parse(code: u64) -> Result<Self, String> {
        match code {
            0..DECIMALS => Ok(Self::Decimals(code as usize)),
            DECIMALS => Ok(Self::Bits),
            _ if code - DECIMALS - 1 <= MOST_NEAR as u64 => {
                Ok(Self::Near((code - DECIMALS - 1) as usize))
            }
            _ => Err(format!("numbers in the form {code} are unknown")),
        }
    }
}

/// The decimals of most numbers; `None` where too many have none that help.
fn decimals_of(numbers: impl Iterator<Item = f64>) -> Option<usize> {
    let (mut decimals, mut odd) = (0, 0);
    for number in numbers {
        match numbers::decimals_of(number, decimals) {
            Some(more) => decimals = more,
            None => odd += 1,
        }
        if odd > ODD_NUMBERS {
            return None;
        }
    }
    Some(decimals)
}

/// A value that equals another only if every bit does.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Exact<'a> {
    Number(u64),
    Flag(bool),
    Text(&'a str),
    Unavailable(&'a str),
}

impl<'a> Exact<'a> {
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(number.to_bits()),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Text(text) => Self::Text(text),
            Value::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Memory that a point takes beside its text.
const POINT_BYTES: usize = size_of::<Point>();

/// Memory that a value takes, its place in a list included.
pub(super) fn weight(value: &Value) -> usize {
    let text = match value {
        Value::Text(text) | Value::Unavailable(text) => text.len(),
        Value::Number(_) | Value::Flag(_) => 0,
    };
    POINT_BYTES + text
}

fn make_room(room: &mut usize, bytes: usize) -> Result<(), String> {
    *room = room
        .checked_sub(bytes)
        .ok_or("it has more points than any piece")?;
    Ok(())
}
