//! `rollcall-agent service install | uninstall | start | stop`, and what the service manager runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::{Arguments, Command, Global, execute};
use crate::config::{AgentConfig, default_data};
use crate::service::windows;

/// Where the service logs unless told otherwise.
const LOG: &str = "agent.log";

/// What is to be done with the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Install the service, or bring it up to date, with the options given here; it starts with the next
    /// start of the system, or by `service start`
    Install,
    /// Stop the service and remove it; identity and reports stay in the data folder
    Uninstall,
    /// Start the service and wait until it runs
    Start,
    /// Stop the service and wait until it has stopped
    Stop,
    /// What the service manager runs
    #[command(hide = true)]
    Run,
}

/// Performs an action other than [`Action::Run`].
///
/// # Errors
/// What the service manager says.
pub async fn perform(global: Global, action: Action) -> anyhow::Result<ExitCode> {
    match action {
        Action::Install => {
            let program =
                std::env::current_exe().context("this program does not know where it is")?;
            windows::install(program, arguments(&global)?)?;
            println!("installed");
        }
        Action::Uninstall => {
            windows::uninstall().await?;
            println!("removed");
        }
        Action::Start => {
            windows::start().await?;
            println!("running");
        }
        Action::Stop => {
            windows::stop().await?;
            println!("stopped");
        }
        // It does not come here: the manager's thread runs it before there is a runtime.
        Action::Run => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What the manager gives the service: the options of the installation, with whole paths, since a service
/// runs in another folder.
fn arguments(global: &Global) -> anyhow::Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = vec!["service".into(), "run".into()];
    let paths = [
        ("--data", &global.data),
        ("--config", &global.config),
        ("--root", &global.root),
        ("--log-file", &global.log_file),
    ];
    for (option, path) in paths {
        if let Some(path) = path {
            let whole = std::path::absolute(path);
            let whole = whole.with_context(|| format!("{option} {}", path.display()))?;
            arguments.extend([option.into(), whole.into_os_string()]);
        }
    }
    if let Some(collector) = &global.collector {
        arguments.extend(["--collector".into(), collector.to_string().into()]);
    }
    arguments.extend(["--log".into(), global.log.clone().into()]);
    Ok(arguments)
}

/// Runs as the service that the manager has started.
pub fn run(mut global: Global) -> ExitCode {
    let log = log_file(&global);
    global.log_file.get_or_insert(log);
    let body = move || {
        let arguments = Arguments {
            global,
            command: Command::Run,
        };
        match execute(arguments) {
            Ok(_) => 0,
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "the service ends");
                1
            }
        }
    };
    match windows::run_as_service(body) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "rollcall-agent: `service run` is for the service manager; in a console it is `run` ({error})"
            );
            ExitCode::FAILURE
        }
    }
}

/// In the data folder; a configuration that cannot be read is told in the usual one.
fn log_file(global: &Global) -> PathBuf {
    let configured = || AgentConfig::load(global.config.as_deref()).ok()?.data;
    let data = global.data.clone().or_else(configured);
    data.unwrap_or_else(default_data).join(Path::new(LOG))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_service_is_given_whole_paths() {
        let line = [
            "rollcall-agent",
            "service",
            "install",
            "--data",
            r"C:\Rollcall Data",
            "--log",
            "debug",
        ];
        let parsed = Arguments::parse_from(line);
        let given = arguments(&parsed.global).unwrap();
        assert_eq!(
            given,
            [
                "service",
                "run",
                "--data",
                r"C:\Rollcall Data",
                "--log",
                "debug"
            ]
        );
        assert_eq!(
            log_file(&parsed.global),
            PathBuf::from(r"C:\Rollcall Data\agent.log")
        );
    }
}
