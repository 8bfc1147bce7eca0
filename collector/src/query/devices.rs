//! Answers about devices: the list, and one device with its latest readings.

use std::ops::ControlFlow;
use std::sync::Arc;

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::limits;
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Value;
use schemars::JsonSchema;
use serde::Serialize;

use super::alerts::AlertAnswer;
use super::page::{Page, SortKey};
use super::past::{AnyValue, reason, value_or_null};
use super::{At, Query, QueryError, SIMULATED_GROUP, Viewer};
use crate::alert::AlertState;
use crate::asset::Inventory;
use crate::device::{DeviceState, Latest, SeriesKey};

/// Which devices are wanted. What is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Only devices of this site.
    pub site: Option<String>,
    /// Only devices of this group.
    pub group: Option<String>,
    /// Part of an id, asset tag, vendor, model or operating system, whatever the case.
    pub search: Option<String>,
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeviceAnswer {
    /// Its identity as text.
    pub id: String,
    /// The site that it enrolled at.
    pub site: String,
    /// The group that it enrolled into.
    pub group: Option<String>,
    /// Whether it is one of the simulator's.
    pub simulated: bool,
    /// Manufacturer; empty while unknown.
    pub vendor: String,
    /// Model; empty while unknown.
    pub model: String,
    /// Name and version of the operating system; empty while unknown.
    pub os: String,
    /// The agent's version.
    pub agent_version: String,
    /// `active`, `revoked` or `retired`.
    pub standing: &'static str,
    /// Whether its stream is up.
    pub connected: bool,
    /// `on-campus:<site>` or `off-campus`; `None` while unknown.
    pub vantage: Option<String>,
    /// How many of its alerts are firing.
    pub firing_alerts: u32,
    /// When it enrolled.
    pub enrolled_at: At,
    /// When it was last heard of.
    pub last_seen_at: Option<At>,
    /// The corrected time of its last report.
    pub last_report_at: Option<At>,
    /// How far its clock is ahead of the collector's, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// The device whose disk it was cloned from.
    pub cloned_from: Option<String>,
    /// Its asset tag; null where the inventory does not know it.
    pub asset_tag: Option<String>,
    /// Its school, as the inventory says.
    pub school: Option<String>,
    /// `in_use`, `spare`, `lost` or `retired`, as the inventory says.
    pub asset_status: Option<&'static str>,
}

/// A page of devices.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeviceList {
    /// In the order of their enrolment.
    pub devices: Vec<DeviceAnswer>,
    /// How many match on all pages.
    pub total: u64,
    /// The cursor of the next page; `None` on the last.
    pub next_page: Option<String>,
}

/// A device with everything that is known of it now.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeviceDetail {
    /// What lists show too.
    #[serde(flatten)]
    pub device: DeviceAnswer,
    /// The latest reading of each series, in the order of the catalogue.
    pub latest: Vec<LatestAnswer>,
    /// Its pending and firing alerts, most urgent first.
    pub alerts: Vec<AlertAnswer>,
}

/// The latest reading of a series.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LatestAnswer {
    /// The metric's name.
    pub metric: &'static str,
    /// Its unit in UCUM notation; empty where there is none.
    pub unit: &'static str,
    /// Which battery, drive, file system, link or target; empty where there is only one.
    pub instance: String,
    /// What was read; null when the reading could not be taken.
    #[serde(serialize_with = "value_or_null")]
    #[schemars(with = "Option<AnyValue>")]
    pub value: Value,
    /// Why it could not be taken.
    pub unavailable: Option<String>,
    /// When it came to be as it is.
    pub since_at: At,
    /// The metric's code, for the wire.
    #[serde(skip)]
    pub code: u16,
}

impl SortKey for DeviceId {
    const KIND: u8 = b'd';

    fn to_bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::try_from(bytes).ok()
    }
}

