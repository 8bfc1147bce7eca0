//! The command line.

mod act;
mod backup;
mod beacon;
mod capacity;
mod channel;
mod check;
mod init;
mod inventory;
mod output;
mod run;
mod show;
mod transfer;
mod user;

pub use check::{DAMAGED, DamageFound};

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, Parser, Subcommand};
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::{Clock as _, SystemClock};

use crate::alert::AlertId;
use crate::authority::Authority;
use crate::config::{Config, DEFAULT_DATA};
use crate::control::{Answer, Request, Waiting, ask, execute};
use crate::device::Standing;
use crate::evaluate::backtest::{self as backtest_of, BacktestOptions};
use crate::evaluate::book::RuleBook;
use crate::evaluate::rules::RuleSet;
use crate::evaluate::trial;
use crate::incident::IncidentId;
use crate::store::{OpenError, Role, Store};

/// How often and how long to wait for a collector that is just starting or stopping.
const LOCKED_WAIT: Duration = Duration::from_millis(250);
const LOCKED_TRIES: u32 = 40;

/// Takes in what school laptops report, and says which of them need attention.
#[derive(Debug, Parser)]
#[command(name = "rollcall-collector", version)]
pub struct CommandLine {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Places {
    /// The folder with the collector's data
    #[arg(long, global = true, env = "ROLLCALL_COLLECTOR_DATA", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// The configuration file, collector.toml
    #[arg(long, global = true, env = "ROLLCALL_COLLECTOR_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new collector: its authority, its certificate, its store, its first admin API token
    Init(Names),
    /// Run the collector
    Run(Addresses),
    /// Enrolment tokens, with which laptops join the fleet
    #[command(subcommand)]
    Token(TokenCommand),
    /// API tokens, with which people and programs read the fleet
    #[command(subcommand)]
    ApiToken(ApiTokenCommand),
    /// Users, who sign in to the web page with a name and a password
    #[command(subcommand)]
    User(user::UserCommand),
    /// Devices of the fleet
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Alerts: what was found, and what people say about it
    #[command(subcommand)]
    Alert(act::WordCommand<AlertId>),
    /// Incidents: what a desk deals with as one thing
    #[command(subcommand)]
    Incident(act::WordCommand<IncidentId>),
    /// Silences: findings of which nobody is told for a while
    #[command(subcommand)]
    Silence(act::SilenceCommand),
    /// Maintenance windows: planned work, or times without school
    #[command(subcommand)]
    Maintenance(act::MaintenanceCommand),
    /// Show who did what, the latest last
    Audit {
        /// How many lines
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Write a backup of the store and the authority, also while the collector runs
    Backup(backup::BackupArgs),
    /// Restore a backup into `--data`, which must be empty or not exist
    Restore(backup::RestoreArgs),
    /// Move the last reports into history and remove what has expired, now instead of within minutes
    Upkeep(backup::UpkeepArgs),
    /// Check that everything is as it was written; exit status 0 if so, 3 if something is damaged, 1 if
    /// it could not be looked at
    Check(check::CheckArgs),
    /// Write what laptops reported to a file that other programs read, also while the collector runs
    Export(transfer::ExportArgs),
    /// Take in a file as `export` writes it, also while the collector runs; rows that are there already
    /// are left out
    Import(transfer::ImportArgs),
    /// The inventory: asset tags, schools, loans and rosters
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    /// Check the configuration file and the rules that it names
    CheckConfig,
    /// Rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Run rules and forecasts over a recorded history, and print what they would have told
    Backtest(BacktestOptions),
    /// Channels
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// What waits to be told to channels
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Make the certificate and key of a site's beacon
    BeaconCertificate(beacon::CertificateArgs),
    /// Run a beacon: it answers only inside a school, and by that tells laptops where they are
    Beacon(beacon::BeaconArgs),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
struct Names {
    /// A DNS name by which laptops reach the collector; may be given more than once
    #[arg(long)]
    name: Vec<String>,
    /// An IP address by which laptops reach it; may be given more than once
    #[arg(long)]
    address: Vec<IpAddr>,
}

#[derive(Debug, Args)]
struct Addresses {
    /// Where agents connect, instead of `grpc.listen`
    #[arg(long)]
    grpc: Option<SocketAddr>,
    /// Where browsers connect, instead of `http.listen`
    #[arg(long)]
    http: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make one, and print it once
    Create {
        /// The site of the laptops that enrol with it
        #[arg(long)]
        site: Label,
        /// Their group
        #[arg(long)]
        group: Option<Label>,
        /// How many laptops may enrol with it; any number without this
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// How long it is accepted, such as 30d, 12h or 45m; for ever without this
        #[arg(long, value_parser = parse_life)]
        expires: Option<Duration>,
    },
    /// List them
    List,
    /// Accept one no longer
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum ApiTokenCommand {
    /// Make one, and print it once
    Create {
        /// Its name, for lists and the audit log
        #[arg(long)]
        name: String,
        /// What its holder may do: viewer, technician or admin
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// A site that its holder may see, all without this; may be given more than once
        #[arg(long)]
        site: Vec<Label>,
    },
    /// List them
    List,
    /// Accept one no longer
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// List them
    List,
    /// Count them by site and version of their agent, and say which are too old or too new
    Versions,
    /// Show one
    Show {
        /// Its id
        id: DeviceId,
    },
    /// Refuse its certificate from now on, also on an open stream
    Revoke {
        /// Its id
        id: DeviceId,
    },
    /// Take it out of the fleet; its history stays
    Retire {
        /// Its id
        id: DeviceId,
    },
    /// Take it back into the fleet
    Restore {
        /// Its id
        id: DeviceId,
    },
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Check a file of rules
    Check {
        /// The file
        file: PathBuf,
    },
    /// Run the unit tests of rules; exit status 1 if one fails
    Test {
        /// Files with tests, such as rules.test.toml
        #[arg(required = true)]
        tests: Vec<PathBuf>,
        /// The rules; the default rules without this
        #[arg(long)]
        rules: Option<PathBuf>,
    },
    /// Run rules and forecasts over a recorded history, as `backtest` does
    Backtest(BacktestOptions),
    /// Say why rules fire or not for a device, with its readings
    Explain {
        /// The device's id
        device: DeviceId,
        /// The rule's name; every rule without it
        rule: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ChannelCommand {
    /// Check the channels of the configuration, or presets of ticket systems, without calling anybody
    Check {
        /// Files with presets; without them the channels of the configuration are checked
        presets: Vec<PathBuf>,
    },
    /// List the presets of ticket systems that are built in
    Presets,
    /// Send a message that says it is a test; a ticket system gets a ticket that is closed again
    Test {
        /// The channel's name in the configuration
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// List what waits, with its key, its channel, how often it was tried and why that failed
    List,
    /// Try again at once what waits or was set aside
    Retry(WaitingArgs),
    /// Take out untold what nobody needs to hear any more
    Discard(WaitingArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WaitingArgs {
    /// Its key, as `outbox list` shows it
    key: Option<String>,
    /// All of one channel
    #[arg(long)]
    channel: Option<String>,
}

impl CommandLine {
    /// Does what the command says.
    ///
    /// # Errors
    /// What went wrong, for the administrator.
    pub fn run(self) -> anyhow::Result<()> {
        let places = self.places;
        // What the collector keeps is nobody else's business.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        match self.command {
            Command::Init(names) => init::init(&places, names),
            Command::Run(addresses) => run::run(&places, &addresses),
            Command::Token(command) => control(&places, command.into()),
            Command::ApiToken(command) => control(&places, command.into()),
            Command::User(command) => control(&places, command.try_into()?),
            Command::Device(DeviceCommand::Versions) => {
                show::versions(&control_answer(&places, &Request::DeviceList)?)
            }
            Command::Device(command) => control(&places, command.into()),
            Command::Alert(command) => control(&places, command.into()),
            Command::Incident(command) => control(&places, command.into()),
            Command::Silence(command) => control(&places, command.into()),
            Command::Maintenance(command) => control(&places, command.into()),
            Command::Audit { limit } => control(&places, Request::Audit { limit }),
            Command::Backup(args) => backup::backup(&places, &args),
            Command::Restore(args) => backup::restore(&places, &args),
            Command::Upkeep(args) => backup::upkeep(&places, &args),
            Command::Check(args) => check::check(&places, &args),
            Command::Export(args) => transfer::run_export(&places, &args),
            Command::Import(args) => transfer::run_import(&places, &args),
            Command::Inventory(command) => inventory::run(&places, &command),
            Command::CheckConfig => check_config(&places),
            Command::Rules(RulesCommand::Check { file }) => check_rules(Some(file)),
            Command::Rules(RulesCommand::Test { tests, rules }) => test_rules(&tests, rules),
            Command::Rules(RulesCommand::Backtest(options)) => backtest(&options),
            Command::Rules(RulesCommand::Explain { device, rule }) => {
                control(&places, Request::Explain { device, rule })
            }
            Command::Backtest(options) => backtest(&options),
            Command::Channel(command) => channel::run(&places, command),
            Command::Outbox(command) => control(&places, command.into()),
            Command::BeaconCertificate(args) => beacon::certificate(&places, &args),
            Command::Beacon(args) => beacon::run(&args),
            Command::Version => {
                println!("rollcall-collector {}", env!("CARGO_PKG_VERSION"));
                Ok(())
            }
        }
    }
}

impl From<TokenCommand> for Request {
    fn from(command: TokenCommand) -> Self {
        match command {
            TokenCommand::Create {
                site,
                group,
                uses,
                expires,
            } => Self::TokenCreate {
                site,
                group,
                uses,
                life_ms: expires.map(|life| i64::try_from(life.as_millis()).unwrap_or(i64::MAX)),
            },
            TokenCommand::List => Self::TokenList,
            TokenCommand::Revoke { id } => Self::TokenRevoke { id },
        }
    }
}

impl From<ApiTokenCommand> for Request {
    fn from(command: ApiTokenCommand) -> Self {
        match command {
            ApiTokenCommand::Create { name, role, site } => Self::ApiTokenCreate {
                name,
                role,
                sites: site,
            },
            ApiTokenCommand::List => Self::ApiTokenList,
            ApiTokenCommand::Revoke { name } => Self::ApiTokenRevoke { name },
        }
    }
}

impl From<OutboxCommand> for Request {
    fn from(command: OutboxCommand) -> Self {
        match command {
            OutboxCommand::List => Self::OutboxList,
            OutboxCommand::Retry(args) => Self::OutboxRetry { which: args.into() },
            OutboxCommand::Discard(args) => Self::OutboxDiscard { which: args.into() },
        }
    }
}

impl From<WaitingArgs> for Waiting {
    fn from(args: WaitingArgs) -> Self {
        match (args.key, args.channel) {
            (Some(key), _) => Self::Key(key),
            (None, channel) => Self::Channel(channel.unwrap_or_default()),
        }
    }
}

impl From<DeviceCommand> for Request {
    fn from(command: DeviceCommand) -> Self {
        let standing = |id, standing| Self::DeviceStanding { id, standing };
        match command {
            DeviceCommand::List | DeviceCommand::Versions => Self::DeviceList,
            DeviceCommand::Show { id } => Self::DeviceShow { id },
            DeviceCommand::Revoke { id } => standing(id, Standing::Revoked),
            DeviceCommand::Retire { id } => standing(id, Standing::Retired),
            DeviceCommand::Restore { id } => standing(id, Standing::Active),
        }
    }
}

/// Asks the running collector, or does it here when none runs.
fn control(places: &Places, request: Request) -> anyhow::Result<()> {
    show::answer(&control_answer(places, &request)?)
}

fn control_answer(places: &Places, request: &Request) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        for _ in 0..LOCKED_TRIES {
            if let Some(answer) = ask(&places.data, request).await? {
                return Ok(answer);
            }
            match execute_here(places, request).await {
                Err(error) if is_locked(&error) => tokio::time::sleep(LOCKED_WAIT).await,
                done => return done,
            }
        }
        Err(anyhow!(
            "{} is in use by a collector that does not answer on its control.sock",
            places.data.display()
        ))
    })
}

async fn execute_here(places: &Places, request: &Request) -> anyhow::Result<Answer> {
    let config = Config::read(places.config.as_deref())?;
    let now = SystemClock.now().wall;
    let store = Store::open(&places.data, config.store_options(), now)?;
    let authority = Authority::open(&places.data, config.certificate_life())?;
    // Rules that are not right are no reason to refuse a token.
    let rules = RuleBook::adopt(config.rules.clone(), &store, &SystemClock).await;
    let rules = rules.map_or_else(|_| Arc::new(RuleSet::built_in()), |book| book.rules());
    let done = execute(
        &store,
        authority.fingerprint(),
        &rules,
        request.clone(),
        now,
    )
    .await;
    done.map_err(anyhow::Error::msg)
}

fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Locked(_)))
}

fn backtest(options: &BacktestOptions) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    backtest_of::run(options, &mut out)?;
    out.flush().context("cannot write to the standard output")
}

fn check_config(places: &Places) -> anyhow::Result<()> {
    let file = places
        .config
        .as_deref()
        .context("`--config FILE` names the file to check")?;
    let config = Config::read(Some(file))?;
    println!("{} is right", file.display());
    tell_capacity();
    check_rules(config.rules)
}

/// What this machine's limits mean for a fleet; `check-config` may run as another user than `run`.
fn tell_capacity() {
    let limits = capacity::Limits::read();
    let laptops = limits.laptops();
    println!("the limits of this machine let {laptops} laptops be connected at once");
    for fleet in [10_000, 100_000, 500_000] {
        let advice = limits.advice(fleet);
        advice.iter().for_each(|line| println!("  {line}"));
        if !advice.is_empty() {
            return;
        }
    }
}

fn check_rules(file: Option<PathBuf>) -> anyhow::Result<()> {
    let name = file
        .as_ref()
        .map_or("the built-in rules".to_owned(), |f| f.display().to_string());
    let book = RuleBook::open(file)?;
    println!("{name}: {} rules, all right", book.rules().rules.len());
    Ok(())
}

fn test_rules(files: &[PathBuf], rules: Option<PathBuf>) -> anyhow::Result<()> {
    let rules = RuleBook::open(rules)?.rules();
    let mut failed = 0;
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("tests {name}"))?;
        let report = trial::test_rules(&rules, &name, &text).map_err(anyhow::Error::msg)?;
        print!("{report}");
        failed += report.failed.len();
    }
    anyhow::ensure!(failed == 0, "{failed} tests of rules failed");
    Ok(())
}

fn parse_life(text: &str) -> Result<Duration, String> {
    let unit = |letter| match letter {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        'w' => Some(7 * 86_400),
        _ => None,
    };
    let mut number = text.chars();
    let seconds = number.next_back().and_then(unit);
    let seconds = seconds.zip(number.as_str().parse::<u32>().ok());
    match seconds {
        Some((unit, count)) if count > 0 => Ok(Duration::from_secs(unit * u64::from(count))),
        _ => Err("a time is a number and s, m, h, d or w, such as 30d".to_owned()),
    }
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_word(text).ok_or_else(|| "a role is viewer, technician or admin".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        CommandLine::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_life("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_life("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "30", "d", "-1d", "0d", "1y", "1ä"] {
            assert!(parse_life(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_may_stand_anywhere() {
        let line = [
            "rollcall-collector",
            "token",
            "create",
            "--site",
            "L",
            "--data",
            "/x",
        ];
        let parsed = CommandLine::try_parse_from(line).unwrap();
        assert_eq!(parsed.places.data, PathBuf::from("/x"));
    }
}
