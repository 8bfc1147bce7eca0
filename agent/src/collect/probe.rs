//! The probes: what each reads, how often, and for how long at most.

use std::time::Duration;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

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
    pub const ALL: [Self; 13] = [
        Self::Os,
        Self::Updates,
        Self::Hardware,
        Self::Battery,
        Self::Filesystem,
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
            Self::Battery | Self::Cpu | Self::Memory | Self::Thermal | Self::Link => {
                schedule.fast_s
            }
            Self::Network | Self::Reach | Self::Vantage => schedule.network_s,
            Self::Filesystem => schedule.disk_s,
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
            Self::Reach => Duration::from_secs(30),
            Self::Vantage => Duration::from_secs(20),
            _ => Duration::from_secs(10),
        }
    }

    /// What stands for it on a system where it is not collected yet.
    #[cfg(any(not(target_os = "linux"), test))]
    #[must_use]
    pub fn main_metrics(self) -> Vec<&'static metric::Metric> {
        match self {
            Self::Os => vec![
                &metric::OS_NAME,
                &metric::OS_VERSION,
                &metric::RESTART_PENDING,
                &metric::DISK_ENCRYPTION,
            ],
            Self::Updates => vec![&metric::UPDATES_PENDING, &metric::UPDATES_LAST_AGE],
            Self::Hardware => vec![
                &metric::HOST_VENDOR,
                &metric::HOST_MODEL,
                &metric::HOST_SERIAL,
            ],
            Self::Battery => vec![&metric::BATTERY_STATE, &metric::BATTERY_HEALTH],
            Self::Filesystem => vec![&metric::FILESYSTEM_UTILIZATION],
            Self::Drive => vec![&metric::DRIVE_VERDICT],
            Self::Cpu => vec![&metric::CPU_UTILIZATION],
            Self::Memory => vec![&metric::MEMORY_UTILIZATION],
            Self::Thermal => vec![&metric::TEMPERATURE],
            Self::Link => vec![&metric::LINK_STATE],
            Self::Network => vec![&metric::GATEWAY_REACHABLE],
            Self::Reach | Self::Vantage => vec![],
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
