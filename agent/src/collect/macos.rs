//! macOS' own sources, as its programs and property lists tell them. Each has a reader of a few lines, which
//! runs on macOS only, and a parser that is tested on every system but Windows. What `sysinfo` tells of
//! memory, processor and file systems is read in `portable`.

mod battery;
mod hardware;
mod network;
#[cfg(target_os = "macos")]
mod processor;
mod proxy;
mod storage;
mod system;

use plist::{Dictionary, Value};

use super::source::Sourced;

#[cfg(target_os = "macos")]
pub use self::native::*;

/// A property list in XML or in binary.
fn parse(bytes: &[u8]) -> Sourced<Value> {
    Value::from_reader(std::io::Cursor::new(bytes))
        .map_err(|error| format!("no property list: {error}"))
}

/// The first of the objects that `ioreg -a -r` lists.
fn first_object(bytes: &[u8]) -> Sourced<Dictionary> {
    let list = parse(bytes)?.into_array().ok_or("ioreg lists nothing")?;
    let first = list.into_iter().next().and_then(Value::into_dictionary);
    first.ok_or_else(|| "ioreg lists nothing".to_owned())
}

/// A number of any width; the registry keeps negative ones in 64 bits without a sign.
fn number(values: &Dictionary, key: &str) -> Option<f64> {
    let value = values.get(key)?;
    let signed = value.as_signed_integer().map(|number| number as f64);
    let unsigned = || {
        value
            .as_unsigned_integer()
            .map(|number| number.cast_signed() as f64)
    };
    signed.or_else(unsigned).or_else(|| value.as_real())
}

fn flag(values: &Dictionary, key: &str) -> Option<bool> {
    values.get(key)?.as_boolean()
}

/// A text, or bytes that are one, as the registry has those of the firmware.
fn text(values: &Dictionary, key: &str) -> Option<String> {
    let value = values.get(key)?;
    let bytes = value
        .as_data()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let text = value.as_string().map(str::to_owned).or(bytes)?;
    let text = text
        .trim_matches(|c: char| c == '\0' || c.is_whitespace())
        .to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(target_os = "macos")]
mod native {
    //! What the stage asks of a system that is not Linux.

    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use rollcall_shared::fingerprint::HardwareFingerprint;
    use rollcall_shared::metric;
    use rollcall_shared::reading::Reading;
    use rollcall_shared::time::UnixMs;

    use super::{battery, hardware, network, processor, proxy, storage, system};
    use crate::collect::cpu::Times;
    use crate::collect::filling;
    use crate::collect::network::{Ground, Interpreter, Proxies, Start};
    use crate::collect::portable;
    use crate::collect::probe::Probe;
    use crate::collect::source::{Sourced, flag_or_why};

    /// Bytes of one answer: `system_profiler` gives up to some 100 KiB.
    const ANSWER_BYTES: u64 = 1024 * 1024;

    /// Runs a program of the system and gives what it says; the folder is named so that no other is run.
    pub fn ask(program: &str, arguments: &[&str]) -> Sourced<Vec<u8>> {
        let wrong = |error| format!("{program}: {error}");
        let mut child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(wrong)?;
        let mut answer = Vec::new();
        if let Some(output) = child.stdout.take() {
            output
                .take(ANSWER_BYTES)
                .read_to_end(&mut answer)
                .map_err(wrong)?;
        }
        child.wait().map_err(wrong)?;
        Ok(answer)
    }

