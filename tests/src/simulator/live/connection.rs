//! Keeping a live laptop connected while it is online: an identity first, then the agent's stream.

use std::time::Duration;

use rollcall_agent::collect::Roots;
use rollcall_agent::identity::issue::{CallError, Credential, Issued, enroll, renew};
use rollcall_agent::identity::{Identity, Remedy};
use rollcall_agent::stream::connector::Connector;
use rollcall_agent::stream::session::End;
use rollcall_agent::stream::{self, Ended, Stream};
use rollcall_shared::backoff::{Backoff, random_fraction};
use rollcall_shared::configuration::Configuration;
use rollcall_shared::error::chain;
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::{Clock as _, SinceBootMs};
use tokio::sync::watch;
use tokio::time::sleep;

use super::laptop::{LiveLaptop, Phase, paths};

/// The ceiling of the first wait after something that only a person can mend.
const RETRY_FIRST: Duration = Duration::from_secs(10);

/// The longest of these waits.
const RETRY_LONGEST: Duration = Duration::from_secs(900);

/// How long a clone waits for the laptop that it was imaged from to enrol, and how often it looks.
const WAIT_FOR_ORIGINAL: Duration = Duration::from_secs(30);
const LOOK_FOR_ORIGINAL: Duration = Duration::from_millis(500);

/// What is remembered from one connection to the next.
struct Keeper {
    network: Backoff,
    person: Backoff,
    renew_not_before: SinceBootMs,
}

/// What helps next.
enum Next {
    Stream,
    EnrolAnew,
    Renew,
}

impl LiveLaptop {
    /// Enrols, streams while the laptop is online, and starts over.
    pub(super) async fn keep_connected(&self) {
        let mut keeper = Keeper {
            network: Backoff::new(limits::RECONNECT_FIRST, limits::RECONNECT_LONGEST),
            person: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            renew_not_before: SinceBootMs(0),
        };
        let mut identity = None;
        let mut phase = self.phase.subscribe();
        loop {
            until(&mut phase, |phase| phase == Phase::Online).await;
            let Some(own) = identity.take() else {
                identity = self.own_identity(&mut keeper).await;
                continue;
            };
            let ended = tokio::select! {
                ended = self.stream(&own, &keeper) => Some(ended),
                () = until(&mut phase, |phase| phase != Phase::Online) => None,
            };
            self.line.note(|status| status.connected = false);
            let next = match ended {
                Some(ended) => self.after(ended, &mut keeper).await,
                None => Next::Stream,
            };
            identity = match next {
                Next::Stream => Some(own),
                Next::Renew => Some(self.renew(own, &mut keeper).await),
                Next::EnrolAnew => {
                    let issued = self.by_token(Some(&own), &mut keeper).await;
                    Some(issued.unwrap_or(own))
                }
            };
        }
    }

    async fn stream(&self, identity: &Identity, keeper: &Keeper) -> Ended {
        let Ok(connector) = self.connector() else {
            return Ended::Session(End::Retired);
        };
        let accept = |configuration: Configuration| configuration;
        let stream = Stream {
            connector: &connector,
            identity,
            machine: &self.machine,
            line: &self.line,
            clock: &self.clock,
            boot: self.boot,
            accept: &accept,
            renew_not_before: keeper.renew_not_before,
        };
        stream::run(&stream).await
    }

    async fn after(&self, ended: Ended, keeper: &mut Keeper) -> Next {
        let refusal = match ended {
            Ended::RenewalDue => return Next::Renew,
            Ended::Session(End::Refused(refusal)) => refusal,
            Ended::Session(End::Retired) => Refusal::DeviceRevoked,
        };
        self.wait_for_a_person(keeper).await;
        match Remedy::against(refusal) {
            Remedy::Renew => Next::Renew,
            Remedy::LeaveOriginal | Remedy::EnrolAnew => Next::EnrolAnew,
            Remedy::Wait => Next::Stream,
        }
    }

