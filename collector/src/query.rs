//! Query: read-only answers about the fleet, and the faces that give them.
//!
//! Every answer takes a [`Viewer`] and shows nothing beyond its sites. The faces (gRPC, JSON over
//! HTTP, Prometheus, the dashboard) find out who asks, call an answer and put it into their form.

pub mod access;
mod administer;
mod alerts;
mod attention;
mod catalogue;
mod dashboard;
mod devices;
#[cfg(test)]
pub(crate) mod example;
mod fleet;
mod gate;
pub mod grpc;
mod history;
pub mod http;
mod incidents;
mod inventory;
mod operation;
mod page;
mod past;
pub mod prometheus;
mod reachability;
mod reports;
mod rules;
mod series;
mod session;
mod summary;
mod tickets;
mod time;
mod viewer;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rollcall_shared::metric;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::sync::Semaphore;

use crate::evaluate::book::RuleBook;
use crate::evaluate::rules::{Rule, Test};
use crate::notify::config::ChannelConfig;
use crate::provider::Provider;
use crate::store::{Store, StoreError};
use access::{Attempts, Denied};
pub use administer::{ChannelLine, Enrolling, NewApiToken, NewToken};
pub use alerts::{AlertAnswer, AlertFilter, AlertList};
pub use attention::{AttentionAnswer, Foreseen, Urgent};
pub use catalogue::{CatalogueAnswer, MetricAnswer, catalogue};
pub use devices::{DeviceAnswer, DeviceDetail, DeviceFilter, DeviceList, LatestAnswer};
use fleet::MOST_ROWS;
pub use fleet::{Count, FleetFilter, FleetPage, FleetRequest, FleetRow, Health, Sort};
pub use history::{ASLEEP_MS, Band, History, Line, Stay, is_drawn};
pub use incidents::{FindingAnswer, IncidentAnswer, IncidentFilter, IncidentList};
pub use operation::{AuditAnswer, OutboxAnswer, OutboxEntry, Readiness};
pub use page::Page;
pub use past::{
    HistoryAnswer, HistoryRequest, HistorySeries, PointAnswer, SeriesAnswer, SeriesRequest,
    StretchAnswer, StretchLists,
};
pub use reachability::{Cell, Matrix, Target};
pub use reports::{BatteryDue, DriveDue, LOAD_DAYS, Load, SystemDue};
pub use summary::{SeverityCounts, SiteSummary, Summary};
pub use tickets::TicketAnswer;
pub use time::At;
pub use viewer::Viewer;
pub use words::{AcknowledgementAnswer, MarksAnswer, NoteAnswer, SilenceAnswer};

/// The group of devices that no pupil has: the fleet simulator enrols its laptops into it.
pub const SIMULATED_GROUP: &str = "simulated";

/// Answers that are worked out at a time; others wait. Two for each core of a machine of four.
const ANSWERS: usize = 8;

/// What a rule's documentation says to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guidance {
    /// What staff do about it, in Markdown.
    pub runbook: String,
    /// What to tell the family, in plain language, by language code.
    pub family: BTreeMap<String, String>,
    /// The metric that shows it best.
    pub metric: Option<&'static str>,
}

impl From<&Rule> for Guidance {
    fn from(rule: &Rule) -> Self {
        Self {
            runbook: rule.runbook.clone(),
            family: rule.family.clone(),
            metric: shown_by(&rule.test),
        }
    }
}

/// By how the names of forecasts begin: the reading that shows best what each is made of. What the inventory
/// says has no history.
static READINGS_OF: [(&str, &metric::Metric); 11] = [
    ("forecast.battery.falls", &metric::BATTERY_CHARGE),
    ("forecast.battery", &metric::BATTERY_HEALTH),
    ("forecast.filesystem", &metric::FILESYSTEM_UTILIZATION),
    ("forecast.physical_disk", &metric::DRIVE_REALLOCATED),
    ("forecast.charger", &metric::CHARGER_POWER),
    ("forecast.temperature", &metric::TEMPERATURE),
    ("forecast.waiting", &metric::PRESSURE_IO),
    ("forecast.throttling", &metric::THROTTLE_EVENTS),
    ("forecast.crashes", &metric::CRASHES),
    ("forecast.updates", &metric::UPDATES_FAILED),
    ("forecast.link.drops", &metric::LINK_DROPS),
];