    fn ask_text(program: &str, arguments: &[&str]) -> Sourced<String> {
        ask(program, arguments).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn file(path: &str) -> Sourced<Vec<u8>> {
        std::fs::read(path).map_err(|error| format!("{path}: {error}"))
    }

    /// Reads a probe; those of the processor and of the network's reach have ways of their own.
    pub fn read(probe: Probe, wall: UnixMs, clear_serial: bool) -> Vec<Reading> {
        match probe {
            Probe::Os => read_os(wall),
            Probe::Updates => system::update_readings(
                file("/Library/Preferences/com.apple.SoftwareUpdate.plist"),
                wall,
            ),
            Probe::Hardware => {
                let mut readings = hardware::readings(&expert(), clear_serial);
                readings.extend(portable::read_processor_and_memory());
                readings
            }
            Probe::Battery => battery::readings(ask(
                "/usr/sbin/ioreg",
                &["-a", "-r", "-c", "AppleSmartBattery"],
            )),
            Probe::Filesystem | Probe::Memory => portable::read(probe),
            Probe::Filling => filling::read_macos(),
            Probe::Drive => storage::readings(ask(
                "/usr/sbin/system_profiler",
                &["-json", "SPNVMeDataType", "SPSerialATADataType"],
            )),
            Probe::Thermal => vec![Reading::unavailable(
                &metric::TEMPERATURE,
                "",
                "macOS tells its sensors to nobody; that of the battery is read with it",
            )],
            Probe::Link => {
                let counts = ask_text("/usr/sbin/netstat", &["-ibn"]);
                network::link_readings(&links(), &air_port(), &counts)
            }
            Probe::Network => vec![
                flag_or_why(&metric::GATEWAY_REACHABLE, "", gateway()),
                Reading::flag(&metric::PROXY_CONFIGURED, "", proxies().is_configured()),
                Reading::text(&metric::PROXY_KIND, "", proxies().kind()),
            ],
            Probe::Cpu | Probe::Reach | Probe::Vantage => Vec::new(),
        }
    }

    fn read_os(wall: UnixMs) -> Vec<Reading> {
        let panics = std::fs::read_dir("/Library/Logs/DiagnosticReports").map(|entries| {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            system::panics(names)
        });
        let mut readings = system::readings(
            file("/System/Library/CoreServices/SystemVersion.plist"),
            ask_text("/usr/bin/fdesetup", &["status"]),
            panics.map_err(|error| format!("DiagnosticReports: {error}")),
            wall,
        );
        let hypervisor = ask_text("/usr/sbin/sysctl", &["-n", "kern.hv_vmm_present"]);
        readings.extend(system::start_readings(
            &portable::read_uptime(),
            hypervisor,
            wall,
        ));
        readings
    }

    fn expert() -> Sourced<Vec<u8>> {
        ask(
            "/usr/sbin/ioreg",
            &["-a", "-r", "-d", "1", "-c", "IOPlatformExpertDevice"],
        )
    }

    fn links() -> Sourced<Vec<network::Link>> {
        let ports = ask_text("/usr/sbin/networksetup", &["-listallhardwareports"])?;
        let interfaces = ask_text("/sbin/ifconfig", &["-a"])?;
        Ok(network::links(&ports, &interfaces))
    }

    fn air_port() -> Sourced<Vec<u8>> {
        ask("/usr/sbin/system_profiler", &["-json", "SPAirPortDataType"])
    }

    fn routes() -> Sourced<(String, String)> {
        Ok((
            ask_text("/usr/sbin/netstat", &["-rn", "-f", "inet"])?,
            ask_text("/usr/sbin/arp", &["-an"])?,
        ))
    }

    fn gateway() -> Sourced<bool> {
        let (routes, neighbours) = routes()?;
        network::gateway(&routes, &neighbours)
    }

    fn proxies() -> Proxies {
        let setting = ask_text("/usr/sbin/scutil", &["--proxy"])
            .map_or_else(|_| proxy::Setting::default(), |text| proxy::parse(&text));
        proxy::proxies_of(&|name: &str| std::env::var(name).ok(), &setting)
    }

    /// The name by which `smartctl` knows a drive of these readings, such as `disk0`.
    pub fn smartctl_device(drive: &str) -> Option<String> {
        let number = drive.strip_prefix("disk")?.parse::<u8>().ok()?;
        Some(format!("/dev/disk{number}"))
    }

    /// Busy and all time of the processors since the start.
    pub fn cpu_times() -> Sourced<Times> {
        processor::times()
    }

    /// Threads running or waiting, averaged over 15 minutes.
    pub fn load_15m() -> Sourced<f64> {
        Ok(sysinfo::System::load_average()
            .map_err(|error| error.to_string())?
            .fifteen)
    }

    /// What tells this machine from another that was imaged from the same disk.
    pub fn fingerprint() -> HardwareFingerprint {
        hardware::fingerprint(&expert())
    }

    /// The maker and the model; empty where the machine does not tell.
    pub fn maker_and_model() -> (String, String) {
        hardware::maker_and_model(&expert())
    }

    /// Whether any link is up; `None` where no link is known.
    pub fn is_any_link_up() -> Option<bool> {
        let links = links().ok()?;
        (!links.is_empty()).then(|| links.iter().any(network::Link::is_up))
    }

    /// What tells one network from another on this laptop. It is compared and never reported.
    pub fn surroundings() -> Option<String> {
        let (routes, neighbours) = routes().ok()?;
        network::surroundings(&routes, &neighbours)
    }

    /// Whether there is a default route; `None` where macOS does not say.
    pub fn has_way_out() -> Option<bool> {
        let (routes, _) = routes().ok()?;
        Some(network::has_gateway(&routes))
    }

    /// Whether macOS saves the battery.
    pub fn is_saving() -> bool {
        ask_text("/usr/bin/pmset", &["-g"]).is_ok_and(|text| system::is_low_power(&text))
    }

    /// How far this laptop reaches before any target is asked.
    pub fn ground() -> Ground {
        match is_any_link_up() {
            Some(false) => Ground::NoLink,
            _ => routes().map_or(Ground::Fine, |(routes, neighbours)| {
                network::ground(&routes, &neighbours)
            }),
        }
    }

    /// What an attempt at a target starts from.
    pub fn start() -> Start {
        Start {
            proxies: proxies(),
            ground: ground(),
            name_servers: None,
            network: surroundings(),
            interpreter: Interpreter::Missing("the agent does not ask the interpreter of macOS"),
        }
    }
}