    /// The stored identity, or a new one: a clone shows its original's, as an agent does that finds
    /// itself on other hardware, the others show the token.
    async fn own_identity(&self, keeper: &mut Keeper) -> Option<Identity> {
        match Identity::load(&self.paths) {
            Ok(Some(identity)) => return Some(identity),
            Ok(None) => {}
            Err(error) => self.line.note_problem(chain(&error), self.clock.now()),
        }
        match self.inherited_identity().await {
            Some(inherited) => self.enrol(Credential::Cloned(&inherited), keeper).await,
            None => self.by_token(None, keeper).await,
        }
    }

    async fn inherited_identity(&self) -> Option<Identity> {
        let original = paths(&self.world, self.laptop.clone_of()?);
        let looks = WAIT_FOR_ORIGINAL.as_millis() / LOOK_FOR_ORIGINAL.as_millis();
        for _ in 0..looks {
            if let Ok(Some(identity)) = Identity::load(&original) {
                return Some(identity);
            }
            sleep(LOOK_FOR_ORIGINAL).await;
        }
        None
    }

    /// Enrols with the token; who shows a former identity stays the same device.
    async fn by_token(&self, former: Option<&Identity>, keeper: &mut Keeper) -> Option<Identity> {
        let Some(token) = &self.world.token else {
            let words = "the token file is gone, and this laptop has not enrolled yet";
            self.line.note_problem(words.to_owned(), self.clock.now());
            self.wait_for_a_person(keeper).await;
            return None;
        };
        self.enrol(Credential::Token(token, former), keeper).await
    }

    async fn enrol(&self, credential: Credential<'_>, keeper: &mut Keeper) -> Option<Identity> {
        let answer = {
            let _turn = self.world.enrolling.acquire().await.ok()?;
            match self.connector() {
                Ok(connector) => enroll(&connector, credential, &self.machine).await,
                Err(words) => Err(CallError::Failed(words)),
            }
        };
        self.keep_issued(answer, "enrolling", keeper).await
    }

    async fn renew(&self, identity: Identity, keeper: &mut Keeper) -> Identity {
        let answer = match self.connector() {
            Ok(connector) => renew(&connector, &identity).await,
            Err(words) => Err(CallError::Failed(words)),
        };
        let failed = answer.is_err();
        let renewed = self.keep_issued(answer, "renewing", keeper).await;
        if failed {
            let wait = u64::try_from(RETRY_LONGEST.as_millis()).unwrap_or(u64::MAX);
            keeper.renew_not_before =
                SinceBootMs(self.clock.now().since_boot.0.saturating_add(wait));
        }
        renewed.unwrap_or(identity)
    }

    async fn keep_issued(
        &self,
        answer: Result<Issued, CallError>,
        doing: &str,
        keeper: &mut Keeper,
    ) -> Option<Identity> {
        match answer {
            Ok(issued) => {
                keeper.network.reset();
                keeper.person.reset();
                self.line
                    .note_server_time(issued.server_time, self.clock.now());
                self.line.want_full();
                if let Err(error) = issued.identity.store(&self.paths) {
                    // It serves for this run all the same.
                    self.line.note_problem(chain(&error), self.clock.now());
                }
                Some(issued.identity)
            }
            Err(error) => {
                let words = format!("{doing}: {}", chain(&error));
                self.line.note_problem(words, self.clock.now());
                if error.is_passing() {
                    sleep(keeper.network.after_failure(random_fraction())).await;
                } else {
                    self.wait_for_a_person(keeper).await;
                }
                None
            }
        }
    }

    async fn wait_for_a_person(&self, keeper: &mut Keeper) {
        let wait = keeper.person.after_failure(random_fraction());
        // Never at once: a random wait of nothing would make this a loop.
        sleep(wait.max(RETRY_FIRST / 2)).await;
    }

    fn connector(&self) -> Result<Connector, String> {
        let connector = self
            .world
            .agent
            .connector(&self.world.collector, &Roots::default());
        connector.map_err(|error| error.to_string())
    }
}

/// Waits for a phase. The sender lives as long as the laptop, so the wait ends by the phase alone.
async fn until(phase: &mut watch::Receiver<Phase>, holds: impl Fn(Phase) -> bool) {
    let _ = phase.wait_for(|phase| holds(*phase)).await;
}
