//! Where each metric comes from on each system, what OpenTelemetry calls it, and what it says in the
//! words of a family. The pages `shared/SOURCES.md` and `shared/FAMILIES.md` are generated from here.
//!
//! Who reads a metric on another system says so here: the tests hold each claim against the agent's code.

use crate::metric::{self, Metric};

/// How a metric stands on one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is collected, from this source.
    Collected(&'static str),
    /// The system cannot give it, for this reason.
    NotAvailable(&'static str),
    /// It is not collected, for this reason.
    NotCollected(&'static str),
}

/// One metric.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub metric: &'static Metric,
    /// OpenTelemetry's name for it or for the nearest that it has; `=` where it is the same, empty
    /// where there is none.
    pub opentelemetry: &'static str,
    /// On Linux.
    pub linux: Standing,
    /// On Windows.
    pub windows: Standing,
    /// On macOS.
    pub macos: Standing,
    /// What it tells, for a family.
    pub family: &'static str,
}

use Standing::{Collected as ON, NotAvailable as NEVER, NotCollected as OFF};

macro_rules! rows {
    ($($metric:ident, $otel:literal, $linux:expr, $windows:expr, $macos:expr, $family:literal;)*) => {
        /// A row for each metric, in the catalogue's order.
        pub static ROWS: &[Row] = &[$(Row {
            metric: &metric::$metric,
            opentelemetry: $otel,
            linux: $linux,
            windows: $windows,
            macos: $macos,
            family: $family,
        }),*];
    };
}

rows! {
    OS_TYPE, "=", ON("the agent itself"), ON("the agent itself"), ON("the agent itself"),
        "Which family of operating system the laptop runs.";
    OS_NAME, "=", ON("/etc/os-release"), ON("registry (ProductName)"), ON("SystemVersion.plist"),
        "The name of the operating system, such as Ubuntu.";
    OS_VERSION, "=", ON("/etc/os-release"), ON("registry (DisplayVersion)"), ON("SystemVersion.plist"),
        "Its version.";
    OS_BUILD, "=", ON("/proc/sys/kernel/osrelease"), ON("registry (CurrentBuild, UBR)"), ON("SystemVersion.plist"),
        "Its exact build.";
    OS_SUPPORT_REMAINING, "", ON("/etc/os-release (SUPPORT_END), else a table of vendors' dates"), ON("a table of Microsoft's dates by build and edition"), ON("a table of the days of Apple's releases"),
        "How long the maker still mends security holes in it.";
    UPTIME, "=", ON("/proc/uptime"), ON("GetTickCount64"), ON("sysinfo: sysctl kern.boottime"),
        "How long ago the laptop was last restarted. It does not say when anyone used it.";
    RESTART_PENDING, "", ON("/run/reboot-required, else /lib/modules and /boot beside the running kernel"), ON("registry (RebootPending, RebootRequired)"), NEVER("macOS restarts as a part of its update and leaves no mark before"),
        "Whether an update waits for a restart.";
    UPDATES_PENDING, "", ON("/var/lib/update-notifier, APT's lists"), ON("Windows Update Agent, without the network"), ON("com.apple.SoftwareUpdate.plist"),
        "How many updates are not installed yet.";
    UPDATES_SECURITY_PENDING, "", ON("/var/lib/update-notifier"), ON("Windows Update Agent (MsrcSeverity)"), NEVER("macOS does not tell them from others"),
        "How many of these mend security holes.";
    UPDATES_LAST_AGE, "", ON("/var/lib/apt/periodic, /var/cache"), ON("IAutomaticUpdatesResults"), ON("com.apple.SoftwareUpdate.plist"),
        "How long ago updates last went well.";
    UPDATES_FAILED, "", ON("/var/log/unattended-upgrades"), ON("Windows Update Agent's history"), NEVER("macOS does not count them"),
        "How often updates failed since then.";
    DISK_ENCRYPTION, "", ON("/proc/self/mountinfo and /sys/block/*/dm/uuid"), ON("WMI Win32_EncryptableVolume"), ON("fdesetup status"),
        "Whether what is on the disk stays secret if the laptop is stolen.";
    CLOCK_OFFSET, "", ON("the collector, from each report's time"), ON("the collector"), ON("the collector"),
        "How wrong the laptop's clock is.";
    UNEXPECTED_SHUTDOWNS, "", ON("/var/log/wtmp"), ON("event log (41 and 6008)"), OFF("macOS keeps the causes in a log that takes minutes to search"),
        "How often the laptop went off without being shut down. Only the number is sent.";
    CRASHES, "", ON("/var/crash, /sys/fs/pstore"), ON("event log (1001)"), ON("names in DiagnosticReports"),
        "How often the system itself crashed. Only the number is sent: no program, file or person.";
    BOOT_TIME, "", ON("/proc/stat (btime)"), ON("the wall clock and GetTickCount64"), ON("the wall clock and sysctl kern.boottime"),
        "When the laptop was last started.";
    ENVIRONMENT, "", ON("/proc/sys/kernel/osrelease, /run/.containerenv, /.dockerenv, /proc/cpuinfo, DMI"), ON("SMBIOS (maker and model)"), ON("sysctl kern.hv_vmm_present"),
        "Whether the system runs on the laptop itself or inside another system.";
    HOST_VENDOR, "", ON("/sys/class/dmi/id/sys_vendor"), ON("SMBIOS"), ON("ioreg, IOPlatformExpertDevice"),
        "Who made the laptop.";
    HOST_MODEL, "", ON("/sys/class/dmi/id/product_name, else the device tree"), ON("SMBIOS"), ON("ioreg, IOPlatformExpertDevice"),
        "Which model it is.";
    HOST_SERIAL, "", ON("/sys/class/dmi/id/product_serial"), ON("SMBIOS"), ON("ioreg, IOPlatformExpertDevice"),
        "A number by which the school knows which laptop it is. It is scrambled on the laptop unless the school asks for the plain one.";
    FIRMWARE_VERSION, "", ON("/sys/class/dmi/id/bios_version"), ON("SMBIOS"), NEVER("Apple's firmware comes with the system and has its version"),
        "The version of the laptop's firmware.";
    CPU_MODEL, "=", ON("/proc/cpuinfo"), ON("registry (ProcessorNameString)"), ON("sysinfo: sysctl machdep.cpu.brand_string"),
        "Which processor it has.";
    CPU_COUNT, "=", ON("/proc/cpuinfo"), ON("the process's affinity"), ON("sysinfo: sysctl hw.logicalcpu"),
        "How many processors that counts as.";
    MEMORY_LIMIT, "=", ON("/proc/meminfo"), ON("GlobalMemoryStatusEx"), ON("sysinfo: sysctl hw.memsize"),
        "How much memory it has.";
    BATTERY_STATE, "hw.status", ON("/sys/class/power_supply/*/uevent (STATUS)"), ON("IOCTL_BATTERY_QUERY_STATUS"), ON("ioreg, AppleSmartBattery (IsCharging, FullyCharged)"),
        "Whether the battery charges, empties or is full.";
    BATTERY_CHARGE, "=", ON("uevent (ENERGY_NOW or CHARGE_NOW over FULL, else CAPACITY)"), ON("IOCTL_BATTERY_QUERY_STATUS over INFORMATION"), ON("ioreg, AppleSmartBattery (CurrentCapacity, MaxCapacity)"),
        "How full the battery is.";
    BATTERY_DESIGN_CAPACITY, "", ON("uevent (ENERGY_FULL_DESIGN, or CHARGE_FULL_DESIGN at the design voltage)"), ON("IOCTL_BATTERY_QUERY_INFORMATION"), ON("ioreg, AppleSmartBattery (DesignCapacity)"),
        "How much the battery could hold when it was new.";
    BATTERY_FULL_CAPACITY, "", ON("uevent (ENERGY_FULL, or CHARGE_FULL at the design voltage)"), ON("IOCTL_BATTERY_QUERY_INFORMATION"), ON("ioreg, AppleSmartBattery (AppleRawMaxCapacity)"),
        "How much it can hold today.";
    BATTERY_HEALTH, "", ON("the two before, as a share"), ON("the two before, as a share"), ON("the two before, as a share"),
        "How worn the battery is.";
    BATTERY_CYCLES, "", ON("uevent (CYCLE_COUNT)"), ON("IOCTL_BATTERY_QUERY_INFORMATION"), ON("ioreg, AppleSmartBattery (CycleCount)"),
        "How often it was charged in full.";
    BATTERY_POWER, "hw.power", ON("uevent (POWER_NOW, else CURRENT_NOW and VOLTAGE_NOW)"), ON("IOCTL_BATTERY_QUERY_STATUS (Rate)"), ON("ioreg, AppleSmartBattery (InstantAmperage, Voltage)"),
        "How much power flows into or out of it.";
    BATTERY_VOLTAGE, "", ON("uevent (VOLTAGE_NOW)"), ON("IOCTL_BATTERY_QUERY_STATUS"), ON("ioreg, AppleSmartBattery (Voltage)"),
        "Its voltage.";
    BATTERY_TEMPERATURE, "hw.temperature", ON("uevent (TEMP)"), ON("IOCTL_BATTERY_QUERY_INFORMATION (BatteryTemperature)"), ON("ioreg, AppleSmartBattery (Temperature)"),
        "How warm it is.";
    BATTERY_TIME_LEFT, "=", ON("uevent (TIME_TO_EMPTY_NOW, TIME_TO_FULL_NOW), else from charge and power"), ON("from charge and power"), ON("ioreg, AppleSmartBattery (TimeRemaining)"),
        "How long it will last, or how long it still charges.";
    BATTERY_CHARGE_LIMIT, "hw.battery.charge.limit", ON("charge_control_end_threshold"), NEVER("each maker has its own setting"), NEVER("macOS moves its limit by itself"),
        "Up to how much it is set to be charged.";
    BATTERY_MODEL, "", ON("uevent (MANUFACTURER, MODEL_NAME)"), ON("IOCTL_BATTERY_QUERY_INFORMATION (names)"), ON("ioreg, AppleSmartBattery (DeviceName)"),
        "Who made the battery. No serial number.";
    CHARGER_CONNECTED, "", ON("uevent of Mains, USB and Wireless (ONLINE)"), ON("GetSystemPowerStatus"), ON("ioreg, AppleSmartBattery (ExternalConnected)"),
        "Whether a charger is plugged in.";
    CHARGER_POWER, "", ON("uevent of USB (VOLTAGE_NOW, CURRENT_MAX)"), NEVER("Windows does not tell what the charger gives"), ON("ioreg, AppleSmartBattery (AdapterDetails)"),
        "How strong the charger is.";
    BATTERY_CONDITION, "hw.status", ON("uevent (HEALTH)"), NEVER("the battery class has no such question"), ON("ioreg, AppleSmartBattery (PermanentFailureStatus)"),
        "What the battery says of itself.";
    BATTERY_CELL_VOLTAGE, "", NEVER("the kernel has no such attribute"), NEVER("neither ACPI nor WMI has it"), ON("ioreg, AppleSmartBattery (BatteryData, CellVoltage)"),
        "The voltage of each cell of the battery.";
    CHARGER_ADEQUATE, "", ON("whether a battery empties beside a connected charger"), ON("whether a battery empties beside a connected charger"), ON("whether the battery empties beside a connected charger"),
        "Whether the charger is strong enough for the laptop.";
    FILESYSTEM_LIMIT, "=", ON("statvfs of each mount of /proc/self/mountinfo; network mounts are not the laptop's own and are left out"), ON("GetDiskFreeSpaceExW of fixed drives"), ON("sysinfo: CFURL volume keys"),
        "How large the disk is.";
    FILESYSTEM_FREE, "system.filesystem.usage", ON("statvfs"), ON("GetDiskFreeSpaceExW"), ON("sysinfo: CFURL volume keys"),
        "How much room is left on it.";
    FILESYSTEM_UTILIZATION, "=", ON("statvfs"), ON("GetDiskFreeSpaceExW"), ON("sysinfo: CFURL volume keys"),
        "How full the disk is. What lies on it is never looked at.";
    FILESYSTEM_INODE_UTILIZATION, "", ON("statvfs"), NEVER("NTFS makes its records as needed"), ON("statvfs"),
        "Whether there is room for more files.";
    FILESYSTEM_READ_ONLY, "", ON("/proc/self/mountinfo beside /etc/fstab"), ON("GetVolumeInformationW"), ON("sysinfo: statfs; of the volume of data where the system's own is sealed"),
        "Whether the disk has stopped taking changes, as it does when it is damaged.";
    FILESYSTEM_ERRORS, "", ON("/sys/fs/ext4/*/errors_count, /sys/fs/btrfs/*/devinfo/*/error_stats"), NEVER("NTFS notes that it is damaged and counts nothing"), NEVER("APFS counts nothing for others to read"),
        "How many errors the disk's order has had.";
    FILESYSTEM_TYPE, "", ON("/proc/self/mountinfo"), ON("GetVolumeInformationW"), ON("sysinfo: statfs"),
        "In which way the disk is ordered.";
    FILESYSTEM_CLASS_SIZE, "", ON("sizes below /var/cache of package managers; temporary files and homes are closed to the agent's service"), ON("sizes below SoftwareDistribution, Temp and each profile's Temp and Downloads"), ON("sizes below /Library/Updates, /private/tmp and /private/var; Downloads where macOS lets the agent"),
        "How much room updates, temporary files and downloads take. Only sizes are sent: no file's name, and no file is opened.";
    DRIVE_MODEL, "", ON("smartctl, else /sys/block/*/device/model"), ON("WMI MSFT_PhysicalDisk"), ON("system_profiler"),
        "Which disk the laptop has. No serial number.";
    DRIVE_FIRMWARE, "", ON("smartctl, else /sys/block/*/device/firmware_rev"), ON("WMI MSFT_PhysicalDisk"), ON("system_profiler"),
        "The version of the disk's own software.";
    DRIVE_KIND, "", ON("/sys/block/*/queue/rotational and the name"), ON("WMI MSFT_PhysicalDisk"), ON("system_profiler"),
        "Whether it turns or is made of chips.";
    DRIVE_SIZE, "=", ON("/sys/block/*/size"), ON("WMI MSFT_PhysicalDisk"), ON("system_profiler"),
        "How large it is.";
    DRIVE_VERDICT, "hw.status", ON("smartctl"), ON("WMI MSFT_PhysicalDisk (HealthStatus) and smartctl"), ON("system_profiler (smart_status) and smartctl"),
        "Whether the disk says of itself that it is failing.";
    DRIVE_SMART, "=", ON("smartctl"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "What the disk has counted about its own health.";
    DRIVE_REALLOCATED, "", ON("smartctl (attribute 5, SCSI's grown defects)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How many damaged places it has replaced.";
    DRIVE_PENDING, "", ON("smartctl (attribute 197)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How many places it cannot read at the moment.";
    DRIVE_UNCORRECTABLE, "hw.errors", ON("smartctl (attributes 187 and 198, SCSI's counters)"), ON("WMI MSFT_StorageReliabilityCounter, else smartctl"), ON("smartctl, where it is installed"),
        "How many errors it could not mend.";
    DRIVE_CRC_ERRORS, "hw.errors", ON("smartctl (attribute 199)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How many errors there were on its cable.";
    DRIVE_ENDURANCE_USED, "=", ON("smartctl (wear attributes of ATA, NVMe's percentage used)"), ON("WMI MSFT_StorageReliabilityCounter, else smartctl"), ON("smartctl, where it is installed"),
        "How worn it is.";
    DRIVE_TEMPERATURE, "hw.temperature", ON("smartctl"), ON("WMI MSFT_StorageReliabilityCounter, else smartctl"), ON("smartctl, where it is installed"),
        "How warm it is.";
    DRIVE_POWER_ON, "", ON("smartctl"), ON("WMI MSFT_StorageReliabilityCounter, else smartctl"), ON("smartctl, where it is installed"),
        "How many hours it has run in its life.";
    NVME_CRITICAL_WARNING, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "Warnings of the disk about itself.";
    NVME_AVAILABLE_SPARE, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How many replacements for damaged places it has left.";
    NVME_SPARE_THRESHOLD, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How few of them its maker thinks too few.";
    NVME_PERCENTAGE_USED, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How much of its life its maker thinks is used.";
    NVME_MEDIA_ERRORS, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How many errors it could not mend.";
    NVME_ERROR_LOG_ENTRIES, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How many lines its log of errors has.";
    NVME_UNSAFE_SHUTDOWNS, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How often the power went before it was told.";
    NVME_WRITTEN, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How much was ever written to it; not what.";
    DRIVE_IO_ERRORS, "hw.errors", ON("/sys/block/*/device/ioerr_cnt"), NEVER("Windows notes them in its log and counts none by drive"), NEVER("macOS keeps no count of them for others to read"),
        "How many commands to the disk failed since the start.";
    NVME_WARNING_TEMPERATURE_TIME, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How long it was too warm.";
    NVME_CRITICAL_TEMPERATURE_TIME, "", ON("smartctl (NVMe's health log)"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How long it was much too warm.";
    DRIVE_POWER_CYCLES, "", ON("smartctl"), ON("smartctl, where it is installed"), ON("smartctl, where it is installed"),
        "How often it was switched on.";
    CPU_UTILIZATION, "=", ON("/proc/stat"), ON("GetSystemTimes"), ON("host_statistics64"),
        "How busy the processor is; not with what.";
    CPU_LOAD_15M, "", ON("/proc/loadavg"), NEVER("Windows has no load average"), ON("sysinfo: getloadavg"),
        "How many tasks wait for the processor.";
    MEMORY_UTILIZATION, "=", ON("/proc/meminfo"), ON("GlobalMemoryStatusEx"), ON("sysinfo: host_statistics64"),
        "How full the memory is; not with what.";
    PAGING_UTILIZATION, "=", ON("/proc/meminfo"), ON("GlobalMemoryStatusEx (commit beyond memory)"), ON("sysinfo: sysctl vm.swapusage"),
        "How much of the memory had to be moved to the disk.";
    PRESSURE_CPU, "", ON("/proc/pressure/cpu"), NEVER("Windows does not measure it"), NEVER("macOS does not measure it"),
        "How often something had to wait for the processor.";
    PRESSURE_MEMORY, "", ON("/proc/pressure/memory"), NEVER("Windows does not measure it"), NEVER("macOS tells three levels, no share"),
        "How often something had to wait for memory.";
    PRESSURE_IO, "", ON("/proc/pressure/io"), NEVER("Windows does not measure it"), NEVER("macOS does not measure it"),
        "How often something had to wait for the disk.";
    TEMPERATURE, "=", ON("/sys/class/thermal, /sys/class/hwmon"), ON("WMI MSAcpi_ThermalZoneTemperature"), OFF("only Apple's private interfaces tell the sensors; that of the battery is read with it"),
        "How warm the laptop is inside.";
    TEMPERATURE_HEADROOM, "", ON("critical limits of the same sensors"), ON("WMI MSAcpi_ThermalZoneTemperature"), OFF("only Apple's private interfaces tell the sensors"),
        "How far that is from too warm.";
    THROTTLE_EVENTS, "", ON("/sys/devices/system/cpu/cpu*/thermal_throttle"), NEVER("Windows tells how fast the processor is and counts no events"), NEVER("macOS tells levels of heat and counts no events"),
        "How often heat made the laptop slower.";
    FAN_SPEED, "=", ON("/sys/class/hwmon/*/fan*_input"), NEVER("WMI has the class Win32_Fan, and no firmware fills it"), OFF("only Apple's private interfaces tell the sensors"),
        "How fast its fan turns.";
    VANTAGE, "", ON("a beacon inside the school, known by its certificate"), ON("a beacon inside the school, known by its certificate"), ON("a beacon inside the school, known by its certificate"),
        "Whether the laptop is at a school, and at which. Away from school it only says \"off campus\": never where.";
    LINK_STATE, "hw.status", ON("/sys/class/net/*/operstate"), ON("GetIfTable2"), ON("networksetup, ifconfig"),
        "Whether the network is connected.";
    LINK_KIND, "", ON("/sys/class/net/*/uevent and type"), ON("GetIfTable2"), ON("networksetup"),
        "Whether that is by cable, Wi-Fi or a mobile network.";
    LINK_SPEED, "hw.network.bandwidth.limit", ON("/sys/class/net/*/speed"), ON("GetIfTable2"), ON("system_profiler (Wi-Fi)"),
        "How fast the connection could be.";
    LINK_SIGNAL, "", ON("nl80211, else /proc/net/wireless"), ON("WlanQueryInterface (RSSI alone)"), ON("system_profiler"),
        "How strong the Wi-Fi is. The network's name is never sent.";
    LINK_ERRORS, "system.network.errors", ON("/sys/class/net/*/statistics"), ON("GetIfTable2"), ON("netstat -ibn"),
        "How many errors the connection had.";
    LINK_BIT_RATE, "", ON("nl80211 (station's transmit rate)"), ON("GetIfTable2 (TransmitLinkSpeed of a radio)"), ON("system_profiler (Wi-Fi)"),
        "How fast the Wi-Fi is at the moment.";
    LINK_ROAMS, "", ON("nl80211 (the access point's address compared on the laptop and forgotten)"), NEVER("the access point's address is told only to who may know the place"), NEVER("the access point's address is told only to who may know the place"),
        "How often the laptop changed from one Wi-Fi antenna to another. Which ones is never sent.";
    LINK_DROPS, "", ON("/sys/class/net/*/carrier_down_count"), NEVER("Windows counts none"), NEVER("macOS counts none"),
        "How often the connection broke.";
    LINK_DRIVER, "", ON("/sys/class/net/*/device/driver and its module's version, else /proc/sys/kernel/osrelease"), ON("the registry: DriverDesc and DriverVersion of the adapter"), NEVER("drivers are part of the system's build"),
        "Which software runs the Wi-Fi, and its version.";
    GATEWAY_REACHABLE, "", ON("/proc/net/route, /proc/net/arp"), ON("GetAdaptersAddresses, GetIpNetTable2"), ON("netstat, arp"),
        "Whether the router answers.";
    DNS_DURATION, "=", ON("the lookup of the first target"), ON("the lookup of the first target"), ON("the lookup of the first target"),
        "How long it takes to find a service by its name.";
    DNS_STATE, "", ON("lookups of the targets; UDP questions to the servers of /etc/resolv.conf tell refusal, silence and forgery apart"), ON("lookups of the targets; UDP questions to the servers of /etc/resolv.conf tell refusal, silence and forgery apart"), ON("lookups of the targets; UDP questions to the servers of /etc/resolv.conf tell refusal, silence and forgery apart"),
        "Whether services can be found by their names.";
    PROXY_CONFIGURED, "", ON("environment, /etc/environment, dconf's system databases, kioslaverc"), ON("environment, WinHTTP, the account's settings"), ON("environment, scutil --proxy"),
        "Whether the network asks for a detour (a proxy).";
    CAPTIVE_PORTAL, "", ON("what targets in clear answer"), ON("what targets in clear answer"), ON("what targets in clear answer"),
        "Whether a login page stands in the way, as in cafés.";
    TLS_INTERCEPTED, "", ON("the certificate that a target shows, beside public authorities"), ON("the certificate that a target shows, beside public authorities"), ON("the certificate that a target shows, beside public authorities"),
        "Whether somebody, such as a filter, opens the encryption between laptop and service; and whose name he gives.";
    PROXY_KIND, "", ON("environment, /etc/environment, dconf's system databases, kioslaverc"), ON("environment, WinHTTP, the account's settings"), ON("environment, scutil --proxy"),
        "How the detour is found.";
    REACH_STATE, "", ON("an attempt at each service that the school has listed"), ON("an attempt at each service that the school has listed"), ON("an attempt at each service that the school has listed"),
        "Whether a service that lessons need, such as Google Classroom, can be reached. Only the school's own list is tried: what anyone visits is never seen.";
    REACH_FAILED_STAGE, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "If it cannot: which part of the way fails.";
    REACH_CAUSE, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "And why, in words.";
    REACH_DNS, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "How long each part of the way took.";
    REACH_TCP, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "The same, for the connection.";
    REACH_TLS, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "The same, for the encryption.";
    REACH_HTTP, "http.client.request.duration", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "The same, for the answer.";
    REACH_STATUS, "=", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "What the service answered, as a number.";
    REACH_IPV4, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "Whether it can be reached by the older kind of internet address.";
    REACH_IPV6, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "Whether it can be reached by the newer kind.";
    REACH_FAULT, "", ON("the same attempt"), ON("the same attempt"), ON("the same attempt"),
        "Why it cannot be reached, in one word.";
    SPOOL_DROPPED, "", ON("the agent's own queue"), ON("the agent's own queue"), ON("the agent's own queue"),
        "How many of its reports the agent had to throw away.";
    SPOOL_CORRUPT, "", ON("the agent's own queue"), ON("the agent's own queue"), ON("the agent's own queue"),
        "How many were damaged on the disk.";
    SPOOL_BYTES, "", ON("the agent's own queue"), ON("the agent's own queue"), ON("the agent's own queue"),
        "How much room its waiting reports take.";
    PROBE_STATE, "", ON("the agent's own probes"), ON("the agent's own probes"), ON("the agent's own probes"),
        "Whether each part of the agent works.";
}

/// The row of a metric.
#[must_use]
pub fn of(metric: &Metric) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.metric == metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_row() {
        let rows: Vec<&str> = ROWS.iter().map(|row| row.metric.name).collect();
        let metrics: Vec<&str> = metric::CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(rows, metrics);
    }

    #[test]
    fn a_family_is_told_in_sentences_without_our_words() {
        for row in ROWS {
            let text = row.family;
            assert!(
                text.ends_with('.') && text.len() > 10,
                "{}",
                row.metric.name
            );
            for word in [
                "DNS", "TLS", "SMART", "NVMe", "inode", "spool", "probe", "TCP",
            ] {
                assert!(!text.contains(word), "{}: {word}", row.metric.name);
            }
        }
    }
}
