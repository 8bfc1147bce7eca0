//! Keeping the agent connected: an identity first, then a stream, and a remedy when one ends.
//!
//! Nothing here gives up and nothing here loops: each remedy after the first waits longer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_shared::backoff::{Backoff, random_fraction};
use rollcall_shared::error::chain;
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::SinceBootMs;
use rollcall_shared::token::EnrolmentToken;
use tokio::time::sleep;

use super::{Agent, forget_configuration};
use crate::identity::issue::{CallError, Credential, Issued, enroll, enroll_once, renew};
use crate::identity::{Identity, Remedy};
use crate::stream::address::Address;
use crate::stream::connector::Connector;
use crate::stream::session::End;
use crate::stream::{self, Ended, Stream};
use crate::waiting::Waiting;

/// The ceiling of the first wait after something that only a person can mend.
const RETRY_FIRST: Duration = Duration::from_secs(10);

/// The longest wait until it is tried again whether a person has mended it.
const RETRY_LONGEST: Duration = Duration::from_secs(900);

/// How often an agent without identity looks whether `rollcall-agent enroll` has given it one.
const LOOK_FOR_IDENTITY: Duration = Duration::from_secs(5);

/// A stream that lasted this long shows that the last remedy has helped.
const HELPED_AFTER: Duration = Duration::from_secs(600);

/// Where an enrolment token comes from, if from anywhere.
#[derive(Debug, Clone, Default)]
pub struct TokenSource {
    /// A token that is known already.
    pub given: Option<EnrolmentToken>,
    /// A file that holds one.
    pub file: Option<PathBuf>,
    /// Whether the file is removed once its token has been used.
    pub erase: bool,
    /// A file that an installer or an imaging tool drops into the data folder; it may be missing, and
    /// is removed once its token has been used.
    pub dropped: Option<PathBuf>,
}

impl TokenSource {
    /// The token; `None` where none is configured.
    ///
    /// # Errors
    /// In words, where the file cannot be read or holds none.
    pub fn token(&self) -> Result<Option<EnrolmentToken>, String> {
        if let Some(token) = &self.given {
            return Ok(Some(token.clone()));
        }
        let dropped = self.dropped.as_deref().map(|file| read_token(file, true));
        if let Some(Ok(Some(token))) = dropped {
            return Ok(Some(token));
        }
        if let Some(file) = &self.file
            && let Some(token) = read_token(file, self.erase)?
        {
            return Ok(Some(token));
        }
        dropped.unwrap_or(Ok(None))
    }

    /// Removes the file, where that was asked for.
    pub fn used(&self) {
        let configured = self.file.as_ref().filter(|_| self.erase);
        for file in configured.into_iter().chain(&self.dropped) {
            match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %file.display(), "the token file could not be removed");
                }
                _ => {}
            }
        }
    }
}

/// The token in a file; `None` where the file is missing and `may_be_missing`.
fn read_token(file: &Path, may_be_missing: bool) -> Result<Option<EnrolmentToken>, String> {
    match fs::read_to_string(file) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|e| format!("{}: {e}", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_be_missing => Ok(None),
        Err(error) => Err(format!("the token file {}: {error}", file.display())),
    }
}

/// What is remembered from one connection to the next.
struct Keeper {
    remedies: Backoff,
    network: Backoff,
    renew_not_before: SinceBootMs,
    has_discarded: bool,
    /// The collector has retired this device: a token on the disk must not bring it back by itself.
    is_retired: bool,
}

impl Agent {
    /// Enrols where that is needed and possible, and streams, for ever.
    pub(super) async fn keep_connected(&self) {
        let mut keeper = Keeper {
            remedies: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            network: Backoff::new(limits::RECONNECT_FIRST, limits::RECONNECT_LONGEST),
            renew_not_before: SinceBootMs(0),
            has_discarded: false,
            is_retired: false,
        };
        loop {
            let identity = self.own_identity(&mut keeper).await;
            self.use_roots_of(&identity);
            let connector = match self.connector(Some(&identity)) {
                Ok(connector) => connector,
                Err(words) => {
                    self.line
                        .note_waiting(Waiting::Settings, words, self.clock.now());
                    self.wait_for_a_person(&mut keeper).await;
                    continue;
                }
            };
            let began = self.clock.now().since_boot;
            let ended = self.stream(&identity, &connector, &keeper).await;
            if self.clock.now().since_boot.since(began) >= HELPED_AFTER {
                keeper.remedies.reset();
                keeper.is_retired = false;
            }
            match ended {
                Ended::RenewalDue => self.renew(&identity, &mut keeper).await,
                Ended::Session(End::Retired | End::Refused(Refusal::DeviceRetired)) => {
                    keeper.is_retired = true;
                    self.wait_for_a_person(&mut keeper).await;
                }
                Ended::Session(End::Refused(refusal)) => {
                    self.remedy(refusal, &identity, &mut keeper).await;
                }
            }
        }
    }

