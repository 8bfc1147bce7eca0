//! Network hardware by `GetIfTable2`, and the radio's strength by the wireless service. No network's name and
//! no access point's address is asked for.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use crate::collect::source::{self, Sourced};

/// Links that are reported: a laptop in a dock has four.
const LINKS: usize = 16;

/// `IF_TYPE_*` of ipifcons.h.
const ETHERNET: u32 = 6;
const WIFI: u32 = 71;
const CELLULAR: [u32; 2] = [243, 244];

/// The bits of `InterfaceAndOperStatusFlags` that tell hardware from filters over it.
const HARDWARE: u8 = 1;
const FILTER: u8 = 2;

/// `IfOperStatusUp`.
const UP: i32 = 1;

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// `Type`.
    pub kind: u32,
    /// `InterfaceAndOperStatusFlags`.
    pub flags: u8,
    /// `OperStatus`.
    pub status: i32,
    /// `ReceiveLinkSpeed`, in bits a second; all bits set where it is not known.
    pub speed: u64,
    /// `TransmitLinkSpeed`, which a radio agrees on anew with every frame.
    pub sending: u64,
    /// `InErrors` and `OutErrors` together.
    pub errors: u64,
    /// Strength of the radio's signal in dBm; asked of radios only.
    pub signal: Sourced<f64>,
    /// Name and version of the radio's driver; asked of radios only.
    pub driver: Sourced<String>,
}

impl Link {
    /// Whether the row is a piece of hardware, once.
    #[must_use]
    pub const fn is_hardware(&self) -> bool {
        self.flags & HARDWARE != 0 && self.flags & FILTER == 0
    }

    /// Whether it is a radio of the wireless service.
    #[must_use]
    pub const fn is_wifi(&self) -> bool {
        self.kind == WIFI
    }

    const fn is_up(&self) -> bool {
        self.status == UP
    }

    const fn word(&self) -> &'static str {
        match self.kind {
            ETHERNET => "ethernet",
            WIFI => "wifi",
            kind if kind == CELLULAR[0] || kind == CELLULAR[1] => "cellular",
            _ => "other",
        }
    }

    fn readings(&self, name: &str) -> Vec<Reading> {
        let state = if self.is_up() { "up" } else { "down" };
        let agreed = |bits: u64| {
            if self.is_up() && bits != u64::MAX && bits > 0 {
                Ok(bits as f64 / 1e6)
            } else {
                Err("the link has agreed on no speed".to_owned())
            }
        };
        let mut readings = vec![
            Reading::text(&metric::LINK_STATE, name, state),
            Reading::text(&metric::LINK_KIND, name, self.word()),
            source::number_or_why(&metric::LINK_SPEED, name, agreed(self.speed)),
            Reading::number(&metric::LINK_ERRORS, name, self.errors as f64),
        ];
        if self.is_wifi() {
            let signal = if self.is_up() {
                self.signal.clone()
            } else {
                Err("the radio is not connected".to_owned())
            };
            readings.push(source::number_or_why(&metric::LINK_SIGNAL, name, signal));
            readings.push(source::number_or_why(
                &metric::LINK_BIT_RATE,
                name,
                agreed(self.sending),
            ));
            let driver = self.driver.clone();
            readings.push(source::text_or_why(&metric::LINK_DRIVER, name, driver));
        }
        readings
    }
}

/// What is reported of the links. Their own names may be a person's, so they are named by kind and number.
#[must_use]
pub fn readings(links: &Sourced<Vec<Link>>) -> Vec<Reading> {
    let links = match links {
        Ok(links) => links,
        Err(why) => return vec![Reading::unavailable(&metric::LINK_STATE, "", why)],
    };
    let hardware: Vec<&Link> = links
        .iter()
        .filter(|link| link.is_hardware())
        .take(LINKS)
        .collect();
    if hardware.is_empty() {
        let why = "Windows lists no network hardware";
        return vec![Reading::unavailable(&metric::LINK_STATE, "", why)];
    }
    let named = hardware.iter().enumerate().map(|(at, link)| {
        let same = hardware[..at]
            .iter()
            .filter(|other| other.word() == link.word());
        (format!("{}{}", link.word(), same.count()), link)
    });
    named
        .flat_map(|(name, link)| link.readings(&name))
        .collect()
}

/// Whether any link is up; `None` where no link is known.
#[must_use]
pub fn any_up(links: &[Link]) -> Option<bool> {
    let mut hardware = links.iter().filter(|link| link.is_hardware()).peekable();
    hardware.peek()?;
    Some(hardware.any(Link::is_up))
}

#[cfg(windows)]
pub use self::native::{is_any_up, read};

