//! Windows' own sources. Each has a reader of a few lines, which runs on Windows only, and a parser that is
//! tested on every system.

mod battery;
#[cfg(windows)]
mod device;
mod drive;
#[cfg(windows)]
mod events;
mod firmware;
mod link;
mod os;
mod proxy;
#[cfg(windows)]
mod registry;
mod route;
mod system;
mod thermal;
mod updates;
mod volume;
mod wmi;

#[cfg(windows)]
pub use self::native::*;
#[cfg(windows)]
pub use self::proxy::ask_script;

#[cfg(windows)]
mod native {
    //! What the stage asks of a system that is not Linux.

    use rollcall_shared::fingerprint::HardwareFingerprint;
    use rollcall_shared::reading::Reading;
    use rollcall_shared::time::UnixMs;

    use super::{
        battery, drive, firmware, link, os, proxy, route, system, thermal, updates, volume,
    };
    use crate::collect::cpu::Times;
    use crate::collect::filling;
    use crate::collect::network::{Ground, Interpreter, Start};
    use crate::collect::probe::Probe;
    use crate::collect::source::{Sourced, flag_or_why};
    use rollcall_shared::metric;

    /// Reads a probe; those of the processor and of the network's reach have ways of their own.
    pub fn read(probe: Probe, wall: UnixMs, clear_serial: bool) -> Vec<Reading> {
        match probe {
            Probe::Os => os::read(wall),
            Probe::Updates => updates::read(wall),
            Probe::Hardware => firmware::read(clear_serial),
            Probe::Battery => battery::read(),
            Probe::Filesystem => volume::read(),
            Probe::Filling => filling::read_windows(),
            Probe::Drive => drive::read(),
            Probe::Memory => system::read_memory(),
            Probe::Thermal => thermal::read(),
            Probe::Link => link::read(),
            Probe::Network => vec![
                flag_or_why(&metric::GATEWAY_REACHABLE, "", route::gateway()),
                Reading::flag(
                    &metric::PROXY_CONFIGURED,
                    "",
                    proxy::proxies().is_configured(),
                ),
                Reading::text(&metric::PROXY_KIND, "", proxy::proxies().kind()),
            ],
            Probe::Cpu | Probe::Reach | Probe::Vantage => Vec::new(),
        }
    }

    /// Busy and all time of the processors since the start.
    pub fn cpu_times() -> Sourced<Times> {
        system::cpu_times()
    }

    /// Windows counts no such average.
    pub fn load_15m() -> Sourced<f64> {
        Err("Windows counts no load average".to_owned())
    }

    /// The name by which `smartctl` knows a drive of these readings, such as `disk0`.
    pub fn smartctl_device(drive: &str) -> Option<String> {
        drive::smartctl_device(drive)
    }

    /// What tells this machine from another that was imaged from the same disk.
    pub fn fingerprint() -> HardwareFingerprint {
        firmware::fingerprint()
    }

    /// The maker and the model; empty where the machine does not tell.
    pub fn maker_and_model() -> (String, String) {
        firmware::maker_and_model()
    }

    /// Whether any link is up; `None` where no link is known.
    pub fn is_any_link_up() -> Option<bool> {
        link::is_any_up()
    }

    /// What tells one network from another on this laptop. It is compared and never reported.
    pub fn surroundings() -> Option<String> {
        route::surroundings()
    }

    /// Whether any adapter has a gateway; `None` where Windows does not say.
    pub fn has_way_out() -> Option<bool> {
        route::has_gateway()
    }

    /// Whether Windows saves the battery.
    pub fn is_saving() -> bool {
        system::is_saving()
    }

    /// How far this laptop reaches before any target is asked.
    pub fn ground() -> Ground {
        if is_any_link_up() == Some(false) {
            Ground::NoLink
        } else {
            route::ground()
        }
    }

    /// What an attempt at a target starts from.
    pub fn start() -> Start {
        Start {
            proxies: proxy::proxies(),
            ground: ground(),
            name_servers: route::name_servers(),
            network: route::surroundings(),
            interpreter: Interpreter::WinHttp,
        }
    }
}

/// Text that Windows ended by a zero, or that fills its buffer.
#[cfg(windows)]
fn text_of(buffer: &[u16]) -> String {
    let length = buffer.iter().position(|unit| *unit == 0);
    String::from_utf16_lossy(&buffer[..length.unwrap_or(buffer.len())])
}

/// What a failed call says, in one line.
#[cfg(windows)]
fn failed(call: &str, error: &windows::core::Error) -> String {
    format!(
        "{call}: {} ({:#010x})",
        error.message().trim_end(),
        error.code().0
    )
}
