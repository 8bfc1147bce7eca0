//! Which cause explains that some of many devices show a symptom. Pure.
//!
//! A scan statistic (M. Kulldorff, "A spatial scan statistic", 1997, with an expectation as baseline):
//! for each scope with `a` affected of `n` exposed devices, the gain is the log-likelihood ratio of a
//! rate of its own, `a/n`, against the background rate at which single devices show any symptom. The
//! scope of the greatest gain is a cause; what it explains is taken out, and the search goes on, so
//! that two outages at one time are two causes.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::traits::Traits;
use crate::incident::Scope;

/// The rate at which single devices show a symptom for reasons of their own: one in fifty is more than
/// any default rule finds at one time in a district without an outage.
const BACKGROUND: f64 = 0.02;

/// The least share of a scope's exposed devices that must be affected. Below it most of those who share
/// the trait are well, so the trait is not the cause.
const SHARE: f64 = 0.3;

/// What a cause must gain beyond the choice among all scopes (nats): one chance in a thousand.
const GAIN: f64 = 7.0;

/// What a wider cause must gain beyond the one that was told (nats): one chance in twenty.
const WIDER: f64 = 3.0;

/// Causes that are told apart at one time.
const CAUSES: usize = 32;

/// The 97.5 % quantile of the normal distribution, for intervals of 95 %.
const Z: f64 = 1.959_964;

/// A device that could show the symptom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// What it may share with others.
    pub traits: Traits,
    /// Whether it shows the symptom.
    pub affected: bool,
}

/// A cause that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What the devices share.
    pub scope: Scope,
    /// How many of them are affected.
    pub affected: u32,
    /// How many could be.
    pub exposed: u32,
    /// How sure it is, in `[0, 1]`: the least share affected inside, against the greatest outside.
    pub confidence: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    affected: u32,
    exposed: u32,
}

type Counts = HashMap<Scope, Count>;

/// The causes that explain most, the strongest first, each of at least `at_least` affected devices.
/// Symptoms of single devices remain unexplained.
#[must_use]
pub fn causes(devices: &[Exposed], at_least: u32) -> Vec<Found> {
    let mut left: Vec<&Exposed> = devices.iter().collect();
    let mut found = Vec::new();
    while found.len() < CAUSES {
        let counts = counts(&left);
        let Some((scope, count)) = strongest(&counts, at_least) else {
            break;
        };
        found.push(Found::of(scope, count, &counts));
        left.retain(|device| !device.traits.is_in(scope));
    }
    found
}

/// The wider cause that explains more than one that was told: it holds every affected device of that, and gains more
/// than it and what was found beside it (among those that are not told yet) do, where each of those has to pay for being a cause of its own. An update that
/// comes to one system build after the other and brings both the same driver shows so.
#[must_use]
pub fn wider(devices: &[Exposed], told: &Scope, beside: &[Found]) -> Option<Found> {
    let counts = counts(&devices.iter().collect::<Vec<_>>());
    let threshold = threshold(&counts);
    let gain_of_told = counts.get(told).map_or(0.0, |count| gain(*count));
    let affected = || devices.iter().filter(|device| device.affected);
    let holds = |scope: &Scope| {
        let mut told = affected().filter(|device| device.traits.is_in(told));
        told.all(|device| device.traits.is_in(scope))
    };
    let gain_beside = |scope: &Scope| -> f64 {
        let is_in = |found: &&Found| {
            affected().any(|d| d.traits.is_in(&found.scope) && d.traits.is_in(scope))
        };
        let gains = beside.iter().filter(is_in);
        gains.map(|found| gain(found.count()) - threshold).sum()
    };
    let candidates = counts.iter().filter(|(scope, count)| {
        *scope != told
            && share(**count) >= SHARE
            && gain(**count) >= gain_of_told + gain_beside(scope).max(WIDER)
            && holds(scope)
    });
    let (scope, count) = candidates.max_by(by_gain)?;
    Some(Found::of(scope, *count, &counts))
}

impl Found {
    const fn count(&self) -> Count {
        Count {
            affected: self.affected,
            exposed: self.exposed,
        }
    }