    async fn stream(&self, identity: &Identity, connector: &Connector, keeper: &Keeper) -> Ended {
        let accept = |configuration| self.accept(configuration);
        self.line.note(|status| {
            status.device = Some(identity.device().to_string());
            status.collector = Some(connector.address.to_string());
        });
        let stream = Stream {
            connector,
            identity,
            machine: &self.machine,
            line: &self.line,
            clock: &*self.clock,
            boot: self.boot,
            accept: &accept,
            renew_not_before: keeper.renew_not_before,
        };
        stream::run(&stream).await
    }

    /// The stored identity once there is one and it belongs to this hardware.
    async fn own_identity(&self, keeper: &mut Keeper) -> Identity {
        loop {
            match self.load_identity() {
                Ok(Some(identity)) if self.machine.is_that_of(&identity) => {
                    return identity;
                }
                Ok(Some(identity)) => self.leave_original(&identity, keeper).await,
                Ok(None) => self.enrol_by_token(None, keeper).await,
                Err(error) => {
                    self.line.note_problem(chain(&error), self.clock.now());
                    self.enrol_by_token(None, keeper).await;
                }
            }
        }
    }

    async fn remedy(&self, refusal: Refusal, identity: &Identity, keeper: &mut Keeper) {
        if keeper.remedies.failures() > 0 {
            self.wait_for_a_person(keeper).await;
        } else {
            keeper.remedies.after_failure(0.0);
        }
        match Remedy::against(refusal) {
            Remedy::Renew => self.renew(identity, keeper).await,
            Remedy::LeaveOriginal => self.leave_original(identity, keeper).await,
            Remedy::EnrolAnew if keeper.is_retired => self.wait_for_a_person(keeper).await,
            Remedy::EnrolAnew => self.enrol_by_token(Some(identity), keeper).await,
            Remedy::Wait => self.wait_for_a_person(keeper).await,
        }
    }

    async fn renew(&self, identity: &Identity, keeper: &mut Keeper) {
        let answer = match self.connector(Some(identity)) {
            Ok(connector) => renew(&connector, identity).await,
            Err(words) => Err(CallError::Failed(words)),
        };
        match answer {
            Ok(issued) => {
                tracing::info!(device = %issued.identity.device(), "the certificate is renewed");
                if !self.keep(&issued, keeper) {
                    self.renew_later(keeper);
                }
            }
            Err(CallError::Refused(refusal)) if Remedy::against(refusal) == Remedy::EnrolAnew => {
                self.note_failure(&CallError::Refused(refusal), "renewing");
                self.enrol_by_token(Some(identity), keeper).await;
            }
            Err(CallError::Refused(Refusal::HardwareDiffers)) => {
                self.leave_original(identity, keeper).await;
            }
            Err(error) => {
                self.note_failure(&error, "renewing");
                self.renew_later(keeper);
            }
        }
    }

    /// Reports flow by the present certificate meanwhile.
    fn renew_later(&self, keeper: &mut Keeper) {
        let wait = keeper.remedies.after_failure(random_fraction());
        let wait = wait.max(RETRY_FIRST / 2);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now().since_boot;
        keeper.renew_not_before = SinceBootMs(now.0.saturating_add(wait_ms));
    }

    /// This disk is a clone: takes an identity of its own by showing the inherited one.
    async fn leave_original(&self, inherited: &Identity, keeper: &mut Keeper) {
        tracing::warn!(original = %inherited.device(), "this is other hardware: the disk is a clone");
        if !keeper.has_discarded {
            // The inherited reports are the original's. What is collected from here on is our own.
            let discarded = self.line.spool().discard();
            if let Err(error) = discarded {
                tracing::error!(error = %chain(&error), "the inherited reports could not be discarded");
                self.wait_for_a_person(keeper).await;
                return;
            }
            keeper.has_discarded = true;
            self.line.want_full();
        }
        let answer = match self.connector(Some(inherited)) {
            Ok(connector) => enroll(&connector, Credential::Cloned(inherited), &self.machine).await,
            Err(words) => Err(CallError::Failed(words)),
        };
        match answer {
            Ok(issued) => {
                self.keep_at_last(&issued, keeper).await;
                keeper.has_discarded = false;
            }
            Err(CallError::Refused(refusal)) if !CallError::Refused(refusal).is_passing() => {
                self.note_failure(&CallError::Refused(refusal), "enrolling this clone");
                self.enrol_by_token(Some(inherited), keeper).await;
            }
            Err(error) => {
                self.wait_after(&error, "enrolling this clone", keeper)
                    .await
            }
        }
    }

