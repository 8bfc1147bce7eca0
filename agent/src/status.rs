//! What the running agent says of itself, in a file that `rollcall-agent status` reads.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::paths::with_suffix;
use crate::waiting::Waiting;

/// A clock that is off by more than this is told of; laptops that ask a time server are off by seconds.
const CLOCK_WRONG_MINUTES: u64 = 5;

/// The state of an agent. Nothing in it is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The device's id, once it has one.
    pub device: Option<String>,
    /// The collector's address, where one is known.
    pub collector: Option<String>,
    /// Whether a stream is open and greeted.
    pub connected: bool,
    /// Whether the collector has retired this device.
    pub retired: bool,
    /// The spool.
    pub spool: SpoolStatus,
    /// The last sequence that the collector has stored, of this run.
    pub last_ack: Option<Ack>,
    /// What went wrong last, in words; none once it is connected.
    pub last_error: Option<Problem>,
    /// The revision of the configuration that it follows.
    pub configuration_revision: u64,
    /// How far the laptop's clock is ahead of the collector's, in milliseconds.
    pub clock_skew_ms: Option<i64>,
}

/// How full the spool is and what it has lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Bytes on disk.
    pub bytes: u64,
    /// Reports that wait, at most.
    pub waiting: u64,
    /// Reports dropped for want of room.
    pub dropped: u64,
    /// Records lost to damage.
    pub corrupt: u64,
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The sequence.
    pub sequence: u64,
    /// When, by the laptop's clock.
    pub at: UnixMs,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What, in words on which a technician can act.
    pub words: String,
    /// When, by the laptop's clock.
    pub at: UnixMs,
    /// What has to change.
    #[serde(default)]
    pub waiting: Waiting,
}

/// How an agent fares, in the words and exit codes of `rollcall-agent status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Enrolled, running and connected.
    Connected,
    /// Enrolled, but no agent runs.
    NotRunning,
    /// Running, but not connected.
    NotConnected,
    /// Without an identity.
    NotEnrolled,
}

impl Standing {
    /// What the file and the look at the machine say together.
    #[must_use]
    pub const fn of(status: &Status, enrolled: bool, running: bool) -> Self {
        match (enrolled, running, status.connected) {
            (false, _, _) => Self::NotEnrolled,
            (true, false, _) => Self::NotRunning,
            (true, true, false) => Self::NotConnected,
            (true, true, true) => Self::Connected,
        }
    }

    /// 0 connected, 3 not running, 4 not connected, 5 not enrolled; 1 and 2 stay for errors.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Connected => 0,
            Self::NotRunning => 3,
            Self::NotConnected => 4,
            Self::NotEnrolled => 5,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::NotRunning => "enrolled, but not running",
            Self::NotConnected => "running, but not connected",
            Self::NotEnrolled => "not enrolled",
        }
    }
}

