//! The catalogue: every metric that an agent may send, and nothing else may travel.
//!
//! Names follow OpenTelemetry's semantic conventions where one exists (`system.*`, `os.*`, `host.*`,
//! `hw.*`, `dns.*`, `http.*`). Units are UCUM as OpenTelemetry writes them; capacities of batteries
//! are in mWh, as firmware counts them. Documents, Prometheus names, rule validation and the range
//! checks at the border all come from this table. A code is never used for another metric.

use std::sync::LazyLock;

/// A row of the catalogue.
#[derive(Debug)]
pub struct Metric {
    /// The number that stands for it on the wire and in keys, below 256; never reused.
    pub code: u16,
    /// The name that people, rules and queries use.
    pub name: &'static str,
    /// The unit in UCUM notation; empty where there is none.
    pub unit: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// A change up to this much, in the metric's unit, is not worth sending.
    pub deadband: f64,
    /// Which change must travel at once.
    pub urgency: Urgency,
    /// What it says, in one sentence.
    pub meaning: &'static str,
    /// What was done so that it says nothing about a pupil; empty where there is nothing to say.
    pub privacy: &'static str,
}

/// What values a metric has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A number that goes up and down between two bounds.
    Gauge {
        /// The least value that is believed.
        low: f64,
        /// The greatest value that is believed.
        high: f64,
    },
    /// A number that only grows, until something is reset or replaced.
    Counter {
        /// The least value that is believed.
        low: f64,
        /// The greatest value that is believed.
        high: f64,
    },
    /// Yes or no.
    Flag,
    /// One word of a list.
    State(&'static [&'static str]),
    /// Free text.
    Text,
}

/// Which change of a metric is worth a message of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Urgency {
    /// None.
    Never,
    /// Every change.
    Change,
    /// Growth.
    Increase,
    /// Crossing this value, either way.
    Above(f64),
}

impl Kind {
    /// The kind in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge { .. } | Self::Counter { .. } => "number",
            Self::Flag => "flag",
            Self::State(_) => "state",
            Self::Text => "text",
        }
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for Metric {}

/// The metric with this code.
#[must_use]
pub fn by_code(code: u16) -> Option<&'static Metric> {
    /// A collector asks this for every reading that comes.
    static TABLE: LazyLock<[Option<&Metric>; 256]> = LazyLock::new(|| {
        let mut table = [None; 256];
        for metric in CATALOGUE {
            table[usize::from(metric.code)] = Some(*metric);
        }
        table
    });
    TABLE.get(usize::from(code)).copied().flatten()
}

/// The metric with this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| metric.name == name).copied()
}

macro_rules! catalogue {
    ($($name:ident = $code:literal, $metric:literal, $unit:literal, $kind:expr, $deadband:literal,
        $urgency:expr, $meaning:literal, $privacy:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $name: Metric = Metric {
                code: $code,
                name: $metric,
                unit: $unit,
                kind: $kind,
                deadband: $deadband,
                urgency: $urgency,
                meaning: $meaning,
                privacy: $privacy,
            };
        )*

        /// Every metric, by ascending code.
        pub static CATALOGUE: &[&Metric] = &[$(&$name),*];
    };
}

use Kind::{Counter, Flag, Gauge, State, Text};
use Urgency::{Above, Change, Increase, Never};