    async fn enrol_by_token(&self, former: Option<&Identity>, keeper: &mut Keeper) {
        let token = match self.setup.token.token() {
            Ok(Some(token)) => token,
            Ok(None) => return self.wait_for_identity(former, keeper).await,
            Err(words) => {
                self.line
                    .note_waiting(Waiting::Token, words, self.clock.now());
                return self.wait_for_a_person(keeper).await;
            }
        };
        let answer = match self.connector(former) {
            Ok(connector) => {
                let paths = &self.setup.paths;
                enroll_once(paths, &connector, &token, former, &self.machine).await
            }
            Err(words) => {
                self.line
                    .note_waiting(Waiting::Settings, words, self.clock.now());
                return self.wait_for_a_person(keeper).await;
            }
        };
        match answer {
            Ok(issued) => {
                tracing::info!(device = %issued.identity.device(), "enrolled");
                forget_configuration(&self.setup.paths);
                self.line.follow(self.setup.config.configuration());
                self.keep_at_last(&issued, keeper).await;
                self.setup.token.used();
            }
            Err(error) => self.wait_after(&error, "enrolling", keeper).await,
        }
    }

    /// Stores an identity that has cost a use of a token, however long that takes: asking for another
    /// one while the disk is full would use the token up and fill the collector with laptops.
    async fn keep_at_last(&self, issued: &Issued, keeper: &mut Keeper) {
        while !self.keep(issued, keeper) {
            self.wait_for_a_person(keeper).await;
        }
    }

    /// Stores a new identity; the next report is a full one, since the device may be a new one.
    fn keep(&self, issued: &Issued, keeper: &mut Keeper) -> bool {
        self.line
            .note_server_time(issued.server_time, self.clock.now());
        self.line.want_full();
        keeper.network.reset();
        match issued.identity.store(&self.setup.paths) {
            Ok(()) => true,
            Err(error) => {
                self.line.note_problem(chain(&error), self.clock.now());
                false
            }
        }
    }

    async fn wait_after(&self, error: &CallError, doing: &str, keeper: &mut Keeper) {
        self.note_failure(error, doing);
        if error.is_passing() {
            let wait = keeper.network.after_failure(random_fraction());
            self.pause(wait).await;
        } else {
            self.wait_for_a_person(keeper).await;
        }
    }

    fn note_failure(&self, error: &CallError, doing: &str) {
        let words = format!("{doing}: {}", chain(error));
        self.line
            .note_waiting(Waiting::after(error), words, self.clock.now());
    }

    async fn wait_for_a_person(&self, keeper: &mut Keeper) {
        let wait = keeper.remedies.after_failure(random_fraction());
        // Never at once: a random wait of nothing would make this a loop.
        self.pause(wait.max(RETRY_FIRST / 2)).await;
    }

    /// Waits until `rollcall-agent enroll` has been run, or for long where it has helped no more.
    async fn wait_for_identity(&self, former: Option<&Identity>, keeper: &mut Keeper) {
        if former.is_some() {
            return self.wait_for_a_person(keeper).await;
        }
        let words = "this laptop is not enrolled; run `rollcall-agent enroll`, or name a token_file \
                     in agent.toml";
        self.line
            .note_waiting(Waiting::AnyToken, words.to_owned(), self.clock.now());
        sleep(LOOK_FOR_IDENTITY).await;
    }

    /// Waits, or until the network is another one.
    async fn pause(&self, wait: Duration) {
        let mut disturbed = self.line.watch_disturbed();
        disturbed.borrow_and_update();
        tokio::select! {
            () = sleep(wait) => {}
            _ = disturbed.changed() => {}
        }
    }

    /// The way to the collector: `agent.toml` first, then where this laptop enrolled.
    fn connector(&self, identity: Option<&Identity>) -> Result<Connector, String> {
        let enrolled: Option<&Address> = identity.map(|identity| &identity.record().collector);
        let address = self.setup.config.collector.as_ref().or(enrolled).ok_or(
            "no collector is known; set `collector = \"host:port\"` in agent.toml, or run \
             `rollcall-agent enroll --collector host:port`",
        )?;
        self.setup
            .config
            .connector(address, &self.setup.roots)
            .map_err(|error| error.to_string())
    }
}