impl Status {
    /// Reads the file; an agent that has never run has the default status.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn load(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Puts the file in place at once, but not durably: after a power loss it says nothing of use,
    /// and syncing it would wear the disk for nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn store(&self, file: &Path) -> io::Result<()> {
        let fresh = with_suffix(file, ".new");
        fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&fresh, file)
    }

    /// Whether this says more than the file that was `written` so long ago. Counts that merely go on
    /// wait for `interval`: a file each minute would be half of what the agent writes to the disk.
    #[must_use]
    pub fn is_worth_writing(&self, written: &Self, ago: Duration, interval: Duration) -> bool {
        let is_caught_up = self.spool.waiting == 0 && written.spool.waiting != 0;
        self.outline() != written.outline() || is_caught_up || ago >= interval
    }

    /// Everything but the counts and times that go on with each report and each try.
    fn outline(&self) -> Self {
        Self {
            spool: SpoolStatus {
                bytes: 0,
                waiting: 0,
                ..self.spool
            },
            last_ack: self.last_ack.as_ref().map(|_| Ack {
                sequence: 0,
                at: UnixMs(0),
            }),
            // The same problem again, as with each try of a month offline, is no news.
            last_error: self.last_error.as_ref().map(|problem| Problem {
                at: UnixMs(0),
                ..problem.clone()
            }),
            ..self.clone()
        }
    }

    /// The exit code of `rollcall-agent status`: that of what is waited for, where that is known.
    #[must_use]
    pub fn exit_code(&self, standing: Standing) -> u8 {
        let waits = matches!(standing, Standing::NotConnected | Standing::NotEnrolled);
        let problem = self.last_error.as_ref().filter(|_| waits);
        problem
            .and_then(|problem| problem.waiting.exit_code())
            .unwrap_or(standing.exit_code())
    }

    /// A clock that is wrong keeps no laptop from speaking, but certificates of web sites and
    /// schedules suffer from it.
    fn clock_words(&self) -> Option<String> {
        let skew_s = self.clock_skew_ms? / 1000;
        let minutes = skew_s.unsigned_abs() / 60;
        if minutes < CLOCK_WRONG_MINUTES {
            return None;
        }
        let way = if skew_s > 0 { "ahead of" } else { "behind" };
        let span = match minutes {
            0..=119 => format!("{minutes} minutes"),
            120..=2879 => format!("{} hours", minutes / 60),
            _ => format!("{} days", minutes / 1440),
        };
        Some(format!(
            "wrong: {span} {way} the collector's; set it, reports flow all the same"
        ))
    }

    /// The lines that a technician reads.
    #[must_use]
    pub fn describe(&self, standing: Standing) -> String {
        let none = || "none".to_owned();
        let spool = &self.spool;
        let ack = self.last_ack.as_ref();
        let problem = self.last_error.as_ref();
        let mut lines = vec![
            format!(
                "state       {}",
                if self.retired {
                    "retired by the collector"
                } else {
                    standing.words()
                }
            ),
            format!("device      {}", self.device.clone().unwrap_or_else(none)),
            format!(
                "collector   {}",
                self.collector.clone().unwrap_or_else(none)
            ),
            format!(
                "waiting     {} ({} bytes on disk)",
                spool.waiting, spool.bytes
            ),
            format!(
                "last ack    {}",
                ack.map_or_else(none, |ack| format!("report {} at {}", ack.sequence, ack.at))
            ),
            format!(
                "last error  {}",
                problem.map_or_else(none, |p| format!("{} ({})", p.words, p.at))
            ),
        ];
        let waits = standing != Standing::Connected && standing != Standing::NotRunning;
        if let Some(problem) = problem.filter(|_| waits) {
            lines.insert(1, format!("waits for   {}", problem.waiting.words()));
        }
        lines.extend(
            self.clock_words()
                .map(|words| format!("clock       {words}")),
        );
        if spool.dropped + spool.corrupt > 0 {
            lines.push(format!(
                "lost        {} dropped, {} damaged",
                spool.dropped, spool.corrupt
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_kept_and_read_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status.json");
        assert_eq!(Status::load(&file).unwrap(), Status::default());
        let problem = Problem {
            words: "the name h was not found".to_owned(),
            at: UnixMs(0),
            waiting: Waiting::Name,
        };
        let status = Status {
            last_error: Some(problem),
            ..Status::default()
        };
        status.store(&file).unwrap();
        assert_eq!(Status::load(&file).unwrap(), status);
        let words = status.describe(Standing::of(&status, true, true));
        assert!(words.contains("running, but not connected"), "{words}");
        assert!(
            words.contains("the name h was not found (1970-01-01"),
            "{words}"
        );
        fs::write(&file, "{").unwrap();
        assert!(Status::load(&file).is_err());
    }

    #[test]
    fn what_is_waited_for_is_told_in_words_and_exit_code() {
        let waiting = |waiting| Status {
            last_error: Some(Problem {
                words: "why".to_owned(),
                at: UnixMs(0),
                waiting,
            }),
            ..Status::default()
        };
        let network = waiting(Waiting::Network);
        assert_eq!(network.exit_code(Standing::NotConnected), 10);
        assert_eq!(network.exit_code(Standing::NotEnrolled), 10);
        assert_eq!(network.exit_code(Standing::NotRunning), 3);
        let words = network.describe(Standing::NotEnrolled);
        assert!(words.contains("waits for   a network\n"), "{words}");
        assert_eq!(waiting(Waiting::Other).exit_code(Standing::NotConnected), 4);
        assert_eq!(
            waiting(Waiting::AnyToken).exit_code(Standing::NotEnrolled),
            5
        );
    }

    #[test]
    fn a_wrong_clock_is_told_also_while_connected() {
        let skewed = |clock_skew_ms| Status {
            connected: true,
            clock_skew_ms: Some(clock_skew_ms),
            ..Status::default()
        };
        let words = |ms| skewed(ms).describe(Standing::Connected);
        assert!(!words(90_000).contains("clock"));
        assert!(words(3_600_000).contains("clock       wrong: 60 minutes ahead of"));
        assert!(words(-800_000_000_000).contains("9259 days behind"));
        assert_eq!(skewed(-800_000_000_000).exit_code(Standing::Connected), 0);
    }

    #[test]
    fn only_news_is_written_at_once() {
        const INTERVAL: Duration = Duration::from_secs(300);
        let waiting = |waiting, sequence| Status {
            connected: true,
            spool: SpoolStatus {
                bytes: waiting * 600,
                waiting,
                ..SpoolStatus::default()
            },
            last_ack: Some(Ack {
                sequence,
                at: UnixMs(5),
            }),
            ..Status::default()
        };
        let written = waiting(1, 10);
        let at_once =
            |fresh: &Status| fresh.is_worth_writing(&written, Duration::from_secs(60), INTERVAL);
        assert!(!at_once(&waiting(2, 10)), "one more waits");
        assert!(!at_once(&waiting(1, 11)), "another acknowledgement");
        assert!(at_once(&waiting(0, 11)), "all is stored");
        let lost = Status {
            connected: false,
            ..waiting(1, 10)
        };
        assert!(at_once(&lost));
        let problem = |words: &str, at| Status {
            last_error: Some(Problem {
                words: words.to_owned(),
                at: UnixMs(at),
                waiting: Waiting::Collector,
            }),
            ..lost.clone()
        };
        let news = |fresh: Status, written: Status| {
            fresh.is_worth_writing(&written, Duration::from_secs(60), INTERVAL)
        };
        assert!(!news(problem("refused", 2), problem("refused", 1)));
        assert!(news(problem("not found", 2), problem("refused", 1)));
        let mut dropped = waiting(1, 10);
        dropped.spool.dropped = 1;
        assert!(at_once(&dropped));
        assert!(waiting(2, 10).is_worth_writing(&written, INTERVAL, INTERVAL));
    }

    #[test]
    fn each_standing_has_its_exit_code() {
        let connected = Status {
            connected: true,
            ..Status::default()
        };
        let code = |status: &Status, enrolled, running| {
            Standing::of(status, enrolled, running).exit_code()
        };
        assert_eq!(code(&connected, true, true), 0);
        assert_eq!(
            code(&connected, true, false),
            3,
            "the file of an agent that was killed"
        );
        assert_eq!(code(&Status::default(), true, true), 4);
        assert_eq!(code(&Status::default(), false, true), 5);
    }
}
