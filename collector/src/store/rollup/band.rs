//! The numbers of a band, told from the last value or the least where that is shorter.
//!
//! ```text
//! statistic := 0 last | 1 least | 2 greatest | 3 mean | 4 count
//!            | 96 + 9 (decimals + 2) + 3 grain + base   the mean in units of 1, 2 or 5 (grain) of the last of
//!                                           so many decimals, by itself (base 0), or its difference to the
//!                                           last value (1) or to the least (2)
//! ```
//! How far the least and the greatest are from the last value follows the last values in their column, as
//! decimals: see [`AFTER_MS`]. The means of what wanders lie near the last value, those of what jumps near
//! one another, and those of what has a floor near the least: which it is, the sums of the bits say.

use rollcall_shared::time::UnixMs;

use super::{Band, Bucket};

pub(super) const LAST: u16 = 0;
pub(super) const MIN: u16 = 1;
pub(super) const MAX: u16 = 2;
pub(super) const MEAN: u16 = 3;
pub(super) const COUNT: u16 = 4;

const MEANS: u16 = 96;

/// How much later than its bucket a point of a column is that tells how far the least is below the last value
/// there, and twice as much later how far the greatest is above: some hundred years. A column costs some ten
/// bytes before its first number, which is more than most of these numbers take.
const AFTER_MS: i64 = 1 << 44;

/// The most decimals of numbers, and of means.
const MOST_DECIMALS: i32 = 14;
const LEAST_DECIMALS: i32 = -2;

/// Whole numbers up to here are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Bits that a column of its own costs before its first number, about.
const COLUMN_BITS: f64 = 64.0;

/// In what units of the last decimal means are counted.
const GRAINS: [f64; 3] = [1.0, 2.0, 5.0];

/// Means are as exact as this part of the widest band: they are rounded to units of twice that at most.
const PART: f64 = 1000.0;

/// A column of numbers, one for each bucket that has a band.
pub(super) type Numbers = (u16, Vec<f64>);

/// What a column tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tells {
    /// The value of a statistic itself.
    Itself(u16),
    /// The mean.
    Mean(Unit, Base),
}

/// What the mean is told from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Nothing = 0,
    Last = 1,
    Least = 2,
}

/// In what a mean is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    decimals: i32,
    grain: usize,
}

impl Unit {
    /// The coarsest that leaves means as exact as they are to be; `None` where there is no such.
    fn of(widest: f64) -> Option<Self> {
        let most = widest * 2.0 / PART;
        (LEAST_DECIMALS..=MOST_DECIMALS)
            .flat_map(|decimals| [2, 1, 0].map(|grain| Self { decimals, grain }))
            .find(|unit| unit.size() <= most)
    }

    fn size(self) -> f64 {
        GRAINS[self.grain] / power(self.decimals)
    }

    fn count(self, number: f64) -> Option<f64> {
        let count = (number * power(self.decimals) / GRAINS[self.grain]).round();
        (count.abs() < EXACT).then_some(count)
    }

    fn number(self, count: f64) -> f64 {
        count * GRAINS[self.grain] / power(self.decimals)
    }
}

impl Tells {
    /// What a column of this statistic tells; `None` where this version does not know it.
    pub fn of(statistic: u16) -> Option<Self> {
        match statistic {
            LAST..=COUNT => Some(Self::Itself(statistic)),
            MEANS.. => {
                let code = statistic - MEANS;
                let (decimals, grain) = (i32::from(code / 9) + LEAST_DECIMALS, code % 9 / 3);
                let unit = Unit {
                    decimals,
                    grain: usize::from(grain),
                };
                let base = [Base::Nothing, Base::Last, Base::Least][usize::from(code % 3)];
                (decimals <= MOST_DECIMALS).then_some(Self::Mean(unit, base))
            }
            _ => None,
        }
    }

    fn statistic(self) -> u16 {
        let offset = |number: i32| u16::try_from(number).expect("decimals are few");
        match self {
            Self::Itself(statistic) => statistic,
            Self::Mean(unit, base) => {
                MEANS
                    + 9 * offset(unit.decimals - LEAST_DECIMALS)
                    + 3 * unit.grain as u16
                    + base as u16
            }
        }
    }

