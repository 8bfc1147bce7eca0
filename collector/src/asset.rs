//! An Asset: what the school's inventory says of a laptop, its loan included. Of pupils it knows opaque
//! references alone, never a name or an address.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use rollcall_shared::fingerprint::hash_part;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

/// Bytes of an asset tag, a serial number, a model, a grade or a reference: more than any label shows.
pub const WORD_BYTES: usize = 64;

/// Loans of one laptop that are kept: a loan and some swaps a year, for as long as laptops last.
pub const LOANS: usize = 16;

/// A laptop as the inventory has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// What is written on it; its identity in the inventory.
    pub tag: Word,
    /// The maker's serial number.
    pub serial: Option<Word>,
    /// The model, as the inventory calls it.
    pub model: Option<Word>,
    /// The school that it belongs to.
    pub school: Option<Label>,
    /// The grade that it is meant for.
    pub grade: Option<Word>,
    /// What it is there for.
    pub status: Status,
    /// The laptop that it is, where the inventory says so itself.
    pub device: Option<DeviceId>,
    /// The loans, by their begin, at most [`LOANS`].
    pub loans: Vec<Loan>,
}

/// What a laptop is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is used.
    #[default]
    InUse,
    /// It waits to be lent.
    Spare,
    /// Nobody knows where it is, or it was stolen.
    Lost,
    /// It has left the fleet.
    Retired,
}

/// That a laptop was lent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Loan {
    /// When.
    pub from: Date,
    /// To whom: an opaque reference.
    pub pupil: Word,
    /// Until when it is to be back.
    pub due: Option<Date>,
    /// When it came back.
    pub returned: Option<Date>,
}

/// A pupil of a roster: an opaque reference and where they learn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pupil {
    /// The opaque reference.
    pub reference: Word,
    /// Their school.
    pub school: Option<Label>,
    /// Their grade.
    pub grade: Option<Word>,
}

/// A short text of an inventory, trimmed, of one line. Texts with an `@` are not taken, since they are
/// addresses of people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Word(String);

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > WORD_BYTES || text.chars().any(char::is_control) {
            return Err(format!("must have 1 to {WORD_BYTES} bytes on one line"));
        }
        if text.contains('@') {
            return Err(
                "looks like an address of a person, which Rollcall does not take".to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Status {
    /// Every status.
    pub const ALL: &[Self] = &[Self::InUse, Self::Spare, Self::Lost, Self::Retired];

    /// The status in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InUse => "in_use",
            Self::Spare => "spare",
            Self::Lost => "lost",
            Self::Retired => "retired",
        }
    }
}

impl Asset {
    /// A laptop of which only the tag is known.
    #[must_use]
    pub const fn new(tag: Word) -> Self {
        Self {
            tag,
            serial: None,
            model: None,
            school: None,
            grade: None,
            status: Status::InUse,
            device: None,
            loans: Vec::new(),
        }
    }

    /// The hash by which agents tell their serial number.
    #[must_use]
    pub fn serial_hash(&self) -> Option<[u8; 32]> {
        hash_part("system-serial", self.serial.as_ref()?.as_str())
    }

    /// The loan that is not over: the latest of them.
    #[must_use]
    pub fn open_loan(&self) -> Option<&Loan> {
        self.loans.iter().rev().find(|loan| loan.returned.is_none())
    }

    /// Adds a loan, or replaces the one that began on that day for that pupil; the oldest goes where
    /// there are too many.
    pub fn put_loan(&mut self, loan: Loan) {
        let same = |known: &Loan| known.from == loan.from && known.pupil == loan.pupil;
        self.loans.retain(|known| !same(known));
        self.loans.push(loan);
        self.loans.sort();
        if self.loans.len() > LOANS {
            self.loans.remove(0);
        }
    }

    /// The days by which it is late at `now`, in UTC; `None` where nothing is due.
    #[must_use]
    pub fn days_late(&self, now: UnixMs) -> Option<i64> {
        let due = self.open_loan()?.due?;
        let today = day_of(now)?;
        let late = today.since(due).ok()?.get_days();
        Some(i64::from(late))
    }
}

/// The day in UTC.
#[must_use]
pub fn day_of(at: UnixMs) -> Option<Date> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// The inventory: laptops by tag and pupils by reference, and how laptops are found.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    assets: BTreeMap<Word, std::sync::Arc<Asset>>,
    by_serial: BTreeMap<[u8; 32], Word>,
    by_device: BTreeMap<DeviceId, Word>,
    pupils: BTreeMap<Word, Pupil>,
    /// Laptops that a pupil has now.
    lent: BTreeMap<Word, usize>,
}

impl Inventory {
    /// Takes in or replaces a laptop.
    pub fn put(&mut self, asset: Asset) {
        self.remove(&asset.tag);
        if let Some(hash) = asset.serial_hash() {
            self.by_serial.insert(hash, asset.tag.clone());
        }
        if let Some(device) = asset.device {
            self.by_device.insert(device, asset.tag.clone());
        }
        if let Some(loan) = asset.open_loan() {
            *self.lent.entry(loan.pupil.clone()).or_default() += 1;
        }
        self.assets.insert(asset.tag.clone(), asset.into());
    }

