//! Installing, removing, starting and stopping the service.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rollcall_shared::time::{Clock as _, SystemClock};
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState,
    ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::NAME;

/// The manager starts a service that failed again after these, and after the last from then on.
const RESTARTS: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// A day without a failure, and counting them begins anew.
const FAILURES_FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

/// What a shutdown waits for the agent at most; it needs a fraction of a second.
const PRESHUTDOWN: Duration = Duration::from_secs(10);

/// How long a start or a stop may take before the command gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at the service.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// `ERROR_SERVICE_EXISTS`, `ERROR_SERVICE_ALREADY_RUNNING`, `ERROR_SERVICE_NOT_ACTIVE`,
/// `ERROR_SERVICE_DOES_NOT_EXIST` of winerror.h.
const EXISTS: i32 = 1073;
const ALREADY_RUNNING: i32 = 1056;
const NOT_ACTIVE: i32 = 1062;
const DOES_NOT_EXIST: i32 = 1060;

/// Installs the service for this program, or brings one that is there up to date. It runs as LocalSystem,
/// starts by itself after the system's own services, and is started again where it fails.
///
/// # Errors
/// What the manager says, such as that the caller is no administrator.
pub fn install(executable: PathBuf, arguments: Vec<OsString>) -> anyhow::Result<()> {
    let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let manager = manager(access)?;
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: "Rollcall agent".into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: executable,
        launch_arguments: arguments,
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    let service = match manager.create_service(&info, CHANGE) {
        Err(error) if code(&error) == Some(EXISTS) => {
            let service = manager.open_service(NAME, CHANGE)?;
            service.change_config(&info)?;
            service
        }
        other => other.context("the service could not be made")?,
    };
    settle(&service);
    Ok(())
}

const CHANGE: ServiceAccess = ServiceAccess::CHANGE_CONFIG
    .union(ServiceAccess::QUERY_STATUS)
    .union(ServiceAccess::START);

/// Gives the service that runs in this process the settings that an installer's tables cannot express.
pub fn settle_own() {
    let opened = manager(ServiceManagerAccess::CONNECT)
        .and_then(|manager| Ok(manager.open_service(NAME, CHANGE)?));
    match opened {
        Ok(service) => settle(&service),
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "the service keeps its settings")
        }
    }
}

/// Each setting by itself: without one of them the service runs as well.
fn settle(service: &Service) {
    let restarts = RESTARTS.map(|delay| ServiceAction {
        action_type: ServiceActionType::Restart,
        delay,
    });
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FAILURES_FORGOTTEN),
        reboot_msg: None,
        command: None,
        actions: Some(restarts.to_vec()),
    };
    let done = [
        (
            "description",
            service.set_description(
                "Reads this laptop's health and tells the school's Rollcall collector.",
            ),
        ),
        ("delayed start", service.set_delayed_auto_start(true)),
        (
            "restart after a failure",
            service.update_failure_actions(actions),
        ),
        (
            "restart after an error",
            service.set_failure_actions_on_non_crash_failures(true),
        ),
        (
            "time at shutdown",
            service.set_preshutdown_timeout(PRESHUTDOWN),
        ),
    ];
    for (setting, done) in done {
        if let Err(error) = done {
            tracing::warn!(setting, error = %words(&error), "not set on the service");
        }
    }
}

/// Stops the service and removes it; one that is not there is removed already.
///
/// # Errors
/// What the manager says.
pub async fn uninstall() -> anyhow::Result<()> {
    let access = ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE;
    let Some(service) = open(access)? else {
        return Ok(());
    };
    end(&service).await?;
    service.delete().context("the service could not be removed")
}

/// Starts the service and waits until it runs.
///
/// # Errors
/// What the manager says, or that it did not come up.
pub async fn start() -> anyhow::Result<()> {
    let service = open(ServiceAccess::START | ServiceAccess::QUERY_STATUS)?
        .context("there is no such service; `rollcall-agent service install` makes it")?;
    match service.start::<&OsStr>(&[]) {
        Err(error) if code(&error) != Some(ALREADY_RUNNING) => {
            bail!("the service could not be started: {}", words(&error))
        }
        _ => wait_for(&service, ServiceState::Running).await,
    }
}

/// Stops the service and waits until it has stopped.
///
/// # Errors
/// What the manager says, or that it goes on.
pub async fn stop() -> anyhow::Result<()> {
    let service = open(ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
    match service {
        Some(service) => end(&service).await,
        None => bail!("there is no such service"),
    }
}

async fn end(service: &Service) -> anyhow::Result<()> {
    match service.stop() {
        Err(error) if code(&error) == Some(NOT_ACTIVE) => Ok(()),
        Err(error) => bail!("the service could not be stopped: {}", words(&error)),
        Ok(_) => wait_for(service, ServiceState::Stopped).await,
    }
}

async fn wait_for(service: &Service, wanted: ServiceState) -> anyhow::Result<()> {
    let began = SystemClock.now().since_boot;
    loop {
        let status = service
            .query_status()
            .map_err(|error| anyhow::anyhow!(words(&error)))?;
        if status.current_state == wanted {
            return Ok(());
        }
        if status.current_state == ServiceState::Stopped {
            bail!(
                "the service ended at once ({:?}); its log says why",
                status.exit_code
            );
        }
        if SystemClock.now().since_boot.since(began) > PATIENCE {
            bail!(
                "the service is {:?} after {PATIENCE:?}",
                status.current_state
            );
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn open(access: ServiceAccess) -> anyhow::Result<Option<Service>> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    match manager.open_service(NAME, access) {
        Err(error) if code(&error) == Some(DOES_NOT_EXIST) => Ok(None),
        Err(error) => bail!("the service could not be opened: {}", words(&error)),
        Ok(service) => Ok(Some(service)),
    }
}

fn manager(access: ServiceManagerAccess) -> anyhow::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&OsStr>, access).map_err(|error| {
        anyhow::anyhow!(
            "the service manager refused, as it does for all but administrators: {}",
            words(&error)
        )
    })
}

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

/// The system's own words, which the crate's error keeps to itself.
fn words(error: &windows_service::Error) -> String {
    match error {
        windows_service::Error::Winapi(error) => io::Error::to_string(error),
        other => other.to_string(),
    }
}
