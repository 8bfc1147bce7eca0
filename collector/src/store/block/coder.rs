//! A binary arithmetic coder and the numbers that are written with it.
//!
//! Each decision has a model ([`Bit`]) that learns how likely it is while it is used, so that a column
//! of sixty points pays for no table. This is the carry-less coder of lpaq with 64-bit bounds: the
//! bytes that the two bounds share are out, and the rest of a stream is taken to be zeros, so that a
//! stream ends with one byte and an empty stream is legal.

/// How likely a decision is to be yes, learnt as it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bit {
    /// The chance of yes in 65,536ths.
    chance: u16,
    /// How many decisions it has seen, up to [`SEEN`].
    seen: u8,
}

/// After this many decisions a model's memory is that long.
const SEEN: u8 = 60;

/// `65536 / (seen + 1.6)`: close to counting (Krichevsky and Trofimov), and forgetting slowly later.
const RATES: [i32; SEEN as usize + 1] = {
    let mut rates = [0; SEEN as usize + 1];
    let mut seen = 0;
    while seen <= SEEN as usize {
        rates[seen] = (655_360 / (10 * seen + 16)) as i32;
        seen += 1;
    }
    rates
};

impl Bit {
    /// A model that knows nothing.
    pub const EVEN: Self = Self {
        chance: 1 << 15,
        seen: 0,
    };

    /// A model that expects `yes` of `all` decisions, and is as sure as if it had seen some.
    pub fn expecting(yes: usize, all: usize) -> Self {
        let chance = (yes as u64 * 65_536 / (all as u64).max(1)).clamp(512, 65_024);
        Self {
            chance: chance as u16,
            seen: 3,
        }
    }

    fn learn(&mut self, yes: bool) {
        let aim = if yes { 65_535 } else { 0 };
        let step = ((aim - i32::from(self.chance)) * RATES[usize::from(self.seen)]) >> 16;
        // Never certain: a certain model could not write its opposite.
        self.chance = (i32::from(self.chance) + step).clamp(32, 65_503) as u16;
        self.seen += u8::from(self.seen < SEEN);
    }
}

/// A set of models for whole numbers that are small as a rule.
///
/// A number is written as its count of bits, by a tree of decisions, and its bits below the highest,
/// of which the first two are learnt too.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    levels: u32,
    tree: Vec<Bit>,
    upper: Vec<Bit>,
}

impl Whole {
    /// For numbers of at most `bits` bits.
    pub fn new(bits: u32) -> Self {
        let levels = u32::BITS - bits.leading_zeros();
        Self {
            levels,
            tree: vec![Bit::EVEN; 1 << levels],
            upper: vec![Bit::EVEN; 4 << levels],
        }
    }
}

/// Writes decisions.
#[derive(Debug)]
pub(super) struct Writer {
    low: u64,
    high: u64,
    bytes: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            low: 0,
            high: u64::MAX,
            bytes: Vec::new(),
        }
    }
}

impl Writer {
    /// Writes a decision.
    #[inline]
    pub fn bit(&mut self, model: &mut Bit, yes: bool) {
        self.narrow(model.chance, yes);
        model.learn(yes);
    }