    /// Puts what a column says of a bucket into its band. The last value and, for means, the least are there.
    pub fn apply(self, number: f64, last: f64, band: &mut Band) {
        match self {
            Self::Itself(MIN) => band.min = number,
            Self::Itself(MAX) => band.max = number,
            Self::Itself(MEAN) => band.mean = number,
            Self::Itself(_) => {}
            Self::Mean(unit, base) => {
                let base = match base {
                    Base::Nothing => Some(0.0),
                    Base::Last => unit.count(last),
                    Base::Least => unit.count(band.min),
                };
                let mean = unit.number(base.unwrap_or_default() + number);
                band.mean = mean.clamp(band.min.min(band.max), band.max);
            }
        }
    }

    /// In which order columns are put into a band: means need the rest.
    pub const fn is_mean(self) -> bool {
        matches!(self, Self::Mean(..) | Self::Itself(MEAN))
    }
}

/// What tells of bands what the last values do not.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sides {
    /// How far the least is below the last value, and the greatest above it: of each bucket with a band, where
    /// it is told so.
    pub apart: [Option<Vec<f64>>; 2],
    /// Columns of their own.
    pub columns: Vec<Numbers>,
}

/// When a point is that tells of a side of a bucket.
pub(super) fn beside(at: UnixMs, side: usize) -> UnixMs {
    at.plus_ms(AFTER_MS * (side as i64 + 1))
}

/// The bucket that a point of a column tells of, and of which side, where it is one.
pub(super) fn told_of(at: UnixMs) -> (UnixMs, Option<usize>) {
    let side = at.0.div_euclid(AFTER_MS).clamp(0, 2);
    let of = at.plus_ms(-side * AFTER_MS);
    (of, usize::try_from(side - 1).ok())
}

/// How a number is read from a band.
type OfBand = fn(&Band) -> f64;

/// What there is to tell of bands.
pub(super) fn sides(buckets: &[Bucket]) -> Sides {
    let bands: Vec<(f64, &Band)> = buckets
        .iter()
        .filter_map(|bucket| Some((bucket.last.as_number()?, bucket.band.as_ref()?)))
        .collect();
    let mut sides = Sides::default();
    let numbers: [(u16, OfBand); 2] = [(MIN, |band| band.min), (MAX, |band| band.max)];
    for (side, (statistic, number)) in numbers.into_iter().enumerate() {
        let itself: Vec<f64> = bands.iter().map(|(_, band)| number(band)).collect();
        let lasts = bands.iter().map(|(last, _)| last);
        if lasts.clone().eq(&itself) {
            continue;
        }
        let both: Vec<(f64, f64)> = lasts.copied().zip(itself.iter().copied()).collect();
        match apart(&both) {
            Some(apart) => sides.apart[side] = Some(apart),
            None => sides.columns.push((statistic, itself)),
        }
    }
    sides.columns.extend(means(&bands));
    sides
}

/// How far numbers are from last values, as decimals; `None` where these have none, or it would not be
/// shorter.
fn apart(both: &[(f64, f64)]) -> Option<Vec<f64>> {
    (0..=MOST_DECIMALS).find_map(|decimals| {
        let wholes = both
            .iter()
            .map(|(last, number)| Some((whole(*last, decimals)?, whole(*number, decimals)?)));
        let wholes: Vec<(f64, f64)> = wholes.collect::<Option<_>>()?;
        let apart: Vec<f64> = wholes
            .iter()
            .map(|(last, number)| (number - last).abs())
            .collect();
        let itself: Vec<f64> = wholes.iter().map(|(_, number)| *number).collect();
        let is_shorter = bits(&apart) <= bits(&itself) + COLUMN_BITS;
        Some(is_shorter.then(|| apart.iter().map(|units| units / power(decimals)).collect()))
    })?
}

/// A number that is so far from another, both decimals.
pub(super) fn moved(number: f64, apart: f64) -> Option<f64> {
    (0..=MOST_DECIMALS).find_map(|decimals| {
        let units = whole(number, decimals)? + whole(apart, decimals)?;
        Some(units / power(decimals))
    })
}

fn means(bands: &[(f64, &Band)]) -> Option<Numbers> {
    let is_last = |(last, band): &(f64, &Band)| band.mean.to_bits() == last.to_bits();
    if bands.iter().all(is_last) {
        return None;
    }
    let widest = bands.iter().map(|(_, band)| band.max - band.min);
    let told = Unit::of(widest.fold(0.0, f64::max)).and_then(|unit| {
        let of = |base: Base| {
            let counts = bands.iter().map(|(last, band)| {
                let base = match base {
                    Base::Nothing => 0.0,
                    Base::Last => unit.count(*last)?,
                    Base::Least => unit.count(band.min)?,
                };
                Some(unit.count(band.mean)? - base)
            });
            Some((base, counts.collect::<Option<Vec<f64>>>()?))
        };
        let told = [Base::Last, Base::Least, Base::Nothing]
            .into_iter()
            .filter_map(of);
        let least = told.min_by(|(_, a), (_, b)| bits(a).total_cmp(&bits(b)));
        least.map(|(base, counts)| (Tells::Mean(unit, base).statistic(), counts))
    });
    Some(told.unwrap_or_else(|| (MEAN, bands.iter().map(|(_, band)| band.mean).collect())))
}

