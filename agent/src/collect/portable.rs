//! What macOS tells through `sysinfo`. It is tested on Linux too, where the files under [`super::Roots`] tell
//! more.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};

use super::filesystem;
use super::probe::Probe;
use super::source::{self, Sourced};

/// Reads memory, or the file systems; nothing for other probes.
#[must_use]
pub fn read(probe: Probe) -> Vec<Reading> {
    match probe {
        Probe::Memory => read_memory(),
        Probe::Filesystem => read_filesystems(),
        _ => Vec::new(),
    }
}

/// Reads the time since the start.
#[must_use]
pub fn read_uptime() -> Reading {
    let uptime = told(System::uptime()).map(|seconds| seconds as f64);
    source::number_or_why(&metric::UPTIME, "", uptime)
}

/// Reads the processor and the memory that are installed.
#[must_use]
pub fn read_processor_and_memory() -> Vec<Reading> {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = told(System::new_with_specifics(wanted));
    let of =
        |read: fn(&System) -> Sourced<f64>| system.as_ref().map_err(Clone::clone).and_then(read);
    let brand = system.as_ref().map_err(Clone::clone).and_then(|system| {
        let first = system.cpus().first().ok_or("no processor is listed")?;
        Ok(first.brand().trim().to_owned())
    });
    vec![
        source::text_or_why(&metric::CPU_MODEL, "", brand),
        source::number_or_why(
            &metric::CPU_COUNT,
            "",
            of(|system| Ok(system.cpus().len() as f64)),
        ),
        source::number_or_why(
            &metric::MEMORY_LIMIT,
            "",
            of(|s| Ok(s.total_memory() as f64)),
        ),
    ]
}

fn read_memory() -> Vec<Reading> {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    let system = told(System::new_with_specifics(wanted));
    let of =
        |read: fn(&System) -> Sourced<f64>| system.as_ref().map_err(Clone::clone).and_then(read);
    let memory = of(|system| used_share(system.available_memory(), system.total_memory()));
    let paging = of(|system| used_share(system.free_swap(), system.total_swap()));
    vec![
        source::number_or_why(&metric::MEMORY_UTILIZATION, "", memory),
        source::number_or_why(&metric::PAGING_UTILIZATION, "", paging),
    ]
}

fn read_filesystems() -> Vec<Reading> {
    let disks = match told(Disks::new_with_refreshed_list()) {
        Ok(disks) => disks,
        Err(why) => {
            return vec![Reading::unavailable(
                &metric::FILESYSTEM_UTILIZATION,
                "",
                &why,
            )];
        }
    };
    let volumes = disks
        .iter()
        .filter(|disk| !disk.is_removable())
        .map(|disk| Volume {
            point: disk.mount_point().to_string_lossy().into_owned(),
            kind: disk.file_system().to_string_lossy().to_lowercase(),
            bytes: disk.total_space(),
            available_bytes: disk.available_space(),
            is_read_only: disk.is_read_only(),
            inodes: filesystem::inode_utilization_at(&disk.mount_point().to_string_lossy()),
        });
    readings_of(volumes.collect())
}

/// A file system as `sysinfo` lists it.
#[derive(Debug, Clone, PartialEq)]
struct Volume {
    point: String,
    kind: String,
    bytes: u64,
    available_bytes: u64,
    is_read_only: bool,
    inodes: Sourced<f64>,
}

/// Where macOS keeps what changes; the system's own volume is sealed and never written.
const DATA: &str = "/System/Volumes/Data";

fn readings_of(mut volumes: Vec<Volume>) -> Vec<Reading> {
    let data = volumes.iter().find(|volume| volume.point == DATA);
    let is_data_read_only = data
        .map(|volume| volume.is_read_only)
        .ok_or_else(|| "macOS lists no volume of data".to_owned());
    // The other volumes of a Mac's container share its space, which `/` tells.
    volumes.retain(|volume| {
        filesystem::keeps_files(&volume.kind) && !volume.point.starts_with("/System/Volumes/")
    });
    volumes.sort_by(|a, b| a.point.cmp(&b.point));
    volumes.dedup_by(|a, b| a.point == b.point);
    let named = filesystem::named(volumes, |volume| &volume.point);
    named
        .into_iter()
        .flat_map(|(name, volume)| {
            let is_read_only = if volume.point == "/" && volume.is_read_only {
                is_data_read_only.clone()
            } else {
                // A medium may be locked, which is no fault.
                Ok(volume.is_read_only && !volume.point.starts_with("/Volumes/"))
            };
            volume.readings(&name, is_read_only)
        })
        .collect()
}