#[cfg(windows)]
mod native {
    use std::ffi::c_void;

    use rollcall_shared::reading::Reading;
    use windows::Win32::Foundation::{FreeLibrary, HANDLE, HMODULE};
    use windows::Win32::NetworkManagement::IpHelper::{FreeMibTable, GetIfTable2, MIB_IF_TABLE2};
    use windows::Win32::System::LibraryLoader::{
        GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
    };
    use windows::core::{GUID, PCSTR, s, w};

    use super::{Link, any_up, readings};
    use crate::collect::source::Sourced;
    use crate::collect::windows::registry;

    /// Reads every link.
    pub fn read() -> Vec<Reading> {
        readings(&links(true))
    }

    /// Whether any link is up; `None` where no link is known.
    pub fn is_any_up() -> Option<bool> {
        any_up(&links(false).ok()?)
    }

    #[expect(unsafe_code, reason = "iphlpapi gives a table of its own")]
    fn links(with_radio: bool) -> Sourced<Vec<Link>> {
        let mut table: *mut MIB_IF_TABLE2 = std::ptr::null_mut();
        // SAFETY: the place is valid for the call.
        let code = unsafe { GetIfTable2(&raw mut table) };
        if code.is_err() || table.is_null() {
            return Err(format!("GetIfTable2 failed with {}", code.0));
        }
        // SAFETY: the table has as many rows as it says, one behind the other, and is freed after them.
        let links = unsafe {
            let first = (&raw const (*table).Table).cast();
            let rows = std::slice::from_raw_parts(first, (*table).NumEntries as usize);
            let links = rows.iter().map(
                |row: &windows::Win32::NetworkManagement::IpHelper::MIB_IF_ROW2| {
                    let mut link = Link {
                        kind: row.Type,
                        flags: row.InterfaceAndOperStatusFlags._bitfield,
                        status: row.OperStatus.0,
                        speed: row.ReceiveLinkSpeed,
                        sending: row.TransmitLinkSpeed,
                        errors: row.InErrors.saturating_add(row.OutErrors),
                        signal: Err("not asked".to_owned()),
                        driver: Err("not asked".to_owned()),
                    };
                    if with_radio && link.is_hardware() && link.is_wifi() {
                        link.driver = driver(&row.InterfaceGuid);
                        if link.is_up() {
                            link.signal = signal(&row.InterfaceGuid);
                        }
                    }
                    link
                },
            );
            let links = links.collect();
            FreeMibTable(table.cast());
            links
        };
        Ok(links)
    }

    /// Where the system keeps its network adapters, by connection and by driver.
    const CONTROL: &str = r"SYSTEM\CurrentControlSet\Control";
    const ADAPTERS: &str = "{4D36E972-E325-11CE-BFC1-08002BE10318}";

    /// Which driver runs an adapter: its connection leads to its device, and that to the driver's key.
    fn driver(interface: &GUID) -> Sourced<String> {
        let connection = format!(r"{CONTROL}\Network\{ADAPTERS}\{{{interface:?}}}\Connection");
        let device = registry::text(&connection, "PnPInstanceID")?;
        let device = format!(r"SYSTEM\CurrentControlSet\Enum\{device}");
        let driver = registry::text(&device, "Driver")?;
        let driver = format!(r"{CONTROL}\Class\{driver}");
        let name = registry::text(&driver, "DriverDesc")?;
        let version = registry::text(&driver, "DriverVersion")?;
        Ok(format!("{name} {version}"))
    }

    /// `wlan_intf_opcode_rssi` of wlanapi.h: a LONG in dBm.
    const RSSI: u32 = 0x1000_0102;

    /// The version of the interface since Windows Vista.
    const CLIENT_VERSION: u32 = 2;

    type Open = unsafe extern "system" fn(u32, *const c_void, *mut u32, *mut HANDLE) -> u32;
    type Close = unsafe extern "system" fn(HANDLE, *const c_void) -> u32;
    type Query = unsafe extern "system" fn(
        HANDLE,
        *const GUID,
        u32,
        *const c_void,
        *mut u32,
        *mut *mut c_void,
        *mut u32,
    ) -> u32;
    type Free = unsafe extern "system" fn(*mut c_void);

    /// The wireless service's library, which a Windows without radios does not have.
    struct Library(HMODULE);

    impl Library {
        #[expect(unsafe_code, reason = "a library is loaded")]
        fn load() -> Option<Self> {
            // SAFETY: only the system's own folder is searched.
            let loaded =
                unsafe { LoadLibraryExW(w!("wlanapi.dll"), None, LOAD_LIBRARY_SEARCH_SYSTEM32) };
            loaded.ok().map(Self)
        }

