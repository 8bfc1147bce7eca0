//! A column of floating-point numbers as whole ones, every bit of which comes back.
//!
//! Most numbers of a laptop are whole or short decimals: 0.87 is 87 hundredths, and 87.0 / 100.0 is
//! the very number again, since a division of two exact numbers rounds once, as reading `0.87` did.

/// The numbers of decimals that a column may have, and the last means that it has none that help.
pub(super) const DECIMALS: u64 = 16;

/// Whole numbers up to here are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; DECIMALS as usize] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The fewest decimals with which a number comes back, from `least` on.
pub(super) fn decimals_of(number: f64, least: usize) -> Option<usize> {
    (least..POWERS.len()).find(|decimals| scaled(number, *decimals).is_some())
}

/// A number in units of its last decimal, where it comes back from there.
#[inline]
pub(super) fn scaled(number: f64, decimals: usize) -> Option<i64> {
    let scaled = (number * POWERS[decimals]).round_ties_even();
    // Through the whole number and back, which tells -0.0 from 0.0.
    let whole = scaled as i64;
    let exact = scaled.abs() < EXACT && unscaled(whole, decimals).to_bits() == number.to_bits();
    exact.then_some(whole)
}

/// Undoes [`scaled`].
#[inline]
pub(super) fn unscaled(number: i64, decimals: usize) -> f64 {
    number as f64 / POWERS[decimals]
}

/// How far from a short decimal a number may lie, in steps from one number to the next.
const FAR: u64 = 1 << 8;

/// A number as the whole number of units of its last decimal that it lies by, and the steps from there:
/// what was added up or averaged differs from a short decimal in its last bits. `None` where it lies by
/// none.
#[inline]
pub(super) fn near(number: f64, decimals: usize) -> Option<(i64, i64)> {
    let scaled = (number * POWERS[decimals]).round_ties_even();
    if scaled.abs() >= EXACT {
        return None;
    }
    let whole = scaled as i64;
    let steps = ordered(number).wrapping_sub(ordered(unscaled(whole, decimals)));
    (steps.unsigned_abs() < FAR).then_some((whole, steps))
}

/// Undoes [`near`].
#[inline]
pub(super) fn from_near(whole: i64, steps: i64, decimals: usize) -> f64 {
    unordered(ordered(unscaled(whole, decimals)).wrapping_add(steps))
}

/// A number's bits as a whole number that is the greater, the greater the number is.
pub(super) const fn ordered(number: f64) -> i64 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Undoes [`ordered`].
pub(super) const fn unordered(number: i64) -> f64 {
    let bits = number ^ ((number >> 63).cast_unsigned() >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimals_come_back(whole in -9_007_199_254_740_991_i64..9_007_199_254_740_991, digits in 0_usize..16) {
            let number = whole as f64 / POWERS[digits];
            if let Some(decimals) = decimals_of(number, 0) {
                let scaled = scaled(number, decimals).unwrap();
                prop_assert_eq!(unscaled(scaled, decimals).to_bits(), number.to_bits());
            }
        }

        #[test]
        fn order_comes_back(a in any::<f64>(), b in any::<f64>()) {
            prop_assert_eq!(unordered(ordered(a)).to_bits(), a.to_bits());
            prop_assert_eq!(a.total_cmp(&b), ordered(a).cmp(&ordered(b)));
        }
    }

    #[test]
    fn what_was_added_up_lies_by_a_short_decimal() {
        for number in [
            1.968_000_000_000_000_2,
            5.372_000_000_000_001,
            0.1 + 0.2,
            -6.082_000_000_000_002_5,
            0.134,
            0.0,
        ] {
            let (whole, steps) = near(number, 3).unwrap();
            assert!(steps.abs() < 8, "{number}: {steps}");
            let back = from_near(whole, steps, 3);
            assert_eq!(back.to_bits(), number.to_bits());
        }
        assert_eq!(near(1.0 / 3.0, 3), None);
        assert_eq!(near(f64::MAX, 3), None);
        assert_eq!(near(f64::NAN, 3), None);
    }

    #[test]
    fn short_decimals_are_short() {
        for (number, decimals) in [
            (0.87, Some(2)),
            (-11.5, Some(1)),
            (3e9, Some(0)),
            (1.0 / 3.0, None),
        ] {
            assert_eq!(decimals_of(number, 0), decimals, "{number}");
        }
        assert_eq!(decimals_of(-0.0, 0), None);
        assert_eq!(decimals_of(f64::MAX, 0), None);
    }
}