    fn of(scope: &Scope, count: Count, counts: &Counts) -> Self {
        let all = counts.get(&Scope::Everywhere).copied().unwrap_or_default();
        Self {
            confidence: confidence(count, all),
            affected: count.affected,
            exposed: count.exposed,
            scope: scope.clone(),
        }
    }
}

/// What a cause must gain among so many.
fn threshold(counts: &Counts) -> f64 {
    GAIN + (counts.len() as f64).ln()
}

/// The one that gains more; of two that explain the same, the narrower names more.
fn by_gain(one: &(&Scope, &Count), other: &(&Scope, &Count)) -> Ordering {
    let gains = gain(*one.1).total_cmp(&gain(*other.1));
    gains.then_with(|| one.0.cmp(other.0))
}

/// Counts for each scope that an affected device is in.
fn counts(devices: &[&Exposed]) -> Counts {
    let mut counts = Counts::new();
    for device in devices.iter().filter(|device| device.affected) {
        for scope in device.traits.scopes() {
            counts.entry(scope).or_default().affected += 1;
        }
    }
    for device in devices {
        for scope in device.traits.scopes() {
            if let Some(count) = counts.get_mut(&scope) {
                count.exposed += 1;
            }
        }
    }
    counts
}

fn strongest(counts: &Counts, at_least: u32) -> Option<(&Scope, Count)> {
    let threshold = threshold(counts);
    let candidates = counts.iter().filter(|(scope, count)| {
        count.affected >= at_least.max(2)
            && (share(**count) >= SHARE || matches!(scope, Scope::Issuer(_)))
            && gain(**count) >= threshold
    });
    let (scope, count) = candidates.max_by(by_gain)?;
    Some((scope, *count))
}

fn share(count: Count) -> f64 {
    f64::from(count.affected) / f64::from(count.exposed.max(1))
}

/// The log-likelihood ratio of the scope's own rate against the background; none below it.
fn gain(count: Count) -> f64 {
    let rate = share(count);
    if rate <= BACKGROUND {
        return 0.0;
    }
    let (a, b) = (
        f64::from(count.affected),
        f64::from(count.exposed.saturating_sub(count.affected)),
    );
    let well = if b > 0.0 {
        b * ((1.0 - rate) / (1.0 - BACKGROUND)).ln()
    } else {
        0.0
    };
    a * (rate / BACKGROUND).ln() + well
}

