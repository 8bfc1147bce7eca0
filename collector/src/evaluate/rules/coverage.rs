//! Which metrics the default rules look at, and why none looks at the others.

use std::collections::BTreeSet;

use rollcall_shared::metric::{self, Metric};

use super::super::condition::{Comparison, Condition, Limit, placeholders};
use super::super::derived;
use super::super::forecast::metrics;
use super::{RuleSet, Test};

/// What each forecast is made of: who judges the forecast looks at these.
const FORECAST_OF: &[(&Metric, &[&Metric])] = &[
    (
        &metrics::BATTERY_SETTLED_HEALTH,
        &[
            &metric::BATTERY_DESIGN_CAPACITY,
            &metric::BATTERY_FULL_CAPACITY,
            &metric::BATTERY_HEALTH,
        ],
    ),
    (
        &metrics::FILESYSTEM_CLASSES,
        &[&metric::FILESYSTEM_CLASS_SIZE],
    ),
    (
        &metrics::FILESYSTEM_FULL,
        &[&metric::FILESYSTEM_UTILIZATION],
    ),
    (
        &metrics::DRIVE_RISK,
        &[
            &metric::DRIVE_KIND,
            &metric::DRIVE_VERDICT,
            &metric::DRIVE_SMART,
            &metric::DRIVE_REALLOCATED,
            &metric::DRIVE_PENDING,
            &metric::DRIVE_UNCORRECTABLE,
            &metric::NVME_CRITICAL_WARNING,
            &metric::NVME_AVAILABLE_SPARE,
            &metric::NVME_SPARE_THRESHOLD,
            &metric::NVME_MEDIA_ERRORS,
        ],
    ),
    (&metrics::CHARGER_SHORTFALL, &[&metric::CHARGER_POWER]),
    (
        &metrics::BATTERY_FALLS,
        &[
            &metric::BATTERY_CHARGE,
            &metric::CHARGER_CONNECTED,
            &metric::UNEXPECTED_SHUTDOWNS,
        ],
    ),
    (
        &metrics::HEAT_ABOVE_PEERS,
        &[
            &metric::TEMPERATURE,
            &metric::CPU_UTILIZATION,
            &metric::HOST_VENDOR,
            &metric::HOST_MODEL,
            &metric::OS_BUILD,
        ],
    ),
    (
        &metrics::WAIT_RISE,
        &[
            &metric::PRESSURE_CPU,
            &metric::PRESSURE_MEMORY,
            &metric::PRESSURE_IO,
        ],
    ),
    (
        &metrics::THROTTLING_ABOVE_PEERS,
        &[&metric::THROTTLE_EVENTS],
    ),
    (&metrics::BOOT_RISE, &[&metric::UPTIME]),
    (&metrics::CRASH_EXCESS, &[&metric::CRASHES]),
    (&metrics::UPDATES_FAILING, &[&metric::UPDATES_FAILED]),
    (
        &metrics::LINK_DROPS_RISE,
        &[&metric::LINK_DROPS, &metric::LINK_STATE, &metric::LINK_KIND],
    ),
];