    /// Forgets a laptop.
    pub fn remove(&mut self, tag: &Word) {
        let Some(known) = self.assets.remove(tag) else {
            return;
        };
        if let Some(loan) = known.open_loan()
            && let Some(count) = self.lent.get_mut(&loan.pupil)
        {
            *count -= 1;
            if *count == 0 {
                self.lent.remove(&loan.pupil);
            }
        }
        if let Some(hash) = known.serial_hash()
            && self.by_serial.get(&hash) == Some(tag)
        {
            self.by_serial.remove(&hash);
        }
        if let Some(device) = known.device
            && self.by_device.get(&device) == Some(tag)
        {
            self.by_device.remove(&device);
        }
    }

    /// Takes in or replaces a pupil.
    pub fn put_pupil(&mut self, pupil: Pupil) {
        self.pupils.insert(pupil.reference.clone(), pupil);
    }

    /// Forgets a pupil.
    pub fn remove_pupil(&mut self, reference: &Word) {
        self.pupils.remove(reference);
    }

    /// The laptop with this tag.
    #[must_use]
    pub fn get(&self, tag: &Word) -> Option<&std::sync::Arc<Asset>> {
        self.assets.get(tag)
    }

    /// The laptop that a device is: by the inventory's own word, else by the serial number that it had
    /// when it enrolled.
    #[must_use]
    pub fn of(&self, device: &crate::device::Device) -> Option<&std::sync::Arc<Asset>> {
        let by_serial = || self.by_serial.get(&device.fingerprint.system_serial?);
        let tag = self.by_device.get(&device.id).or_else(by_serial)?;
        self.assets.get(tag)
    }

    /// How many laptops a pupil has that are not back.
    #[must_use]
    pub fn open_loans_of(&self, pupil: &Word) -> usize {
        self.lent.get(pupil).copied().unwrap_or_default()
    }

    /// The pupil with this reference.
    #[must_use]
    pub fn pupil(&self, reference: &Word) -> Option<&Pupil> {
        self.pupils.get(reference)
    }

    /// Every laptop, by tag.
    pub fn assets(&self) -> impl Iterator<Item = &std::sync::Arc<Asset>> {
        self.assets.values()
    }

    /// Every pupil, by reference.
    pub fn pupils(&self) -> impl Iterator<Item = &Pupil> {
        self.pupils.values()
    }

    /// How many laptops there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.assets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.assets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        text.to_owned().try_into().unwrap()
    }

    fn loan(from: &str, pupil: &str, due: &str) -> Loan {
        Loan {
            from: from.parse().unwrap(),
            pupil: word(pupil),
            due: Some(due.parse().unwrap()),
            returned: None,
        }
    }

    #[test]
    fn the_latest_loan_that_is_not_over_counts() {
        let mut asset = Asset::new(word("A-1"));
        assert_eq!(asset.days_late(UnixMs(0)), None);
        asset.put_loan(loan("1970-01-01", "p1", "1970-01-03"));
        assert_eq!(asset.days_late(UnixMs(86_400_000)), Some(-1));
        assert_eq!(asset.days_late(UnixMs(5 * 86_400_000)), Some(3));
        let mut over = loan("1970-01-01", "p1", "1970-01-03");
        over.returned = Some("1970-01-04".parse().unwrap());
        asset.put_loan(over);
        assert_eq!(asset.loans.len(), 1);
        assert_eq!(asset.days_late(UnixMs(5 * 86_400_000)), None);
        for day in 1..=28 {
            asset.put_loan(loan(&format!("1971-02-{day:02}"), "p2", "1971-03-01"));
        }
        assert_eq!(asset.loans.len(), LOANS);
        assert_eq!(
            asset.open_loan().unwrap().from,
            "1971-02-28".parse().unwrap()
        );
    }

    #[test]
    fn a_device_is_found_by_its_serial_and_by_the_inventory_s_word() {
        let mut inventory = Inventory::default();
        let mut asset = Asset::new(word("A-1"));
        asset.serial = Some(word("5cd1234xyz"));
        inventory.put(asset.clone());
        let mut device =
            crate::query::example::device(DeviceId::generate(), "Lincoln", None, "Latitude 3120");
        assert!(inventory.of(&device).is_none());
        device.fingerprint.system_serial = hash_part("system-serial", " 5CD1234XYZ ");
        assert_eq!(inventory.of(&device).unwrap().tag, word("A-1"));
        asset.serial = Some(word("5cd9999xyz"));
        inventory.put(asset);
        assert!(
            inventory.of(&device).is_none(),
            "the serial number was corrected"
        );
        let mut named = Asset::new(word("A-2"));
        named.device = Some(device.id);
        inventory.put(named);
        assert_eq!(inventory.of(&device).unwrap().tag, word("A-2"));
        inventory.remove(&word("A-2"));
        assert!(inventory.of(&device).is_none());
        assert_eq!(inventory.len(), 1);
    }

    #[test]
    fn what_looks_like_a_person_s_address_is_not_taken() {
        assert!(Word::try_from("kid@school.example".to_owned()).is_err());
        assert!(Word::try_from(" ".to_owned()).is_err());
        assert_eq!(word("  A 7 ").as_str(), "A 7");
    }
}
