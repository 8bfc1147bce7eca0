//! What is usual among laptops of one kind: the fleet is the baseline.
//!
//! Laptops of one model that run the same build are each other's peers; where fewer than eight run the
//! build, all of the model are. What all of them have in common is therefore nobody's fault here: it shows
//! against each one's own past, and the desk finds what they share.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use super::habit::Usual;
use super::median;
use crate::device::DeviceState;
use crate::evaluate::incidents::traits::Traits;

/// How long peers stand: what is usual moves by the day.
pub const PEERS_STAND_MS: i64 = 60 * 60_000;

/// The fewest laptops that say what is usual.
const PEERS: usize = 8;

/// Laptops of a kind that a slope is taken over: pairs grow with the square.
const SLOPE_PEERS: usize = 64;

/// The least difference of load between two laptops that tells of a slope.
const LEAST_LOAD: f64 = 0.02;

/// Which laptops are peers: hashes of the model and of the build, 0 where they are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kind {
    model: u64,
    build: u64,
}

/// What one laptop adds to what is usual; `None` where it does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// Whose peer it is.
    pub kind: Kind,
    /// The busy share of its processors (0 to 1), and its heat in °C.
    pub heat: Option<(f64, f64)>,
    /// Share of time in which something waited, 0 to 1.
    pub wait: Option<f64>,
    /// Times an hour that heat slowed the processor.
    pub throttling: Option<f64>,
    /// Seconds to start.
    pub boot_s: Option<f64>,
    /// Crashes in 30 days.
    pub crashes: Option<f64>,
    /// W that its charger may give.
    pub charger_w: Option<f64>,
    /// Whether its updates fail.
    pub failing: Option<bool>,
}

/// What is usual among the laptops of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Baseline {
    /// How many laptops it was taken over.
    pub laptops: usize,
    heat: Option<Heat>,
    /// Share of time in which something waits.
    pub wait: Option<Usual>,
    /// Times an hour that heat slows the processor.
    pub throttling: Option<Usual>,
    /// Seconds to start.
    pub boot_s: Option<Usual>,
    /// Crashes of one laptop in 30 days, the mean.
    pub crashes: Option<f64>,
    /// W that a charger may give.
    pub charger_w: Option<Usual>,
    /// Share of laptops whose updates fail.
    pub failing: Option<f64>,
}

/// Heat as it rises with load.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Heat {
    per_load: f64,
    idle: Usual,
}

/// What is usual among the laptops of each kind.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    of: HashMap<Kind, Baseline>,
}

impl Kind {
    /// The kind of a laptop.
    #[must_use]
    pub fn of(state: &DeviceState) -> Self {
        // The same in every process: nothing is kept, so nobody can choose words that collide.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let hash = |text: &str| match text {
            "" => 0,
            text => hasher.hash_one(text).max(1),
        };
        let traits = Traits::of(state);
        Self {
            model: hash(&traits.model),
            build: hash(&traits.build),
        }
    }

    const fn model_alone(self) -> Self {
        Self { build: 0, ..self }
    }
}

impl Peers {
    /// What is usual among these laptops.
    #[must_use]
    pub fn of<'a>(laptops: impl Iterator<Item = &'a Summary>) -> Self {
        let mut kinds: HashMap<Kind, Vec<&Summary>> = HashMap::new();
        for laptop in laptops.filter(|laptop| laptop.kind.model != 0) {
            let kind = laptop.kind;
            kinds.entry(kind.model_alone()).or_default().push(laptop);
            if kind.build != 0 {
                kinds.entry(kind).or_default().push(laptop);
            }
        }
        kinds.retain(|_, laptops| laptops.len() >= PEERS);
        let of = kinds
            .into_iter()
            .map(|(kind, laptops)| (kind, baseline(&laptops)));
        Self { of: of.collect() }
    }

    /// What is usual for a kind: that of its build, else that of its model; `None` where it has too few
    /// peers.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Option<&Baseline> {
        self.of
            .get(&kind)
            .or_else(|| self.of.get(&kind.model_alone()))
    }
}

impl Baseline {
    /// How much hotter a laptop is than its peers would be at its load, in °C; 0 where that is not unusual.
    #[must_use]
    pub fn heat_excess(&self, busy: f64, heat: f64) -> Option<f64> {
        let usual = self.heat?;
        Some(usual.idle.excess(heat - usual.per_load * busy))
    }

    /// How hot its peers are at its load, in °C.
    #[must_use]
    pub fn heat_at(&self, busy: f64) -> Option<f64> {
        let usual = self.heat?;
        Some(usual.idle.middle + usual.per_load * busy)
    }
}