    #[inline]
    fn narrow(&mut self, chance: u16, yes: bool) {
        let middle = self.low + ((self.high - self.low) >> 16) * u64::from(chance);
        if yes {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 56 == 0 {
            self.bytes.push((self.high >> 56) as u8);
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
        }
    }

    /// Writes the lowest `count` bits of a number about which nothing is known.
    #[inline]
    pub fn plain(&mut self, number: u64, count: u32) {
        for at in (0..count).rev() {
            self.narrow(1 << 15, number >> at & 1 == 1);
        }
    }

    /// Writes a number of at most as many bits as `model` is for.
    #[inline]
    pub fn whole(&mut self, model: &mut Whole, number: u64) {
        let bits = u64::BITS - number.leading_zeros();
        let mut node = 1;
        for at in (0..model.levels).rev() {
            let yes = bits >> at & 1 == 1;
            self.bit(&mut model.tree[node], yes);
            node = node << 1 | usize::from(yes);
        }
        let below = bits.saturating_sub(1);
        let learnt = below.min(2);
        let mut node = 1;
        for at in (below - learnt..below).rev() {
            let yes = number >> at & 1 == 1;
            self.bit(&mut model.upper[bits as usize * 4 + node], yes);
            node = node << 1 | usize::from(yes);
        }
        self.plain(number, below - learnt);
    }

    /// The bytes of the stream.
    pub fn finish(mut self) -> Vec<u8> {
        if self.low > 0 {
            // The bounds differ in their first byte, so this lies between them.
            self.bytes.push((self.low >> 56) as u8 + 1);
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// Reads decisions. Any bytes give some decisions: there is nothing in a stream that could be wrong.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    low: u64,
    high: u64,
    at: u64,
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Reader<'a> {
    /// Reads a stream.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self {
            low: 0,
            high: u64::MAX,
            at: 0,
            bytes: bytes.iter(),
        };
        (0..8).for_each(|_| reader.shift());
        reader
    }

    #[inline]
    fn shift(&mut self) {
        self.at = self.at << 8 | u64::from(self.bytes.next().copied().unwrap_or(0));
    }

    /// Reads a decision.
    #[inline]
    pub fn bit(&mut self, model: &mut Bit) -> bool {
        let yes = self.narrow(model.chance);
        model.learn(yes);
        yes
    }

    #[inline]
    fn narrow(&mut self, chance: u16) -> bool {
        let middle = self.low + ((self.high - self.low) >> 16) * u64::from(chance);
        let yes = self.at <= middle;
        if yes {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 56 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            self.shift();
        }
        yes
    }

    /// Reads `count` bits about which nothing was known.
    #[inline]
    pub fn plain(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |number, _| number << 1 | u64::from(self.narrow(1 << 15)))
    }

    /// Reads a number; a count of bits that no number has counts as 64.
    #[inline]
    pub fn whole(&mut self, model: &mut Whole) -> u64 {
        let mut node = 1;
        for _ in 0..model.levels {
            node = node << 1 | usize::from(self.bit(&mut model.tree[node]));
        }
        let bits = (node - (1 << model.levels)).min(64);
        if bits == 0 {
            return 0;
        }
        let below = bits as u32 - 1;
        let learnt = below.min(2);
        let mut node = 1;
        for _ in 0..learnt {
            node = node << 1 | usize::from(self.bit(&mut model.upper[bits * 4 + node]));
        }
        let upper = (node - (1 << learnt)) as u64;
        let plain = below - learnt;
        ((1 << learnt | upper) << plain) | self.plain(plain)
    }
}

/// Small numbers for small differences of either sign.
pub(super) const fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Undoes [`fold`].
pub(super) const fn unfold(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<u64>(), 0_u32..64), 0..300)) {
            let (mut writer, mut model) = (Writer::default(), Whole::new(64));
            for (number, shift) in &numbers {
                writer.whole(&mut model, number >> shift);
                writer.plain(number >> shift, 64 - shift);
            }
            let bytes = writer.finish();
            let (mut reader, mut model) = (Reader::new(&bytes), Whole::new(64));
            for (number, shift) in numbers {
                prop_assert_eq!(reader.whole(&mut model), number >> shift);
                prop_assert_eq!(reader.plain(64 - shift), number >> shift);
            }
        }

        #[test]
        fn folding_comes_back(number in any::<i64>()) {
            prop_assert_eq!(unfold(fold(number)), number);
        }
    }

    #[test]
    fn what_is_always_the_same_costs_next_to_nothing() {
        let (mut writer, mut bit) = (Writer::default(), Bit::EVEN);
        (0..1440).for_each(|_| writer.bit(&mut bit, false));
        let bytes = writer.finish().len();
        assert!(bytes <= 4, "{bytes} bytes for a day of nothing");
        assert!(Writer::default().finish().is_empty());
    }
}
