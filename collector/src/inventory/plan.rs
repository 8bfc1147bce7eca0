//! What an import changes. Pure: (files, inventory) to writes and a report.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_shared::id::Label;

use super::roster::{Kind, Said, org, said};
use super::table::Table;
use super::{FileReport, InventoryFile, InventoryReport, MOST, laptops};
use crate::asset::{Asset, Inventory, Pupil, Word};
use crate::store::Write;

/// What an import does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What there is to say of it.
    pub report: InventoryReport,
    /// What changes, each thing once.
    pub writes: Vec<Write>,
}

/// A laptop that an import names.
struct Named {
    asset: Asset,
    file: String,
    line: u64,
}

struct Planner<'a> {
    known: &'a Inventory,
    report: InventoryReport,
    laptops: BTreeMap<Word, Named>,
    /// Tags of rows without a loan, by file: such a row may be there once.
    seen: BTreeSet<(usize, Word)>,
    orgs: BTreeMap<Word, Label>,
    pupils: BTreeMap<Word, Option<Pupil>>,
}

/// What files change of an inventory. A row that is not right is told by line and reason, and the rest is
/// taken.
#[must_use]
pub fn plan(files: &[InventoryFile], known: &Inventory) -> Plan {
    let mut planner = Planner {
        known,
        report: InventoryReport::default(),
        laptops: BTreeMap::new(),
        seen: BTreeSet::new(),
        orgs: BTreeMap::new(),
        pupils: BTreeMap::new(),
    };
    let mut files: Vec<(Rank, &InventoryFile)> =
        files.iter().map(|file| (Rank::of(file), file)).collect();
    // Schools before the pupils that name them, users before where they are; else as they were given.
    files.sort_by_key(|(rank, _)| *rank);
    for (number, (rank, file)) in files.iter().enumerate() {
        planner.file(number, *rank, file);
    }
    planner.end()
}

/// What a file is, in the order in which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Laptops,
    Roster(Kind),
    Unknown,
}

impl Rank {
    fn of(file: &InventoryFile) -> Self {
        Table::open(&file.text).map_or(Self::Unknown, |mut table| Self::of_table(&mut table))
    }

    fn of_table(table: &mut Table<'_>) -> Self {
        if laptops::is_one(table) {
            return Self::Laptops;
        }
        Kind::of(table).map_or(Self::Unknown, Self::Roster)
    }
}

