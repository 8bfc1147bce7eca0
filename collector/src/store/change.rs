//! Changes of records, and what is told of them.

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::DeviceId;

use super::records::{ApiTokenRecord, EnrolmentTokenRecord};
use crate::alert::{Alert, AlertKey};
use crate::asset::{Asset, Pupil, Word};
use crate::audit::AuditLine;
use crate::device::Device;
use crate::edition::Edition;
use crate::incident::Incident;
use crate::mark::{Marks, Subject};
use crate::memo::{Memo, MemoKey};
use crate::notification::{Notification, NotificationKey};
use crate::reach_note::ReachNote;
use crate::silence::{Silence, SilenceId};
use crate::user::User;

/// A change of a record. Those of one [`Store::commit`] happen together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Makes or replaces a device's record.
    PutDevice(Device),
    /// Makes or replaces an enrolment token.
    PutToken(EnrolmentTokenRecord),
    /// Makes or replaces a pending or firing alert.
    PutAlert(Alert),
    /// Withdraws an alert that never fired.
    RemoveAlert(AlertKey),
    /// Moves an alert to the history; its `resolved` is set.
    ResolveAlert(Alert),
    /// Makes or replaces an incident.
    PutIncident(Incident),
    /// Moves a closed incident to the history.
    ArchiveIncident(Incident),
    /// Makes or replaces an entry of the outbox.
    PutNotification(Notification),
    /// Removes a delivered entry of the outbox.
    RemoveNotification(NotificationKey),
    /// Makes or replaces a silence or maintenance window.
    PutSilence(Silence),
    /// Forgets one that is long over.
    RemoveSilence(SilenceId),
    /// Makes or replaces what people said about an alert or incident.
    PutMarks(Marks),
    /// Forgets what was said.
    RemoveMarks(Subject),
    /// Makes or replaces what a channel remembers.
    PutMemo(Memo),
    /// Removes what a channel remembers.
    RemoveMemo(MemoKey),
    /// Makes a version of the rules; its number is new.
    PutEdition(Edition),
    /// Forgets a version of the rules.
    RemoveEdition(u32),
    /// Makes or replaces a laptop of the inventory.
    PutAsset(Asset),
    /// Forgets a laptop of the inventory.
    RemoveAsset(Word),
    /// Makes or replaces a pupil of a roster.
    PutPupil(Pupil),
    /// Forgets a pupil of a roster.
    RemovePupil(Word),
    /// Makes or replaces what was noted of the day.
    PutReachNote(ReachNote),
    /// Makes or replaces an API token.
    PutApiToken(ApiTokenRecord),
    /// Removes an API token, by name.
    RemoveApiToken(String),
    /// Makes or replaces somebody who signs in.
    PutUser(User),
    /// Removes somebody who signs in, by name.
    RemoveUser(String),
    /// Replaces the agents' configuration.
    PutConfiguration(Configuration),
    /// Adds a line to the audit log.
    Audit(AuditLine),
}

/// What has changed. A listener that lags has to assume that everything has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A device's record. Its telemetry and connection are told by [`Store::devices_changed`].
    Device(DeviceId),
    /// An alert.
    Alerts,
    /// An incident, or what people said that bears on it.
    Incidents,
    /// The outbox.
    Outbox,
    /// The agents' configuration.
    Configuration,
    /// The inventory.
    Inventory,
}

impl Write {
    /// What has changed by it.
    pub(super) fn change(&self) -> Option<Change> {
        match self {
            Self::PutDevice(device) => Some(Change::Device(device.id)),
            Self::PutAlert(_) | Self::RemoveAlert(_) | Self::ResolveAlert(_) => {
                Some(Change::Alerts)
            }
            Self::PutIncident(_)
            | Self::ArchiveIncident(_)
            | Self::PutSilence(_)
            | Self::RemoveSilence(_)
            | Self::PutMarks(_)
            | Self::RemoveMarks(_) => Some(Change::Incidents),
            Self::PutNotification(_) | Self::RemoveNotification(_) => Some(Change::Outbox),
            Self::PutConfiguration(_) => Some(Change::Configuration),
            Self::PutAsset(_) | Self::RemoveAsset(_) | Self::PutPupil(_) | Self::RemovePupil(_) => {
                Some(Change::Inventory)
            }
            Self::PutToken(_)
            | Self::PutEdition(_)
            | Self::RemoveEdition(_)
            | Self::PutReachNote(_)
            | Self::PutMemo(_)
            | Self::RemoveMemo(_)
            | Self::PutApiToken(_)
            | Self::RemoveApiToken(_)
            | Self::PutUser(_)
            | Self::RemoveUser(_)
            | Self::Audit(_) => None,
        }
    }
}
