use std::collections::BTreeMap;

use proptest::prelude::*;
use rollcall_shared::metric::Metric;
use rollcall_shared::reading::Reading;

use super::*;

/// Readings that came together, and whether they are all there are.
#[derive(Debug)]
struct Arrived {
    full: bool,
    readings: Vec<Reading>,
}

impl Arrived {
    fn keys(&self) -> Vec<SeriesKey> {
        self.readings.iter().map(SeriesKey::of).collect()
    }

    fn apply_to(&self, latests: &mut Latests, at: UnixMs) -> u64 {
        if self.full {
            latests.keep_only(&self.keys());
        }
        let values = self.readings.iter().map(|reading| reading.value().clone());
        latests.renew(at, self.keys().into_iter().zip(values).collect())
    }
}

/// What [`Latests`] is to be like: a map.
#[derive(Debug, Default)]
struct Plain(BTreeMap<SeriesKey, Latest>);

impl Plain {
    fn apply(&mut self, at: UnixMs, report: &Arrived) {
        if report.full {
            let named = report.keys();
            self.0
                .retain(|key, _| key.metric == metric::CLOCK_OFFSET.code || named.contains(key));
        }
        for reading in &report.readings {
            let (key, value) = (SeriesKey::of(reading), reading.value().clone());
            let latest = Latest { value, since: at };
            let known = self.0.entry(key).or_insert_with(|| latest.clone());
            if known.value != latest.value {
                *known = latest;
            }
        }
    }
}

fn reading() -> impl Strategy<Value = Reading> {
    static METRICS: [&Metric; 4] = [
        &metric::BATTERY_CHARGE,
        &metric::CLOCK_OFFSET,
        &metric::TEMPERATURE,
        &metric::FILESYSTEM_UTILIZATION,
    ];
    let instance = prop::sample::select(vec!["", "BAT0", "BAT1", "sda", "z"]);
    (0..METRICS.len(), instance, 0..3_u8).prop_map(|(of, instance, value)| {
        Reading::number(METRICS[of], instance, f64::from(value) / 4.0)
    })
}

fn reports() -> impl Strategy<Value = Vec<Arrived>> {
    let one = (any::<bool>(), prop::collection::vec(reading(), 0..24));
    prop::collection::vec(
        one.prop_map(|(full, readings)| Arrived { full, readings }),
        1..12,
    )
}

proptest! {
    #[test]
    fn it_holds_what_a_map_would(reports in reports()) {
        let (mut latests, mut plain) = (Latests::default(), Plain::default());
        for (minute, report) in (0..).zip(&reports) {
            prop_assert_eq!(report.apply_to(&mut latests, UnixMs(minute)), 0);
            plain.apply(UnixMs(minute), report);
            let held: Vec<_> = latests.iter().collect();
            let wanted: Vec<_> = plain.0.iter().collect();
            prop_assert_eq!(held, wanted);
            for (key, latest) in &plain.0 {
                prop_assert_eq!(latests.get(key.metric, &key.instance), Some(latest));
                let of: Vec<&str> = latests.of(key.metric).map(|(instance, _)| instance).collect();
                prop_assert!(of.contains(&key.instance.as_str()));
            }
        }
    }
}

#[test]
fn laptops_of_one_kind_share_their_keys_and_odd_ones_leave_nothing_behind() {
    let readings = || {
        vec![Reading::number(
            &metric::BATTERY_CHARGE,
            "shared by two",
            0.5,
        )]
    };
    let (mut a, mut b) = (Latests::default(), Latests::default());
    for latests in [&mut a, &mut b] {
        let (full, readings) = (true, readings());
        Arrived { full, readings }.apply_to(latests, UnixMs(1));
    }
    assert!(Arc::ptr_eq(&a.shape, &b.shape));
    let held = Arc::downgrade(&a.shape);
    drop((a, b));
    for n in 0..4 * (UNUSED + 400) {
        let mut odd = Latests::default();
        let readings = vec![Reading::number(
            &metric::BATTERY_CHARGE,
            &format!("odd {n}"),
            0.5,
        )];
        let full = true;
        Arrived { full, readings }.apply_to(&mut odd, UnixMs(1));
    }
    assert_eq!(held.strong_count(), 0, "it was dropped on the way");
}
