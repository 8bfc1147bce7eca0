//! What a crowd measured: counts that add up over processes, and the JSON made of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Summary};

/// Counts of one process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Laptops.
    pub devices: u64,
    /// Streams that are open at the end.
    pub connected: u64,
    /// The most connections at once.
    pub most_connections: u64,
    /// The measured time.
    pub seconds: f64,
    /// Reports acknowledged in the measured time.
    pub reports: u64,
    /// Messages acknowledged in the measured time.
    pub messages: u64,
    /// Reports acknowledged at any time of the run.
    pub reports_in_all: u64,
    /// Messages that were sent and never acknowledged.
    pub unanswered: u64,
    /// Bytes sent, with TLS.
    pub bytes_up: u64,
    /// Bytes received, with TLS.
    pub bytes_down: u64,
    /// Full handshakes.
    pub full_handshakes: u64,
    /// Resumed handshakes.
    pub resumed_handshakes: u64,
    /// Slow-downs heard.
    pub slow_downs: u64,
    /// Streams that ended otherwise than by the laptop's own will, by how.
    pub lost: BTreeMap<String, u64>,
    /// From when a message was due until it was acknowledged.
    pub latency: Histogram,
    /// From when a message was sent until it was acknowledged.
    pub service: Histogram,
    /// From the start of a connection until Welcome.
    pub connecting: Histogram,
    /// From the start until a laptop's backlog was acknowledged.
    pub drained: Histogram,
    /// Reports that waited at the start.
    pub backlog: u64,
    /// Reports acknowledged in each second of the measured time.
    pub timeline: Vec<u64>,
    /// Processor time of this process in the measured time.
    pub cpu_s: f64,
    /// The most memory that this process had.
    pub peak_rss_mb: f64,
}

/// The JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Laptops.
    pub devices: u64,
    /// Processes that they were shared out to.
    pub processes: u64,
    /// The measured time.
    pub seconds: f64,
    /// Streams that are open at the end.
    pub connected: u64,
    /// The most connections at once.
    pub most_connections: u64,
    /// Reports acknowledged in the measured time.
    pub acknowledged_reports: u64,
    /// Reports acknowledged at any time of the run.
    pub acknowledged_reports_in_all: u64,
    /// The same in a second of the measured time.
    pub acknowledged_reports_per_second: f64,
    /// Messages in a second.
    pub acknowledged_messages_per_second: f64,
    /// Messages that were sent and never acknowledged.
    pub unanswered_messages: u64,
    /// From when a message was due until it was acknowledged.
    pub latency_ms: Summary,
    /// From when a message was sent until it was acknowledged.
    pub service_ms: Summary,
    /// From the start of a connection until Welcome.
    pub connecting_ms: Summary,
    /// Handshakes by kind.
    pub handshakes: Handshakes,
    /// The backlog, where there was one.
    pub backlog: Option<Backlog>,
    /// Slow-downs heard.
    pub slow_downs: u64,
    /// Streams that ended otherwise than by the laptop's own will, by how.
    pub lost: BTreeMap<String, u64>,
    /// Bytes sent, with TLS.
    pub bytes_up: u64,
    /// Bytes received, with TLS.
    pub bytes_down: u64,
    /// Reports acknowledged in each second of the measured time.
    pub timeline: Vec<u64>,
    /// Processor time of the crowd's processes in the measured time.
    pub cpu_s: f64,
    /// The most memory that they had, added up.
    pub peak_rss_mb: f64,
}

/// Handshakes by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshakes {
    /// With certificates.
    pub full: u64,
    /// With a ticket.
    pub resumed: u64,
}

/// How long the reports took that waited at the start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    /// Reports that waited.
    pub reports: u64,
    /// Laptops whose backlog is acknowledged.
    pub drained_devices: u64,
    /// From the start until then, in milliseconds.
    pub drained_ms: Summary,
}

impl Counts {
    /// Adds another process's counts.
    pub fn merge(&mut self, other: &Self) {
        self.devices += other.devices;
        self.connected += other.connected;
        self.most_connections += other.most_connections;
        self.seconds = self.seconds.max(other.seconds);
        self.reports += other.reports;
        self.messages += other.messages;
        self.reports_in_all += other.reports_in_all;
        self.unanswered += other.unanswered;
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
        self.full_handshakes += other.full_handshakes;
        self.resumed_handshakes += other.resumed_handshakes;
        self.slow_downs += other.slow_downs;
        for (how, count) in &other.lost {
            *self.lost.entry(how.clone()).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.connecting.merge(&other.connecting);
        self.drained.merge(&other.drained);
        self.backlog += other.backlog;
        if self.timeline.len() < other.timeline.len() {
            self.timeline.resize(other.timeline.len(), 0);
        }
        for (own, more) in self.timeline.iter_mut().zip(&other.timeline) {
            *own += more;
        }
        self.cpu_s += other.cpu_s;
        self.peak_rss_mb += other.peak_rss_mb;
    }

    /// Counts a stream that ended otherwise than by the laptop's own will.
    pub fn lose(&mut self, how: &str) {
        *self.lost.entry(how.to_owned()).or_default() += 1;
    }

    /// The JSON of so many processes' counts.
    #[must_use]
    pub fn outcome(self, processes: u64) -> Outcome {
        let seconds = self.seconds.max(0.001);
        Outcome {
            devices: self.devices,
            processes,
            seconds: self.seconds,
            connected: self.connected,
            most_connections: self.most_connections,
            acknowledged_reports: self.reports,
            acknowledged_reports_in_all: self.reports_in_all,
            acknowledged_reports_per_second: self.reports as f64 / seconds,
            acknowledged_messages_per_second: self.messages as f64 / seconds,
            unanswered_messages: self.unanswered,
            latency_ms: self.latency.summary(),
            service_ms: self.service.summary(),
            connecting_ms: self.connecting.summary(),
            handshakes: Handshakes {
                full: self.full_handshakes,
                resumed: self.resumed_handshakes,
            },
            backlog: (self.backlog > 0).then(|| Backlog {
                reports: self.backlog,
                drained_devices: self.drained.summary().count,
                drained_ms: self.drained.summary(),
            }),
            slow_downs: self.slow_downs,
            lost: self.lost,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            timeline: self.timeline,
            cpu_s: self.cpu_s,
            peak_rss_mb: self.peak_rss_mb,
        }
    }
}
