//! An Incident: what one desk has to deal with as one thing, with the alerts that it explains.
//!
//! One laptop with several findings for one audience is one incident; so are many laptops that share a
//! cause. A channel opens one ticket for each incident, and closes it by the same hand.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rollcall_shared::id::{DeviceId, IdError, Label};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::alert::{AlertId, AlertKey, Audience, Severity};

/// Findings that an incident names one by one; the rest are counted. With their evidence they stay
/// well within a value of the store.
pub const FINDINGS: usize = 8;

/// Sites that an incident names.
pub const SITES: usize = 8;

/// Bytes of a finding's evidence that an incident keeps.
pub const EVIDENCE_BYTES: usize = 320;

/// One incident, from its first finding to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(Uuid);

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Somebody has to deal with it.
    Open,
    /// It is over.
    Closed,
}

/// What devices of a shared incident have in common. A later variant of equal weight is the narrower.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Nothing but the symptom: it is everywhere.
    Everywhere,
    /// They are on no school's network.
    OffCampus,
    /// They are on the network of this site over this kind of link, `wifi` or `ethernet`.
    SiteLink(String, String),
    /// They are on the network of this site.
    SiteNetwork(String),
    /// This driver, with its version, runs their radio.
    Driver(String),
    /// They run this build of their operating system.
    Build(String),
    /// They are of this model.
    Model(String),
    /// They are of this model and run this build.
    ModelAndBuild(String, String),
    /// They belong to this group.
    Group(String),
    /// This authority re-signs their secure connections.
    Issuer(String),
}

/// What an incident is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Whatever is wrong with one laptop.
    Device(DeviceId),
    /// Something that many laptops share.
    Shared {
        /// What they show: the word that the rules give to it.
        symptom: String,
        /// Of which target or part; empty where there is only one.
        instance: String,
        /// What they have in common.
        scope: Scope,
    },
}

impl Cause {
    /// What laptops that show this have in common; `None` where it is about something else.
    #[must_use]
    pub fn scope_of(&self, shows: &str, of: &str) -> Option<&Scope> {
        match self {
            Self::Shared {
                symptom,
                instance,
                scope,
            } if symptom == shows && instance == of => Some(scope),
            _ => None,
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which alert.
    pub alert: AlertId,
    /// What that is about.
    pub key: AlertKey,
    /// The rule's title.
    pub title: String,
    /// What was seen, in words with numbers.
    pub evidence: String,
    /// How much it matters.
    pub severity: Severity,
    /// When it began.
    pub since: UnixMs,
    /// When it was over.
    pub resolved: Option<UnixMs>,
}

/// Somebody said that they deal with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: UnixMs,
    /// Until when it counts.
    pub until: UnixMs,
    /// What they said.
    pub note: String,
    /// How grave it was then: what is graver is told all the same.
    pub severity: Severity,
}

/// What one desk has to deal with as one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// This incident.
    pub id: IncidentId,
    /// What it is about.
    pub cause: Cause,
    /// Whose work it is.
    pub audience: Audience,
    /// The greatest of its findings.
    pub severity: Severity,
    /// One line for a ticket's subject.
    pub title: String,
    /// The site that it is dealt with for; `None` where it is not one site's.
    pub site: Option<Label>,
    /// The sites of its devices when channels were told last, at most [`SITES`].
    pub sites: Vec<Label>,
    /// Where it stands.
    pub state: IncidentState,
    /// When its first finding began.
    pub since: UnixMs,
    /// When it was opened, or opened again.
    pub opened: UnixMs,
    /// When its last finding went; `None` while there is one.
    pub recovered: Option<UnixMs>,
    /// When it was closed.
    pub closed: Option<UnixMs>,
    /// How often it was opened again.
    pub reopened: u32,
    /// How sure it is that the devices share this cause, in `[0, 1]`; `None` for one laptop.
    pub confidence: Option<f64>,
    /// Its first findings, at most [`FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many devices it affects now.
    pub devices: u32,
    /// The most devices that it has affected at one time.
    pub most_devices: u32,
    /// How many devices could have shown the symptom when it was opened.
    pub exposed: u32,
    /// The number of what channels were told last; the first is 1.
    pub told: u32,
    /// When channels were told last.
    pub told_at: UnixMs,
    /// The channels that know of it.
    pub told_to: BTreeSet<String>,
    /// How many devices it had when channels were told last.
    pub told_devices: u32,
    /// Who deals with it.
    pub acknowledged: Option<Acknowledgement>,
    /// Who said that it was of no use; it counts against its rules.
    pub not_useful: Option<String>,
    /// The incident that took over what it had found.
    pub merged_into: Option<IncidentId>,
}

