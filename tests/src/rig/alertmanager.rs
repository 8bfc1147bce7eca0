//! Prometheus Alertmanager as Debian has it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::patience::{PATIENCE, eventually, require};
use super::process::Process;
use super::{http, ports, program};

/// A running Alertmanager that groups by site and calls a webhook.
#[derive(Debug)]
pub struct Alertmanager {
    /// Where it answers.
    pub address: SocketAddr,
    _process: Process,
}

impl Alertmanager {
    /// Starts one, if it is installed.
    ///
    /// # Errors
    /// That it is not.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start(folder: &Path, webhook: SocketAddr) -> Result<Self, String> {
        let name = "prometheus-alertmanager";
        let binary = program(name).ok_or_else(|| format!("`{name}` is not installed"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let file = folder.join("alertmanager.yml");
        let text = format!(
            "route: {{receiver: hook, group_by: [alertname, site], group_wait: 3s, group_interval: 2s, repeat_interval: 1h}}\n\
             receivers:\n- name: hook\n  webhook_configs: [{{url: 'http://{webhook}/hook', send_resolved: true}}]\n"
        );
        fs::write(&file, text).expect("its configuration can be written");
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.path={}",
                folder.join("alertmanager").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        let process = Process::start("alertmanager", folder, &mut command);
        eventually("Alertmanager", PATIENCE, || {
            let answer = http::get(address, "/-/ready", None)?;
            require(answer.status == 200, || format!("{answer:?}"))
        });
        Ok(Self {
            address,
            _process: process,
        })
    }

    /// The alerts that it holds.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn alerts(&self) -> Result<Vec<Value>, String> {
        let answer = http::get(self.address, "/api/v2/alerts", None)?;
        serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))
    }
}