/// Metrics that no default rule looks at, and why.
pub const WITHOUT_RULE: &[(&str, &str)] = &[
    (
        "os.type",
        "It says what the laptop is, and selects the rules that are for it.",
    ),
    (
        "os.updates.pending",
        "Updates that wait are normal; that they fail or stay away is told by updates-failing.",
    ),
    (
        "os.updates.security_pending",
        "The same: what matters is that they do not come, which updates-failing tells.",
    ),
    (
        "host.serial_number",
        "It says which laptop it is; the inventory finds it by its hash.",
    ),
    (
        "host.firmware.version",
        "No list of good versions is shipped; a school compares it on the device's page.",
    ),
    ("host.cpu.model.name", "It says what the laptop is."),
    ("system.cpu.logical.count", "It says what the laptop is."),
    (
        "system.memory.limit",
        "It says what the laptop is; memory that a laptop lost shows as memory-pressure.",
    ),
    (
        "hw.battery.cycles",
        "Cycles alone fail nobody: batteries of 200 and of 1,000 cycles are worn. Health tells.",
    ),
    (
        "hw.battery.voltage",
        "It moves with the charge, and what is wrong with it shows in charge and health.",
    ),
    (
        "hw.battery.time_left",
        "The system's own guess of the moment; a pupil sees it, and nobody acts on it later.",
    ),
    ("hw.battery.model", "It says which battery to order."),
    ("system.filesystem.type", "It says what the file system is."),
    ("hw.physical_disk.model", "It says which drive it is."),
    (
        "hw.physical_disk.firmware_version",
        "It says which drive it is; no list of bad versions is shipped.",
    ),
    ("hw.physical_disk.size", "It says which drive it is."),
    (
        "hw.physical_disk.crc_errors",
        "It counts the cable since the drive was made and never falls, so that nothing would resolve it; a cable that fails shows as file-system-errors.",
    ),
    (
        "hw.physical_disk.power_on_time",
        "Hours in operation predict nothing on the recorded drives that their errors do not.",
    ),
    (
        "hw.physical_disk.nvme.num_err_log_entries",
        "It is above zero on four of ten healthy drives.",
    ),
    (
        "hw.physical_disk.nvme.unsafe_shutdowns",
        "It never falls; crashing counts those that the system still knows.",
    ),
    (
        "hw.physical_disk.nvme.data_units_written",
        "What it wears shows in percentage_used, which drive-worn tells.",
    ),
    (
        "system.cpu.load_average.15m",
        "It counts what waits for drives too; the pressures tell both apart.",
    ),
    (
        "system.memory.utilization",
        "Systems fill memory by design; that something waits for it is memory-pressure.",
    ),
    (
        "system.paging.utilization",
        "Swap in use is normal; that something waits for memory is memory-pressure.",
    ),
    (
        "hw.fan.speed",
        "Many laptops stand still by design; a fan that fails shows as overheating.",
    ),
    (
        "network.vantage",
        "It says where readings were taken, and rules ask it by `vantage`.",
    ),
    (
        "system.network.link.speed",
        "Radio links change it by the second; what a pupil feels is told by reachability.",
    ),
    (
        "system.network.link.errors",
        "It counts since the start and says nothing without what was sent; the signal tells.",
    ),
    (
        "network.gateway.reachable",
        "Where it fails, the reachability of targets fails at the stage `gateway` and says so.",
    ),
    (
        "dns.lookup.duration",
        "A slow lookup makes targets slow or fail, which their reachability tells with its stage.",
    ),
    (
        "dns.lookup.state",
        "Where it fails, targets fail at the stage `dns`, and one incident tells of all.",
    ),
    (
        "network.proxy.configured",
        "A proxy is a setting, not a fault; where it fails, targets fail at the stage `proxy`.",
    ),
    (
        "network.reachability.dns.duration",
        "Homes differ tenfold; what is out of reach is told, what is slow is shown.",
    ),
    (
        "network.reachability.tcp.duration",
        "Homes differ tenfold; what is out of reach is told, what is slow is shown.",
    ),
    (
        "network.reachability.tls.duration",
        "Homes differ tenfold; what is out of reach is told, what is slow is shown.",
    ),
    (
        "network.reachability.http.duration",
        "Homes differ tenfold; what is out of reach is told, what is slow is shown.",
    ),
    (
        "http.response.status_code",
        "A status that is wrong makes the target unreachable at the stage `http`.",
    ),
    (
        "rollcall.spool.dropped",
        "It counts since the spool was made and never falls; the laptop's page shows the gap.",
    ),
    (
        "rollcall.spool.corrupt",
        "It counts since the spool was made and never falls; a drive that errs is told by its own rules.",
    ),
    (
        "rollcall.spool.size",
        "It grows while a laptop is offline, by design, and is bounded.",
    ),
    (
        "system.boot.time",
        "It says when the laptop was started; that a restart is overdue is told by restart-pending.",
    ),
    (
        "host.environment",
        "It says what the laptop is, and which readings to expect of it.",
    ),
    (
        "hw.battery.condition",
        "No default rule yet: the firmware's words were not compared with worn batteries; battery-worn and battery-hot judge by what was measured.",
    ),
    (
        "hw.battery.cell.voltage",
        "No default rule yet: how far cells of healthy batteries drift apart was not measured; health tells what a pupil feels.",
    ),
    (
        "hw.battery.charger.adequate",
        "charger-weak judges the same by the power that the battery gives, with numbers to show.",
    ),
    (
        "hw.physical_disk.io_errors",
        "Some drives refuse harmless commands, so that a count alone alarms at healthy ones; file-system-errors tells what was harmed.",
    ),
    (
        "hw.physical_disk.nvme.warning_temp_time",
        "It never falls, so that nothing would resolve it; drive-hot judges the temperature itself.",
    ),
    (
        "hw.physical_disk.nvme.critical_comp_time",
        "It never falls, so that nothing would resolve it; drive-hot judges the temperature itself.",
    ),
    (
        "hw.physical_disk.power_cycles",
        "It counts how often the drive was switched on, which wears nothing.",
    ),
    (
        "system.network.link.bit_rate",
        "Radio links change it by the second; what a pupil feels is told by reachability.",
    ),
    (
        "system.network.link.roams",
        "It counts since the agent started, and walking through a school is no fault.",
    ),
    (
        "system.network.link.driver",
        "It is no fault by itself; where laptops with one driver show the same, it is the cause that their incident names.",
    ),
    (
        "network.proxy.kind",
        "A proxy is a setting, not a fault; where it fails, targets fail at the stage `proxy`.",
    ),
    (
        "network.reachability.ipv4.state",
        "One family that fails is bridged by the other; where both fail, the target is unreachable.",
    ),
    (
        "network.reachability.ipv6.state",
        "Most homes have none; where the target is out of reach at all, its state says so.",
    ),
    (
        "network.reachability.fault",
        "It says in a word why a target is unreachable, which its state tells.",
    ),
];

/// The metrics that these rules look at: what they compare, what they show, and what their forecasts are
/// made of.
pub fn looked_at(rules: &RuleSet) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for rule in &rules.rules {
        let Test::Readings(readings) = &rule.test else {
            continue;
        };
        let conditions = readings.prerequisites.iter().chain(&readings.faults);
        conditions.for_each(|condition| add(condition, &mut names));
    }
    for (forecast, made_of) in FORECAST_OF {
        if names.contains(forecast.name) {
            names.extend(made_of.iter().map(|metric| metric.name));
        }
    }
    names
}

fn add(condition: &Condition, names: &mut BTreeSet<&'static str>) {
    names.insert(derived::source(condition.metric).name);
    if let Comparison::Number {
        limit: Limit::Of { metric, .. },
        ..
    } = &condition.comparison
    {
        names.insert(metric.name);
    }
    let shown = condition.says.as_deref().unwrap_or_default();
    let shown = placeholders(shown).filter_map(metrics::by_name);
    names.extend(shown.map(|metric| metric.name));
}
