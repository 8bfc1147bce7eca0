//! The process as a service: the manager's controls become states that the agent waits for.

use std::ffi::OsString;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close};
use tokio::sync::watch;
use tokio::time::timeout;
use windows_service::service::{
    PowerEventParam, ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState,
    ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{
    self, ServiceControlHandlerResult, ServiceStatusHandle,
};
use windows_service::{define_windows_service, service_dispatcher};

use super::NAME;
use super::registration::settle_own;
use super::standby;

/// How long the manager waits for the next word while the agent starts or stops. Opening a spool that is
/// full takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// A resume that is never told does not keep the agent asleep for longer than this of waking time.
const LONGEST_SUSPENSION: Duration = Duration::from_secs(15 * 60);

/// A laptop in Modern Standby whose waking is never told works again after a day.
const LONGEST_STANDBY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the manager has told, and the way to answer it. There is one for the process, as the manager has it.
static SERVICE: OnceLock<Service> = OnceLock::new();

/// What the service does, until the manager's thread takes it.
static BODY: Mutex<Option<Body>> = Mutex::new(None);

type Body = Box<dyn FnOnce() -> u8 + Send>;

#[derive(Debug)]
struct Service {
    stop: watch::Sender<bool>,
    suspended: watch::Sender<bool>,
    /// Modern Standby.
    standby: watch::Sender<bool>,
    status: OnceLock<ServiceStatusHandle>,
}

/// Runs `body` as the service that the manager has started this process for; its result is the service's
/// exit code, of which any but zero makes the manager start it again.
///
/// # Errors
/// When the process was not started by the manager.
pub fn run_as_service(body: impl FnOnce() -> u8 + Send + 'static) -> windows_service::Result<()> {
    *BODY.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(body));
    service_dispatcher::start(NAME, service_entry)
}

define_windows_service!(service_entry, service_main);

fn service_main(_arguments: Vec<OsString>) {
    let service = SERVICE.get_or_init(Service::new);
    match service_control_handler::register(NAME, |control| service.hear(control)) {
        // It is registered once in a process.
        Ok(handle) => drop(service.status.set(handle)),
        Err(error) => {
            tracing::error!(%error, "the service manager takes no handler");
            return;
        }
    }
    service.tell(ServiceState::StartPending, 0);
    let body = BODY.lock().unwrap_or_else(PoisonError::into_inner).take();
    let code = body.map_or(0, |body| body());
    service.tell(ServiceState::Stopped, code);
}

impl Service {
    fn new() -> Self {
        Self {
            stop: watch::channel(false).0,
            suspended: watch::channel(false).0,
            standby: watch::channel(false).0,
            status: OnceLock::new(),
        }
    }

    fn hear(&self, control: ServiceControl) -> ServiceControlHandlerResult {
        match meaning(&control) {
            Some(Meaning::Stop) => {
                self.tell(ServiceState::StopPending, 0);
                self.stop.send_replace(true);
            }
            Some(Meaning::Suspended(suspended)) => {
                self.suspended.send_replace(suspended);
            }
            Some(Meaning::Nothing) => {}
            None => return ServiceControlHandlerResult::NotImplemented,
        }
        ServiceControlHandlerResult::NoError
    }

