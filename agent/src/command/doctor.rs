//! `rollcall-agent doctor`: each step to the collector, tried from where this laptop is, as a page that
//! can be pasted into a ticket. It shows no secret, and changes nothing.

use std::fmt;
use std::process::ExitCode;

use rollcall_shared::error::chain;
use rollcall_shared::limits;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};
use rollcall_shared::tls::Trust;
use tokio::time::timeout;

use crate::agent::Setup;
use crate::identity::issue::CallError;
use crate::identity::{Identity, Machine};
use crate::service;
use crate::settings::Place;
use crate::status::{Standing, Status};
use crate::stream::address::Address;
use crate::waiting::Waiting;

use super::is_running;

/// 2026-01-01: no laptop runs this program before it was written.
const WRITTEN_MS: i64 = 1_767_225_600_000;

/// How one step went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Good(String),
    Bad(String, Waiting),
    /// It could not be tried, since one before it failed.
    Skipped(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: &'static str,
    outcome: Outcome,
}

#[derive(Debug, Default)]
struct Findings(Vec<Step>);

/// Tries every step and prints the page; the exit code is that of `status` for the first that fails.
pub(super) async fn examine(setup: &Setup, place: Place) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let identity = look_at_laptop(setup, &mut findings);
    look_at_way(setup, place, identity.as_ref(), &mut findings).await;
    println!(
        "Rollcall agent {} on {}, {}\n{findings}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        SystemClock.now().wall
    );
    Ok(findings.exit_code())
}

/// What can be told without a network.
fn look_at_laptop(setup: &Setup, findings: &mut Findings) -> Option<Identity> {
    let wall = SystemClock.now().wall;
    if wall < UnixMs(WRITTEN_MS) {
        // It keeps nobody from speaking, so it is no reason to wait.
        findings.good(
            "clock",
            format!("wrong: {wall}; set it, reports flow all the same"),
        );
    } else {
        findings.good("clock", format!("{wall}"));
    }
    let status = Status::load(&setup.paths.status()).unwrap_or_default();
    if let Some(skew_ms) = status.clock_skew_ms {
        findings.good(
            "clock, compared",
            format!("{} s ahead of the collector's", skew_ms / 1000),
        );
    }
    let identity = match Identity::look(&setup.paths) {
        Ok(identity) => identity,
        Err(error) => {
            findings.bad("identity", chain(&error), Waiting::AnyToken);
            None
        }
    };
    match &identity {
        Some(identity) if Machine::read(&setup.roots).is_that_of(identity) => findings.good(
            "identity",
            format!(
                "device {} at {}",
                identity.device(),
                identity.record().collector
            ),
        ),
        Some(_) => findings.good(
            "identity",
            "of other hardware: this disk is a clone, and takes one of its own".to_owned(),
        ),
        None => look_at_token(setup, findings),
    }
    match is_running(&setup.paths) {
        Ok(true) => findings.good("service", "runs".to_owned()),
        Ok(false) => findings.bad(
            "service",
            "does not run; start it (Linux: systemctl start rollcall-agent)".to_owned(),
            Waiting::Other,
        ),
        Err(error) => findings.skip("service", format!("{error:#}")),
    }
    look_at_status(&status, identity.is_some(), findings);
    identity
}

fn look_at_token(setup: &Setup, findings: &mut Findings) {
    match setup.token.token() {
        Ok(Some(_)) => {
            findings.good("identity", "none yet".to_owned());
            findings.good("token", "there".to_owned());
        }
        Ok(None) => findings.bad(
            "identity",
            "none, and no token to enrol with".to_owned(),
            Waiting::AnyToken,
        ),
        Err(words) => findings.bad("token", words, Waiting::Token),
    }
}

fn look_at_status(status: &Status, enrolled: bool, findings: &mut Findings) {
    let standing = Standing::of(status, enrolled, true);
    let spool = &status.spool;
    let waiting = format!("{} reports, {} bytes", spool.waiting, spool.bytes);
    findings.good("waiting on disk", waiting);
    if standing == Standing::Connected {
        findings.good("the agent's own words", "connected".to_owned());
    } else if let Some(problem) = &status.last_error {
        findings.good(
            "the agent's own words",
            format!("{} ({})", problem.words, problem.at),
        );
    }
}

