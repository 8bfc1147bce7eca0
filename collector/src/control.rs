//! What an administrator does on the command line, and how it is done.
//!
//! While a collector runs, it alone has the store open; the command line then sends its request over
//! `DATA/control.sock`, one line of JSON each way. Otherwise the command line opens the store itself.
//! Either way [`execute`] does the work.

pub mod backup;
mod execute;
mod outbox;
mod socket;
mod transfer;
mod users;

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::act::{Acted, Action};
use crate::alert::Alert;
use crate::audit::AuditLine;
use crate::device::{Device, Standing};
use crate::incident::Incident;
use crate::notification::Notification;
use crate::silence::{Kind, Silence};
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord, Format, ImportOptions, Role, Selection};
use crate::user::Password;
pub use execute::{execute, execute_for};
pub use socket::{
    ControlServer, ask, ask_for_backup, ask_for_check, ask_for_stream, ask_for_upkeep,
};
pub use transfer::{receive_export, send_import, send_inventory};
pub(crate) use users::{Keep as KeepUsers, execute as change_users, line_of as user_line};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Make an enrolment token.
    TokenCreate {
        /// The site of the devices that enrol with it.
        site: Label,
        /// Their group.
        group: Option<Label>,
        /// How often it may be used.
        uses: Option<u32>,
        /// Until when, from now, in milliseconds.
        life_ms: Option<i64>,
    },
    /// List the enrolment tokens.
    TokenList,
    /// Accept an enrolment token no longer.
    TokenRevoke {
        /// Its id.
        id: String,
    },
    /// Make an API token.
    ApiTokenCreate {
        /// Its name.
        name: String,
        /// What its holder may do.
        role: Role,
        /// The sites that its holder may see; empty for all.
        sites: Vec<Label>,
    },
    /// List the API tokens.
    ApiTokenList,
    /// Accept an API token no longer.
    ApiTokenRevoke {
        /// Its name.
        name: String,
    },
    /// Make somebody who signs in to the web page with a password.
    UserAdd {
        /// The name.
        name: String,
        /// What they may do.
        role: Role,
        /// The sites that they may see; empty for all.
        sites: Vec<Label>,
        /// With what they sign in.
        password: Password,
    },
    /// List those who sign in.
    UserList,
    /// Let somebody in no longer, and end their sessions.
    UserRemove {
        /// Who.
        name: String,
    },
    /// Give somebody a new password, and end their sessions.
    UserPassword {
        /// Who.
        name: String,
        /// The new one.
        password: Password,
    },
    /// Change what somebody may do and see.
    UserRole {
        /// Who.
        name: String,
        /// What they may do.
        role: Role,
        /// The sites that they may see; empty for all.
        sites: Vec<Label>,
    },
    /// List devices.
    DeviceList,
    /// Show a device.
    DeviceShow {
        /// Which.
        id: DeviceId,
    },
    /// Change whether a device may speak.
    DeviceStanding {
        /// Which.
        id: DeviceId,
        /// How it stands from now on.
        standing: Standing,
    },
    /// List what waits for the channels.
    OutboxList,
    /// Try again at once what waits or was set aside.
    OutboxRetry {
        /// Which.
        which: Waiting,
    },
    /// Take something out untold.
    OutboxDiscard {
        /// Which.
        which: Waiting,
    },
    /// Send a backup after the answer.
    Backup {
        /// Whether without the authority, its keys and the admin's API token.
        without_authority: bool,
    },
    /// Move the log into history and remove what has expired now.
    Upkeep {
        /// Whether days and weeks that are over are merged as well.
        merge: bool,
    },
    /// Look through the store, and send what was found after the answer.
    Check,
    /// Send an export after the answer.
    Export {
        /// What is exported.
        selection: Selection,
        /// In which form.
        format: Format,
    },
    /// Take in a file that is sent after the answer, and say what came of it.
    Import {
        /// How.
        options: ImportOptions,
    },
    /// Take in files of the inventory that are sent after the answer, and say what came of it.
    InventoryImport {
        /// Whether only to look.
        dry_run: bool,
    },
    /// Do something about what was found.
    Act {
        /// What.
        action: Action,
    },
    /// List silences or maintenance windows.
    Silences {
        /// Which of both.
        kind: Kind,
        /// Whether those too that are over.
        all: bool,
    },
    /// Say why rules fire or not for a device.
    Explain {
        /// Which.
        device: DeviceId,
        /// Which rule; every one where it is `None`.
        rule: Option<String>,
    },
    /// List the alerts that are open.
    Alerts,
    /// List the incidents that are open.
    Incidents,
    /// Show the last lines of the audit log.
    Audit {
        /// How many.
        limit: usize,
    },
}

/// Which entries of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// The one with this key.
    Key(String),
    /// All of this channel.
    Channel(String),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A secret that is shown once.
    Secret(String),
    /// Enrolment tokens.
    Tokens(Vec<EnrolmentTokenRecord>),
    /// API tokens.
    ApiTokens(Vec<ApiTokenRecord>),
    /// Those who sign in.
    Users(Vec<UserLine>),
    /// Devices.
    Devices(Vec<DeviceLine>),
    /// A device.
    Device(Box<DeviceLine>),
    /// Lines of the audit log, the latest first.
    Audit(Vec<AuditLine>),
    /// What came of an act.
    Acted(Acted),
    /// Silences or maintenance windows, the latest first.
    Silences(Vec<Silence>),
    /// Alerts.
    Alerts(Vec<Alert>),
    /// Incidents.
    Incidents(Vec<Incident>),
    /// What waits for the channels.
    Outbox(Vec<Notification>),
    /// It is done with so many.
    Count(usize),
    /// Words for people.
    Text(String),
    /// It is done.
    Done,
}

/// A user as lists show it, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// The name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The sites that they may see; empty for all.
    pub sites: Vec<Label>,
    /// When the user was made.
    pub created: UnixMs,
    /// `password`, or the issuer who vouches for them.
    pub entry: String,
    /// When the password was set, or when the issuer vouched last.
    pub since: UnixMs,
}

impl UserLine {
    /// Whether they sign in with a password of this collector.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.entry == "password"
    }
}

/// A device as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Its record.
    pub device: Device,
    /// Whether its stream is up.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen: Option<UnixMs>,
    /// How many series it has.
    pub series: usize,
}
