//! Answers about the inventory: its laptops with their loans, and taking files in.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Query, QueryError, Viewer};
use crate::asset::{Asset, Status};
use crate::evaluate::rules::unknown;
use crate::inventory::{FILES, IMPORT_BYTES, InventoryFile, InventoryReport, import};
use crate::store::Role;

/// Laptops in one answer; all are counted.
const SHOWN: usize = 1000;

/// Which laptops of the inventory are wanted. What is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InventoryFilter {
    /// The laptop with this tag.
    pub tag: Option<String>,
    /// Laptops of this school.
    pub school: Option<String>,
    /// Laptops with this status.
    pub status: Option<String>,
    /// Laptops that this pupil has.
    pub pupil: Option<String>,
}

/// Laptops of the inventory.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AssetList {
    /// By tag, at most 1000.
    pub laptops: Vec<AssetAnswer>,
    /// How many match.
    pub total: u64,
    /// How many pupils are known.
    pub pupils: u64,
}

/// A laptop of the inventory.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AssetAnswer {
    /// Its asset tag.
    pub asset_tag: String,
    /// The maker's serial number.
    pub serial: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Its school.
    pub school: Option<String>,
    /// The grade that it is meant for.
    pub grade: Option<String>,
    /// `in_use`, `spare`, `lost` or `retired`.
    pub status: &'static str,
    /// The device that it is, by id; null while none has that serial number.
    pub device: Option<String>,
    /// Its loans, by their begin.
    pub loans: Vec<LoanAnswer>,
}

/// A loan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoanAnswer {
    /// The opaque reference of who has it.
    pub pupil: String,
    /// Since when.
    pub loaned: String,
    /// Until when it is to be back.
    pub due: Option<String>,
    /// When it came back.
    pub returned: Option<String>,
}

impl Query {
    /// The laptops of the inventory that match.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but technicians of every site, [`QueryError::Field`] names `status`.
    pub fn assets(
        &self,
        viewer: &Viewer,
        filter: &InventoryFilter,
    ) -> Result<AssetList, QueryError> {
        viewer.require(Role::Technician)?;
        viewer.require_all_sites()?;
        if let Some(word) = &filter.status
            && Status::ALL.iter().all(|status| status.word() != word)
        {
            let known = Status::ALL.iter().map(|status| status.word());
            return Err(QueryError::field("status", unknown("status", word, known)));
        }
        let inventory = self.store.inventory();
        let mut devices = std::collections::HashMap::new();
        self.visit_devices(viewer, |state| {
            if let Some(asset) = inventory.of(&state.device) {
                devices.insert(asset.tag.clone(), state.device.id);
            }
        });
        let matching: Vec<&Arc<Asset>> = inventory.assets().filter(|a| filter.admits(a)).collect();
        let shown = matching.iter().take(SHOWN);
        Ok(AssetList {
            laptops: shown
                .map(|asset| answer(asset, devices.get(&asset.tag).map(ToString::to_string)))
                .collect(),
            total: matching.len() as u64,
            pupils: inventory.pupils().count() as u64,
        })
    }

    /// Takes files in, or only says what that would do.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins of every site, [`QueryError::Field`] names `files`.
    pub async fn import_inventory(
        &self,
        viewer: &Viewer,
        files: &[InventoryFile],
        dry_run: bool,
    ) -> Result<InventoryReport, QueryError> {
        viewer.require(Role::Admin)?;
        viewer.require_all_sites()?;
        if !(1..=FILES).contains(&files.len()) {
            let problem = format!("must be from 1 to {FILES}");
            return Err(QueryError::field("files", problem));
        }
        let bytes: usize = files.iter().map(|file| file.text.len()).sum();
        if bytes > IMPORT_BYTES {
            let problem = format!("have {bytes} bytes together, more than {IMPORT_BYTES}");
            return Err(QueryError::field("files", problem));
        }
        let actor = format!("api {}", viewer.name);
        Ok(import(&self.store, files, dry_run, &actor, self.now()).await?)
    }
}

impl InventoryFilter {
    fn admits(&self, asset: &Asset) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.tag, Some(asset.tag.as_str()))
            && is(&self.school, asset.school.as_ref().map(|s| s.as_str()))
            && is(&self.status, Some(asset.status.word()))
            && is(
                &self.pupil,
                asset.open_loan().map(|loan| loan.pupil.as_str()),
            )
    }
}

fn answer(asset: &Asset, device: Option<String>) -> AssetAnswer {
    let loans = asset.loans.iter().map(|loan| LoanAnswer {
        pupil: loan.pupil.to_string(),
        loaned: loan.from.to_string(),
        due: loan.due.map(|date| date.to_string()),
        returned: loan.returned.map(|date| date.to_string()),
    });
    AssetAnswer {
        asset_tag: asset.tag.to_string(),
        serial: asset.serial.as_ref().map(ToString::to_string),
        model: asset.model.as_ref().map(ToString::to_string),
        school: asset.school.as_ref().map(ToString::to_string),
        grade: asset.grade.as_ref().map(ToString::to_string),
        status: asset.status.word(),
        device,
        loans: loans.collect(),
    }
}