fn confidence(inside: Count, all: Count) -> f64 {
    let outside = Count {
        affected: all.affected.saturating_sub(inside.affected),
        exposed: all.exposed.saturating_sub(inside.exposed),
    };
    let low = wilson(inside, -Z);
    let high = if outside.exposed == 0 {
        0.0
    } else {
        share(outside)
    };
    (low / (low + high).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
}

/// A bound of the share (E. B. Wilson, "Probable inference", 1927).
fn wilson(count: Count, z: f64) -> f64 {
    let (n, p) = (f64::from(count.exposed.max(1)), share(count));
    let middle = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle + spread) / (1.0 + z * z / n)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A district: `sites` schools with `each` laptops of three models, two thirds of one build.
    fn district(sites: usize, each: usize) -> Vec<Exposed> {
        (0..sites * each)
            .map(|n| Exposed {
                traits: Traits {
                    site_network: format!("site-{}", n % sites),
                    model: format!("model-{}", n / sites % 3),
                    build: format!("build-{}", usize::from(n / sites % 7 < 4)),
                    ..Traits::default()
                },
                affected: false,
            })
            .collect()
    }

    fn strike(devices: &mut [Exposed], one_in: usize, hit: impl Fn(&Traits) -> bool) {
        let struck = devices.iter_mut().filter(|device| hit(&device.traits));
        struck
            .enumerate()
            .filter(|(n, _)| n % one_in == 0)
            .for_each(|(_, device)| device.affected = true);
    }

    fn scopes(devices: &[Exposed]) -> Vec<String> {
        let found = causes(devices, 3);
        found.iter().map(|found| found.scope.to_string()).collect()
    }

    #[test]
    fn single_devices_are_no_cause() {
        let mut devices = district(10, 100);
        strike(&mut devices, 60, |_| true);
        assert_eq!(scopes(&devices), Vec::<String>::new());
        assert_eq!(scopes(&[]), Vec::<String>::new());
    }

    #[test]
    fn an_outage_is_named_by_what_its_devices_share() {
        let mut site = district(10, 100);
        strike(&mut site, 1, |t| t.site_network == "site-3");
        assert_eq!(scopes(&site), ["at site-3"]);
        let mut model = district(10, 100);
        strike(&mut model, 2, |t| t.model == "model-1");
        assert_eq!(scopes(&model), ["on model-1"]);
        let mut both = district(10, 100);
        strike(&mut both, 1, |t| {
            t.model == "model-1" && t.build == "build-0"
        });
        assert_eq!(scopes(&both), ["on model-1 with system build build-0"]);
        let mut all = district(10, 100);
        strike(&mut all, 1, |_| true);
        assert_eq!(scopes(&all), ["everywhere"]);
    }

    #[test]
    fn two_outages_at_one_time_are_two() {
        let mut devices = district(10, 100);
        strike(&mut devices, 1, |t| t.site_network == "site-3");
        strike(&mut devices, 1, |t| t.site_network == "site-7");
        assert_eq!(scopes(&devices), ["at site-7", "at site-3"]);
        let mut devices = district(10, 100);
        strike(&mut devices, 1, |t| t.site_network == "site-3");
        strike(&mut devices, 1, |t| t.model == "model-2");
        let mut found = scopes(&devices);
        found.sort();
        assert_eq!(found, ["at site-3", "on model-2"]);
    }

    #[test]
    fn a_wider_cause_holds_what_was_told_and_explains_more() {
        let site = |n: &str| Scope::SiteNetwork(format!("site-{n}"));
        let told_of_one = |hit: fn(&Traits) -> bool| {
            let mut devices = district(10, 100);
            strike(&mut devices, 1, hit);
            let mut waiting = devices.clone();
            let told = waiting.iter_mut().filter(|d| d.traits.is_in(&site("3")));
            told.for_each(|device| device.affected = false);
            let beside = causes(&waiting, 3);
            wider(&devices, &site("3"), &beside).map(|found| found.scope.to_string())
        };
        let two = told_of_one(|t| ["site-3", "site-7"].contains(&t.site_network.as_str()));
        assert_eq!(two, None, "eight schools are well");
        let four = told_of_one(|t| {
            ["site-3", "site-7", "site-8", "site-9"].contains(&t.site_network.as_str())
        });
        assert_eq!(four, None, "four outages, and six schools are well");
        assert_eq!(told_of_one(|_| true).as_deref(), Some("everywhere"));
        // A few laptops with the other build, too few to be a cause by themselves.
        let mut devices = district(10, 100);
        strike(&mut devices, 1, |t| {
            t.model == "model-1" && t.build == "build-0"
        });
        strike(&mut devices, 3, |t| {
            t.model == "model-1" && t.build == "build-1"
        });
        let told = Scope::ModelAndBuild("model-1".to_owned(), "build-0".to_owned());
        let found = wider(&devices, &told, &[]).unwrap();
        assert_eq!(found.scope.to_string(), "on model-1");
        assert_eq!(wider(&devices, &found.scope, &[]), None);
    }

    #[test]
    fn an_authority_is_a_cause_even_where_it_is_rare() {
        let mut devices = district(10, 100);
        for device in devices.iter_mut().step_by(50) {
            device.traits.issuer = "Homeguard".to_owned();
            device.affected = true;
        }
        assert_eq!(scopes(&devices), ["where Homeguard re-signs connections"]);
    }

    #[test]
    fn confidence_grows_with_the_share_inside_and_falls_with_that_outside() {
        let of = |affected, exposed| Count { affected, exposed };
        let sure = confidence(of(90, 100), of(92, 1000));
        let few = confidence(of(4, 5), of(4, 1000));
        let vague = confidence(of(40, 100), of(130, 1000));
        assert!(
            sure > 0.99 && few > 0.95 && vague < sure,
            "{sure} {few} {vague}"
        );
        let small = confidence(of(3, 4), of(60, 200));
        assert!(small < 0.6, "{small}");
    }
}
