//! What the machine is: DMI tables, or the device tree where there are none; and the fingerprint.

use rollcall_shared::fingerprint::{HardwareFingerprint, hash_part};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};
use super::{memory, mounts};

/// Reads maker, model, serial number (its hash unless `clear_serial`), firmware, processor, memory.
#[must_use]
pub fn read(roots: &Roots, clear_serial: bool) -> Vec<Reading> {
    let cpuinfo = source::text(&roots.proc.join("cpuinfo"));
    let count = cpuinfo
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|text| count(text));
    let serial = serial(roots).and_then(|serial| told_serial(&serial, clear_serial));
    vec![
        source::text_or_why(&metric::HOST_VENDOR, "", dmi(roots, "sys_vendor")),
        source::text_or_why(&metric::HOST_MODEL, "", model(roots)),
        source::text_or_why(&metric::HOST_SERIAL, "", serial),
        source::text_or_why(&metric::FIRMWARE_VERSION, "", dmi(roots, "bios_version")),
        source::text_or_why(
            &metric::CPU_MODEL,
            "",
            cpuinfo.and_then(|text| cpu_model(&text)),
        ),
        source::number_or_why(&metric::CPU_COUNT, "", count),
        source::number_or_why(&metric::MEMORY_LIMIT, "", memory::total_bytes(roots)),
    ]
}

/// What tells this machine from another that was imaged from the same disk.
#[must_use]
pub fn fingerprint(roots: &Roots) -> HardwareFingerprint {
    let uuid = dmi(roots, "product_uuid").ok();
    let serial = serial(roots).ok();
    let drive = system_drive(roots).and_then(|drive| drive_serial(roots, &drive));
    HardwareFingerprint::from_serials(uuid.as_deref(), serial.as_deref(), drive.as_deref())
}

/// The maker and the model, as readings tell them; empty where the machine does not.
#[must_use]
pub fn maker_and_model(roots: &Roots) -> (String, String) {
    let vendor = dmi(roots, "sys_vendor").unwrap_or_default();
    (vendor, model(roots).unwrap_or_default())
}

fn dmi(roots: &Roots, name: &str) -> Sourced<String> {
    source::text(&roots.sys.join("class/dmi/id").join(name))
}

fn device_tree(roots: &Roots, name: &str) -> Sourced<String> {
    source::text(&roots.sys.join("firmware/devicetree/base").join(name))
}

/// Lenovo keeps the name that people know in the version, and a type number in the name.
fn model(roots: &Roots) -> Sourced<String> {
    let name =
        dmi(roots, "product_name").or_else(|why| device_tree(roots, "model").map_err(|_| why))?;
    let is_lenovo =
        dmi(roots, "sys_vendor").is_ok_and(|vendor| vendor.eq_ignore_ascii_case("lenovo"));
    match dmi(roots, "product_version") {
        Ok(version) if is_lenovo && !version.is_empty() => Ok(format!("{version} ({name})")),
        _ => Ok(name),
    }
}

fn serial(roots: &Roots) -> Sourced<String> {
    dmi(roots, "product_serial").or_else(|why| device_tree(roots, "serial-number").map_err(|_| why))
}

/// A serial number as it is reported: its hash, unless the admin asks for the clear one.
///
/// # Errors
/// That it is a placeholder.
pub fn told_serial(serial: &str, clear: bool) -> Sourced<String> {
    let hash = hash_part("system-serial", serial).ok_or("the maker left a placeholder")?;
    Ok(if clear { serial.to_owned() } else { hex(&hash) })
}

/// Hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The drive that the root file system lies on.
fn system_drive(roots: &Roots) -> Option<String> {
    let mounts = mounts::read(roots).ok()?;
    let root = mounts.iter().find(|mount| mount.point == "/")?;
    let device = mounts::device_name(roots, root)?;
    mounts::stack(roots, &device).pop()
}

/// NVMe and eMMC, then virtio, then the identity that SCSI and SATA drives give.
fn drive_serial(roots: &Roots, drive: &str) -> Option<String> {
    let block = roots.sys.join("block").join(drive);
    let files = ["device/serial", "serial", "device/wwid", "wwid"];
    files.iter().find_map(|file| {
        source::text(&block.join(file))
            .ok()
            .filter(|text| !text.is_empty())
    })
}

fn count(cpuinfo: &str) -> Sourced<f64> {
    let lines = cpuinfo.lines().filter(|line| {
        line.split(':')
            .next()
            .is_some_and(|key| key.trim() == "processor")
    });
    match lines.count() {
        0 => Err("/proc/cpuinfo lists no processor".to_owned()),
        count => Ok(count as f64),
    }
}

/// Intel and AMD say `model name`; some ARM kernels say `Model` or nothing.
fn cpu_model(cpuinfo: &str) -> Sourced<String> {
    let fields = || cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let named = |name: &str| {
        fields()
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value)
    };
    let model = named("model name")
        .or_else(|| named("Model"))
        .or_else(|| named("Hardware"));
    let words = model.map(|model| model.split_whitespace().collect::<Vec<_>>().join(" "));
    words.ok_or_else(|| "/proc/cpuinfo names no model".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, tree, value};
    use proptest::prelude::*;

    #[test]
    fn the_worn_laptop_keeps_its_serial_number_to_itself() {
        let readings = read(&tree(), false);
        assert_eq!(value(&readings, "host.vendor", ""), "LENOVO");
        assert_eq!(
            value(&readings, "host.model", ""),
            "ThinkPad L390 (20NSS0AB00)"
        );
        let hash = value(&readings, "host.serial_number", "");
        assert!(hash.len() == 64 && !hash.contains("PF1EXMPL"), "{hash}");
        assert_eq!(number(&readings, "system.cpu.logical.count", ""), Some(4.0));
        assert_eq!(
            value(&read(&tree(), true), "host.serial_number", ""),
            "PF1EXMPL"
        );
    }

    #[test]
    fn the_fingerprint_has_all_its_parts() {
        let known = fingerprint(&tree());
        assert!(known.system_uuid.is_some() && known.system_serial.is_some());
        let drive = HardwareFingerprint::from_serials(None, None, Some("S5XXEXAMPLE00001"));
        assert_eq!(known.drive_serial, drive.drive_serial);
        let nothing = fingerprint(&Roots::under(std::path::Path::new("/nonexistent")));
        assert_eq!(nothing, HardwareFingerprint::default());
    }

    #[test]
    fn a_placeholder_is_no_serial_number() {
        assert!(told_serial("To Be Filled By O.E.M.", true).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "((processor|model name)?.{0,30}\n){0,10}") {
            let _ = (count(&text), cpu_model(&text));
        }
    }
}
