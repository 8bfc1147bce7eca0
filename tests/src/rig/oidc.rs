//! A real, certified provider of identities (`oidc-provider` from npm) on loopback.

use std::path::Path;
use std::process::Command;

use super::patience::{PATIENCE, eventually, require};
use super::process::Process;
use super::{http, ports, program, repository};

/// The client's id at the provider.
pub const CLIENT: &str = "rollcall";

/// The client's secret, with characters that have to be encoded on the way.
pub const SECRET: &str = "a secret + more:";

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    /// Who it says it is.
    pub issuer: String,
    process: Process,
}

impl Provider {
    /// Starts one that sends people back to `callback`; `None` where Node or the package is not there.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(folder: &Path, callback: &str) -> Option<Self> {
        let program = program("node")?;
        let home = repository().join("tests/oidc");
        if !home.join("node_modules/oidc-provider").is_dir() {
            return None;
        }
        let port = ports::free();
        let settings = folder.join("provider.json");
        let text = serde_json::json!({
            "port": port, "client": CLIENT, "secret": SECRET, "callback": callback,
        });
        std::fs::write(&settings, text.to_string()).expect("the provider's settings");
        let mut command = Command::new(program);
        command.arg(home.join("provider.mjs")).arg(&settings);
        let mut process = Process::start("provider", folder, &mut command);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        eventually("a provider of identities", PATIENCE, || {
            if let Some(status) = process.ended() {
                panic!("the provider ended with {status}");
            }
            let answer = http::get(address, "/.well-known/openid-configuration", None)?;
            require(answer.status == 200, || format!("{answer:?}"))
        });
        Some(Self {
            issuer: format!("http://{address}"),
            process,
        })
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
