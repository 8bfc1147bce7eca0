//! A column of whole numbers: each as its difference to what the ones before foretell.

use super::coder::{Bit, Reader, Whole, Writer};
use super::head::{Field, HeadReader, HeadWriter};

/// How the next number of a column is foretold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foretelling {
    /// As the one before.
    Last,
    /// As far from the one before as that was from its own.
    Line,
    /// As far from the one before as is usual.
    Drift(i64),
    /// The middle of all.
    Centre(i64),
    /// Half way from the one before to the middle of all.
    Half(i64),
}

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    first: i64,
    /// What all differences to the first are multiples of; 0 where all numbers are the same.
    grain: u64,
    foretelling: Foretelling,
    /// Bits of the largest miss.
    bits: u32,
}

/// Writes a column; what is to be known before it is read goes to the head. Says whether that is all.
pub(super) fn put(head: &mut HeadWriter, body: &mut Writer, numbers: &[i64]) -> bool {
    let Some(first) = numbers.first() else {
        return true;
    };
    let grain = grain_of(numbers);
    let mut plan = Plan {
        first: *first,
        grain,
        ..Plan::NOTHING
    };
    if grain == 0 {
        plan.put(head);
        return true;
    }
    let steps: Vec<i64> = numbers.iter().map(|n| plan.step_of(*n)).collect();
    (plan.foretelling, plan.bits) = best(&steps);
    plan.put(head);
    let mut misses = Misses::new(plan.bits, steps.len());
    for at in 1..steps.len() {
        let told = plan.foretelling.tell(&steps[..at]);
        misses.put(body, steps[at].wrapping_sub(told));
    }
    false
}

/// What the head says about a column of `count` numbers.
pub(super) fn plan(head: &mut HeadReader<'_>, count: usize) -> Result<Plan, String> {
    if count == 0 {
        return Ok(Plan::NOTHING);
    }
    let first = head.get_signed(Field::First);
    let grain = head.get(Field::Grain);
    if grain == 0 {
        return Ok(Plan {
            first,
            ..Plan::NOTHING
        });
    }
    let foretelling = match head.get(Field::Foretelling) {
        0 => Foretelling::Last,
        1 => Foretelling::Line,
        2 => Foretelling::Drift(head.get_signed(Field::Centre)),
        3 => Foretelling::Centre(head.get_signed(Field::Centre)),
        4 => Foretelling::Half(head.get_signed(Field::Centre)),
        other => {
            return Err(format!(
                "its numbers are foretold in the unknown way {other}"
            ));
        }
    };
    let bits = head.get_size(Field::Bits, 64)? as u32;
    Ok(Plan {
        first,
        grain,
        foretelling,
        bits,
    })
}

/// Reads a column of `count` numbers.
pub(super) fn get(plan: &Plan, body: &mut Reader<'_>, count: usize) -> Vec<i64> {
    if plan.grain == 0 {
        return vec![plan.first; count];
    }
    let mut steps = Vec::with_capacity(count);
    let mut misses = Misses::new(plan.bits, count);
    for at in 0..count {
        let step = match at {
            0 => 0,
            _ => plan.foretelling.tell(&steps).wrapping_add(misses.get(body)),
        };
        steps.push(step);
    }
    steps
        .iter_mut()
        .for_each(|step| *step = plan.number_of(*step));
    steps
}

impl Plan {
    /// Of no numbers, or of zeros.
    pub const NOTHING: Self = Self {
        first: 0,
        grain: 0,
        foretelling: Foretelling::Last,
        bits: 0,
    };

    /// Whether a column has no bytes beside its head.
    pub const fn is_constant(&self) -> bool {
        self.grain == 0
    }

    fn step_of(&self, number: i64) -> i64 {
        let apart = number.wrapping_sub(self.first);
        let steps = (apart.unsigned_abs() / self.grain).cast_signed();
        if apart < 0 {
            steps.wrapping_neg()
        } else {
            steps
        }
    }

    fn number_of(&self, step: i64) -> i64 {
        let apart = step.wrapping_mul(self.grain.cast_signed());
        self.first.wrapping_add(apart)
    }

    fn put(&self, head: &mut HeadWriter) {
        head.put_signed(Field::First, self.first);
        head.put(Field::Grain, self.grain);
        if self.grain == 0 {
            return;
        }
        let (way, centre) = match self.foretelling {
            Foretelling::Last => (0, None),
            Foretelling::Line => (1, None),
            Foretelling::Drift(centre) => (2, Some(centre)),
            Foretelling::Centre(centre) => (3, Some(centre)),
            Foretelling::Half(centre) => (4, Some(centre)),
        };
        head.put(Field::Foretelling, way);
        if let Some(centre) = centre {
            head.put_signed(Field::Centre, centre);
        }
        head.put(Field::Bits, u64::from(self.bits));
    }
}

impl Foretelling {
    /// The next number after at least one.
    #[inline]
    fn tell(self, before: &[i64]) -> i64 {
        let last = before[before.len() - 1];
        match self {
            Self::Last => last,
            Self::Line => {
                let earlier = before.len().checked_sub(2).map_or(last, |at| before[at]);
                last.wrapping_add(last.wrapping_sub(earlier))
            }
            Self::Drift(usual) => last.wrapping_add(usual),
            Self::Centre(centre) => centre,
            Self::Half(centre) => (last >> 1).wrapping_add(centre >> 1),
        }
    }
}

