//! Whether the system has a machine of its own, or runs inside another one.

use crate::collect::Roots;
use crate::collect::source;

/// The word of `host.environment`: WSL and containers before the virtual machine that they may be in.
///
/// Sources: Microsoft's kernels name themselves; Docker and Podman leave a file in the container's
/// root, systemd one in `/run`; a processor in a virtual machine has the flag `hypervisor`, and those
/// on ARM name a virtual maker in DMI.
#[must_use]
pub fn name(roots: &Roots) -> &'static str {
    let kernel = source::text(&roots.proc.join("sys/kernel/osrelease")).unwrap_or_default();
    if kernel.to_ascii_lowercase().contains("microsoft") {
        return "wsl";
    }
    let marks = [
        roots.run.join(".containerenv"),
        roots.run.join("systemd/container"),
        roots.etc.with_file_name(".dockerenv"),
    ];
    if marks.iter().any(|mark| mark.exists()) {
        return "container";
    }
    let processor = source::text(&roots.proc.join("cpuinfo")).unwrap_or_default();
    let vendor = source::text(&roots.sys.join("class/dmi/id/sys_vendor")).unwrap_or_default();
    if has_hypervisor(&processor) || is_virtual(&vendor) {
        return "virtual_machine";
    }
    "machine"
}

fn has_hypervisor(cpuinfo: &str) -> bool {
    let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    lines.any(|(key, flags)| {
        key.trim() == "flags" && flags.split_whitespace().any(|flag| flag == "hypervisor")
    })
}

/// The same by what the firmware says of itself, where nothing else tells.
#[cfg(any(windows, test))]
#[must_use]
pub fn by_firmware(vendor: &str, model: &str) -> &'static str {
    // Hyper-V names Microsoft as the maker, as Surface laptops do.
    if is_virtual(vendor) || model == "Virtual Machine" {
        return "virtual_machine";
    }
    "machine"
}

fn is_virtual(vendor: &str) -> bool {
    const MAKERS: [&str; 6] = [
        "QEMU",
        "VMware",
        "innotek",
        "Xen",
        "Parallels",
        "Amazon EC2",
    ];
    MAKERS.iter().any(|maker| vendor.starts_with(maker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{tree, tree_copy};

    #[test]
    fn a_surface_is_a_machine_and_hyper_v_is_none() {
        let by = |model| by_firmware("Microsoft Corporation", model);
        assert_eq!(by("Surface Laptop SE"), "machine");
        assert_eq!(by("Virtual Machine"), "virtual_machine");
        assert_eq!(by_firmware("QEMU", "Standard PC"), "virtual_machine");
    }

    #[test]
    fn each_environment_is_named() {
        assert_eq!(name(&tree()), "machine");
        let (_folder, roots) = tree_copy();
        let cpuinfo = roots.proc.join("cpuinfo");
        std::fs::write(&cpuinfo, "processor : 0\nflags\t\t: fpu hypervisor lm\n").unwrap();
        assert_eq!(name(&roots), "virtual_machine");
        std::fs::write(roots.etc.with_file_name(".dockerenv"), "").unwrap();
        assert_eq!(name(&roots), "container");
        let kernel = roots.proc.join("sys/kernel/osrelease");
        std::fs::write(kernel, "5.15.167.4-microsoft-standard-WSL2\n").unwrap();
        assert_eq!(name(&roots), "wsl");
    }
}