impl Planner<'_> {
    fn file(&mut self, number: usize, rank: Rank, file: &InventoryFile) {
        let mut told = FileReport {
            name: file.name.clone(),
            kind: match rank {
                Rank::Laptops => "laptops",
                Rank::Roster(kind) => kind.words(),
                Rank::Unknown => "not read",
            }
            .to_owned(),
            ..FileReport::default()
        };
        match Table::open(&file.text) {
            Err(problem) => self.report.refuse(&file.name, 1, &problem),
            Ok(mut table) => {
                Rank::of_table(&mut table);
                told.left_out = table.left_out();
                if rank == Rank::Unknown {
                    self.report.refuse(&file.name, 1, UNKNOWN);
                } else {
                    told.rows = self.rows(number, rank, &file.name, &mut table);
                }
            }
        }
        self.report.files.push(told);
    }

    fn rows(&mut self, number: usize, rank: Rank, file: &str, table: &mut Table<'_>) -> u64 {
        let mut rows = 0;
        while let Some(row) = table.next_row() {
            rows += 1;
            let (line, taken) = match row {
                Err((line, problem)) => (line, Err(problem)),
                Ok(row) => {
                    let taken = match rank {
                        Rank::Roster(kind) => self.roster(kind, &row),
                        _ => self.laptop(number, file, &row),
                    };
                    (row.line, taken)
                }
            };
            if let Err(problem) = taken {
                self.report.refuse(file, line, &problem);
            }
        }
        rows
    }

    fn laptop(
        &mut self,
        number: usize,
        file: &str,
        row: &super::table::Row<'_>,
    ) -> Result<(), String> {
        let tag = laptops::tag(row)?;
        let named = self.laptops.get(&tag).map(|named| named.asset.clone());
        let known = || self.known.get(&tag).map(|asset| Asset::clone(asset));
        let is_new = named.is_none() && self.known.get(&tag).is_none();
        if is_new && self.known.len() + self.laptops.len() >= MOST {
            return Err(format!(
                "there are {MOST} laptops already, and no room for more"
            ));
        }
        let before = named
            .or_else(known)
            .unwrap_or_else(|| Asset::new(tag.clone()));
        let asset = laptops::changed(row, before)?;
        if !laptops::is_loan(row) && !self.seen.insert((number, tag.clone())) {
            return Err(format!(
                "asset_tag: `{tag}` stands in an earlier row of this file too"
            ));
        }
        let named = Named {
            asset,
            file: file.to_owned(),
            line: row.line,
        };
        self.laptops.insert(tag, named);
        Ok(())
    }

    fn roster(&mut self, kind: Kind, row: &super::table::Row<'_>) -> Result<(), String> {
        if kind == Kind::Orgs {
            self.orgs.extend(org(row)?);
            return Ok(());
        }
        match said(kind, row, &self.orgs)? {
            Said::Nothing => {}
            Said::Left(reference) => {
                self.pupils.insert(reference, None);
            }
            Said::There(pupil) => {
                let is_new = self.known.pupil(&pupil.reference).is_none();
                if is_new && self.known.pupils().count().max(self.pupils.len()) >= MOST {
                    return Err(format!(
                        "there are {MOST} pupils already, and no room for more"
                    ));
                }
                self.pupils.insert(pupil.reference.clone(), Some(pupil));
            }
            Said::At(reference, school) => self.place(&reference, school)?,
        }
        Ok(())
    }

    /// A school of a pupil whom the import or the inventory knows; the first that is said counts.
    fn place(&mut self, reference: &Word, school: Label) -> Result<(), String> {
        let known = || self.known.pupil(reference).cloned().map(Some);
        let found = self.pupils.get(reference).cloned().or_else(known);
        match found {
            Some(Some(mut pupil)) => {
                let of_import = self.pupils.contains_key(reference);
                if !of_import || pupil.school.is_none() {
                    pupil.school = Some(school);
                }
                self.pupils.insert(reference.clone(), Some(pupil));
                Ok(())
            }
            Some(None) => Ok(()),
            None => Err(format!(
                "userSourcedId: `{reference}` is no pupil of users.csv, nor known from before"
            )),
        }
    }

    fn end(mut self) -> Plan {
        self.refuse_shared_serials();
        let mut writes = Vec::new();
        for (tag, named) in self.laptops {
            match self.known.get(&tag) {
                Some(known) if **known == named.asset => continue,
                Some(_) => self.report.laptops_changed += 1,
                None => self.report.laptops_added += 1,
            }
            writes.push(Write::PutAsset(named.asset));
        }
        for (reference, pupil) in self.pupils {
            match (self.known.pupil(&reference), pupil) {
                (Some(known), Some(pupil)) if *known == pupil => {}
                (known, Some(pupil)) => {
                    let count = match known {
                        Some(_) => &mut self.report.pupils_changed,
                        None => &mut self.report.pupils_added,
                    };
                    *count += 1;
                    writes.push(Write::PutPupil(pupil));
                }
                (Some(_), None) => {
                    self.report.pupils_removed += 1;
                    writes.push(Write::RemovePupil(reference));
                }
                (None, None) => {}
            }
        }
        Plan {
            report: self.report,
            writes,
        }
    }

    /// A serial number belongs to one laptop: of those that say the same one, the laptop that had it
    /// before keeps it, else the one that is named first.
    fn refuse_shared_serials(&mut self) {
        let mut owners: BTreeMap<[u8; 32], Word> = BTreeMap::new();
        for known in self.known.assets() {
            if let Some(hash) = known.serial_hash()
                && !self.laptops.contains_key(&known.tag)
            {
                owners.insert(hash, known.tag.clone());
            }
        }
        let had_it = |named: &Named| {
            let known = self.known.get(&named.asset.tag);
            known.is_some_and(|known| known.serial_hash() == named.asset.serial_hash())
        };
        let mut named: Vec<(bool, &str, u64, &Word)> = self
            .laptops
            .iter()
            .map(|(tag, named)| (!had_it(named), named.file.as_str(), named.line, tag))
            .collect();
        named.sort_unstable();
        let mut refused = Vec::new();
        for (_, file, line, tag) in named {
            let hash = self.laptops.get(tag).and_then(|n| n.asset.serial_hash());
            let Some(hash) = hash else { continue };
            match owners.get(&hash) {
                Some(owner) => {
                    let problem = format!("serial: is that of `{owner}` already");
                    refused.push((tag.clone(), file.to_owned(), line, problem));
                }
                None => {
                    owners.insert(hash, tag.clone());
                }
            }
        }
        for (tag, file, line, problem) in refused {
            self.laptops.remove(&tag);
            self.report.refuse(&file, line, &problem);
        }
    }
}

const UNKNOWN: &str = "no such file is known by its columns: laptops and loans have `asset_tag`, a roster has \
    `pupil`, and OneRoster's orgs, users, roles and enrollments have `sourcedId`";

#[cfg(test)]
mod tests;