/// About how many bits whole numbers take, each told from the one before or from the middle of all.
fn bits(numbers: &[f64]) -> f64 {
    let size = |apart: f64| (1.0 + apart.abs()).log2();
    let steps: f64 = numbers.windows(2).map(|two| size(two[1] - two[0])).sum();
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let around: f64 = numbers.iter().map(|number| size(number - middle)).sum();
    steps.min(around)
}

/// A number in units of so many decimals, where it comes back from there.
fn whole(number: f64, decimals: i32) -> Option<f64> {
    let whole = (number * power(decimals)).round();
    let is_exact = whole.abs() < EXACT && (whole / power(decimals)).to_bits() == number.to_bits();
    is_exact.then_some(whole)
}

fn power(decimals: i32) -> f64 {
    10_f64.powi(decimals)
}

#[cfg(test)]
mod tests {
    use rollcall_shared::reading::Value;
    use rollcall_shared::time::UnixMs;

    use super::*;

    fn bucket(last: f64, (min, mean, max): (f64, f64, f64)) -> Bucket {
        Bucket {
            at: UnixMs(0),
            count: 1,
            last: Value::Number(last),
            band: Some(Band { min, mean, max }),
        }
    }

    fn told(buckets: &[Bucket]) -> ([bool; 2], Vec<Tells>) {
        let sides = sides(buckets);
        let columns = sides.columns.into_iter();
        let tells = columns.map(|(statistic, _)| Tells::of(statistic).unwrap());
        (sides.apart.map(|apart| apart.is_some()), tells.collect())
    }

    #[test]
    fn each_statistic_tells_one_thing() {
        for statistic in 0..=u16::from(u8::MAX) {
            if let Some(tells) = Tells::of(statistic) {
                assert_eq!(tells.statistic(), statistic, "{tells:?}");
            }
        }
    }

    #[test]
    fn what_wanders_is_told_from_its_last_value_and_what_jumps_by_itself() {
        // Free bytes that go down, an odd number at a time.
        let free = |n: i32| f64::from(500_000 - n * 7919 - (n * n) % 97);
        let wanders: Vec<Bucket> = (0..30)
            .map(|n| bucket(free(n), (free(n), free(n) + 40.0, free(n) + 80.0)))
            .collect();
        assert!(
            matches!(&told(&wanders), ([false, true], tells)
                if matches!(tells[..], [Tells::Mean(_, Base::Last)])),
            "{:?}",
            told(&wanders)
        );
        let noise = |n: i32| f64::from(n * 7919 % 1000) / 1000.0;
        let jumps: Vec<Bucket> = (1..90).map(|n| bucket(noise(n), (0.0, 0.5, 1.0))).collect();
        assert!(
            matches!(&told(&jumps), ([false, false], tells)
                if matches!(tells[..], [Tells::Itself(MIN), Tells::Itself(MAX), Tells::Mean(_, _)])),
            "{:?}",
            told(&jumps)
        );
    }

    #[test]
    fn a_number_that_stands_still_needs_no_column() {
        let still: Vec<Bucket> = (0..9).map(|_| bucket(0.3, (0.3, 0.3, 0.3))).collect();
        assert_eq!(sides(&still), Sides::default());
    }

    #[test]
    fn decimals_come_back_from_how_far_they_are_apart() {
        for (last, number) in [(0.3, 0.1), (0.9, 0.4), (1e12, 1e12 - 0.5), (0.07, 0.29)] {
            let apart = apart(&[(last, number)]).unwrap()[0];
            let sign = if number < last { -1.0 } else { 1.0 };
            assert_eq!(moved(last, sign * apart), Some(number));
        }
        let at = UnixMs(1_790_000_000_003);
        assert_eq!(told_of(at), (at, None));
        assert_eq!(
            [0, 1].map(|side| told_of(beside(at, side))),
            [(at, Some(0)), (at, Some(1))]
        );
    }
}
