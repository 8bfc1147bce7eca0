//! What a coder of single numbers could come to if it cost nothing itself: no head, no keys, no times,
//! and fractions of a bit. What lies above it can be won by a better form; what a target lies below it cannot.
//!
//! Numbers are learned one by one as in PPM's order 0 with escapes by method C (Moffat, "Implementing the
//! PPM data compression scheme", 1990): one that was there before costs what its share of all so far is worth,
//! a new one an escape and its digits, or its distance from the number before where that is less. The same is
//! tried with the differences of numbers, and for each series the better of both counts.

use std::collections::HashMap;
use std::hash::Hash;

use rollcall_collector::store::block::Column;

/// Bits that say which way a new number lies from the one before, and how long the distance is.
const DISTANCE_BITS: f64 = 3.0;

/// Bytes a sample, in each block by itself.
pub fn bytes_per_sample(blocks: &[Vec<Column>]) -> f64 {
    let columns = || blocks.iter().flatten().map(numbers);
    let bits: f64 = columns().map(|numbers| bits(&numbers)).sum();
    let samples: usize = columns().map(|numbers| numbers.len()).sum();
    bits / 8.0 / samples as f64
}

fn numbers(column: &Column) -> Vec<f64> {
    let values = column.points.iter();
    values.filter_map(|(_, value)| value.as_number()).collect()
}

fn bits(numbers: &[f64]) -> f64 {
    let before = || std::iter::once(0.0).chain(numbers.iter().copied());
    let new = |(before, number): (f64, &f64)| new_bits(before, *number);
    let novelty: Vec<f64> = before().zip(numbers).map(new).collect();
    let values = numbers.iter().map(|number| number.to_bits());
    let steps = before().zip(numbers);
    let steps = steps.map(|(before, number)| (number - before).to_bits());
    learned(values, &novelty).min(learned(steps, &novelty))
}

/// Bits of all symbols, of which a new one costs as much as its `novelty` says beside its escape.
fn learned<T: Eq + Hash>(symbols: impl Iterator<Item = T>, novelty: &[f64]) -> f64 {
    let mut seen = HashMap::<T, f64>::new();
    let mut bits = 0.0;
    for (at, (symbol, novelty)) in symbols.zip(novelty).enumerate() {
        let (kinds, all) = (seen.len() as f64, (at + seen.len()) as f64);
        let count = seen.entry(symbol).or_default();
        bits += match *count {
            0.0 if at == 0 => *novelty,
            0.0 => (all / kinds).log2() + novelty,
            count => (all / count).log2(),
        };
        *count += 1.0;
    }
    bits
}

fn new_bits(before: f64, number: f64) -> f64 {
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.chars().filter(char::is_ascii_digit).count() as i32;
    let unit = 10_f64.powi(exponent.parse().unwrap_or(0) - (digits - 1));
    let distance = ((number - before).abs() / unit + 1.0).log2() + DISTANCE_BITS;
    distance.min(f64::from(digits) * 10_f64.log2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_costs_little_and_what_is_new_its_digits() {
        assert!(bits(&[0.25; 1000]) < 20.0, "{}", bits(&[0.25; 1000]));
        // Two numbers in seven are one, which is worth 0.863 bits each.
        let two: Vec<f64> = (0..1000).map(|n| f64::from(n * n % 7 % 2)).collect();
        assert!((863.0..920.0).contains(&bits(&two)), "{}", bits(&two));
        let steady: Vec<f64> = (0..1000).map(f64::from).collect();
        assert!(bits(&steady) < 40.0, "{}", bits(&steady));
        // Ten digits of noise are 33 bits each, whatever stands around them.
        let noise = |n: u64| (n * n * n * 2_654_435_761 % 10_000_000_019) as f64 / 1e9;
        let noise: Vec<f64> = (1..=100).map(noise).collect();
        assert!(bits(&noise) > 100.0 * 28.0, "{}", bits(&noise));
    }
}
