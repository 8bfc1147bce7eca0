//! An HTTP proxy as schools have it: tinyproxy, from Debian.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::patience::{PATIENCE, eventually};
use super::{ports, process::Process, program};

/// A running proxy that allows CONNECT.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    /// Its address, such as `http://127.0.0.1:3128`.
    pub url: String,
}

impl Proxy {
    /// Starts one, if tinyproxy is installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(folder: &Path) -> Option<Self> {
        Self::start_at(folder, Ipv4Addr::LOCALHOST, ports::free())
    }

    /// The same at an address of this thread's network, open to all who reach it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_at(folder: &Path, address: Ipv4Addr, port: u16) -> Option<Self> {
        let tinyproxy = program("tinyproxy")?;
        let file = folder.join("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen {address}\nTimeout 600\nMaxClients 50\n\
             LogLevel Connect\nDisableViaHeader Yes\n"
        );
        fs::write(&file, text).expect("its configuration can be written");
        let mut command = Command::new(tinyproxy);
        command.arg("-d").arg("-c").arg(&file);
        let process = Process::start("tinyproxy", folder, &mut command);
        eventually("tinyproxy", PATIENCE, || {
            TcpStream::connect((address, port)).map_err(|error| error.to_string())
        });
        Some(Self {
            process,
            url: format!("http://{address}:{port}"),
        })
    }

    /// What it has logged, with a line for each CONNECT.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
