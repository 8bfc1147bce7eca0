//! Network hardware by `/sys/class/net`. Source: the kernel's `sysfs-class-net`.

use std::path::Path;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::radio::{self, Radio, Roams};
use crate::collect::Roots;
use crate::collect::source::{self, Sourced};

/// Links that are reported: a laptop in a dock has four.
const LINKS: usize = 16;

/// One piece of network hardware.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    name: String,
    kind: &'static str,
    is_up: bool,
    speed: Sourced<f64>,
    signal: Sourced<f64>,
    errors: Sourced<f64>,
    drops: Sourced<f64>,
    driver: Sourced<String>,
}

/// The links that are hardware; bridges, tunnels and containers' ends have no `device`.
#[must_use]
pub fn list(roots: &Roots) -> Vec<Link> {
    let folder = roots.sys.join("class/net");
    let wireless = source::text(&roots.proc.join("net/wireless"));
    let names = source::names(&folder).into_iter();
    let names = names.filter(|name| folder.join(name).join("device").exists());
    let release = source::text(&roots.proc.join("sys/kernel/osrelease"));
    names
        .take(LINKS)
        .map(|name| describe(&folder.join(&name), &name, &wireless, &release))
        .collect()
}

impl Link {
    /// Whether it carries data.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.is_up
    }

    /// What is reported of it.
    #[must_use]
    pub fn readings(&self, radio: &Sourced<Radio>, roams: &mut Roams) -> Vec<Reading> {
        let name = plain_name(&self.name);
        let mut readings = vec![
            Reading::text(
                &metric::LINK_STATE,
                name,
                if self.is_up { "up" } else { "down" },
            ),
            Reading::text(&metric::LINK_KIND, name, self.kind),
            source::number_or_why(&metric::LINK_SPEED, name, self.speed.clone()),
            source::number_or_why(&metric::LINK_ERRORS, name, self.errors.clone()),
            source::number_or_why(&metric::LINK_DROPS, name, self.drops.clone()),
        ];
        if self.kind == "wifi" {
            readings.extend(self.of_radio(name, radio, roams));
        }
        readings
    }

    fn of_radio(&self, name: &str, radio: &Sourced<Radio>, roams: &mut Roams) -> [Reading; 4] {
        let told = |value: fn(&Radio) -> Option<f64>| {
            let radio = radio.as_ref().map_err(Clone::clone)?;
            value(radio).ok_or_else(|| "the radio's driver does not tell it".to_owned())
        };
        // Drivers without nl80211 are listed in the older table.
        let signal = told(|radio| radio.signal_dbm).or_else(|_| self.signal.clone());
        let count = radio.as_ref().map_err(Clone::clone);
        let count = count.map(|radio| roams.count(&self.name, radio) as f64);
        [
            source::number_or_why(&metric::LINK_SIGNAL, name, signal),
            source::number_or_why(
                &metric::LINK_BIT_RATE,
                name,
                told(|radio| radio.rate_mbit_s),
            ),
            source::number_or_why(&metric::LINK_ROAMS, name, count),
            source::text_or_why(&metric::LINK_DRIVER, name, self.driver.clone()),
        ]
    }
}

/// What the kernel knows of a link's radio. It is the running kernel's whatever the roots are, so that
/// only a link with an index, as the running system has, is asked for.
pub fn radio(roots: &Roots, link: &Link) -> Sourced<Radio> {
    if link.kind != "wifi" {
        return Err("the link is no radio".to_owned());
    }
    if !link.is_up {
        return Err("the link is down".to_owned());
    }
    let folder = roots.sys.join("class/net").join(&link.name);
    let index = source::number(&folder.join("ifindex"))?;
    if !(1.0..=f64::from(u32::MAX)).contains(&index) {
        return Err("the kernel gives the link no index".to_owned());
    }
    radio::read(index as u32)
}

/// Adapters on USB are named after their hardware address, which stays on the laptop.
fn plain_name(name: &str) -> &str {
    let is_address =
        |rest: &str| rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let prefixes = ["enx", "wlx", "wwx"];
    let named = prefixes
        .iter()
        .find(|prefix| name.strip_prefix(**prefix).is_some_and(is_address));
    named.copied().unwrap_or(name)
}

