//! A rehearsal: rules, forecasts, incidents and what channels are told, over a fleet that is kept in
//! memory.
//!
//! Everything that decides is the collector's own: [`evaluate`], the agenda, the outlooks, the desk and
//! the routes. Only where laptops, alerts and incidents are kept differs, so what is told here is what a
//! help desk would be told. Time is an argument; nothing is read, written or waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

use super::desk::{self, Floor, Laptops, Words};
use super::device::{Moment, evaluate};
use super::due::{Agenda, Left, next_look};
use super::forecast::Outlook;
use super::forecast::peers::{PEERS_STAND_MS, Peers};
use super::rules::RuleSet;
use super::sites::Sites;
use super::{lag_ms, writes_of};
use crate::alert::{Alert, AlertKey, AlertState};
use crate::asset::Inventory;
use crate::device::{Device, DeviceState, SeriesKey, awake_gap_ms};
use crate::incident::{Incident, IncidentId};
use crate::notification::Notification;
use crate::notify::route::Route;
use crate::silence::Silence;
use crate::store::Write;

/// A report as it is delivered: when it was taken, by the collector's clock, whether it is full, and what
/// it says.
pub type Delivered = (UnixMs, bool, Vec<Reading>);

/// A collector's decisions over a fleet in memory.
pub struct Rehearsal {
    rules: RuleSet,
    routes: Vec<Route>,
    silences: Vec<Silence>,
    lag_ms: i64,
    awake_ms: i64,
    laptops: HashMap<DeviceId, Arc<DeviceState>>,
    outlooks: HashMap<DeviceId, Outlook>,
    peers: (UnixMs, Arc<Peers>),
    open: HashMap<DeviceId, Vec<Alert>>,
    changed: Vec<DeviceId>,
    agenda: Agenda,
    sites: Sites,
    attend_at: UnixMs,
    incidents: BTreeMap<IncidentId, Incident>,
    past: Vec<Incident>,
    told: Vec<Notification>,
    fired: Vec<Alert>,
    evaluations: u64,
}

impl Rehearsal {
    /// An empty fleet under these rules, whose channels are `routes` and whose laptops keep `schedule`.
    #[must_use]
    pub fn new(rules: RuleSet, routes: Vec<Route>, schedule: &Schedule) -> Self {
        Self {
            rules,
            routes,
            silences: Vec::new(),
            lag_ms: lag_ms(schedule),
            awake_ms: awake_gap_ms(schedule),
            laptops: HashMap::new(),
            outlooks: HashMap::new(),
            peers: (UnixMs(i64::MIN / 2), Arc::default()),
            open: HashMap::new(),
            changed: Vec::new(),
            agenda: Agenda::default(),
            sites: Sites::default(),
            attend_at: UnixMs(0),
            incidents: BTreeMap::new(),
            past: Vec::new(),
            told: Vec::new(),
            fired: Vec::new(),
            evaluations: 0,
        }
    }

    /// Adds a laptop of which nothing has been heard.
    pub fn enrol(&mut self, device: Device) {
        let id = device.id;
        self.laptops.insert(id, Arc::new(DeviceState::new(device)));
        self.changed.push(id);
    }

    /// Somebody silences findings, or plans a maintenance window.
    pub fn silence(&mut self, silence: Silence) {
        self.silences.push(silence);
        self.attend_at = UnixMs(0);
    }

    /// A laptop's stream comes up or goes down.
    pub fn set_connected(&mut self, device: DeviceId, connected: bool, now: UnixMs) {
        let Some(state) = self.laptops.get_mut(&device) else {
            return;
        };
        let state = Arc::make_mut(state);
        state.connected = connected;
        let since = state.connected_since.unwrap_or(now);
        state.connected_since = connected.then_some(since);
        state.last_seen = state.last_seen.max(Some(now));
        self.changed.push(device);
    }

    /// A laptop delivers reports, the oldest first.
    pub fn deliver(&mut self, device: DeviceId, now: UnixMs, reports: Vec<Delivered>) {
        let Some(state) = self.laptops.get_mut(&device) else {
            return;
        };
        let state = Arc::make_mut(state);
        for (at, full, readings) in reports {
            note_machine(&mut state.device, &readings);
            let kept: Option<Vec<SeriesKey>> =
                full.then(|| readings.iter().map(SeriesKey::of).collect());
            let changed = readings
                .iter()
                .map(|r| (SeriesKey::of(r), r.value().clone()));
            state.apply_step(at, kept.as_deref(), changed.collect(), self.awake_ms);
        }
        state.last_seen = state.last_seen.max(Some(now));
        self.changed.push(device);
    }

    /// The outlook of a laptop, to be given a past that began before the rehearsal.
    pub fn outlook_mut(&mut self, device: DeviceId) -> &mut Outlook {
        self.outlooks.entry(device).or_default()
    }

    /// Looks at the laptops that changed or are due, and has the desk look where there is news.
    pub fn look(&mut self, now: UnixMs) {
        let laptops = || self.laptops.values().map(AsRef::as_ref).collect();
        let of_sites = self.sites.look(laptops, &self.rules.calendar, now);
        self.changed.extend(of_sites);
        self.look_apart(now);
    }

