//! Chance as a pure function: the same seed and the same question give the same answer, in any
//! order and without state, so that any minute of any laptop can be computed by itself.
//!
//! The mixing function is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014; constants as in Sebastiano Vigna's public-domain `splitmix64.c`).

/// 2^64 divided by the golden ratio, SplitMix64's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of answers. Sources with different keys are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(u64);

/// What is drawn: each question of a source has a topic of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    School,
    Laptop,
    Day,
    Slot,
    Place,
    Machine,
    System,
    Build,
    Patch,
    Restart,
    Habit,
    Updates,
    Encryption,
    Shutdowns,
    Crashes,
    Clock,
    ClockSize,
    Home,
    Outage,
    Stage,
    Signal,
    Latency,
    Service,
    Attend,
    Wake,
    Period,
    Lunch,
    Evening,
    EveningEnd,
    Plugged,
    Start,
    Busy,
    Battery,
    BatteryAge,
    BatteryLife,
    Firmware,
    Fade,
    Cycles,
    CountsCycles,
    Initial,
    Recalibration,
    RecalibrationSize,
    Glitch,
    Port,
    Limit,
    Drive,
    DriveAge,
    DriveLife,
    Frail,
    Silent,
    Lead,
    Severity,
    Used,
    Fill,
    FillLife,
    Burst,
    BurstSize,
    Heat,
    Throttle,
    Clone,
    Serial,
    Boot,
    Device,
    Spool,
    Stop,
    Fault,
    FaultAge,
    GivesOut,
    Borrowed,
    Room,
    Radio,
}

impl Chance {
    /// The source that a seed stands for.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The source below this one with a topic and an index, such as a day's.
    #[must_use]
    pub const fn of(self, topic: Topic, index: i64) -> Self {
        let key = (topic as u64).wrapping_mul(GOLDEN) ^ index.cast_unsigned();
        Self(mix(self.0 ^ mix(key.wrapping_add(GOLDEN))))
    }

    /// 64 bits.
    #[must_use]
    pub const fn bits(self, topic: Topic) -> u64 {
        self.of(topic, -1).0
    }

    /// A number in `[0, 1)`.
    #[must_use]
    pub const fn fraction(self, topic: Topic) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.bits(topic) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something holds that holds for `share` of all.
    #[must_use]
    pub const fn holds(self, topic: Topic, share: f64) -> bool {
        self.fraction(topic) < share
    }

    /// A number in `[low, high)`, each as likely.
    #[must_use]
    pub const fn between(self, topic: Topic, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction(topic)
    }

    /// A number around 0 with a deviation of 1, between -3 and 3: four fractions that add up.
    #[must_use]
    pub const fn bell(self, topic: Topic) -> f64 {
        let bits = self.bits(topic);
        let mut sum = 0.0;
        let mut part = 0;
        while part < 4 {
            sum += ((bits >> (16 * part)) & 0xffff) as f64 / 65_536.0;
            part += 1;
        }
        // The sum has mean 2 and variance 4/12; beyond the third deviation it is cut.
        ((sum - 2.0) * 1.732).clamp(-3.0, 3.0)
    }

    /// A fraction that the laptops of a fleet share out evenly: of any hundred in a row, about
    /// `share` of hundred fall below `share`, closer than by dice. The multiples of an irrational number do that
    /// (Weyl); each topic has a square root of its own, so that topics do not go together.
    #[must_use]
    pub fn spread(self, topic: Topic, number: u32) -> f64 {
        let step = root_of_prime(topic as usize).fract();
        (self.fraction(topic) + f64::from(number) * step).fract()
    }
}

/// The square root of the prime with this index, from 2 on.
fn root_of_prime(index: usize) -> f64 {
    const PRIMES: [u16; 68] = [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181,
        191, 193, 197, 199, 211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281,
        283, 293, 307, 311, 313, 317, 331, 337,
    ];
    f64::from(PRIMES[index % PRIMES.len()]).sqrt()
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The one of `choices` at `fraction` of their summed weights.
pub fn weighted<T>(fraction: f64, choices: &[(f64, T)]) -> &T {
    let whole: f64 = choices.iter().map(|(weight, _)| weight).sum();
    let mut left = fraction * whole;
    let found = choices.iter().find(|(weight, _)| {
        left -= weight;
        left < 0.0
    });
    let (_, choice) = found
        .or(choices.last())
        .expect("a list of choices is never empty");
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_fill_the_range_evenly() {
        let mut bins = [0_u32; 10];
        for index in 0..10_000 {
            let fraction = Chance::seeded(7)
                .of(Topic::Day, index)
                .fraction(Topic::Wake);
            bins[(fraction * 10.0) as usize] += 1;
        }
        assert!(
            bins.iter().all(|count| (850..1150).contains(count)),
            "{bins:?}"
        );
    }

    #[test]
    fn the_bell_has_its_mean_and_deviation() {
        let draw = |index| Chance::seeded(1).of(Topic::Day, index).bell(Topic::Fade);
        let all: Vec<f64> = (0..20_000).map(draw).collect();
        let mean = all.iter().sum::<f64>() / 20_000.0;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }

    #[test]
    fn a_spread_keeps_its_share_in_small_fleets_and_topics_are_independent() {
        let chance = Chance::seeded(3);
        for topic in [
            Topic::Clock,
            Topic::Frail,
            Topic::Home,
            Topic::Machine,
            Topic::Clone,
        ] {
            let below = (0..100).filter(|n| chance.spread(topic, *n) < 0.1).count();
            assert!((5..=15).contains(&below), "{topic:?}: {below}");
        }
        let both = |n: &u32| {
            chance.spread(Topic::Clock, *n) < 0.3 && chance.spread(Topic::Frail, *n) < 0.3
        };
        let together = (0..10_000).filter(both).count();
        assert!((800..1000).contains(&together), "{together}");
    }

    #[test]
    fn a_weighted_choice_follows_its_weights() {
        let choices = [(3.0, "a"), (1.0, "b")];
        let of = |fraction| *weighted(fraction, &choices);
        assert_eq!((of(0.0), of(0.74), of(0.76), of(1.0)), ("a", "a", "b", "b"));
    }
}