impl IncidentId {
    /// A new incident; later ones sort after earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes, in the order that keys use.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The identifier of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for IncidentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| IdError::NotUuid(text.to_owned()))
    }
}

impl IncidentState {
    /// The state in one word, as answers spell it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Scope {
    /// What they have in common, to follow a title: "at Lincoln".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("everywhere"),
            Self::OffCampus => f.write_str("off campus"),
            Self::SiteLink(site, link) => write!(f, "{} at {site}", over(link)),
            Self::SiteNetwork(site) => write!(f, "at {site}"),
            Self::Driver(driver) => write!(f, "with driver {driver}"),
            Self::Build(build) => write!(f, "on system build {build}"),
            Self::Model(model) => write!(f, "on {model}"),
            Self::ModelAndBuild(model, build) => write!(f, "on {model} with system build {build}"),
            Self::Group(group) => write!(f, "in group {group}"),
            Self::Issuer(issuer) => write!(f, "where {issuer} re-signs connections"),
        }
    }
}

fn over(link: &str) -> &str {
    match link {
        "wifi" => "on Wi-Fi",
        "ethernet" => "by cable",
        other => other,
    }
}

impl Incident {
    /// An incident that begins with this finding, which is not added yet; nobody was told.
    #[must_use]
    pub fn new(cause: Cause, audience: Audience, first: &Finding, now: UnixMs) -> Self {
        Self {
            id: IncidentId::generate(),
            cause,
            audience,
            severity: first.severity,
            title: first.title.clone(),
            site: None,
            sites: Vec::new(),
            state: IncidentState::Open,
            since: first.since,
            opened: now,
            recovered: None,
            closed: None,
            reopened: 0,
            confidence: None,
            findings: Vec::new(),
            devices: 1,
            most_devices: 1,
            exposed: 1,
            told: 0,
            told_at: now,
            told_to: BTreeSet::new(),
            told_devices: 0,
            acknowledged: None,
            not_useful: None,
            merged_into: None,
        }
    }

    /// The gravest finding that is not over; the first where all are.
    #[must_use]
    pub fn leading(&self) -> Option<&Finding> {
        let open = self.findings.iter().filter(|f| f.resolved.is_none());
        // Of equals the last counts as the greatest: the first is wanted.
        let gravest = open.rev().max_by_key(|finding| finding.severity);
        gravest.or_else(|| self.findings.first())
    }

    /// The finding of this alert, where it is among those named.
    #[must_use]
    pub fn finding(&self, key: &AlertKey) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.key == *key)
    }

    /// Whether somebody deals with it at `now`.
    #[must_use]
    pub fn is_acknowledged(&self, now: UnixMs) -> bool {
        self.acknowledged
            .as_ref()
            .is_some_and(|acknowledged| acknowledged.until > now)
    }
}

impl Incident {
    /// Ends it at `now`.
    pub fn end(&mut self, now: UnixMs) {
        self.state = IncidentState::Closed;
        self.closed = Some(now);
        self.devices = 0;
        for finding in &mut self.findings {
            finding.resolved.get_or_insert(now);
        }
    }

    /// The same incident, opened again at `now`.
    #[must_use]
    pub fn reopen(mut self, now: UnixMs) -> Self {
        self.state = IncidentState::Open;
        self.opened = now;
        self.closed = None;
        self.recovered = None;
        self.devices = 1;
        self.reopened = self.reopened.saturating_add(1);
        self.acknowledged = None;
        self
    }
}
