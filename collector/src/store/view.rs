//! What the store says of the records and the latest state that it keeps in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;
use serde::de::DeserializeOwned;

use super::keys::{self, TreeName};
use super::{ApiTokenRecord, Counts, EnrolmentTokenRecord, Kind, Store, StoreError, counts, hot};
use crate::alert::{Alert, AlertId, AlertKey, AlertState};
use crate::asset::{Asset, Inventory};
use crate::audit::AuditLine;
use crate::device::{Device, DeviceState, Latests};
use crate::edition::Edition;
use crate::incident::{Incident, IncidentId};
use crate::mark::{Marks, Subject};
use crate::memo::{Memo, MemoKey};
use crate::notification::Notification;
use crate::reach_note::ReachNote;
use crate::silence::{Silence, SilenceId};
use crate::user::User;

/// Devices or alerts that are shown to a visitor before writers have their turn: less than a millisecond.
const VISITED_AT_ONCE: usize = 4096;

impl Store {
    /// A device and its latest state.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> Option<Arc<DeviceState>> {
        let memory = self.shared().memory();
        memory
            .devices
            .get(&device)
            .map(|entry| Arc::clone(&entry.state))
    }

    /// Every device and its latest state, in no order.
    #[must_use]
    pub fn devices(&self) -> Vec<Arc<DeviceState>> {
        let memory = self.shared().memory();
        memory
            .devices
            .values()
            .map(|entry| Arc::clone(&entry.state))
            .collect()
    }

    /// Shows every device to `visit`, in the order of their enrolment, until it breaks off; `after` one
    /// where that is given. Nothing is copied, and who writes waits for some thousand of them at most.
    pub fn visit_devices(
        &self,
        mut after: Option<DeviceId>,
        mut visit: impl FnMut(&Arc<DeviceState>) -> ControlFlow<()>,
    ) {
        loop {
            let memory = self.shared().memory();
            let mut seen = 0;
            for state in memory.after(after).take(VISITED_AT_ONCE) {
                if visit(state).is_break() {
                    return;
                }
                after = Some(state.device.id);
                seen += 1;
            }
            if seen < VISITED_AT_ONCE {
                return;
            }
        }
    }

    /// How many devices there are.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.shared().memory().devices.len()
    }

    /// Shows every alert that is pending or firing to `visit`, by key, with its device.
    pub fn visit_open_alerts(&self, mut visit: impl FnMut(&Alert, &DeviceState)) {
        let mut after: Option<AlertKey> = None;
        loop {
            let memory = self.shared().memory();
            let from = after.take().map_or(Bound::Unbounded, Bound::Excluded);
            let alerts = memory.alerts.range((from, Bound::Unbounded));
            let mut seen = 0;
            for (key, alert) in alerts.take(VISITED_AT_ONCE) {
                if let Some(entry) = memory.devices.get(&key.device) {
                    visit(alert, &entry.state);
                }
                seen += 1;
                if seen == VISITED_AT_ONCE {
                    after = Some(key.clone());
                }
            }
            if after.is_none() {
                return;
            }
        }
    }

    /// An alert that is pending or firing.
    #[must_use]
    pub fn open_alert(&self, key: &AlertKey) -> Option<Alert> {
        self.shared().memory().alerts.get(key).cloned()
    }

    /// An alert by its identity, open or among the last `most` that were resolved.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn alert(&self, id: AlertId, most: usize) -> Result<Option<Alert>, StoreError> {
        let open = {
            let memory = self.shared().memory();
            memory.alerts.values().find(|alert| alert.id == id).cloned()
        };
        if open.is_some() {
            return Ok(open);
        }
        let resolved = self.resolved_alerts(UnixMs(0), UnixMs(i64::MAX), most)?;
        Ok(resolved.into_iter().find(|alert| alert.id == id))
    }

    /// The identity of every device, ascending.
    #[must_use]
    pub fn device_ids(&self) -> Vec<DeviceId> {
        self.shared().memory().order.clone()
    }

    /// Notes that a stream of a device came up or went down.
    pub fn set_connected(&self, device: DeviceId, connected: bool, now: UnixMs) {
        self.shared()
            .memory_mut()
            .set_connected(device, connected, now);
        self.shared().changed.notify_one();
    }

    /// Returns when devices have changed since it last did. One listener alone may wait: the one that
    /// takes them.
    pub async fn devices_changed(&self) {
        self.shared().changed.notified().await;
    }

    /// The devices whose record, telemetry or connection changed since this was last asked, each once.
    #[must_use]
    pub fn take_changed(&self) -> Vec<DeviceId> {
        self.shared().memory_mut().take_changed()
    }

    /// Puts a device's forecasts where rules look for them. They are not stored.
    pub fn set_forecasts(&self, device: DeviceId, forecasts: Arc<Latests>) {
        self.shared().memory_mut().set_forecasts(device, forecasts);
    }

    /// Every alert that is pending or firing, by key.
    #[must_use]
    pub fn open_alerts(&self) -> Vec<Alert> {
        self.shared().memory().alerts.values().cloned().collect()
    }

    /// The pending and firing alerts of one device, by key.
    #[must_use]
    pub fn open_alerts_of(&self, device: DeviceId) -> Vec<Alert> {
        let memory = self.shared().memory();
        counts::alerts_of(&memory.alerts, device).cloned().collect()
    }

    /// Shows the counts of each site and each kind of device in it to `visit`; of those without a device
    /// there are none.
    pub fn visit_counts(&self, mut visit: impl FnMut(&Label, &Kind, &Counts)) {
        let memory = self.shared().memory();
        for (site, kind, counts) in memory.counts.iter() {
            visit(site, kind, counts);
        }
    }

    /// Alerts that were resolved from `from` to `to`, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn resolved_alerts(
        &self,
        from: UnixMs,
        to: UnixMs,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        self.records_between(TreeName::AlertHistory, from, to, limit)
    }

    /// Incidents that are open or were closed lately, by id.
    #[must_use]
    pub fn incidents(&self) -> BTreeMap<IncidentId, Incident> {
        self.shared().memory().incidents.clone()
    }

    /// Shows every incident that is open or was closed lately to `visit`, without copying any.
    pub fn visit_incidents(&self, mut visit: impl FnMut(&Incident)) {
        for incident in self.shared().memory().incidents.values() {
            visit(incident);
        }
    }

    /// An incident that is open or was closed lately.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<Incident> {
        self.shared().memory().incidents.get(&id).cloned()
    }

    /// Incidents that were closed from `from` to `to` and archived since, the latest first, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn closed_incidents(
        &self,
        from: UnixMs,
        to: UnixMs,
        limit: usize,
    ) -> Result<Vec<Incident>, StoreError> {
        self.records_between(TreeName::IncidentHistory, from, to, limit)
    }

    /// The alerts that fire, by key.
    #[must_use]
    pub fn firing_alerts(&self) -> Vec<Alert> {
        let memory = self.shared().memory();
        let alerts = memory.alerts.values();
        let firing = alerts.filter(|alert| alert.state == AlertState::Firing);
        firing.cloned().collect()
    }

    /// The outbox, by key.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.shared().memory().outbox.values().cloned().collect()
    }

    /// What a channel remembers of something.
    #[must_use]
    pub fn memo(&self, key: &MemoKey) -> Option<Memo> {
        self.shared().memory().memos.get(key).cloned()
    }

    /// What all channels remember, by key.
    #[must_use]
    pub fn memos(&self) -> Vec<Memo> {
        self.shared().memory().memos.values().cloned().collect()
    }

    /// The last lines of the audit log, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        let tree = TreeName::Audit;
        let found = self.shared().hot.database.scan(tree as usize, &[]);
        found
            .rev()
            .take(limit)
            .map(|pair| hot::parse_record(tree, pair))
            .collect()
    }

    /// Silences and maintenance windows, by their making.
    #[must_use]
    pub fn silences(&self) -> Vec<Silence> {
        self.shared().memory().silences.values().cloned().collect()
    }

    /// A silence or maintenance window.
    #[must_use]
    pub fn silence(&self, id: SilenceId) -> Option<Silence> {
        self.shared().memory().silences.get(&id).cloned()
    }

    /// What people said about an alert or incident.
    #[must_use]
    pub fn marks(&self, subject: Subject) -> Option<Marks> {
        self.shared().memory().marks.get(&subject).cloned()
    }

    /// All that people said about alerts and incidents, within retention.
    #[must_use]
    pub fn all_marks(&self) -> BTreeMap<Subject, Marks> {
        self.shared().memory().marks.clone()
    }

    /// The versions of the rules, by number.
    #[must_use]
    pub fn editions(&self) -> BTreeMap<u32, Arc<Edition>> {
        self.shared().memory().editions.clone()
    }

    /// What was noted of how far laptops got over the day, by ascending time; a note that is as old as its
    /// successor's day may still be among them.
    #[must_use]
    pub fn reach_notes(&self) -> Vec<Arc<ReachNote>> {
        let mut notes: Vec<_> = self.shared().memory().reach.values().cloned().collect();
        notes.sort_unstable_by_key(|note| note.at);
        notes
    }

    /// What the inventory says of a device.
    #[must_use]
    pub fn asset_of(&self, device: &Device) -> Option<Arc<Asset>> {
        self.shared().memory().inventory.of(device).cloned()
    }

    /// The inventory as it is now.
    #[must_use]
    pub fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.shared().memory().inventory)
    }

    /// The enrolment tokens, by id.
    #[must_use]
    pub fn tokens(&self) -> Vec<EnrolmentTokenRecord> {
        self.shared().memory().tokens.values().cloned().collect()
    }

    /// The API tokens, by name.
    #[must_use]
    pub fn api_tokens(&self) -> Vec<ApiTokenRecord> {
        self.shared()
            .memory()
            .api_tokens
            .values()
            .cloned()
            .collect()
    }

    /// Those who sign in to the web page, by name.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        self.shared().memory().users.values().cloned().collect()
    }

    /// Somebody who signs in to the web page.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<User> {
        self.shared().memory().users.get(name).cloned()
    }

    /// The agents' configuration.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.shared().memory().configuration.clone()
    }

    /// The records of a tree that is ordered by time, the latest first.
    fn records_between<T: DeserializeOwned>(
        &self,
        tree: TreeName,
        from: UnixMs,
        to: UnixMs,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        let (from, to) = (keys::time(from), keys::time(to.plus_ms(1)));
        let found = self.shared().hot.database.range(tree as usize, &from, &to);
        found
            .rev()
            .take(limit)
            .map(|pair| hot::parse_record(tree, pair))
            .collect()
    }
}