impl Volume {
    fn readings(&self, name: &str, is_read_only: Sourced<bool>) -> Vec<Reading> {
        let utilization = used_share(self.available_bytes, self.bytes);
        vec![
            Reading::number(&metric::FILESYSTEM_LIMIT, name, self.bytes as f64),
            Reading::number(&metric::FILESYSTEM_FREE, name, self.available_bytes as f64),
            source::number_or_why(&metric::FILESYSTEM_UTILIZATION, name, utilization),
            source::number_or_why(
                &metric::FILESYSTEM_INODE_UTILIZATION,
                name,
                self.inodes.clone(),
            ),
            source::flag_or_why(&metric::FILESYSTEM_READ_ONLY, name, is_read_only),
            Reading::text(&metric::FILESYSTEM_TYPE, name, &self.kind),
        ]
    }
}

fn used_share(free: u64, total: u64) -> Sourced<f64> {
    if total == 0 {
        return Err("there is none".to_owned());
    }
    Ok((1.0 - free as f64 / total as f64).clamp(0.0, 1.0))
}

fn told<T>(answer: Result<T, sysinfo::Error>) -> Sourced<T> {
    answer.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rollcall_shared::metric::Metric;

    use super::*;

    fn number(readings: &[Reading], metric: &Metric, instance: &str) -> Option<f64> {
        let found = readings
            .iter()
            .find(|r| r.metric() == metric && r.instance() == instance)?;
        found.value().as_number()
    }

    fn volume(point: &str, kind: &str, bytes: u64, available_bytes: u64) -> Volume {
        Volume {
            point: point.to_owned(),
            kind: kind.to_owned(),
            bytes,
            available_bytes,
            is_read_only: false,
            inodes: Ok(0.25),
        }
    }

    #[test]
    fn this_machine_tells_its_uptime_memory_and_processor() {
        let uptime = read_uptime();
        assert!(
            uptime.value().as_number().is_some_and(|s| s > 0.0),
            "{uptime:?}"
        );
        let hardware = read_processor_and_memory();
        assert!(number(&hardware, &metric::CPU_COUNT, "").is_some_and(|n| n >= 1.0));
        assert!(number(&hardware, &metric::MEMORY_LIMIT, "").is_some_and(|b| b > 1e7));
        let memory = read(Probe::Memory);
        let used = number(&memory, &metric::MEMORY_UTILIZATION, "");
        assert!(used.is_some_and(|share| (0.0..=1.0).contains(&share)));
        assert_eq!(read(Probe::Battery), []);
    }

    #[test]
    fn volumes_are_counted_once_and_named_without_a_person() {
        let mac = readings_of(vec![
            volume("/System/Volumes/Data", "apfs", 500, 100),
            volume("/", "apfs", 500, 100),
            volume("/Volumes/Ada Lovelace", "exfat", 64, 32),
            volume("/dev", "devfs", 1, 0),
        ]);
        assert_eq!(
            number(&mac, &metric::FILESYSTEM_UTILIZATION, "/"),
            Some(0.8)
        );
        assert!(
            mac.iter()
                .all(|reading| !reading.instance().contains("Ada")),
            "{mac:?}"
        );
        assert_eq!(mac.len(), 12, "two volumes");
        assert_eq!(
            number(&mac, &metric::FILESYSTEM_INODE_UTILIZATION, "/"),
            Some(0.25)
        );
    }

    #[test]
    fn the_sealed_volume_is_no_fault_and_one_of_data_that_cannot_be_written_is() {
        let is_read_only = |data: bool, medium: bool| {
            let locked = |point: &str, kind: &str, is_read_only| Volume {
                is_read_only,
                ..volume(point, kind, 500, 100)
            };
            let readings = readings_of(vec![
                locked("/", "apfs", true),
                locked(DATA, "apfs", data),
                locked("/Volumes/Ada", "exfat", medium),
            ]);
            let told = readings
                .iter()
                .filter(|reading| reading.metric() == &metric::FILESYSTEM_READ_ONLY);
            let told = told.map(|reading| format!("{:?}", reading.value()));
            told.collect::<Vec<_>>()
        };
        assert_eq!(is_read_only(false, true), ["Flag(false)", "Flag(false)"]);
        assert_eq!(is_read_only(true, false), ["Flag(true)", "Flag(false)"]);
    }
}
