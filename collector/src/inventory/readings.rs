//! What the inventory says of a laptop, in the form of readings, so that rules compare it like any other
//! reading. Pure.

use rollcall_shared::metric::Metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use crate::asset::{Asset, Inventory};
use crate::device::{Device, Latest, Latests, SeriesKey};
use crate::evaluate::forecast::metrics::{
    INVENTORY_LATE, INVENTORY_SCHOOL, INVENTORY_STATUS, INVENTORY_SWAP, INVENTORY_TAG,
};

/// What shows that a laptop is not with whom the inventory says, in words of [`INVENTORY_SWAP`].
#[must_use]
pub fn swap(asset: &Asset, device: &Device, inventory: &Inventory) -> &'static str {
    let is_other = asset
        .serial_hash()
        .zip(device.fingerprint.system_serial)
        .is_some_and(|(said, found)| said != found);
    if is_other {
        return "other_hardware";
    }
    let Some(loan) = asset.open_loan() else {
        return "none";
    };
    let pupil = inventory.pupil(&loan.pupil);
    let learns = pupil.and_then(|pupil| pupil.school.as_ref());
    if learns
        .zip(asset.school.as_ref())
        .is_some_and(|(a, b)| a != b)
    {
        return "other_school";
    }
    if inventory.open_loans_of(&loan.pupil) > 1 {
        return "second_loan";
    }
    "none"
}

/// The readings of a device at `now`; none where the inventory does not know it.
#[must_use]
pub fn readings(device: &Device, inventory: &Inventory, now: UnixMs) -> Vec<Reading> {
    let Some(asset) = inventory.of(device) else {
        return Vec::new();
    };
    let mut readings = vec![
        Reading::text(&INVENTORY_TAG, "", asset.tag.as_str()),
        Reading::text(&INVENTORY_STATUS, "", asset.status.word()),
        Reading::text(&INVENTORY_SWAP, "", swap(asset, device, inventory)),
    ];
    let school = asset.school.as_ref();
    readings.extend(school.map(|school| Reading::text(&INVENTORY_SCHOOL, "", school.as_str())));
    // Where nothing is due nothing is late, and a rule that fired is over.
    let days = asset.days_late(now).unwrap_or(i64::from(NOT_DUE_DAYS));
    readings.push(Reading::number(&INVENTORY_LATE, "", days as f64));
    readings
}

/// What stands for "nothing is due": ten years before.
const NOT_DUE_DAYS: i32 = -3650;

/// The forecasts together with what the inventory says, each dated from when it came to be so.
#[must_use]
pub fn joined(forecasts: &Latests, before: &Latests, said: &[Reading], now: UnixMs) -> Latests {
    let dated = said.iter().map(|reading| {
        let key = SeriesKey::of(reading);
        let known = before.get(key.metric, &key.instance);
        let same = known.filter(|latest| latest.value == *reading.value());
        let latest = Latest {
            value: reading.value().clone(),
            since: same.map_or(now, |latest| latest.since),
        };
        (key, latest)
    });
    let others = forecasts
        .iter()
        .map(|(key, latest)| (key.clone(), latest.clone()));
    others.chain(dated).collect()
}

/// Whether a reading is one of the inventory's.
#[must_use]
pub fn is_of_inventory(metric: &Metric) -> bool {
    (INVENTORY_TAG.code..=INVENTORY_SCHOOL.code).contains(&metric.code)
}
