//! Rows of laptops and their loans: one laptop a row, or one loan a row.

use jiff::civil::Date;
use rollcall_shared::id::{DeviceId, Label};

use super::table::{Row, Table};
use crate::asset::{Asset, Loan, Status, Word};
use crate::evaluate::rules::unknown;

const TAG: &[&str] = &["assettag", "tag", "asset"];
const SERIAL: &[&str] = &["serial", "serialnumber", "serialno"];
const MODEL: &[&str] = &["model"];
const SCHOOL: &[&str] = &["school", "site", "building"];
const GRADE: &[&str] = &["grade"];
const STATUS: &[&str] = &["status", "state"];
const DEVICE: &[&str] = &["device", "deviceid", "rollcalldevice"];
const PUPIL: &[&str] = &[
    "pupil",
    "pupilref",
    "pupilid",
    "student",
    "studentref",
    "studentid",
];
const FROM: &[&str] = &["loaned", "loandate", "from", "checkedout"];
const DUE: &[&str] = &["due", "duedate", "returndue"];
const RETURNED: &[&str] = &["returned", "returndate", "returnedon", "checkedin"];

/// Whether a file is one of laptops.
pub fn is_one(table: &mut Table<'_>) -> bool {
    // All are asked for, so that only the others count as left out.
    let columns = [
        SERIAL, MODEL, SCHOOL, GRADE, STATUS, DEVICE, PUPIL, FROM, DUE, RETURNED,
    ];
    let has_tag = table.has(TAG);
    if has_tag {
        for names in columns {
            table.has(names);
        }
    }
    has_tag
}

/// The tag of a row.
///
/// # Errors
/// What is wrong with it.
pub fn tag(row: &Row<'_>) -> Result<Word, String> {
    let missing = |_| "asset_tag: is missing".to_owned();
    let text = row.required(TAG).map_err(missing)?;
    text.to_owned()
        .try_into()
        .map_err(|p| format!("asset_tag: {p}"))
}

/// A laptop as a row changes it: what has no column stays as it was.
///
/// # Errors
/// The column and what is wrong with it.
pub fn changed(row: &Row<'_>, mut asset: Asset) -> Result<Asset, String> {
    set(&mut asset.serial, row.get(SERIAL), |text| {
        word("serial", text)
    })?;
    set(&mut asset.model, row.get(MODEL), |text| word("model", text))?;
    set(&mut asset.school, row.get(SCHOOL), |text| {
        label("school", text)
    })?;
    set(&mut asset.grade, row.get(GRADE), |text| word("grade", text))?;
    set(&mut asset.device, row.get(DEVICE), device)?;
    if let Some(text) = row.get(STATUS).filter(|text| !text.is_empty()) {
        asset.status = status(text)?;
    }
    if asset.serial.is_some() && asset.serial_hash().is_none() {
        return Err("serial: is what makers leave where a number should be".to_owned());
    }
    if let Some(loan) = loan(row)? {
        asset.put_loan(loan);
    }
    Ok(asset)
}

/// Whether a row is about a loan of one laptop, so that there may be several of it.
pub fn is_loan(row: &Row<'_>) -> bool {
    row.get(PUPIL).is_some_and(|text| !text.is_empty())
}

fn loan(row: &Row<'_>) -> Result<Option<Loan>, String> {
    let (from, due, returned) = (
        date("loaned", row.get(FROM))?,
        date("due", row.get(DUE))?,
        date("returned", row.get(RETURNED))?,
    );
    if !is_loan(row) {
        let is_empty = from.is_none() && due.is_none() && returned.is_none();
        let problem = "pupil: is missing, and there are dates of a loan";
        return if is_empty {
            Ok(None)
        } else {
            Err(problem.to_owned())
        };
    }
    let pupil = word("pupil", row.required(PUPIL)?)?;
    let from = from.ok_or("loaned: is missing: when the laptop was lent, such as 2026-08-24")?;
    for (name, date) in [("due", due), ("returned", returned)] {
        if date.is_some_and(|date| date < from) {
            return Err(format!("{name}: is before the day of the loan, {from}"));
        }
    }
    Ok(Some(Loan {
        from,
        pupil,
        due,
        returned,
    }))
}

fn set<T>(
    field: &mut Option<T>,
    found: Option<&str>,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), String> {
    match found {
        None => {}
        Some("") => *field = None,
        Some(text) => *field = Some(read(text)?),
    }
    Ok(())
}

/// A word of a column.
///
/// # Errors
/// The column and what is wrong.
pub fn word(column: &str, text: &str) -> Result<Word, String> {
    text.to_owned()
        .try_into()
        .map_err(|problem: String| format!("{column}: {problem}"))
}

/// A label of a column.
///
/// # Errors
/// The column and what is wrong.
pub fn label(column: &str, text: &str) -> Result<Label, String> {
    text.parse().map_err(|error| format!("{column}: {error}"))
}

fn device(text: &str) -> Result<DeviceId, String> {
    text.parse()
        .map_err(|_| "device: must be the id of a device, as `device list` shows it".to_owned())
}

fn status(text: &str) -> Result<Status, String> {
    let given: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let found = Status::ALL.iter().find(|status| status.word() == given);
    let known = Status::ALL.iter().map(|status| status.word());
    found
        .copied()
        .ok_or_else(|| format!("status: {}", unknown("status", &given, known)))
}

fn date(column: &str, text: Option<&str>) -> Result<Option<Date>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse::<Date>()
        .map(Some)
        .map_err(|_| format!("{column}: `{text}` is no date such as 2026-08-24"))
}