fn baseline(laptops: &[&Summary]) -> Baseline {
    let all = |of: fn(&Summary) -> Option<f64>| {
        Usual::of(laptops.iter().filter_map(|laptop| of(laptop)).collect())
    };
    let mean = |values: Vec<f64>| {
        let count = values.len();
        (count >= PEERS).then(|| values.iter().sum::<f64>() / count as f64)
    };
    let share = |laptop: &&Summary| laptop.failing.map(|failing| f64::from(u8::from(failing)));
    Baseline {
        laptops: laptops.len(),
        heat: heat(laptops),
        wait: all(|laptop| laptop.wait),
        throttling: all(|laptop| laptop.throttling),
        boot_s: all(|laptop| laptop.boot_s),
        crashes: mean(laptops.iter().filter_map(|laptop| laptop.crashes).collect()),
        charger_w: all(|laptop| laptop.charger_w),
        failing: mean(laptops.iter().filter_map(share).collect()),
    }
}

/// The line through the laptops' load and heat: the median slope of pairs (Theil and Sen, as for trends),
/// never downwards, and what is usual once it is taken off.
fn heat(laptops: &[&Summary]) -> Option<Heat> {
    let points: Vec<(f64, f64)> = laptops.iter().filter_map(|laptop| laptop.heat).collect();
    let step = points.len().div_ceil(SLOPE_PEERS).max(1);
    let some: Vec<(f64, f64)> = points.iter().copied().step_by(step).collect();
    let mut slopes = Vec::new();
    for (at, one) in some.iter().enumerate() {
        for other in &some[at + 1..] {
            let apart = other.0 - one.0;
            if apart.abs() >= LEAST_LOAD {
                slopes.push((other.1 - one.1) / apart);
            }
        }
    }
    let per_load = median(slopes).unwrap_or(0.0).max(0.0);
    let idle = points.iter().map(|(busy, heat)| heat - per_load * busy);
    let idle = Usual::of(idle.collect())?;
    Some(Heat { per_load, idle })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(model: u64, build: u64) -> Kind {
        Kind { model, build }
    }

    fn laptop(kind: Kind, busy: f64, heat: f64) -> Summary {
        Summary {
            kind,
            heat: Some((busy, heat)),
            boot_s: Some(40.0),
            crashes: Some(0.5),
            failing: Some(busy > 0.5),
            ..Summary::default()
        }
    }

    #[test]
    fn a_busy_laptop_is_not_a_hot_one() {
        let all: Vec<Summary> = (0..40)
            .map(|n| {
                let busy = f64::from(n) / 60.0;
                laptop(kind(1, 1), busy, 40.0 + 50.0 * busy + f64::from(n % 3))
            })
            .collect();
        let peers = Peers::of(all.iter());
        let usual = peers.of_kind(kind(1, 1)).unwrap();
        assert_eq!(usual.heat_excess(0.9, 86.0), Some(0.0));
        let hot = usual.heat_excess(0.1, 70.0).unwrap();
        assert!((22.0..26.0).contains(&hot), "{hot}");
        let expected = usual.heat_at(0.1).unwrap();
        assert!((45.0..47.5).contains(&expected), "{expected}");
    }

    #[test]
    fn peers_run_the_same_build_where_enough_do() {
        let mut all: Vec<Summary> = (0..20).map(|_| laptop(kind(1, 1), 0.1, 45.0)).collect();
        all.extend((0..20).map(|_| laptop(kind(1, 2), 0.1, 60.0)));
        all.extend((0..3).map(|_| laptop(kind(1, 3), 0.1, 45.0)));
        all.extend((0..3).map(|_| laptop(kind(2, 1), 0.9, 45.0)));
        let peers = Peers::of(all.iter());
        let excess = |kind| peers.of_kind(kind)?.heat_excess(0.1, 60.0);
        assert_eq!(
            excess(kind(1, 2)),
            Some(0.0),
            "all of the build are like that"
        );
        assert_eq!(excess(kind(1, 1)), Some(15.0));
        assert_eq!(peers.of_kind(kind(1, 3)).unwrap().laptops, 43, "its model");
        assert_eq!(peers.of_kind(kind(2, 1)), None, "too few");
        assert_eq!(peers.of_kind(Kind::default()), None);
        let usual = peers.of_kind(kind(1, 1)).unwrap();
        assert_eq!((usual.crashes, usual.failing), (Some(0.5), Some(0.0)));
    }
}