/// The first metric that a rule compares and that can be drawn; of a forecast the readings that it is
/// made of.
fn shown_by(test: &Test) -> Option<&'static str> {
    let Test::Readings(readings) = test else {
        return None;
    };
    let sources = readings.faults.iter().filter_map(|condition| {
        let compared = crate::evaluate::derived::source(condition.metric);
        let is_reported = compared.code < crate::device::FORECAST_CODES;
        let made_of = || {
            READINGS_OF
                .iter()
                .find(|(of, _)| compared.name.starts_with(of))
        };
        match is_reported {
            true => is_drawn(compared).then_some(compared.name),
            false => made_of().map(|(_, reading)| reading.name),
        }
    });
    sources.into_iter().next()
}

/// Finds the documentation of a rule by its name; `None` for a rule that is no longer loaded.
pub type GuidanceOf = Arc<dyn Fn(&str) -> Option<Guidance> + Send + Sync>;

/// Adds another stage's counters to `/metrics`.
pub type MetricSource = Arc<dyn Fn(&mut prometheus::Exposition) + Send + Sync>;

/// Says why another stage is not ready, in words without secrets.
pub type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A cheap handle to everything that answers; clones share it.
#[derive(Clone)]
pub struct Query {
    store: Store,
    clock: Arc<dyn Clock>,
    guidance: GuidanceOf,
    book: RuleBook,
    sources: Arc<[MetricSource]>,
    checks: Arc<[ReadyCheck]>,
    attempts: Arc<Attempts>,
    gate: Arc<gate::Gate>,
    provider: Option<Arc<Provider>>,
    turns: Arc<Semaphore>,
    kept: Arc<fleet::Kept>,
    enrolling: Option<Enrolling>,
    channels: Arc<[ChannelConfig]>,
    testing: Arc<Semaphore>,
}

/// What answers are made of besides the store.
pub struct Surroundings {
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// The rules' documentation.
    pub guidance: GuidanceOf,
    /// The rules in force.
    pub book: RuleBook,
    /// Counters of the other stages.
    pub sources: Vec<MetricSource>,
    /// What else must be well before the collector is ready.
    pub checks: Vec<ReadyCheck>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter is not what it may be.
    #[error("`{field}` {problem}")]
    Field {
        /// The parameter's name.
        field: String,
        /// What would be right.
        problem: String,
    },
    /// There is no such thing, or the viewer may not see it; the two look the same.
    #[error("no {0}")]
    NotFound(String),
    /// Rules that are not right.
    #[error("{0}")]
    Rules(crate::evaluate::rules::RuleError),
    /// Somebody else changed it meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The viewer's role does not reach this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The store cannot be read.
    #[error("the history cannot be read at present: {0}")]
    Store(#[from] StoreError),
    /// A defect of the collector's own.
    #[error("the collector could not work out this answer; its log says why")]
    Failed,
}

impl QueryError {
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl Query {
    /// Answers from `store`.
    #[must_use]
    pub fn new(store: Store, surroundings: Surroundings) -> Self {
        Self {
            store,
            clock: surroundings.clock,
            guidance: surroundings.guidance,
            book: surroundings.book,
            sources: surroundings.sources.into(),
            checks: surroundings.checks.into(),
            attempts: Arc::default(),
            gate: Arc::default(),
            provider: None,
            turns: Arc::new(Semaphore::new(ANSWERS)),
            kept: Arc::default(),
            enrolling: None,
            channels: Arc::default(),
            testing: Arc::new(Semaphore::new(1)),
        }
    }

    /// The time by the collector's clock.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.clock.now().wall
    }

    /// Who sends this `Authorization` value from `address`.
    ///
    /// # Errors
    /// [`Denied`] says what to answer.
    pub fn viewer(&self, authorization: Option<&str>, address: IpAddr) -> Result<Viewer, Denied> {
        let authorization = authorization.ok_or(Denied::Missing)?;
        access::bearer(authorization)
            .and_then(access::hash_token)
            .and_then(|hash| self.viewer_of_hash(&hash))
            .ok_or_else(|| self.attempts.wrong(address, self.now()))
    }

    /// Works out an answer beside the tasks that move bytes, a few at a time for all faces.
    async fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let query = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&query)
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be worked out");
            Err(QueryError::Failed)
        })
    }

    /// Who holds a session, while nothing has ended it.
    fn viewer_of(&self, holder: &session::Holder) -> Option<Viewer> {
        match holder {
            session::Holder::Token(hash) => self.viewer_of_hash(hash),
            session::Holder::User { name, stamp } => self.viewer_of_user(name, stamp),
        }
    }

    /// The holder of the token with this hash, while it is valid.
    fn viewer_of_hash(&self, hash: &[u8; 32]) -> Option<Viewer> {
        self.store
            .api_tokens()
            .into_iter()
            .find(|token| access::same_hash(&token.hash, hash) && !token.revoked)
            .map(Viewer::from)
    }
}