catalogue! {
    // Os: the operating system.
    OS_TYPE = 1, "os.type", "", State(&["linux","windows","darwin"]), 0.0, Never,
        "Family of the operating system.", "";
    OS_NAME = 2, "os.name", "", Text, 0.0, Never,
        "Name of the operating system.", "";
    OS_VERSION = 3, "os.version", "", Text, 0.0, Never,
        "Version of the operating system.", "";
    OS_BUILD = 4, "os.build_id", "", Text, 0.0, Never,
        "Build or kernel release.", "";
    OS_SUPPORT_REMAINING = 5, "os.support.remaining", "d", Gauge{low:-20000.0,high:20000.0}, 0.9, Never,
        "Days until the vendor ends support; negative once it has ended.", "";
    UPTIME = 6, "system.uptime", "s", Gauge{low:0.0,high:10000000000.0}, 3600.0, Never,
        "Time since the last start, sleep included.", "";
    RESTART_PENDING = 7, "os.restart.pending", "", Flag, 0.0, Never,
        "Whether an update waits for a restart.", "";
    UPDATES_PENDING = 8, "os.updates.pending", "{update}", Gauge{low:0.0,high:1000000.0}, 0.0, Never,
        "Updates that are known and not installed.", "";
    UPDATES_SECURITY_PENDING = 9, "os.updates.security_pending", "{update}", Gauge{low:0.0,high:1000000.0}, 0.0, Never,
        "Security updates that are known and not installed.", "";
    UPDATES_LAST_AGE = 10, "os.updates.last_success.age", "d", Gauge{low:0.0,high:100000.0}, 0.9, Never,
        "Days since updates were last looked for or installed with success.", "";
    UPDATES_FAILED = 11, "os.updates.failed", "{failure}", Counter{low:0.0,high:1000000.0}, 0.0, Never,
        "Update runs that failed since the last one that succeeded.", "";
    DISK_ENCRYPTION = 12, "os.disk_encryption", "", State(&["on","off","partial"]), 0.0, Never,
        "Whether the disk of the system is encrypted.", "";
    CLOCK_OFFSET = 13, "system.clock.offset", "s", Gauge{low:-100000000000.0,high:100000000000.0}, 30.0, Never,
        "How far the laptop's clock is ahead of the collector's; worked out by the collector.", "";
    UNEXPECTED_SHUTDOWNS = 14, "os.unexpected_shutdowns", "{shutdown}", Counter{low:0.0,high:1000000.0}, 0.0, Never,
        "Shutdowns without a clean end that the system's records still know.", "";
    CRASHES = 15, "os.crashes", "{crash}", Counter{low:0.0,high:1000000.0}, 0.0, Never,
        "Crashes of the system that its records still know.", "Counts only: no program, file or user name";
    BOOT_TIME = 16, "system.boot.time", "s", Gauge{low:0.0,high:100000000000.0}, 300.0, Never,
        "When the system was last started, in seconds since 1970 by the laptop's own clock.", "";
    ENVIRONMENT = 17, "host.environment", "", State(&["machine","virtual_machine","container","wsl"]), 0.0, Never,
        "What the system runs on: a machine of its own, or inside another system.", "";
    // Hardware.
    HOST_VENDOR = 30, "host.vendor", "", Text, 0.0, Never,
        "Manufacturer of the laptop.", "";
    HOST_MODEL = 31, "host.model", "", Text, 0.0, Never,
        "Model of the laptop.", "";
    HOST_SERIAL = 32, "host.serial_number", "", Text, 0.0, Never,
        "Serial number; a hash unless the admin asks for the clear one.", "Hashed on the laptop unless `clear_serial` is set";
    FIRMWARE_VERSION = 33, "host.firmware.version", "", Text, 0.0, Never,
        "Version of the firmware (BIOS or UEFI).", "";
    CPU_MODEL = 34, "host.cpu.model.name", "", Text, 0.0, Never,
        "Model of the processor.", "";
    CPU_COUNT = 35, "system.cpu.logical.count", "{cpu}", Gauge{low:1.0,high:65536.0}, 0.0, Never,
        "Logical processors.", "";
    MEMORY_LIMIT = 36, "system.memory.limit", "By", Gauge{low:0.0,high:1.152921504606847e18}, 0.0, Never,
        "Installed memory that the system can use.", "";
    // Battery; the instance is the battery.
    BATTERY_STATE = 50, "hw.battery.state", "", State(&["charging","discharging","full","not_charging","unknown"]), 0.0, Never,
        "What the battery does.", "";
    BATTERY_CHARGE = 51, "hw.battery.charge", "1", Gauge{low:0.0,high:1.5}, 0.02, Never,
        "Charge as a share of full; some firmware says a little more than 1.", "";
    BATTERY_DESIGN_CAPACITY = 52, "hw.battery.design_capacity", "mWh", Gauge{low:0.0,high:1000000.0}, 0.0, Never,
        "Capacity when new.", "";
    BATTERY_FULL_CAPACITY = 53, "hw.battery.full_charge_capacity", "mWh", Gauge{low:0.0,high:1000000.0}, 50.0, Never,
        "Capacity when full now.", "";
    BATTERY_HEALTH = 54, "hw.battery.health", "1", Gauge{low:0.0,high:2.0}, 0.002, Never,
        "Capacity when full, as a share of the capacity when new.", "";
    BATTERY_CYCLES = 55, "hw.battery.cycles", "{cycle}", Counter{low:0.0,high:100000.0}, 0.0, Never,
        "Full charges so far.", "";
    BATTERY_POWER = 56, "hw.battery.power", "W", Gauge{low:-500.0,high:500.0}, 1.0, Never,
        "Power into the battery; negative while it discharges.", "";
    BATTERY_VOLTAGE = 57, "hw.battery.voltage", "V", Gauge{low:0.0,high:1000.0}, 0.25, Never,
        "Voltage.", "";
    BATTERY_TEMPERATURE = 58, "hw.battery.temperature", "Cel", Gauge{low:-60.0,high:200.0}, 2.0, Never,
        "Temperature.", "";
    BATTERY_TIME_LEFT = 59, "hw.battery.time_left", "s", Gauge{low:0.0,high:1000000.0}, 600.0, Never,
        "Time to empty or to full at the present power, as the system estimates it.", "";
    BATTERY_CHARGE_LIMIT = 60, "hw.battery.charge_limit", "1", Gauge{low:0.0,high:1.0}, 0.0, Never,
        "Charge at which charging stops by setting; without a setting 1.", "";
    BATTERY_MODEL = 61, "hw.battery.model", "", Text, 0.0, Never,
        "Maker and model of the battery.", "No serial number";
    CHARGER_CONNECTED = 62, "hw.battery.charger.connected", "", Flag, 0.0, Never,
        "Whether a charger is connected.", "";
    CHARGER_POWER = 63, "hw.battery.charger.power", "W", Gauge{low:0.0,high:1000.0}, 0.5, Never,
        "Most power that the charger has agreed to give.", "";
    BATTERY_CONDITION = 64, "hw.battery.condition", "", State(&["good","service","overheat","cold","over_voltage","dead","failure"]), 0.0, Never,
        "What the firmware itself says of the battery's condition.", "";
    BATTERY_CELL_VOLTAGE = 65, "hw.battery.cell.voltage", "V", Gauge{low:0.0,high:10.0}, 0.05, Never,
        "Voltage of one cell; the instance is `<battery>/<cell>`.", "";
    CHARGER_ADEQUATE = 66, "hw.battery.charger.adequate", "", Flag, 0.0, Never,
        "Whether the connected charger carries the laptop; no where the battery empties all the same.", "";
    // File systems; the instance is the mount point.
    FILESYSTEM_LIMIT = 80, "system.filesystem.limit", "By", Gauge{low:0.0,high:1.152921504606847e18}, 0.0, Never,
        "Size.", "Below a home folder or a medium only the class of the mount point travels, never its name";
    FILESYSTEM_FREE = 81, "system.filesystem.free", "By", Gauge{low:0.0,high:1.152921504606847e18}, 67108864.0, Never,
        "Space that a user can still fill.", "";
    FILESYSTEM_UTILIZATION = 82, "system.filesystem.utilization", "1", Gauge{low:0.0,high:1.0}, 0.005, Above(0.95),
        "Used share of the space.", "";
    FILESYSTEM_INODE_UTILIZATION = 83, "system.filesystem.inodes.utilization", "1", Gauge{low:0.0,high:1.0}, 0.01, Never,
        "Used share of the inodes.", "";
    FILESYSTEM_READ_ONLY = 84, "system.filesystem.read_only", "", Flag, 0.0, Change,
        "Whether a file system that ought to be writable is mounted read-only.", "";
    FILESYSTEM_ERRORS = 85, "system.filesystem.errors", "{error}", Counter{low:0.0,high:1000000000000.0}, 0.0, Increase,
        "Errors that the file system has counted.", "";
    FILESYSTEM_TYPE = 86, "system.filesystem.type", "", Text, 0.0, Never,
        "Type.", "";
    FILESYSTEM_CLASS_SIZE = 87, "system.filesystem.class.size", "By", Gauge{low:0.0,high:1.152921504606847e18}, 268435456.0, Never,
        "Space that files of one class take on the system's disk; the instance is `updates`, `temporary` or `downloads`.", "Sizes alone: no name of a file, a folder or a person, and no file is opened";
    // Drives; the instance is the drive.
    DRIVE_MODEL = 100, "hw.physical_disk.model", "", Text, 0.0, Never,
        "Model.", "No serial number";
    DRIVE_FIRMWARE = 101, "hw.physical_disk.firmware_version", "", Text, 0.0, Never,
        "Firmware version.", "";
    DRIVE_KIND = 102, "hw.physical_disk.kind", "", State(&["hdd","ssd","nvme","emmc","unknown"]), 0.0, Never,
        "How the drive stores.", "";
    DRIVE_SIZE = 103, "hw.physical_disk.size", "By", Gauge{low:0.0,high:1.152921504606847e18}, 0.0, Never,
        "Capacity.", "";
    DRIVE_VERDICT = 104, "hw.physical_disk.verdict", "", State(&["passed","failed"]), 0.0, Change,
        "The drive's own verdict on its health.", "";
    DRIVE_SMART = 105, "hw.physical_disk.smart", "1", Gauge{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Raw value of a SMART attribute; the instance is `<drive>/<attribute number>`.", "";
    DRIVE_REALLOCATED = 106, "hw.physical_disk.reallocated_sectors", "{sector}", Counter{low:0.0,high:1000000000000.0}, 0.0, Increase,
        "Sectors that the drive has replaced.", "";
    DRIVE_PENDING = 107, "hw.physical_disk.pending_sectors", "{sector}", Gauge{low:0.0,high:1000000000000.0}, 0.0, Increase,
        "Sectors that could not be read and wait to be replaced.", "";
    DRIVE_UNCORRECTABLE = 108, "hw.physical_disk.uncorrectable_errors", "{error}", Counter{low:0.0,high:1000000000000.0}, 0.0, Increase,
        "Errors that the drive could not correct.", "";
    DRIVE_CRC_ERRORS = 109, "hw.physical_disk.crc_errors", "{error}", Counter{low:0.0,high:1000000000000.0}, 0.0, Never,
        "Errors on the cable between drive and mainboard.", "";
    DRIVE_ENDURANCE_USED = 110, "hw.physical_disk.endurance_utilization", "1", Gauge{low:0.0,high:3.0}, 0.01, Never,
        "Used share of the writes that the drive is made for; past 1 it may go on.", "";
    DRIVE_TEMPERATURE = 111, "hw.physical_disk.temperature", "Cel", Gauge{low:-60.0,high:200.0}, 3.0, Never,
        "Temperature.", "";
    DRIVE_POWER_ON = 112, "hw.physical_disk.power_on_time", "h", Counter{low:0.0,high:10000000.0}, 12.0, Never,
        "Hours in operation.", "";
    NVME_CRITICAL_WARNING = 113, "hw.physical_disk.nvme.critical_warning", "1", Gauge{low:0.0,high:255.0}, 0.0, Change,
        "Bits of NVMe's critical warning; zero is good.", "";
    NVME_AVAILABLE_SPARE = 114, "hw.physical_disk.nvme.available_spare", "%", Gauge{low:0.0,high:255.0}, 0.0, Never,
        "Spare blocks left.", "";
    NVME_SPARE_THRESHOLD = 115, "hw.physical_disk.nvme.available_spare_threshold", "%", Gauge{low:0.0,high:255.0}, 0.0, Never,
        "Spare blocks below which the maker expects failure.", "";
    NVME_PERCENTAGE_USED = 116, "hw.physical_disk.nvme.percentage_used", "%", Gauge{low:0.0,high:255.0}, 0.0, Never,
        "Used share of the drive's life by its maker's estimate.", "";
    NVME_MEDIA_ERRORS = 117, "hw.physical_disk.nvme.media_errors", "{error}", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Increase,
        "Errors of the medium that were not corrected.", "";
    NVME_ERROR_LOG_ENTRIES = 118, "hw.physical_disk.nvme.num_err_log_entries", "{entry}", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Entries of the error log; above zero on four of ten healthy drives.", "";
    NVME_UNSAFE_SHUTDOWNS = 119, "hw.physical_disk.nvme.unsafe_shutdowns", "{shutdown}", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Times that power went before the drive was told.", "";
    NVME_WRITTEN = 120, "hw.physical_disk.nvme.data_units_written", "{unit}", Counter{low:0.0,high:1.8446744073709552e19}, 2048.0, Never,
        "Units of 512,000 bytes written.", "";
    DRIVE_IO_ERRORS = 121, "hw.physical_disk.io_errors", "{error}", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Commands that the kernel saw fail since the start; some drives refuse harmless ones.", "";
    NVME_WARNING_TEMPERATURE_TIME = 122, "hw.physical_disk.nvme.warning_temp_time", "min", Counter{low:0.0,high:1.8446744073709552e19}, 10.0, Never,
        "Minutes above the temperature at which the maker warns.", "";
    NVME_CRITICAL_TEMPERATURE_TIME = 123, "hw.physical_disk.nvme.critical_comp_time", "min", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Minutes above the temperature that the maker calls critical.", "";
    DRIVE_POWER_CYCLES = 124, "hw.physical_disk.power_cycles", "{cycle}", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Times that the drive was switched on.", "";
    // Processor, memory, heat.
    CPU_UTILIZATION = 140, "system.cpu.utilization", "1", Gauge{low:0.0,high:1.0}, 0.1, Never,
        "Busy share of all processors since the reading before.", "";
    CPU_LOAD_15M = 141, "system.cpu.load_average.15m", "{thread}", Gauge{low:0.0,high:1000000.0}, 0.5, Never,
        "Threads running or waiting, averaged over 15 minutes.", "";
    MEMORY_UTILIZATION = 142, "system.memory.utilization", "1", Gauge{low:0.0,high:1.0}, 0.05, Never,
        "Share of memory that is not available to programs.", "";
    PAGING_UTILIZATION = 143, "system.paging.utilization", "1", Gauge{low:0.0,high:1.0}, 0.05, Never,
        "Used share of swap.", "";
    PRESSURE_CPU = 144, "system.pressure.cpu", "1", Gauge{low:0.0,high:1.0}, 0.1, Never,
        "Share of the last five minutes in which some task waited for the processor.", "";
    PRESSURE_MEMORY = 145, "system.pressure.memory", "1", Gauge{low:0.0,high:1.0}, 0.02, Never,
        "Share of the last five minutes in which some task waited for memory.", "";
    PRESSURE_IO = 146, "system.pressure.io", "1", Gauge{low:0.0,high:1.0}, 0.1, Never,
        "Share of the last five minutes in which some task waited for a disk.", "";
    TEMPERATURE = 147, "hw.temperature", "Cel", Gauge{low:-60.0,high:200.0}, 4.0, Never,
        "Temperature of a sensor; the instance is its name.", "";
    TEMPERATURE_HEADROOM = 148, "hw.temperature.headroom", "Cel", Gauge{low:-200.0,high:300.0}, 4.0, Never,
        "Degrees left until the sensor's critical limit.", "";
    THROTTLE_EVENTS = 149, "system.cpu.throttle_events", "{event}", Counter{low:0.0,high:9007199254740992.0}, 10.0, Never,
        "Times that heat has slowed the processor since the start.", "";
    FAN_SPEED = 150, "hw.fan.speed", "rpm", Gauge{low:0.0,high:100000.0}, 400.0, Never,
        "Speed of a fan.", "";
    // Network; the instance is the link or the target.
    VANTAGE = 170, "network.vantage", "", Text, 0.0, Change,
        "Where the laptop is: `on-campus:<site>` or `off-campus`, decided on the laptop by a beacon.", "A name, never an address or a place; nothing finer than the site";
    LINK_STATE = 171, "system.network.link.state", "", State(&["up","down"]), 0.0, Never,
        "Whether the link carries data.", "";
    LINK_KIND = 172, "system.network.link.kind", "", State(&["ethernet","wifi","cellular","other"]), 0.0, Never,
        "What kind of link it is.", "";
    LINK_SPEED = 173, "system.network.link.speed", "Mbit/s", Gauge{low:0.0,high:10000000.0}, 0.0, Never,
        "Speed that the link agreed on.", "";
    LINK_SIGNAL = 174, "system.network.link.signal", "dBm", Gauge{low:-150.0,high:30.0}, 6.0, Never,
        "Strength of the radio signal.", "No network's name, no access point's address";
    LINK_ERRORS = 175, "system.network.link.errors", "{error}", Counter{low:0.0,high:1.8446744073709552e19}, 1000.0, Never,
        "Frames lost to errors since the start.", "";
    LINK_BIT_RATE = 176, "system.network.link.bit_rate", "Mbit/s", Gauge{low:0.0,high:10000000.0}, 100.0, Never,
        "Rate at which the radio sends at the moment.", "";
    LINK_ROAMS = 177, "system.network.link.roams", "{roam}", Counter{low:0.0,high:9007199254740992.0}, 2.0, Never,
        "Times that the radio was found at another access point than before, since the agent started.", "Access points are compared on the laptop and forgotten; none is named";
    LINK_DROPS = 178, "system.network.link.drops", "{drop}", Counter{low:0.0,high:1.8446744073709552e19}, 0.0, Never,
        "Times that the link lost its carrier since the start.", "";
    LINK_DRIVER = 179, "system.network.link.driver", "", Text, 0.0, Never,
        "Driver of the radio, and its version: that of the system's kernel where it comes with it.", "";
    GATEWAY_REACHABLE = 180, "network.gateway.reachable", "", Flag, 0.0, Change,
        "Whether the gateway is there.", "Its address stays on the laptop";
    DNS_DURATION = 181, "dns.lookup.duration", "s", Gauge{low:0.0,high:600.0}, 0.1, Never,
        "How long the first lookup took.", "";
    DNS_STATE = 182, "dns.lookup.state", "", State(&["ok","not_found","refused","timed_out","no_server","failed","hijacked","slow"]), 0.0, Change,
        "How lookups of the targets' names go; `hijacked` where names that nobody has registered are found, `slow` from one second on.", "";
    PROXY_CONFIGURED = 183, "network.proxy.configured", "", Flag, 0.0, Never,
        "Whether a proxy is configured for the system.", "Its address stays on the laptop";
    CAPTIVE_PORTAL = 184, "network.captive_portal", "", Flag, 0.0, Change,
        "Whether a login page stands before the network.", "";
    TLS_INTERCEPTED = 185, "network.tls.intercepted_by", "", Text, 0.0, Change,
        "Organisation that re-signs the target's certificate; `none` where nobody does.", "The issuer's name from its public certificate";
    PROXY_KIND = 186, "network.proxy.kind", "", State(&["none","manual","script"]), 0.0, Never,
        "How the system finds its proxy: not at all, by a fixed address, or by a script (PAC).", "Its address stays on the laptop";
    REACH_STATE = 190, "network.reachability.state", "", State(&["reachable","unreachable"]), 0.0, Change,
        "Whether the target answered as it should.", "";
    REACH_FAILED_STAGE = 191, "network.reachability.failed_stage", "", State(&["none","link","address","gateway","dns","proxy","tcp","tls","http"]), 0.0, Change,
        "The first stage that failed.", "";
    REACH_CAUSE = 192, "network.reachability.cause", "", Text, 0.0, Never,
        "Why it failed, for a technician.", "No address: the target is known by its name";
    REACH_DNS = 193, "network.reachability.dns.duration", "s", Gauge{low:0.0,high:600.0}, 0.1, Never,
        "How long the lookup of the target's name took.", "";
    REACH_TCP = 194, "network.reachability.tcp.duration", "s", Gauge{low:0.0,high:600.0}, 0.1, Never,
        "How long the connection took.", "";
    REACH_TLS = 195, "network.reachability.tls.duration", "s", Gauge{low:0.0,high:600.0}, 0.1, Never,
        "How long the TLS handshake took.", "";
    REACH_HTTP = 196, "network.reachability.http.duration", "s", Gauge{low:0.0,high:600.0}, 0.2, Never,
        "How long the answer took.", "";
    REACH_STATUS = 197, "http.response.status_code", "1", Gauge{low:100.0,high:999.0}, 0.0, Never,
        "Status of the answer.", "";
    REACH_IPV4 = 198, "network.reachability.ipv4.state", "", State(&["reachable","unreachable"]), 0.0, Never,
        "Whether the target takes a connection over IPv4.", "";
    REACH_IPV6 = 199, "network.reachability.ipv6.state", "", State(&["reachable","unreachable"]), 0.0, Never,
        "Whether the target takes a connection over IPv6.", "";
    REACH_FAULT = 200, "network.reachability.fault", "", State(&["none","no_link","no_address","gateway_silent","no_name_server","name_not_found","name_refused","name_timed_out","name_hijacked","name_failed","proxy_refused","proxy_login","connection_refused","connection_reset","connection_timed_out","no_route","captive_portal","tls_intercepted","certificate_expired","certificate_not_valid_yet","certificate_invalid","tls_failed","blocked","server_error","http_failed","bad_address"]), 0.0, Never,
        "Why the target could not be reached, in one word that rules can ask for.", "";
    // The agent itself.
    SPOOL_DROPPED = 220, "rollcall.spool.dropped", "{report}", Counter{low:0.0,high:9007199254740992.0}, 0.0, Never,
        "Reports dropped because the spool was full, since it was made.", "";
    SPOOL_CORRUPT = 221, "rollcall.spool.corrupt", "{record}", Counter{low:0.0,high:9007199254740992.0}, 0.0, Never,
        "Records skipped because they were damaged, since it was made.", "";
    SPOOL_BYTES = 222, "rollcall.spool.size", "By", Gauge{low:0.0,high:1.152921504606847e18}, 262144.0, Never,
        "Bytes that the spool takes on disk.", "";
    PROBE_STATE = 223, "rollcall.probe.state", "", State(&["ok","failed","cut_off"]), 0.0, Never,
        "How a probe ended; the instance is the probe.", "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_names_are_unique() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].code < pair[1].code));
        for metric in CATALOGUE {
            assert_eq!(by_code(metric.code), Some(*metric));
            assert_eq!(
                by_name(metric.name),
                Some(*metric),
                "{} occurs twice",
                metric.name
            );
        }
        assert_eq!((by_code(0), by_code(300)), (None, None));
    }

    #[test]
    fn each_row_makes_sense() {
        for metric in CATALOGUE {
            assert!(
                metric.meaning.ends_with('.') && metric.deadband >= 0.0,
                "{}",
                metric.name
            );
            match metric.kind {
                Gauge { low, high } | Counter { low, high } => {
                    assert!(low < high && !metric.unit.is_empty(), "{}", metric.name);
                }
                State(words) => assert!(words.len() > 1, "{}", metric.name),
                Flag | Text => assert!(metric.unit.is_empty(), "{}", metric.name),
            }
        }
    }

    /// The design's list of what is never collected.
    #[test]
    fn no_metric_names_what_is_never_collected() {
        let never = [
            "ssid",
            "location",
            "latitude",
            "user.name",
            "file.name",
            "address",
            "url",
        ];
        for metric in CATALOGUE {
            assert!(
                never.iter().all(|word| !metric.name.contains(word)),
                "{}",
                metric.name
            );
        }
    }
}
