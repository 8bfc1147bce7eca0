//! The fleet and the collector for Prometheus, in the text format 0.0.4.
//!
//! Cardinality is bounded: series exist by site, model, rule and severity, never by device; those of
//! single devices are at an address of their own, for whoever asks for some metrics. What counts the
//! collector as a whole is shown only to those who may see every site.

mod devices;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_shared::metric::CATALOGUE;
use rollcall_shared::refusal::Refusal;

use super::operation::is_stuck;
use super::{MetricSource, Query, Viewer};
use crate::alert::AlertState;
use crate::device::DeviceState;
use crate::ingest::{IngestCounters, Reason};
use crate::store::StoreCounters;

/// The format's content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Values of one label; the rest is added up as `other`. The largest district has about 1,900
/// schools.
const LABEL_VALUES: usize = 2048;

/// What stands for the values beyond [`LABEL_VALUES`].
const OTHER: &str = "other";

/// What kind of family it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Goes up and down.
    Gauge,
    /// Only grows while the process lives; its name ends in `_total`.
    Counter,
}

/// An exposition while it is written.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Writes a family with its samples: for each the labels and the value.
    pub fn family<'a, L>(
        &mut self,
        name: &str,
        kind: FamilyKind,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) where
        L: AsRef<[(&'a str, &'a str)]>,
    {
        let word = match kind {
            FamilyKind::Gauge => "gauge",
            FamilyKind::Counter => "counter",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {word}"));
        for (labels, value) in samples {
            let labels = labels_text(labels.as_ref());
            self.line(format_args!("{name}{labels} {value}"));
        }
    }

    /// Writes a counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, FamilyKind::Counter, help, [([], value as f64)]);
    }

    /// Writes a gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, FamilyKind::Gauge, help, [([], value)]);
    }

    /// The text so far.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Everything that the viewer may see, as text.
#[must_use]
pub fn expose(query: &Query, viewer: &Viewer, statuses: &BTreeMap<u16, u64>) -> String {
    let mut out = Exposition::default();
    let build = [("version", env!("CARGO_PKG_VERSION"))];
    let help = "The collector's version; always 1.";
    out.family(
        "rollcall_build_info",
        FamilyKind::Gauge,
        help,
        [(build, 1.0)],
    );
    expose_devices(&mut out, query, viewer);
    expose_alerts(&mut out, query, viewer);
    expose_outbox(&mut out, query, viewer);
    if viewer.sees_everything() {
        expose_store(&mut out, &query.store.counters());
        expose_faces(&mut out, query, statuses);
        query.sources.iter().for_each(|source| source(&mut out));
    }
    out.into_text()
}

pub use devices::{DevicesRequest, expose_devices_by_id};

/// What ingest counts, for [`super::Surroundings::sources`].
#[must_use]
pub fn ingest_source(counters: Arc<IngestCounters>) -> MetricSource {
    Arc::new(move |out| expose_ingest(out, &counters))
}

fn expose_ingest(out: &mut Exposition, ingest: &IngestCounters) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Messages with reports.";
    out.counter(
        "rollcall_ingest_messages_total",
        help,
        get(&ingest.messages),
    );
    let help = "Streams of devices that are up.";
    out.gauge("rollcall_ingest_streams", help, get(&ingest.streams) as f64);
    let help = "Connections of agents and programs that are up.";
    out.gauge(
        "rollcall_ingest_connections",
        help,
        get(&ingest.connections) as f64,
    );
    let help = "Appends that wait for the store.";
    out.gauge(
        "rollcall_ingest_appending",
        help,
        get(&ingest.appending) as f64,
    );
    let rejected = Reason::ALL
        .iter()
        .map(|r| ([("reason", r.word())], ingest.of(*r) as f64));
    let help = "Input that was not taken as it came, by reason.";
    out.family(
        "rollcall_ingest_rejected_total",
        FamilyKind::Counter,
        help,
        rejected,
    );
    let refused = Refusal::ALL
        .iter()
        .map(|r| ([("reason", r.word())], ingest.refused(*r) as f64));
    let help = "Calls and streams that were refused, by reason.";
    out.family(
        "rollcall_ingest_refused_total",
        FamilyKind::Counter,
        help,
        refused,
    );
}