    /// The same where laptops are shown one after the other, so that of no school it can be said that nothing is heard.
    pub fn look_apart(&mut self, now: UnixMs) {
        if now.since(self.peers.0) >= PEERS_STAND_MS {
            let summaries = self.outlooks.values().map(Outlook::summary);
            self.peers = (now, Arc::new(Peers::of(summaries)));
        }
        let mut due = std::mem::take(&mut self.changed);
        due.extend(self.agenda.take_due(now));
        due.sort_unstable();
        due.dedup();
        let mut is_news = self.attend_at <= now;
        for device in due {
            is_news |= self.look_at(device, now);
        }
        if is_news {
            self.attend(now);
        }
    }

    /// Evaluates a laptop; whether that is news to the desk.
    fn look_at(&mut self, device: DeviceId, now: UnixMs) -> bool {
        let Some(known) = self.laptops.get_mut(&device) else {
            return false;
        };
        let outlook = self.outlooks.entry(device).or_default();
        outlook.set_peers(&self.peers.1);
        let forecasts = outlook.readings(known, now);
        if !Arc::ptr_eq(&forecasts, &known.forecasts) {
            Arc::make_mut(known).forecasts = forecasts;
        }
        let state = Arc::clone(known);
        let open = self.open.entry(device).or_default();
        let moment = Moment {
            now,
            lag_ms: self.lag_ms,
            heard: self.sites.heard(&state, now),
        };
        let changes = evaluate(&self.rules, &state, open, moment);
        self.evaluations += 1;
        let left = Left {
            has_open: !open.is_empty(),
            is_changed: !changes.is_empty(),
            forecasts_stand_until: outlook.stands_until(),
        };
        self.agenda
            .note(device, next_look(&self.rules, &state, left, now));
        let writes = writes_of(changes);
        let is_news = writes.iter().any(desk::is_news);
        writes.into_iter().for_each(|write| self.apply(write));
        is_news
    }

    fn attend(&mut self, now: UnixMs) {
        let firing: Vec<Alert> = self.firing().cloned().collect();
        let words = Words::of_silences(&self.silences, now);
        let floor = Floor {
            rules: &self.rules,
            firing: &firing,
            incidents: &self.incidents,
            words: &words,
            laptops: &Kept(&self.laptops),
            inventory: &Inventory::default(),
            routes: &self.routes,
            now,
        };
        let decision = floor.decide();
        let next = floor.next(&decision);
        let archived = floor.archived();
        let pieces = floor.carry_out(decision);
        self.attend_at = next;
        let writes = pieces.into_iter().flatten().chain(archived);
        writes.for_each(|write| self.apply(write));
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::PutAlert(alert) => self.put(alert),
            Write::RemoveAlert(key) => self.forget(&key),
            Write::ResolveAlert(alert) => self.forget(&alert.key),
            Write::PutIncident(incident) => {
                self.incidents.insert(incident.id, incident);
            }
            Write::ArchiveIncident(incident) => {
                self.incidents.remove(&incident.id);
                self.past.push(incident);
            }
            Write::PutNotification(notification) => self.told.push(notification),
            // Nothing else is decided here.
            _ => {}
        }
    }

    fn put(&mut self, alert: Alert) {
        let open = self.open.entry(alert.key.device).or_default();
        let known = open.iter_mut().find(|open| open.key == alert.key);
        let has_fired = known.as_ref().is_some_and(|known| known.fired.is_some());
        if alert.fired.is_some() && !has_fired {
            self.fired.push(alert.clone());
        }
        match known {
            Some(known) => *known = alert,
            None => open.push(alert),
        }
    }

    fn forget(&mut self, key: &AlertKey) {
        if let Some(open) = self.open.get_mut(&key.device) {
            open.retain(|open| open.key != *key);
        }
    }

    /// Every alert that fires.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        let open = self.open.values().flatten();
        open.filter(|alert| alert.state == AlertState::Firing)
    }

    /// Every alert as it was when it began to fire, in order.
    #[must_use]
    pub fn fired(&self) -> &[Alert] {
        &self.fired
    }

    /// What channels were told, in order.
    #[must_use]
    pub fn told(&self) -> &[Notification] {
        &self.told
    }

    /// Every incident, also those that are over.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.past.iter().chain(self.incidents.values())
    }

    /// A laptop as it is known.
    #[must_use]
    pub fn laptop(&self, device: DeviceId) -> Option<&DeviceState> {
        self.laptops.get(&device).map(|state| &**state)
    }

    /// How often a laptop was evaluated, each time by all rules.
    #[must_use]
    pub const fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &RuleSet {
        &self.rules
    }
}

struct Kept<'a>(&'a HashMap<DeviceId, Arc<DeviceState>>);

impl Laptops for Kept<'_> {
    fn laptop(&self, device: DeviceId) -> Option<Arc<DeviceState>> {
        self.0.get(&device).cloned()
    }

    fn laptops(&self) -> Vec<Arc<DeviceState>> {
        self.0.values().cloned().collect()
    }
}

/// What a laptop says it is, as Hello does on the wire.
fn note_machine(device: &mut Device, readings: &[Reading]) {
    for reading in readings {
        if let Value::Text(text) = reading.value() {
            if reading.metric() == &metric::HOST_MODEL {
                device.model.clone_from(text);
            } else if reading.metric() == &metric::HOST_VENDOR {
                device.vendor.clone_from(text);
            }
        }
    }
}
