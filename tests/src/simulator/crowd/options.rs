//! What a crowd is told on its command line.

use std::path::PathBuf;

use rollcall_agent::stream::address::Address;

use super::session::{Pace, Plan};
use super::tape::Content;

/// Sends the reports of thousands of laptops over mutual TLS, one connection each, at little cost of
/// its own, and measures how long the collector takes to acknowledge them.
#[derive(Debug, Clone, clap::Args)]
pub struct CrowdOptions {
    /// The crowd's folder, made by `rollcall-simulator enrol`.
    #[arg(long, value_name = "DIR")]
    pub crowd: PathBuf,
    /// The collector's address for agents.
    #[arg(long, value_name = "HOST:PORT")]
    pub collector: Address,
    /// How many laptops of the crowd take part [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: Option<u32>,
    /// The number of the first of them.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub first: u32,
    /// For how long to send, after the time in which the laptops connect.
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = super::super::live::parse_seconds)]
    pub seconds: f64,
    /// Seconds between two reports of a laptop.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub interval: u32,
    /// Reports in a message, from 1 to 256.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub per_message: u32,
    /// How many times as fast as real reports come; they are stored an interval apart all the same.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = super::super::live::parse_speed)]
    pub speed: f64,
    /// A closed loop instead of a beat: each laptop keeps this many messages on the way.
    #[arg(long, value_name = "W", conflicts_with_all = ["speed", "quiet"], value_parser = clap::value_parser!(u32).range(1..=64))]
    pub closed: Option<u32>,
    /// In the closed loop: at most this many messages on the way in the whole crowd.
    #[arg(long, value_name = "T", requires = "closed", value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight: Option<u32>,
    /// In the closed loop: how many hours ago the first report was taken.
    #[arg(long, value_name = "H", default_value_t = 24)]
    pub history_hours: u32,
    /// Hours of reports that wait in each laptop's spool at the start.
    #[arg(long, value_name = "H", default_value_t = 0.0, value_parser = super::super::live::parse_seconds)]
    pub backlog_hours: f64,
    /// Connect, say Hello and then nothing.
    #[arg(long)]
    pub quiet: bool,
    /// The share of laptops, from 0 to 1, that connect for each message and disconnect after it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub resting: f64,
    /// At most this many connections at once [default: what the limit of open files allows].
    #[arg(long, value_name = "MAX", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: Option<u32>,
    /// Connections begun in a second; 0 for all at once.
    #[arg(long, value_name = "R", default_value_t = 500)]
    pub connect_rate: u32,
    /// Readings in a report, numbers first; 0 for all that the model has, some 110.
    #[arg(long, value_name = "R", default_value_t = 36)]
    pub readings: usize,
    /// Only readings that moved by more than their dead band, as agents send them.
    #[arg(long)]
    pub changed_only: bool,
    /// Send messages plain; agents compress them.
    #[arg(long)]
    pub no_compression: bool,
    /// Make each handshake a full one; agents resume where the collector lets them.
    #[arg(long)]
    pub no_resumption: bool,
    /// Source addresses on the loopback network, from 127.16.0.0 up; 0 to let the system choose
    /// [default: one a laptop, where the collector is on this machine].
    #[arg(long, value_name = "N")]
    pub sources: Option<u32>,
    /// Share the laptops out to this many processes.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub processes: u32,
    /// Where to write what was measured.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Prints the raw counts for the process that started this one.
    #[arg(long, hide = true)]
    pub part: bool,
}

impl CrowdOptions {
    /// The plan of a crowd of `devices` that begins to connect at `now_us`.
    #[must_use]
    pub fn plan(&self, devices: u32, now_us: u64) -> Plan {
        let start_us = now_us + (self.ramp_s(devices) * 1e6) as u64;
        let pace = match self.closed {
            _ if self.quiet => Pace::Quiet,
            Some(outstanding) => Pace::Closed {
                outstanding: outstanding as usize,
                history_ms: u64::from(self.history_hours) * 3_600_000,
            },
            None => Pace::Open { speed: self.speed },
        };
        let backlog = self.backlog_hours * 3600.0 / f64::from(self.interval);
        Plan {
            start_us,
            end_us: start_us + (self.seconds * 1e6) as u64,
            interval_ms: u64::from(self.interval) * 1000,
            per_message: self.per_message,
            backlog: backlog.round() as u64,
            pace,
        }
    }

    /// Seconds over which the laptops begin to connect.
    #[must_use]
    pub fn ramp_s(&self, devices: u32) -> f64 {
        if self.connect_rate == 0 {
            return 0.0;
        }
        f64::from(devices) / f64::from(self.connect_rate)
    }

    /// What reports hold.
    #[must_use]
    pub const fn content(&self) -> Content {
        Content {
            readings: self.readings,
            changed_only: self.changed_only,
        }
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is not a share from 0 to 1"))
}