fn expose_devices(out: &mut Exposition, query: &Query, viewer: &Viewer) {
    let site = |state: &DeviceState| state.device.site.to_string();
    let mut by_standing: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let (mut connected, mut models) = (Tally::default(), Tally::default());
    query.visit_devices(viewer, |state| {
        let standing = state.device.standing.word();
        *by_standing.entry((site(state), standing)).or_default() += 1;
        connected.add(site(state), u64::from(state.connected));
        models.add(state.device.model.clone(), 1);
    });
    let by_standing = bounded_pairs(by_standing);
    out.family(
        "rollcall_devices",
        FamilyKind::Gauge,
        "Devices by site and standing.",
        by_standing.iter().map(|((site, standing), n)| {
            ([("site", site.as_str()), ("standing", standing)], *n as f64)
        }),
    );
    let help = "Devices whose stream is up, by site.";
    connected.write(out, "rollcall_devices_connected", help, "site");
    let help = "Devices by model; empty while the model is unknown.";
    models.write(out, "rollcall_devices_by_model", help, "model");
}

fn expose_alerts(out: &mut Exposition, query: &Query, viewer: &Viewer) {
    let mut by_rule: BTreeMap<(String, &str, &str), u64> = BTreeMap::new();
    let mut firing: BTreeMap<(String, &str), u64> = BTreeMap::new();
    query.store.visit_open_alerts(|alert, state| {
        if !viewer.sees(state) {
            return;
        }
        let severity = alert.severity.word();
        let rule = (alert.key.rule.clone(), severity, alert.state.word());
        *by_rule.entry(rule).or_default() += 1;
        if alert.state == AlertState::Firing {
            let site = state.device.site.to_string();
            *firing.entry((site, severity)).or_default() += 1;
        }
    });
    out.family(
        "rollcall_alerts",
        FamilyKind::Gauge,
        "Open alerts by rule, severity and state.",
        by_rule.iter().map(|((rule, severity, state), n)| {
            (
                [
                    ("rule", rule.as_str()),
                    ("severity", severity),
                    ("state", state),
                ],
                *n as f64,
            )
        }),
    );
    let firing = bounded_pairs(firing);
    out.family(
        "rollcall_alerts_firing",
        FamilyKind::Gauge,
        "Firing alerts by site and severity.",
        firing.iter().map(|((site, severity), n)| {
            ([("site", site.as_str()), ("severity", severity)], *n as f64)
        }),
    );
}

fn expose_outbox(out: &mut Exposition, query: &Query, viewer: &Viewer) {
    let (mut waiting, mut stuck) = (Tally::default(), Tally::default());
    let mut oldest = None;
    for entry in query.store.notifications() {
        if !viewer.sees_all(&entry.incident.sites) {
            continue;
        }
        stuck.add(entry.key.channel.clone(), u64::from(is_stuck(&entry)));
        waiting.add(entry.key.channel, 1);
        oldest = Some(oldest.map_or(entry.created, |at| entry.created.min(at)));
    }
    let help = "Notifications that wait for their channel.";
    waiting.write(out, "rollcall_outbox_entries", help, "channel");
    let help = "Notifications that were tried often without success, or set aside.";
    stuck.write(out, "rollcall_outbox_stuck_entries", help, "channel");
    let age_ms = oldest.map_or(0, |at| query.now().since(at).max(0));
    let help = "Age of the oldest notification that waits.";
    out.gauge(
        "rollcall_outbox_oldest_age_seconds",
        help,
        age_ms as f64 / 1000.0,
    );
}

fn expose_store(out: &mut Exposition, store: &StoreCounters) {
    let counters = [
        (
            "rollcall_store_reports_total",
            "Reports stored.",
            store.reports,
        ),
        (
            "rollcall_store_readings_total",
            "Readings stored.",
            store.readings,
        ),
        (
            "rollcall_store_duplicate_reports_total",
            "Reports dropped because they had been stored before.",
            store.duplicates,
        ),
        (
            "rollcall_store_missing_reports_total",
            "Reports that never came, because their spool had dropped them.",
            store.gaps,
        ),
        (
            "rollcall_store_commits_total",
            "Durable commits.",
            store.commits,
        ),
        (
            "rollcall_store_refused_full_total",
            "Arrivals refused because the disk was nearly full.",
            store.refused_full,
        ),
        (
            "rollcall_store_sealed_devices_total",
            "Times that a device was sealed into history.",
            store.sealed_devices,
        ),
        (
            "rollcall_store_expired_points_total",
            "Points that were older than the retention when they were to be sealed.",
            store.expired_points,
        ),
        (
            "rollcall_store_series_left_out_total",
            "Readings left out of the latest state, because their device has too many series.",
            store.series_left_out,
        ),
    ];
    for (name, help, value) in counters {
        out.counter(name, help, value);
    }
    let help = "Time that durable commits took, sync included.";
    let seconds = store.commit_ms as f64 / 1e3;
    let name = "rollcall_store_commit_seconds_total";
    out.family(name, FamilyKind::Counter, help, [([], seconds)]);
    let gauges = [
        (
            "rollcall_store_log_entries",
            "Log entries that hold something that is not sealed.",
            store.log_entries,
        ),
        (
            "rollcall_store_hot_bytes",
            "Size of the hot database on disk.",
            store.hot_bytes,
        ),
        (
            "rollcall_store_disk_free_bytes",
            "Bytes free on the disk of the data folder.",
            store.free_bytes,
        ),
        (
            "rollcall_store_blob_files",
            "Files in the hot database's blobs folder at start; any is an alarm, since they are not durable.",
            store.blob_files,
        ),
        (
            "rollcall_store_failed",
            "1 once the store has failed and needs a restart.",
            store.failed,
        ),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, value as f64);
    }
}