impl Query {
    /// The devices that match, a page of them.
    ///
    /// # Errors
    /// [`QueryError::Field`] when the search is too long.
    pub fn devices(
        &self,
        viewer: &Viewer,
        filter: &DeviceFilter,
        page: Page<DeviceId>,
    ) -> Result<DeviceList, QueryError> {
        let mut wanted = Wanted::new(filter, self.store.inventory())?;
        let is_whole = viewer.sees_everything() && wanted.is_everything();
        let (mut total, mut matching) = (0, Vec::new());
        // Where all are wanted, only the page is looked at.
        let from = page.after.filter(|_| is_whole);
        self.store.visit_devices(from, |state| {
            if viewer.sees(state) && wanted.matches(state) {
                total += 1;
                let is_later = page.after.is_none_or(|after| state.device.id > after);
                if is_later && matching.len() <= page.size {
                    matching.push(Arc::clone(state));
                }
            }
            let is_enough = is_whole && matching.len() > page.size;
            if is_enough {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if is_whole {
            total = self.store.device_count() as u64;
        }
        let (shown, next_page) = page.cut(matching, |state| state.device.id);
        let devices = shown.iter().map(|state| self.describe(state)).collect();
        Ok(DeviceList {
            devices,
            total,
            next_page,
        })
    }

    /// A device, its latest readings and its open alerts.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when there is none, or none that the viewer may see.
    pub fn device(&self, viewer: &Viewer, id: &str) -> Result<DeviceDetail, QueryError> {
        let state = self.visible_device(viewer, id)?;
        let latest = state.latest.iter().filter_map(latest_answer).collect();
        Ok(DeviceDetail {
            device: self.describe(&state),
            latest,
            alerts: self.open_alerts_of(&state),
        })
    }

    /// Shows every device that the viewer may see to `visit`, in the order of their enrolment.
    pub(super) fn visit_devices(&self, viewer: &Viewer, mut visit: impl FnMut(&DeviceState)) {
        self.store.visit_devices(None, |state| {
            if viewer.sees(state) {
                visit(state);
            }
            ControlFlow::Continue(())
        });
    }

    /// A device that the viewer may see. One of a foreign site is as absent as one that never was.
    pub(super) fn visible_device(
        &self,
        viewer: &Viewer,
        id: &str,
    ) -> Result<Arc<DeviceState>, QueryError> {
        id.parse::<DeviceId>()
            .ok()
            .and_then(|id| self.store.device(id))
            .filter(|state| viewer.sees(state))
            .ok_or_else(|| QueryError::NotFound("such device".to_owned()))
    }

    pub(super) fn describe(&self, state: &DeviceState) -> DeviceAnswer {
        let alerts = self.store.open_alerts_of(state.device.id);
        let firing = alerts.iter().filter(|a| a.state == AlertState::Firing);
        self.describe_with(state, u32::try_from(firing.count()).unwrap_or(u32::MAX))
    }

    /// A device in a list, where the caller has counted its firing alerts.
    pub(super) fn describe_with(&self, state: &DeviceState, firing_alerts: u32) -> DeviceAnswer {
        let device = &state.device;
        let asset = self.store.asset_of(device);
        DeviceAnswer {
            id: device.id.to_string(),
            site: device.site.to_string(),
            group: device.group.as_ref().map(ToString::to_string),
            simulated: is_simulated(state),
            vendor: device.vendor.clone(),
            model: device.model.clone(),
            os: operating_system(state),
            agent_version: device.agent_version.clone(),
            standing: device.standing.word(),
            connected: state.connected,
            vantage: text_of(state, &metric::VANTAGE).map(ToOwned::to_owned),
            firing_alerts,
            enrolled_at: At(device.enrolled),
            last_seen_at: state.last_seen.map(At),
            last_report_at: state.last_report.map(At),
            clock_skew_ms: state.skew_ms,
            cloned_from: device.cloned_from.map(|id| id.to_string()),
            asset_tag: asset.as_ref().map(|asset| asset.tag.to_string()),
            school: asset
                .as_ref()
                .and_then(|asset| asset.school.as_ref().map(ToString::to_string)),
            asset_status: asset.map(|asset| asset.status.word()),
        }
    }
}

/// Whether a device is one of the simulator's.
pub(super) fn is_simulated(state: &DeviceState) -> bool {
    is_of_simulator(state.device.group.as_ref())
}

/// Whether a group is that of the simulator's laptops.
pub(super) fn is_of_simulator(group: Option<&Label>) -> bool {
    group.is_some_and(|group| group.as_str() == SIMULATED_GROUP)
}

/// Vendor and model in one line, or what is known of them.
pub(super) fn device_name(state: &DeviceState) -> String {
    let name = format!("{} {}", state.device.vendor, state.device.model);
    match name.trim() {
        "" => "Unknown model".to_owned(),
        name => name.to_owned(),
    }
}

fn operating_system(state: &DeviceState) -> String {
    let parts = [&metric::OS_NAME, &metric::OS_VERSION];
    let known: Vec<&str> = parts
        .iter()
        .filter_map(|part| text_of(state, part))
        .collect();
    known.join(" ")
}

pub(super) fn text_of<'a>(state: &'a DeviceState, metric: &Metric) -> Option<&'a str> {
    match &state.get(metric, "")?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn metric_named(name: &str) -> Result<&'static Metric, QueryError> {
    metric::by_name(name)
        .ok_or_else(|| QueryError::field("metric", "must be a name from /api/v1/metrics-catalogue"))
}

/// A reading whose metric the catalogue does not know (a newer schema's) is left out.
fn latest_answer((key, latest): (&SeriesKey, &Latest)) -> Option<LatestAnswer> {
    let metric = metric::by_code(key.metric)?;
    Some(LatestAnswer {
        metric: metric.name,
        unit: metric.unit,
        instance: key.instance.clone(),
        value: latest.value.clone(),
        unavailable: reason(&latest.value),
        since_at: At(latest.since),
        code: metric.code,
    })
}

struct Wanted<'a> {
    site: Option<&'a str>,
    group: Option<&'a str>,
    search: Option<Search>,
}