        /// # Safety
        /// `F` is the type of the function of that name.
        #[expect(unsafe_code, reason = "a function is found by its name")]
        unsafe fn function<F: Copy>(&self, name: PCSTR) -> Option<F> {
            // SAFETY: a pointer to a function has the size of any other.
            unsafe {
                let found = GetProcAddress(self.0, name)?;
                Some(std::mem::transmute_copy(&found))
            }
        }
    }

    impl Drop for Library {
        #[expect(unsafe_code, reason = "a library is loaded")]
        fn drop(&mut self) {
            // SAFETY: none of its functions is used any more.
            let _ = unsafe { FreeLibrary(self.0) };
        }
    }

    #[expect(
        unsafe_code,
        reason = "functions of a library that is loaded when it is there"
    )]
    fn signal(interface: &GUID) -> Sourced<f64> {
        let missing = || "this Windows has no wireless service".to_owned();
        let library = Library::load().ok_or_else(missing)?;
        // SAFETY: the types are those of wlanapi.h, the places are valid for the calls, and what the
        // service allocated is freed by its own function before the handle is closed.
        unsafe {
            let open: Open = library.function(s!("WlanOpenHandle")).ok_or_else(missing)?;
            let close: Close = library
                .function(s!("WlanCloseHandle"))
                .ok_or_else(missing)?;
            let query: Query = library
                .function(s!("WlanQueryInterface"))
                .ok_or_else(missing)?;
            let free: Free = library.function(s!("WlanFreeMemory")).ok_or_else(missing)?;
            let (mut version, mut client) = (0, HANDLE::default());
            let code = open(
                CLIENT_VERSION,
                std::ptr::null(),
                &raw mut version,
                &raw mut client,
            );
            if code != 0 {
                return Err(format!("the wireless service refused with {code}"));
            }
            let (mut bytes, mut data) = (0, std::ptr::null_mut());
            let code = query(
                client,
                interface,
                RSSI,
                std::ptr::null(),
                &raw mut bytes,
                &raw mut data,
                std::ptr::null_mut(),
            );
            let dbm =
                (code == 0 && bytes >= 4 && !data.is_null()).then(|| data.cast::<i32>().read());
            if !data.is_null() {
                free(data);
            }
            close(client, std::ptr::null());
            dbm.map(f64::from)
                .ok_or_else(|| format!("the radio does not tell it ({code})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    fn link(kind: u32, flags: u8, status: i32) -> Link {
        Link {
            kind,
            flags,
            status,
            speed: 866_700_000,
            sending: 433_300_000,
            errors: 3,
            signal: Ok(-61.0),
            driver: Ok("Intel(R) Wi-Fi 6 AX201 160MHz 22.250.1.2".to_owned()),
        }
    }

    #[test]
    fn hardware_once_named_by_kind_and_number() {
        let wifi = link(WIFI, HARDWARE, UP);
        let filter = link(WIFI, HARDWARE | FILTER, UP);
        let tunnel = link(131, 0, UP);
        let unplugged = Link {
            speed: u64::MAX,
            ..link(ETHERNET, HARDWARE, 2)
        };
        let dock = link(ETHERNET, HARDWARE, UP);
        let links = vec![filter, tunnel, wifi, unplugged, dock];
        assert_eq!(any_up(&links), Some(true));
        let readings = readings(&Ok(links));
        assert_eq!(value(&readings, "system.network.link.state", "wifi0"), "up");
        assert_eq!(
            number(&readings, "system.network.link.signal", "wifi0"),
            Some(-61.0)
        );
        assert_eq!(
            number(&readings, "system.network.link.speed", "wifi0"),
            Some(866.7)
        );
        assert_eq!(
            value(&readings, "system.network.link.state", "ethernet0"),
            "down"
        );
        assert!(value(&readings, "system.network.link.speed", "ethernet0").contains("no speed"));
        assert_eq!(
            value(&readings, "system.network.link.state", "ethernet1"),
            "up"
        );
        assert_eq!(
            number(&readings, "system.network.link.bit_rate", "wifi0"),
            Some(433.3)
        );
        assert_eq!(
            value(&readings, "system.network.link.driver", "wifi0"),
            "Intel(R) Wi-Fi 6 AX201 160MHz 22.250.1.2"
        );
        assert_eq!(readings.len(), 7 + 4 + 4);
    }

    #[test]
    fn without_hardware_nothing_is_known() {
        assert_eq!(any_up(&[link(131, 0, UP)]), None);
        assert_eq!(any_up(&[link(WIFI, HARDWARE, 2)]), Some(false));
        let readings = readings(&Ok(Vec::new()));
        assert!(value(&readings, "system.network.link.state", "").contains("no network hardware"));
    }
}