/// The driver's name and version, such as `iwlwifi 6.12.48`. One that comes with the kernel has the kernel's.
fn driver(path: &Path, release: &Sourced<String>) -> Sourced<String> {
    let device = path.join("device");
    let uevent = source::text(&device.join("uevent"))?;
    let name = uevent.lines().find_map(|line| line.strip_prefix("DRIVER="));
    let name = name.ok_or("the kernel names no driver")?;
    let own = source::text(&device.join("driver/module/version"));
    let version = own.or_else(|_| release.clone())?;
    Ok(format!("{name} {version}"))
}

fn describe(
    path: &Path,
    name: &str,
    wireless: &Sourced<String>,
    release: &Sourced<String>,
) -> Link {
    let is_up = is_link_up(path);
    let count = |file: &str| source::number(&path.join("statistics").join(file));
    let errors = count("rx_errors").and_then(|received| Ok(received + count("tx_errors")?));
    Link {
        name: name.to_owned(),
        kind: kind(path),
        is_up,
        speed: if is_up {
            speed(path)
        } else {
            Err("the link is down".to_owned())
        },
        signal: if is_up {
            signal_of(wireless, name)
        } else {
            Err("the link is down".to_owned())
        },
        errors,
        drops: source::number(&path.join("carrier_down_count")),
        driver: driver(path, release),
    }
}

/// Some drivers say `unknown` and tell by the carrier.
fn is_link_up(path: &Path) -> bool {
    match source::text(&path.join("operstate")).as_deref() {
        Ok("up") => true,
        Ok("unknown") => source::number(&path.join("carrier")) == Ok(1.0),
        _ => false,
    }
}

fn kind(path: &Path) -> &'static str {
    let uevent = source::text(&path.join("uevent")).unwrap_or_default();
    if path.join("wireless").exists()
        || path.join("phy80211").exists()
        || uevent.contains("DEVTYPE=wlan")
    {
        return "wifi";
    }
    if uevent.contains("DEVTYPE=wwan") {
        return "cellular";
    }
    // ARPHRD_ETHER in if_arp.h.
    if source::number(&path.join("type")) == Ok(1.0) {
        "ethernet"
    } else {
        "other"
    }
}

/// In Mbit/s; -1 where the driver does not know.
fn speed(path: &Path) -> Sourced<f64> {
    let speed = source::number(&path.join("speed"));
    match speed {
        Ok(speed) if speed > 0.0 => Ok(speed),
        _ => Err("the driver does not tell the speed".to_owned()),
    }
}

fn signal_of(wireless: &Sourced<String>, name: &str) -> Sourced<f64> {
    let why = || "the kernel does not list it in /proc/net/wireless".to_owned();
    wireless
        .as_ref()
        .ok()
        .and_then(|text| signal(text, name))
        .ok_or_else(why)
}

/// The level in dBm, fourth column of `/proc/net/wireless`; old drivers count from 0 to 255.
fn signal(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
    let (_, fields) = lines.find(|(link, _)| *link == name)?;
    let level = fields.split_whitespace().nth(2)?.trim_end_matches('.');
    let level = source::parse_number(level)?;
    Some(if level > 63.0 { level - 256.0 } else { level }).filter(|level| *level < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signal_in_either_way_of_counting() {
        let text = "Inter-| sta-|   Quality        |\n face | tus | link level noise |\n wlan0: 0000   55.  -55.  -256        0      0\n wlan1: 0000   40   195   0\n";
        assert_eq!(signal(text, "wlan0"), Some(-55.0));
        assert_eq!(signal(text, "wlan1"), Some(-61.0));
        assert_eq!(signal(text, "wlan2"), None);
    }

    #[test]
    fn no_hardware_address_travels_in_a_name() {
        assert_eq!(plain_name("enx00e04c680001"), "enx");
        assert_eq!(plain_name("enp0s31f6"), "enp0s31f6");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "( wlan0:.{0,30}\n){0,4}.{0,40}") {
            let _ = signal(&text, "wlan0");
        }
    }
}