/// What misses are like, by how far the one before missed.
#[derive(Debug)]
struct Misses {
    sizes: Vec<Whole>,
    signs: [Bit; 3],
    /// A miss of more bits than this is a large one.
    large: u32,
    context: usize,
    sign: usize,
}

/// A column of fewer numbers is too short to learn three contexts.
const LONG: usize = 128;

impl Misses {
    fn new(bits: u32, count: usize) -> Self {
        let contexts = if count < LONG { 2 } else { 3 };
        Self {
            sizes: vec![Whole::new(bits); contexts],
            signs: [Bit::EVEN; 3],
            large: if count < LONG { u32::MAX } else { bits / 2 },
            context: 0,
            sign: 0,
        }
    }

    fn put(&mut self, body: &mut Writer, miss: i64) {
        let size = miss.unsigned_abs();
        body.whole(&mut self.sizes[self.context], size);
        if size > 0 {
            body.bit(&mut self.signs[self.sign], miss < 0);
        }
        self.note(size, miss < 0);
    }

    fn get(&mut self, body: &mut Reader<'_>) -> i64 {
        let size = body.whole(&mut self.sizes[self.context]);
        let below = size > 0 && body.bit(&mut self.signs[self.sign]);
        self.note(size, below);
        if below {
            size.cast_signed().wrapping_neg()
        } else {
            size.cast_signed()
        }
    }

    #[inline]
    fn note(&mut self, size: u64, below: bool) {
        self.context = match u64::BITS - size.leading_zeros() {
            0 => 0,
            bits if bits <= self.large => 1,
            _ => 2,
        };
        self.sign = match (size, below) {
            (0, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        };
    }
}

/// The greatest number that all differences to the first are multiples of.
fn grain_of(numbers: &[i64]) -> u64 {
    let mut grain = 0;
    for number in numbers {
        let apart = number.wrapping_sub(numbers[0]).unsigned_abs();
        grain = common_divisor(apart, grain);
        if grain == 1 {
            break;
        }
    }
    grain
}

const fn common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The way of foretelling that misses by the fewest bits, and the bits of its largest miss.
fn best(steps: &[i64]) -> (Foretelling, u32) {
    let differences: Vec<i64> = steps
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    let (usual, centre) = (middle(&differences), middle(steps));
    let ways = [
        Foretelling::Last,
        Foretelling::Line,
        Foretelling::Drift(usual),
        Foretelling::Centre(centre),
        Foretelling::Half(centre),
    ];
    let costs = ways.map(|way| (way, cost(way, steps)));
    let best = costs.into_iter().min_by_key(|(_, (cost, _))| *cost);
    let (way, (_, bits)) = best.expect("there are five ways");
    (way, bits)
}

/// Bits of all misses, and of the largest.
fn cost(way: Foretelling, steps: &[i64]) -> (u64, u32) {
    let given = match way {
        Foretelling::Last | Foretelling::Line => 0,
        Foretelling::Drift(n) | Foretelling::Centre(n) | Foretelling::Half(n) => {
            4 + u64::from(u64::BITS - n.unsigned_abs().leading_zeros())
        }
    };
    let mut most = 0;
    let mut all = given;
    for at in 1..steps.len() {
        let miss = steps[at]
            .wrapping_sub(way.tell(&steps[..at]))
            .unsigned_abs();
        let bits = u64::BITS - miss.leading_zeros();
        most = most.max(bits);
        // A miss has a sign and a count of bits too.
        all += u64::from(bits + 2 * u32::from(bits > 0));
    }
    (all, most)
}

fn middle(numbers: &[i64]) -> i64 {
    let mut sorted = numbers.to_vec();
    let at = sorted.len() / 2;
    *sorted.select_nth_unstable(at).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(numbers: &[i64]) -> (usize, Vec<i64>) {
        let (mut head, mut body) = (HeadWriter::new(), Writer::default());
        put(&mut head, &mut body, numbers);
        let (head, body) = (head.finish(), body.finish());
        let plan = plan(&mut HeadReader::new(&head), numbers.len()).unwrap();
        let back = get(&plan, &mut Reader::new(&body), numbers.len());
        assert!(!plan.is_constant() || body.is_empty());
        (head.len() + body.len(), back)
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<i64>(), 0_u32..64), 0..200)) {
            let numbers: Vec<i64> = numbers.into_iter().map(|(n, shift)| n >> shift).collect();
            prop_assert_eq!(there_and_back(&numbers).1, numbers);
        }
    }

    #[test]
    fn extremes_come_back() {
        for numbers in [
            vec![i64::MIN, i64::MAX, 0, i64::MIN, -1, i64::MAX],
            vec![i64::MAX, i64::MIN],
            vec![0, i64::MIN],
            vec![i64::MIN, 0, i64::MIN],
            vec![7],
            vec![],
        ] {
            assert_eq!(there_and_back(&numbers).1, numbers);
        }
    }

    #[test]
    fn what_follows_a_rule_is_small() {
        let size = |of: fn(i64) -> i64| {
            let numbers: Vec<i64> = (0..1440).map(of).collect();
            let (size, back) = there_and_back(&numbers);
            assert_eq!(back, numbers);
            size
        };
        assert!(size(|_| 16_000_000_000) <= 8, "the same");
        assert!(size(|n| n * 60_000) <= 16, "each minute");
        assert!(
            size(|n| 4096 * (n / 100)) <= 40,
            "in whole blocks, now and then"
        );
        assert!(size(|n| n * n) <= 700, "faster and faster");
    }
}
