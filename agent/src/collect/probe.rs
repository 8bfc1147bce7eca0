//! The probes: what each reads, how often, and for how long at most.

use std::time::Duration;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

/// How much more rarely what fills the disk is looked at than other slow facts: folders are walked through.
const FILLING_STRETCH: u32 = 6;

/// How much more rarely Windows is asked about its updates than other slow facts.
const UPDATES_STRETCH: u32 = 6;

/// One of the things that are read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// Operating system, support, restart, encryption, crashes.
    Os,
    /// Pending and failed updates.
    Updates,
    /// Maker, model, serial number, firmware, processor, memory.
    Hardware,
    /// Batteries and chargers.
    Battery,
    /// Mounted file systems.
    Filesystem,
    /// What fills the disk, by class.
    Filling,
    /// Physical drives by SMART and NVMe.
    Drive,
    /// Processor.
    Cpu,
    /// Memory, swap and pressure.
    Memory,
    /// Temperatures, fans, throttling.
    Thermal,
    /// Network links.
    Link,
    /// Gateway and proxy.
    Network,
    /// The targets, DNS, captive portal, TLS interception.
    Reach,
    /// The site, by its beacon.
    Vantage,
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// With these readings, which are all that there is to read.
    Ok(Vec<Reading>),
    /// Without, by a fault of its own.
    Failed(String),
    /// Without, since it took too long.
    CutOff(String),
}

impl Probe {
    /// Every probe.
    pub const ALL: [Self; 14] = [
        Self::Os,
        Self::Updates,
        Self::Hardware,
        Self::Battery,
        Self::Filesystem,
        Self::Filling,
        Self::Drive,
        Self::Cpu,
        Self::Memory,
        Self::Thermal,
        Self::Link,
        Self::Network,
        Self::Reach,
        Self::Vantage,
    ];

    /// The probes whose answer may change with the network.
    pub const OF_NETWORK: [Self; 4] = [Self::Link, Self::Network, Self::Reach, Self::Vantage];

    /// Its name, as `rollcall.probe.state` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Updates => "updates",
            Self::Hardware => "hardware",
            Self::Battery => "battery",
            Self::Filesystem => "filesystem",
            Self::Filling => "filling",
            Self::Drive => "drive",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Thermal => "thermal",
            Self::Link => "link",
            Self::Network => "network",
            Self::Reach => "reachability",
            Self::Vantage => "vantage",
        }
    }

    /// How often it runs.
    #[must_use]
    pub fn interval(self, schedule: &Schedule) -> Duration {
        let seconds = match self {
            // Each question there wakes a provider's process.
            Self::Thermal if cfg!(windows) => schedule.disk_s,
            // The radio is asked through a program that takes seconds.
            Self::Link if cfg!(target_os = "macos") => schedule.disk_s,
            // What Windows Update knows changes a few times a day, and asking it takes seconds.
            Self::Updates if cfg!(windows) => schedule.slow_s.saturating_mul(UPDATES_STRETCH),
            Self::Battery | Self::Cpu | Self::Memory | Self::Thermal | Self::Link => {
                schedule.fast_s
            }
            Self::Network | Self::Reach | Self::Vantage => schedule.network_s,
            Self::Filesystem => schedule.disk_s,
            Self::Filling => schedule.slow_s.saturating_mul(FILLING_STRETCH),
            Self::Drive => schedule.drive_s,
            Self::Os | Self::Updates | Self::Hardware => schedule.slow_s,
        };
        Duration::from_secs(u64::from(seconds.max(1)))
    }

    /// How long it may take. Files answer in milliseconds unless something hangs; a drive that
    /// recovers from an error takes up to 20 s, and a laptop has three at most; a target has five
    /// stages of 5 s each.
    #[must_use]
    pub const fn budget(self) -> Duration {
        match self {
            Self::Drive => Duration::from_secs(60),
            Self::Reach | Self::Filling => Duration::from_secs(30),
            Self::Vantage => Duration::from_secs(20),
            Self::Updates if cfg!(windows) => Duration::from_secs(120),
            _ => Duration::from_secs(10),
        }
    }
}

impl End {
    /// The reading that says how the probe ended.
    #[must_use]
    pub fn state(&self, probe: Probe) -> Reading {
        let word = match self {
            Self::Ok(_) => "ok",
            Self::Failed(_) => "failed",
            Self::CutOff(_) => "cut_off",
        };
        Reading::text(&metric::PROBE_STATE, probe.name(), word)
    }
}
