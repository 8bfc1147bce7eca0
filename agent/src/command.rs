//! `rollcall-agent enroll | run | report | status | doctor | prepare-image | version`: the command line.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use rollcall_shared::error::chain;
use rollcall_shared::limits;
use rollcall_shared::time::SystemClock;
use rollcall_shared::token::EnrolmentToken;
use tracing::level_filters::LevelFilter;

use crate::agent::{Agent, Setup, TokenSource, forget_configuration};
use crate::config::{AgentConfig, default_data};
use crate::footprint;
use crate::identity::issue::enroll_once;
use crate::identity::{Identity, Machine};
use crate::logfile::LogFile;
use crate::paths::{Paths, make_data_folder, replace_file};
use crate::service::{StopSignal, notify_ready, notify_stopping};
use crate::settings::{Layers, Place, Settings, policy};
use crate::spool::files::LOCK;
use crate::spool::{Spool, SpoolLimits};
use crate::status::{Standing, Status};
use crate::stream::address::Address;

mod doctor;
mod prepare;
mod report;
#[cfg(windows)]
mod service;

/// How long a thread that looked up a name waits for the next: the targets of one round.
const IDLE_THREAD: Duration = Duration::from_secs(1);

/// Address space of the stack of such a thread; the system's resolver asks for little more than a
/// quarter of it.
const STACK_BYTES: usize = 512 * 1024;

/// Reads this laptop's health and streams it to a Rollcall collector.
#[derive(Debug, Parser)]
#[command(name = "rollcall-agent", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The collector [default: ROLLCALL_COLLECTOR, `collector` of agent.toml, or the policy's]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    collector: Option<Address>,
    /// The data folder [default: `data` of agent.toml, or /var/lib/rollcall-agent, on Windows
    /// %ProgramData%\Rollcall, on macOS /Library/Application Support/Rollcall]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file [default: /etc/rollcall/agent.toml where there is one; on Windows and macOS
    /// agent.toml in the data folder's usual place]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder that stands for / when readings are taken, for tests
    #[arg(long, global = true, value_name = "DIR", env = "ROLLCALL_ROOT")]
    root: Option<PathBuf>,
    /// What is logged to standard error: error, warn, info, debug or trace
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "ROLLCALL_LOG",
        default_value = "info"
    )]
    log: String,
    /// Log to a file that keeps within 1 MiB, together with the one before it, instead of to standard error
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give this laptop an identity, by a token from `rollcall-collector token create`
    Enroll(Enroll),
    /// Collect and stream until SIGTERM or SIGINT
    Run,
    /// Print, as JSON, every byte of telemetry that would be sent, and send nothing
    Report(Report),
    /// Say how the agent fares and what it waits for, also in the exit code: 0 connected, 3 not running,
    /// 4 not connected, 5 not enrolled, 10 no network, 11 name not found, 12 blocked by a filter, 13 TLS
    /// intercepted, 14 proxy, 15 no answer, 16 token refused, 17 revoked or retired, 18 no address
    Status(ShowStatus),
    /// Try each step to the collector from here, and print a page without secrets for a ticket
    Doctor,
    /// Remove identity and waiting reports, so that a disk can be imaged from this installation
    PrepareImage,
    /// Print the version
    Version,
    /// Install, remove, start or stop the Windows service
    #[cfg(windows)]
    #[command(subcommand)]
    Service(service::Action),
}