/// A text that is looked for, whatever the case.
struct Search {
    lower: String,
    /// Whether it may be part of an identity.
    may_be_id: bool,
    inventory: Arc<Inventory>,
    /// What is looked at, so that a fleet is searched without asking for memory.
    seen: String,
}

impl<'a> Wanted<'a> {
    fn new(filter: &'a DeviceFilter, inventory: Arc<Inventory>) -> Result<Self, QueryError> {
        let search = filter.search.as_deref().map(str::trim);
        let search = search.filter(|text| !text.is_empty());
        if search.is_some_and(|text| text.len() > limits::INSTANCE_BYTES) {
            let bound = format!("must have at most {} bytes", limits::INSTANCE_BYTES);
            return Err(QueryError::field("search", bound));
        }
        Ok(Self {
            site: filter.site.as_deref(),
            group: filter.group.as_deref(),
            search: search.map(|text| Search::new(text, inventory)),
        })
    }

    const fn is_everything(&self) -> bool {
        self.site.is_none() && self.group.is_none() && self.search.is_none()
    }

    fn matches(&mut self, state: &DeviceState) -> bool {
        let device = &state.device;
        let group = device.group.as_ref().map(|group| group.as_str());
        self.site.is_none_or(|site| device.site.as_str() == site)
            && self.group.is_none_or(|wanted| group == Some(wanted))
            && self
                .search
                .as_mut()
                .is_none_or(|search| search.finds(state))
    }
}

impl Search {
    fn new(text: &str, inventory: Arc<Inventory>) -> Self {
        let lower = text.to_lowercase();
        let of_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        Self {
            may_be_id: lower.bytes().all(of_id),
            lower,
            inventory,
            seen: String::new(),
        }
    }

    fn finds(&mut self, state: &DeviceState) -> bool {
        let device = &state.device;
        let parts = [&metric::OS_NAME, &metric::OS_VERSION];
        let system = parts.map(|part| text_of(state, part).unwrap_or_default());
        let tag = self.inventory.of(device).map(|asset| asset.tag.to_string());
        tag.is_some_and(|tag| self.is_in(&[&tag]))
            || self.is_in(&[&device.vendor, &device.model])
            || self.is_in(&system)
            || (self.may_be_id && device.id.to_string().contains(&self.lower))
    }

    /// Whether it is in some words, with a space between two.
    fn is_in(&mut self, words: &[&str]) -> bool {
        self.seen.clear();
        for word in words.iter().filter(|word| !word.is_empty()) {
            if !self.seen.is_empty() {
                self.seen.push(' ');
            }
            self.seen.push_str(word);
        }
        if self.seen.is_ascii() {
            self.seen.make_ascii_lowercase();
        } else {
            self.seen = self.seen.to_lowercase();
        }
        self.seen.contains(&self.lower)
    }
}