fn expose_faces(out: &mut Exposition, query: &Query, statuses: &BTreeMap<u16, u64>) {
    let statuses: Vec<(String, u64)> = statuses.iter().map(|(s, n)| (s.to_string(), *n)).collect();
    out.family(
        "rollcall_http_responses_total",
        FamilyKind::Counter,
        "HTTP responses by status.",
        statuses
            .iter()
            .map(|(status, n)| ([("status", status.as_str())], *n as f64)),
    );
    let ready = if query.readiness().ready { 1.0 } else { 0.0 };
    out.gauge("rollcall_ready", "1 while every stage is ready.", ready);
    let help = "Metrics that the catalogue knows.";
    out.gauge("rollcall_catalogue_metrics", help, CATALOGUE.len() as f64);
}

/// Numbers by the value of one label.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn add(&mut self, value: String, more: u64) {
        let full = self.0.len() >= LABEL_VALUES && !self.0.contains_key(&value);
        let value = if full { OTHER.to_owned() } else { value };
        *self.0.entry(value).or_default() += more;
    }

    fn write(&self, out: &mut Exposition, name: &str, help: &str, label: &str) {
        let samples = self
            .0
            .iter()
            .map(|(value, n)| ([(label, value.as_str())], *n as f64));
        out.family(name, FamilyKind::Gauge, help, samples);
    }
}

/// Puts what lies beyond [`LABEL_VALUES`] values of the first label under `other`.
fn bounded_pairs(counts: BTreeMap<(String, &str), u64>) -> BTreeMap<(String, &str), u64> {
    let mut seen = std::collections::BTreeSet::new();
    let mut bounded: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for ((first, second), n) in counts {
        if seen.len() < LABEL_VALUES {
            seen.insert(first.clone());
        }
        let first = if seen.contains(&first) {
            first
        } else {
            OTHER.to_owned()
        };
        *bounded.entry((first, second)).or_default() += n;
    }
    bounded
}

fn labels_text(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escape = |value: &str| {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panel over a metric that is called otherwise stays empty, and nobody notices.
    #[tokio::test]
    async fn grafana_dashboards_name_only_metrics_that_there_are() {
        let example = crate::query::example::Example::new().await;
        let admin = Viewer::new("prometheus", crate::store::Role::Viewer, Vec::new());
        let text = expose(&example.query, &admin, &BTreeMap::from([(200, 1)]));
        let known: std::collections::BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana");
        let mut queries = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            let board = std::fs::read_to_string(&path).unwrap();
            let board: serde_json::Value = serde_json::from_str(&board).unwrap();
            for panel in board["panels"].as_array().unwrap() {
                for target in panel["targets"].as_array().unwrap() {
                    let expr = target["expr"].as_str().unwrap();
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let names = expr.split(|c| !is_name(c));
                    for name in names.filter(|name| name.starts_with("rollcall_")) {
                        queries += 1;
                        assert!(known.contains(name), "{}: {name}", path.display());
                    }
                }
            }
        }
        assert!(queries > 20, "only {queries} found: the walk is broken");
    }

    #[test]
    fn label_values_are_escaped() {
        let mut out = Exposition::default();
        let samples = [([("site", "a\"b\\c\nd")], 2.5)];
        out.family("rollcall_x", FamilyKind::Gauge, "One\nline.", samples);
        assert_eq!(
            out.into_text(),
            "# HELP rollcall_x One\\nline.\n# TYPE rollcall_x gauge\n\
             rollcall_x{site=\"a\\\"b\\\\c\\nd\"} 2.5\n"
        );
    }

    #[test]
    fn labels_are_bounded_and_nothing_is_lost() {
        let mut tally = Tally::default();
        let mut pairs = BTreeMap::new();
        for n in 0..3000 {
            tally.add(format!("{n:05}"), 1);
            pairs.insert((format!("{n:05}"), "active"), 1);
        }
        assert_eq!(tally.0.len(), LABEL_VALUES + 1);
        assert_eq!(tally.0.values().sum::<u64>(), 3000);
        let bounded = bounded_pairs(pairs);
        assert_eq!(bounded.len(), LABEL_VALUES + 1);
        assert_eq!(bounded[&(OTHER.to_owned(), "active")], 3000 - 2048);
    }
}