#[derive(Debug, Args)]
struct Enroll {
    /// A file that holds the token; otherwise the variable ROLLCALL_TOKEN counts
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// `-` to read the token from standard input
    #[arg(long, value_name = "-")]
    token: Option<String>,
    /// Take a new identity even where there is one already
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Args)]
struct Report {
    /// In words instead of JSON
    #[arg(long)]
    words: bool,
    /// A collector's configuration in JSON, in place of the last one that was received
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ShowStatus {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    footprint::keep_small();
    let arguments = Arguments::parse();
    #[cfg(windows)]
    if let Command::Service(service::Action::Run) = arguments.command {
        return service::run(arguments.global);
    }
    execute(arguments).unwrap_or_else(|error| {
        eprintln!("rollcall-agent: {}", chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREAD)
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("no runtime could be made")?;
    let done = runtime.block_on(perform(arguments));
    // A look-up of a name that hangs must not hold up the stop.
    runtime.shutdown_background();
    done
}

async fn perform(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let global = arguments.global;
    start_log(&global)?;
    match arguments.command {
        Command::Enroll(options) => enrol(global.setup()?, options).await,
        Command::Run => run(global.setup()?).await,
        Command::Report(options) => {
            report::print(
                &global.setup()?,
                options.words,
                options.configuration.as_deref(),
            )
            .await
        }
        Command::Status(options) => status(&global.setup()?, &options),
        Command::Doctor => {
            let (setup, place) = global.setup_and_place()?;
            doctor::examine(&setup, place).await
        }
        Command::PrepareImage => prepare::prepare_image(&global.setup()?),
        #[cfg(windows)]
        Command::Service(action) => service::perform(global, action).await,
        Command::Version => {
            println!("rollcall-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Global {
    fn setup(self) -> anyhow::Result<Setup> {
        Ok(self.setup_and_place()?.0)
    }

    /// All that an agent is built from, and where the collector's address was found.
    fn setup_and_place(self) -> anyhow::Result<(Setup, Place)> {
        let mut config = AgentConfig::load(self.config.as_deref())?;
        let layers = Layers {
            command_line: Settings {
                collector: self.collector,
                data: self.data,
                ..Settings::default()
            },
            environment: Settings::of_environment(|name| std::env::var(name).ok())?,
            policy: Settings::of_policy(&policy::read())?,
        };
        let place = layers.place_of_collector(&config);
        let given = layers.apply(&mut config);
        let roots = self
            .root
            .as_deref()
            .map_or_else(|| config.roots.roots(), |root| config.roots.under(root));
        let paths = Paths::new(config.data.clone().unwrap_or_else(default_data));
        let setup = Setup {
            token: TokenSource {
                given,
                file: config.token_file.clone(),
                erase: config.erase_token,
                dropped: Some(paths.dropped_token()),
            },
            paths,
            config,
            roots,
        };
        Ok((setup, place))
    }
}

fn start_log(global: &Global) -> anyhow::Result<()> {
    let level: LevelFilter = global.log.parse().with_context(|| {
        format!(
            "--log: `{}` is none of off, error, warn, info, debug and trace",
            global.log
        )
    })?;
    let log = tracing_subscriber::fmt().with_max_level(level);
    match &global.log_file {
        None => log.with_writer(io::stderr).init(),
        Some(file) => {
            let opened = LogFile::open(file);
            let opened = opened.with_context(|| format!("--log-file {}", file.display()))?;
            log.with_writer(Mutex::new(opened)).init();
        }
    }
    Ok(())
}

async fn run(setup: Setup) -> anyhow::Result<ExitCode> {
    let stop = StopSignal::listen().context("no signals")?;
    let data = setup.paths.data().to_owned();
    make_data_folder(&data).with_context(|| format!("the data folder {}", data.display()))?;
    let agent = Agent::build(setup, Arc::new(SystemClock))
        .with_context(|| format!("the data folder {}", data.display()))?;
    notify_ready();
    agent
        .run(async {
            stop.received().await;
            notify_stopping();
        })
        .await;
    Ok(ExitCode::SUCCESS)
}

async fn enrol(setup: Setup, options: Enroll) -> anyhow::Result<ExitCode> {
    let collector = setup.config.collector.as_ref();
    let collector = collector.context(
        "--collector HOST:PORT is missing, and ROLLCALL_COLLECTOR, agent.toml and policy name none",
    )?;
    let machine = Machine::read(&setup.roots);
    let present = Identity::load(&setup.paths);
    let is_own = |identity: &Identity| {
        identity.record().collector == *collector && machine.is_that_of(identity)
    };
    if let Ok(Some(identity)) = &present
        && is_own(identity)
        && !options.again
    {
        println!("already enrolled as {} at {collector}", identity.device());
        return Ok(ExitCode::SUCCESS);
    }
    let token = token(&options, &setup.token)?;
    let connector = setup.config.connector(collector, &setup.roots)?;
    let former = present.as_ref().ok().and_then(Option::as_ref);
    // Whatever could fail here comes before the token is used.
    let data = setup.paths.data();
    make_data_folder(data)
        .and_then(|()| check_writable(data))
        .with_context(|| format!("the data folder {}", data.display()))?;
    let inherited = match former {
        Some(identity) if !machine.is_that_of(identity) => {
            Some(Spool::open(&setup.paths.spool(), SpoolLimits::default())?)
        }
        _ => None,
    };
    let issued = enroll_once(&setup.paths, &connector, &token, former, &machine).await?;
    if let Some((mut spool, _)) = inherited {
        // The reports on a cloned disk are another laptop's.
        spool.discard()?;
    }
    issued
        .identity
        .store(&setup.paths)
        .context("the new identity could not be kept")?;
    forget_configuration(&setup.paths);
    if options.token_file.is_none() && options.token.is_none() {
        setup.token.used();
    }
    println!("enrolled as {} at {collector}", issued.identity.device());
    if former.is_some() && is_running(&setup.paths)? {
        println!("the agent that runs keeps its former identity until it is restarted");
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes about as much as an identity has, and removes it again.
fn check_writable(data: &Path) -> io::Result<()> {
    let probe = data.join("identity.probe");
    replace_file(&probe, &[0; 8192])?;
    fs::remove_file(probe)
}

fn token(options: &Enroll, configured: &TokenSource) -> anyhow::Result<EnrolmentToken> {
    if let Some(token) = &options.token {
        // What was given instead of `-` is not repeated: it is a secret.
        if token != "-" {
            bail!(
                "a token on the command line can be read by every user of this machine; use \
                 --token-file FILE, the variable ROLLCALL_TOKEN, or `--token -`"
            );
        }
        let mut text = String::new();
        let mut input = io::stdin().take(limits::TOKEN_BYTES as u64 + 1);
        input
            .read_to_string(&mut text)
            .context("the token on standard input")?;
        return text.parse().context("the token on standard input");
    }
    if let Some(file) = &options.token_file {
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("--token-file {}", file.display()))?;
        return text
            .parse()
            .with_context(|| format!("--token-file {}", file.display()));
    }
    match configured.token() {
        Ok(Some(token)) => Ok(token),
        Ok(None) => bail!("no token: give --token-file FILE, ROLLCALL_TOKEN, or `--token -`"),
        Err(words) => bail!(words),
    }
}

fn status(setup: &Setup, options: &ShowStatus) -> anyhow::Result<ExitCode> {
    let file = setup.paths.status();
    let mut status = Status::load(&file).with_context(|| file.display().to_string())?;
    let identity = Identity::look(&setup.paths)?;
    let standing = Standing::of(&status, identity.is_some(), is_running(&setup.paths)?);
    status.connected = standing == Standing::Connected;
    if let Some(identity) = identity {
        status.device = Some(identity.device().to_string());
        status
            .collector
            .get_or_insert_with(|| identity.record().collector.to_string());
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        println!("{}", status.describe(standing));
    }
    Ok(ExitCode::from(status.exit_code(standing)))
}

/// Whether an agent holds the spool.
fn is_running(paths: &Paths) -> anyhow::Result<bool> {
    let file = paths.spool().join(LOCK);
    let lock = match File::open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.with_context(|| file.display().to_string())?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| file.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_secret_on_the_command_line_is_not_accepted_and_not_repeated() {
        let line = ["rollcall-agent", "enroll", "--token", "rc1.secret.part"];
        let Command::Enroll(options) = Arguments::parse_from(line).command else {
            panic!("it is `enroll`");
        };
        let error = token(&options, &TokenSource::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("can be read by every user"), "{error}");
        assert!(!error.contains("secret.part"), "{error}");
    }

    #[test]
    fn an_agent_that_runs_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        assert!(!is_running(&paths).unwrap());
        let (spool, _) = Spool::open(&paths.spool(), SpoolLimits::default()).unwrap();
        assert!(is_running(&paths).unwrap());
        drop(spool);
        assert!(!is_running(&paths).unwrap());
    }
}
