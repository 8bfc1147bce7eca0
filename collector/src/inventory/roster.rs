//! Rosters: a simple one of pupil, school and grade, and the CSV of `OneRoster` 1.1 and 1.2, of which schools,
//! pupils, roles and enrolments are read, and nothing but identifiers, schools and grades.
//!
//! Source: 1EdTech, `OneRoster` 1.1 and 1.2, CSV tables (`orgs`, `users`, `roles`, `enrollments`).

use std::collections::BTreeMap;

use rollcall_shared::id::Label;

use super::laptops::{label, word};
use super::table::{Row, Table};
use crate::asset::{Pupil, Word};

const PUPIL: &[&str] = &[
    "pupil",
    "pupilref",
    "pupilid",
    "student",
    "studentref",
    "studentid",
];
const SCHOOL: &[&str] = &["school", "site", "building"];
const GRADE: &[&str] = &["grade"];

const ID: &[&str] = &["sourcedid"];
const STATUS: &[&str] = &["status"];
const NAME: &[&str] = &["name"];
const TYPE: &[&str] = &["type"];
const ROLE: &[&str] = &["role"];
const ORGS: &[&str] = &["primaryorgsourcedid", "orgsourcedids"];
const ORG: &[&str] = &["orgsourcedid", "schoolsourcedid"];
const USER: &[&str] = &["usersourcedid"];
const GRADES: &[&str] = &["grades"];
const ENABLED: &[&str] = &["enableduser"];
/// Only the table of users has this column. It is asked for and never read.
const OF_USERS: &[&str] = &["username", "enableduser"];

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `OneRoster`: schools by their identifiers.
    Orgs,
    /// `OneRoster`: people, of whom pupils are taken.
    Users,
    /// `OneRoster`: who is what where, in version 1.2 (`roles`), or in which school (`enrollments`).
    Places,
    /// A list of pupils.
    Simple,
}

/// What a row says of a pupil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// They are there.
    There(Pupil),
    /// They learn at this school; nothing is said of their grade.
    At(Word, Label),
    /// They have left.
    Left(Word),
    /// It is about nobody whom a loan is given to.
    Nothing,
}

impl Kind {
    /// Which kind of roster a file is; `None` where it is none.
    pub fn of(table: &mut Table<'_>) -> Option<Self> {
        if !table.has(ID) {
            let is_roster = table.has(PUPIL);
            if is_roster {
                table.has(SCHOOL);
                table.has(GRADE);
            }
            return is_roster.then_some(Self::Simple);
        }
        table.has(STATUS);
        let is_place = table.has(USER);
        if is_place && table.has(ORG) {
            table.has(ROLE);
            return Some(Self::Places);
        }
        if table.has(ORGS) || has_quietly(table, OF_USERS) {
            table.has(ROLE);
            table.has(GRADES);
            table.has(ENABLED);
            return Some(Self::Users);
        }
        (table.has(TYPE) && table.has(NAME)).then_some(Self::Orgs)
    }

    /// The kind in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Orgs => "oneroster orgs",
            Self::Users => "oneroster users",
            Self::Places => "oneroster roles or enrollments",
            Self::Simple => "roster",
        }
    }
}

/// Whether a column is there that is not read.
fn has_quietly(table: &Table<'_>, names: &[&str]) -> bool {
    let left_out = table.left_out();
    names.iter().any(|name| left_out.iter().any(|c| c == name))
}

/// A school of `orgs`: its identifier and name, `None` for what is no school.
///
/// # Errors
/// The column and what is wrong with it.
pub fn org(row: &Row<'_>) -> Result<Option<(Word, Label)>, String> {
    if row.get(TYPE) != Some("school") || is_gone(row) {
        return Ok(None);
    }
    let id = word("sourcedId", row.required(ID)?)?;
    Ok(Some((id, label("name", row.required(NAME)?)?)))
}

/// What a row says of a pupil; `orgs` are the schools of the same import.
///
/// # Errors
/// The column and what is wrong with it.
pub fn said(kind: Kind, row: &Row<'_>, orgs: &BTreeMap<Word, Label>) -> Result<Said, String> {
    match kind {
        Kind::Orgs => Ok(Said::Nothing),
        Kind::Simple => simple(row),
        Kind::Users => user(row, orgs),
        Kind::Places => place(row, orgs),
    }
}

fn simple(row: &Row<'_>) -> Result<Said, String> {
    let filled = |names| row.get(names).filter(|text: &&str| !text.is_empty());
    Ok(Said::There(Pupil {
        reference: word("pupil", row.required(PUPIL)?)?,
        school: filled(SCHOOL).map(|t| label("school", t)).transpose()?,
        grade: filled(GRADE).map(|t| word("grade", t)).transpose()?,
    }))
}

fn user(row: &Row<'_>, orgs: &BTreeMap<Word, Label>) -> Result<Said, String> {
    // Version 1.2 has no role here; who is no pupil is told by `roles` and has no school then.
    if row.get(ROLE).is_some_and(|role| role != "student") {
        return Ok(Said::Nothing);
    }
    let reference = word("sourcedId", row.required(ID)?)?;
    let is_disabled = row
        .get(ENABLED)
        .is_some_and(|t| t.eq_ignore_ascii_case("false"));
    if is_gone(row) || is_disabled {
        return Ok(Said::Left(reference));
    }
    let schools = row.get(ORGS).unwrap_or_default().split(',');
    let first = schools.map(str::trim).find(|id| !id.is_empty());
    let grades = row.get(GRADES).unwrap_or_default().split(',');
    let grade = grades.map(str::trim).find(|grade| !grade.is_empty());
    let of_org = |id: &str| school("orgSourcedIds", id, orgs);
    Ok(Said::There(Pupil {
        reference,
        school: first.map(of_org).transpose()?,
        grade: grade.map(|text| word("grades", text)).transpose()?,
    }))
}

fn place(row: &Row<'_>, orgs: &BTreeMap<Word, Label>) -> Result<Said, String> {
    if is_gone(row) || row.get(ROLE).is_some_and(|role| role != "student") {
        return Ok(Said::Nothing);
    }
    let reference = word("userSourcedId", row.required(USER)?)?;
    let at = school("schoolSourcedId", row.required(ORG)?, orgs)?;
    Ok(Said::At(reference, at))
}

fn school(column: &str, id: &str, orgs: &BTreeMap<Word, Label>) -> Result<Label, String> {
    let id = word(column, id)?;
    let known = orgs.get(&id).cloned();
    known.ok_or_else(|| {
        format!("{column}: `{id}` is no school of orgs.csv, which must be part of the same import")
    })
}

/// Version 1.1 marks what is gone with `tobedeleted`, 1.0 with `inactive`.
fn is_gone(row: &Row<'_>) -> bool {
    let status = row.get(STATUS).unwrap_or_default().to_ascii_lowercase();
    matches!(status.as_str(), "tobedeleted" | "inactive")
}
