//! How many laptops this machine's limits let in, and which limit to raise. Reading is thin; judging
//! is pure.

use rustix::process::{Resource, getrlimit};

/// Descriptors that are not laptops': the store's files, browsers, strangers, with room.
const OWN_DESCRIPTORS: u64 = 1000;

/// What a resting laptop costs of this process: measured with 6,000 (8.7 KiB), with room for its
/// part in the store.
const CONNECTION_BYTES: u64 = 16 * 1024;

/// Connections that may wait to be accepted when a school opens; the kernel drops those beyond.
const WAITING: u64 = 1024;

/// What the kernel keeps of an idle socket in `tcp_mem`: nothing while its buffers are empty; this is
/// for those that are just speaking.
const SOCKET_BYTES: u64 = 4096;

/// The limits as found; `None` for what this system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Open files of a process, at most.
    pub descriptors: Option<u64>,
    /// Connections that wait to be accepted.
    pub backlog: Option<u64>,
    /// Pages of all TCP buffers before the kernel refuses more.
    pub tcp_pages: Option<u64>,
    /// Connections that the firewall tracks, where it does.
    pub tracked: Option<u64>,
    /// The machine's memory in KiB.
    pub memory_kib: Option<u64>,
}

impl Limits {
    /// Reads them.
    pub fn read() -> Self {
        let number = |path: &str, word: usize| {
            let text = std::fs::read_to_string(path).ok()?;
            text.split_whitespace().nth(word)?.parse().ok()
        };
        Self {
            descriptors: getrlimit(Resource::Nofile).maximum,
            backlog: number("/proc/sys/net/core/somaxconn", 0),
            tcp_pages: number("/proc/sys/net/ipv4/tcp_mem", 2),
            tracked: number("/proc/sys/net/netfilter/nf_conntrack_max", 0),
            memory_kib: number("/proc/meminfo", 1),
        }
    }

    /// How many laptops may be connected at once, by the tightest limit.
    pub fn laptops(&self) -> u64 {
        let by = [
            self.descriptors
                .map(|most| most.saturating_sub(OWN_DESCRIPTORS)),
            self.tcp_pages
                .map(|pages| pages.saturating_mul(4096) / SOCKET_BYTES),
            self.tracked
                .map(|most| most.saturating_sub(OWN_DESCRIPTORS)),
            // Half of the memory; the rest is the store's and the system's.
            self.memory_kib
                .map(|kib| kib.saturating_mul(512) / CONNECTION_BYTES),
        ];
        by.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// What stands in the way of so many laptops, and what to set.
    pub fn advice(&self, laptops: u64) -> Vec<String> {
        let files = laptops + OWN_DESCRIPTORS;
        let pages = laptops.saturating_mul(SOCKET_BYTES) / 4096;
        let memory_mib = laptops.saturating_mul(2 * CONNECTION_BYTES) / (1024 * 1024);
        let needs = [
            (
                self.descriptors,
                files,
                format!(
                    "open files of a process: set `LimitNOFILE={files}` in the service, and `fs.nr_open` to as much"
                ),
            ),
            (
                self.backlog,
                WAITING,
                format!("waiting connections: `sysctl -w net.core.somaxconn={WAITING}`"),
            ),
            (
                self.tcp_pages,
                pages,
                format!("pages for TCP: raise the third number of `net.ipv4.tcp_mem` to {pages}"),
            ),
            (
                self.tracked,
                files,
                format!(
                    "connections that the firewall tracks: `sysctl -w net.netfilter.nf_conntrack_max={files}`, \
                 or do not track the agents' port"
                ),
            ),
            (
                self.memory_kib,
                memory_mib * 1024,
                format!("memory: {memory_mib} MiB"),
            ),
        ];
        let short = |(found, needed, what): (Option<u64>, u64, String)| {
            let found = found.filter(|found| *found < needed)?;
            Some(format!(
                "{laptops} laptops need more than {found} for {what}"
            ))
        };
        needs.into_iter().filter_map(short).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits {
        descriptors: Some(20_000),
        backlog: Some(128),
        tcp_pages: Some(575_802),
        tracked: Some(65_536),
        memory_kib: Some(24 * 1024 * 1024),
    };

    #[test]
    fn the_tightest_limit_counts_and_each_that_is_short_is_named() {
        assert_eq!(SMALL.laptops(), 19_000);
        assert_eq!(SMALL.advice(10_000).len(), 1, "the backlog alone");
        let advice = SMALL.advice(500_000);
        assert_eq!(advice.len(), 3, "{advice:?}");
        assert!(advice[0].contains("20000") && advice[0].contains("LimitNOFILE=501000"));
        assert!(advice[2].contains("nf_conntrack_max=501000"));
    }

    #[test]
    fn what_is_not_told_stands_in_nobodys_way() {
        assert_eq!(Limits::default().advice(1_000_000), [""; 0]);
        assert_eq!(Limits::default().laptops(), u64::MAX);
        assert!(Limits::read().laptops() > 0);
    }
}