    fn tell(&self, state: ServiceState, code: u8) {
        let Some(handle) = self.status.get() else {
            return;
        };
        if let Err(error) = handle.set_service_status(status(state, code)) {
            tracing::warn!(%error, ?state, "the service manager could not be told");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Stop,
    Suspended(bool),
    Nothing,
}

/// What a control means to the agent; `None` where it does not know it.
fn meaning(control: &ServiceControl) -> Option<Meaning> {
    match control {
        ServiceControl::Stop | ServiceControl::Shutdown | ServiceControl::Preshutdown => {
            Some(Meaning::Stop)
        }
        ServiceControl::PowerEvent(PowerEventParam::Suspend) => Some(Meaning::Suspended(true)),
        ServiceControl::PowerEvent(
            PowerEventParam::ResumeAutomatic
            | PowerEventParam::ResumeSuspend
            | PowerEventParam::ResumeCritical,
        ) => Some(Meaning::Suspended(false)),
        ServiceControl::PowerEvent(_) | ServiceControl::Interrogate => Some(Meaning::Nothing),
        _ => None,
    }
}

fn status(state: ServiceState, code: u8) -> ServiceStatus {
    let is_pending = matches!(
        state,
        ServiceState::StartPending | ServiceState::StopPending
    );
    let accepted = ServiceControlAccept::STOP
        | ServiceControlAccept::SHUTDOWN
        | ServiceControlAccept::PRESHUTDOWN
        | ServiceControlAccept::POWER_EVENT;
    ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: if state == ServiceState::Running {
            accepted
        } else {
            ServiceControlAccept::empty()
        },
        exit_code: match code {
            0 => ServiceExitCode::NO_ERROR,
            code => ServiceExitCode::ServiceSpecific(code.into()),
        },
        checkpoint: 0,
        wait_hint: if is_pending { PATIENCE } else { Duration::ZERO },
        process_id: None,
    }
}

/// Tells the manager, where it started us, that the agent runs, and sees to the service's settings.
pub fn notify_ready() {
    if let Some(service) = SERVICE.get() {
        service.tell(ServiceState::Running, 0);
        settle_own();
        if standby::follow(&service.standby) {
            tracing::info!("nothing is read or sent in Modern Standby");
        }
    }
}

/// Tells the manager that the agent is about to stop.
pub fn notify_stopping() {
    if let Some(service) = SERVICE.get() {
        service.tell(ServiceState::StopPending, 0);
    }
}

/// Waits until the machine is in Modern Standby.
pub async fn asleep() {
    let Some(service) = SERVICE.get() else {
        return std::future::pending().await;
    };
    // The sender is never dropped.
    let _ = service.standby.subscribe().wait_for(|asleep| *asleep).await;
}

/// Waits while the manager's last word is that the machine is about to sleep, or the display's that it is in
/// Modern Standby.
pub async fn awake() {
    let Some(service) = SERVICE.get() else {
        return;
    };
    let mut standby = service.standby.subscribe();
    let lit = standby.wait_for(|asleep| !*asleep);
    if timeout(LONGEST_STANDBY, lit).await.is_err() {
        tracing::warn!("a day in standby, and nobody said that it is over");
        service.standby.send_replace(false);
    }
    let mut suspended = service.suspended.subscribe();
    let awake = suspended.wait_for(|suspended| !*suspended);
    let in_time = timeout(LONGEST_SUSPENSION, awake).await.is_ok();
    if !in_time {
        tracing::warn!("the machine is awake, and nobody said so");
        service.suspended.send_replace(false);
    }
}

/// The manager's word to stop, or that of a console: Ctrl-C, Ctrl-Break, its closing.
#[derive(Debug)]
pub struct StopSignal {
    service: Option<watch::Receiver<bool>>,
    interrupt: CtrlC,
    breaking: CtrlBreak,
    closing: CtrlClose,
}

impl StopSignal {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            service: SERVICE.get().map(|service| service.stop.subscribe()),
            interrupt: ctrl_c()?,
            breaking: ctrl_break()?,
            closing: ctrl_close()?,
        })
    }

    /// Waits for one of them.
    pub async fn received(mut self) {
        let service = async {
            match &mut self.service {
                // The sender is never dropped.
                Some(service) => drop(service.wait_for(|stop| *stop).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = service => {}
            _ = self.interrupt.recv() => {}
            _ = self.breaking.recv() => {}
            _ = self.closing.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_mean_stop_sleep_or_nothing() {
        use PowerEventParam as Power;
        for control in [
            ServiceControl::Stop,
            ServiceControl::Shutdown,
            ServiceControl::Preshutdown,
        ] {
            assert_eq!(meaning(&control), Some(Meaning::Stop));
        }
        let power = |event| meaning(&ServiceControl::PowerEvent(event));
        assert_eq!(power(Power::Suspend), Some(Meaning::Suspended(true)));
        assert_eq!(
            power(Power::ResumeAutomatic),
            Some(Meaning::Suspended(false))
        );
        assert_eq!(power(Power::PowerStatusChange), Some(Meaning::Nothing));
        assert_eq!(meaning(&ServiceControl::Pause), None);
    }

    #[tokio::test]
    async fn a_stop_reaches_who_waits_and_a_suspension_ends_with_the_resume() {
        let service = SERVICE.get_or_init(Service::new);
        let stop = StopSignal::listen().unwrap();
        let suspend = ServiceControl::PowerEvent(PowerEventParam::Suspend);
        let resume = ServiceControl::PowerEvent(PowerEventParam::ResumeAutomatic);
        service.hear(suspend);
        let asleep = timeout(Duration::from_millis(20), awake()).await;
        assert!(asleep.is_err(), "nothing runs while the machine sleeps");
        service.hear(resume);
        awake().await;
        service.standby.send_replace(true);
        super::asleep().await;
        let still = timeout(Duration::from_millis(20), awake()).await;
        assert!(still.is_err(), "nor in Modern Standby");
        service.standby.send_replace(false);
        awake().await;
        service.hear(ServiceControl::Stop);
        stop.received().await;
    }

    #[test]
    fn only_a_running_service_takes_controls_and_a_failure_has_its_code() {
        let running = status(ServiceState::Running, 0);
        assert!(
            running
                .controls_accepted
                .contains(ServiceControlAccept::PRESHUTDOWN)
        );
        let failed = status(ServiceState::Stopped, 1);
        assert_eq!(failed.exit_code, ServiceExitCode::ServiceSpecific(1));
        assert!(failed.controls_accepted.is_empty());
        assert_eq!(status(ServiceState::StartPending, 0).wait_hint, PATIENCE);
    }
}