/// The way to the collector, step by step.
async fn look_at_way(
    setup: &Setup,
    place: Place,
    identity: Option<&Identity>,
    findings: &mut Findings,
) {
    let enrolled = identity.map(|identity| &identity.record().collector);
    let Some(address) = setup.config.collector.as_ref().or(enrolled) else {
        let words = "no address of a collector is set (option, environment, agent.toml or policy)";
        return findings.bad("collector", words.to_owned(), Waiting::Settings);
    };
    let whence = if setup.config.collector.is_some() {
        format!("{address} ({place})").replace(",)", ")")
    } else {
        format!("{address} (kept since this laptop enrolled)")
    };
    findings.good("collector", whence);
    match service::has_way_out() {
        Some(true) => findings.good("network", "there is a default route".to_owned()),
        // A collector on this very network is reached without one.
        Some(false) => findings.good("network", "no default route".to_owned()),
        None => {}
    }
    let connector = match setup.config.connector(address, &setup.roots) {
        Ok(connector) => connector,
        Err(error) => return findings.bad("proxy", error.to_string(), Waiting::Settings),
    };
    match &connector.proxy {
        Some(proxy) => findings.good("proxy", proxy.to_string()),
        None => findings.good(
            "proxy",
            "none set; the system's are tried if the straight way fails".to_owned(),
        ),
    }
    if connector.proxy.is_none() {
        look_up(address, findings).await;
    }
    let trust = match (identity, setup.token.token()) {
        (Some(identity), _) => identity.trust(),
        (None, Ok(Some(token))) => Trust::Pinned(token.authority),
        _ => {
            let words = "without identity or token nothing says which collector is the right one";
            return findings.skip("connection and TLS", words.to_owned());
        }
    };
    let shown = identity.and_then(|identity| identity.tls().ok());
    match connector.channel(trust, shown).await {
        Ok(_) => findings.good("connection and TLS", "the collector answers".to_owned()),
        Err(error) => {
            let error = CallError::from(error);
            findings.bad("connection and TLS", chain(&error), Waiting::after(&error));
        }
    }
}

async fn look_up(address: &Address, findings: &mut Findings) {
    let asked = tokio::net::lookup_host((address.host(), address.port()));
    match timeout(limits::CONNECT_TIMEOUT, asked).await {
        Ok(Ok(found)) => {
            let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            findings.good(
                "name",
                format!("{} is {}", address.host(), found.join(", ")),
            );
        }
        Ok(Err(error)) => findings.bad("name", error.to_string(), Waiting::Name),
        Err(_) => findings.bad(
            "name",
            "DNS gave no answer in time".to_owned(),
            Waiting::Name,
        ),
    }
}

impl Findings {
    fn good(&mut self, name: &'static str, words: String) {
        self.push(name, Outcome::Good(words));
    }

    fn bad(&mut self, name: &'static str, words: String, waiting: Waiting) {
        self.push(name, Outcome::Bad(words, waiting));
    }

    fn skip(&mut self, name: &'static str, words: String) {
        self.push(name, Outcome::Skipped(words));
    }

    fn push(&mut self, name: &'static str, outcome: Outcome) {
        self.0.push(Step { name, outcome });
    }

    /// What the last failed step waits for, since those before it may be its cause in other words; 1
    /// where that has no code.
    fn exit_code(&self) -> ExitCode {
        let bad = self.0.iter().rev().find_map(|step| match step.outcome {
            Outcome::Bad(_, waiting) => Some(waiting),
            _ => None,
        });
        bad.map_or(ExitCode::SUCCESS, |waiting| {
            ExitCode::from(waiting.exit_code().unwrap_or(1))
        })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { name, outcome } in &self.0 {
            let (mark, words) = match outcome {
                Outcome::Good(words) => ("ok  ", words),
                Outcome::Bad(words, _) => ("FAIL", words),
                Outcome::Skipped(words) => ("-   ", words),
            };
            writeln!(f, "{mark}  {name:<22} {words}")?;
        }
        let failed = self
            .0
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Bad(..)))
            .count();
        match failed {
            0 => write!(f, "nothing wrong was found from here"),
            1 => write!(f, "1 step failed"),
            more => write!(f, "{more} steps failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_marks_what_failed_and_the_exit_code_says_why() {
        let mut findings = Findings::default();
        findings.good("clock", "right".to_owned());
        assert_eq!(findings.exit_code(), ExitCode::SUCCESS);
        assert!(
            findings
                .to_string()
                .ends_with("nothing wrong was found from here")
        );
        findings.bad("name", "not found".to_owned(), Waiting::Name);
        findings.skip("connection and TLS", "no token".to_owned());
        assert_eq!(findings.exit_code(), ExitCode::from(11));
        let page = findings.to_string();
        assert!(
            page.contains("FAIL  name                   not found\n"),
            "{page}"
        );
        assert!(page.ends_with("1 step failed"), "{page}");
        findings.bad(
            "connection and TLS",
            "no network".to_owned(),
            Waiting::Network,
        );
        assert_eq!(findings.exit_code(), ExitCode::from(10));
    }
}
