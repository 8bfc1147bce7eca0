//! One stream of a laptop: Hello, then reports up and acknowledgements down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollcall_proto::v1;
use rollcall_proto::v1::down::Message as Said;
use rollcall_proto::v1::up::Message as Heard;
use rollcall_shared::backoff::random_fraction;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Sequence, SpoolId};
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::UnixMs;
use tonic::{Code, Status};

use super::admission::{Admission, admit, clock_reading, short_text};
use super::boots::Seen;
use super::counters::UnderWay;
use super::pacing::{Pace, pace};
use super::streams::Place;
use super::transport::Link;
use super::{Peer, Reason, Shared, refuse};
use crate::device::{Device, DeviceState, Standing};
use crate::store::{Arrival, StoreError, Write};

/// How long a new stream may take to say Hello: a connection's own time limit.
const HELLO: Duration = limits::CONNECT_TIMEOUT;

/// A stream.
pub(super) struct Session<'a> {
    shared: Arc<Shared>,
    peer: Peer,
    device: DeviceId,
    link: Link<'a>,
    pace: Pace,
}

/// Notes that a device is connected, for as long as it lives.
struct Presence<'a>(&'a Shared, DeviceId);

impl<'a> Presence<'a> {
    fn new(shared: &'a Shared, device: DeviceId) -> Self {
        shared.store.set_connected(device, true, shared.now());
        Self(shared, device)
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.store.set_connected(self.1, false, self.0.now());
    }
}

impl<'a> Session<'a> {
    pub fn new(shared: Arc<Shared>, peer: Peer, device: DeviceId, link: Link<'a>) -> Self {
        Self {
            shared,
            peer,
            device,
            link,
            pace: Pace::EASY,
        }
    }

    /// Converses until one side ends it.
    ///
    /// # Errors
    /// Why the stream ends, as the laptop is to be told.
    pub async fn run(mut self) -> Result<(), Status> {
        let shared = Arc::clone(&self.shared);
        let _counted = UnderWay::new(&shared.counters.streams);
        self.converse(&shared).await
    }

    async fn converse(&mut self, shared: &Shared) -> Result<(), Status> {
        let hello = tokio::select! {
            hello = tokio::time::timeout(HELLO, self.link.message()) => hello,
            () = shared.shutdown.cancelled() => {
                return Err(Status::unavailable("the collector is shutting down"));
            }
        };
        let Ok(hello) = hello else {
            return Err(self.out_of_turn("no Hello came in time").await);
        };
        let Some(Heard::Hello(hello)) = self.heard(hello)? else {
            return Err(self.out_of_turn("the first message is not Hello").await);
        };
        let place = shared.streams.open(self.device);
        let mut configuration = shared.configuration.clone();
        let spool = Box::pin(self.greet(&hello, &place)).await?;
        let _present = Presence::new(shared, self.device);
        let current = Arc::clone(&configuration.borrow_and_update());
        if current.revision != hello.configuration_revision {
            Box::pin(self.configure(&current)).await?;
        }
        loop {
            tokio::select! {
                biased;
                () = place.stop.cancelled() => return Box::pin(self.end()).await,
                () = shared.shutdown.cancelled() => {
                    return Err(Status::unavailable("the collector is shutting down"));
                }
                changed = configuration.changed() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the collector is shutting down"));
                    }
                    let current = Arc::clone(&configuration.borrow_and_update());
                    Box::pin(self.configure(&current)).await?;
                }
                message = self.link.message() => match self.heard(message)? {
                    // On the heap: an idle stream shall not hold room for it.
                    Some(Heard::Reports(reports)) => Box::pin(self.take(spool, reports)).await?,
                    Some(Heard::Hello(_)) => {
                        return Err(self.out_of_turn("Hello came twice").await);
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// What a message says; `None` at the end of the stream.
    fn heard(&self, message: Result<Option<v1::Up>, Status>) -> Result<Option<Heard>, Status> {
        match message {
            Ok(None) => Ok(None),
            Ok(Some(v1::Up {
                message: Some(message),
            })) => Ok(Some(message)),
            Ok(Some(v1::Up { message: None })) => {
                self.shared.counters.count(Reason::MessageUnreadable, 1);
                Err(refuse::status(Refusal::MessageMalformed))
            }
            Err(status) => {
                let unreadable = [Code::OutOfRange, Code::Internal, Code::ResourceExhausted];
                if unreadable.contains(&status.code()) {
                    self.shared.counters.count(Reason::MessageUnreadable, 1);
                }
                Err(status)
            }
        }
    }

    async fn greet(&mut self, hello: &v1::Hello, place: &Place<'_>) -> Result<SpoolId, Status> {
        let Ok(spool) = SpoolId::try_from(&hello.spool[..]) else {
            return Err(self.out_of_turn("hello.spool has not 16 bytes").await);
        };
        let recognised = self.recognise(hello).await;
        if let Err(refusal) = recognised.and_then(|()| self.tell_apart(hello, place)) {
            return Err(self.shared.refuse(refusal, self.peer, "stream").await);
        }
        let stored = self.shared.store.stored(self.device, spool);
        let stored = match stored {
            Ok(stored) => stored,
            Err(_) => {
                let refusal = Refusal::StoreUnavailable;
                return Err(self.shared.refuse(refusal, self.peer, "stream").await);
            }
        };
        let configuration_revision = self.shared.configuration.borrow().revision;
        // In a morning's rush newcomers begin at the pace of the others.
        let appending = self.shared.counters.appending.load(Ordering::Relaxed);
        self.pace = pace(appending, random_fraction());
        self.say(Said::Welcome(v1::Welcome {
            last_stored: stored.0,
            server_time_ms: self.shared.now().0,
            configuration_revision,
            credit: self.pace.credit,
        }))
        .await?;
        if !self.pace.wait.is_zero() {
            self.say_pace().await?;
        }
        Ok(spool)
    }

    /// Compares the hardware with that which enrolled, and notes what is new about the laptop.
    async fn recognise(&self, hello: &v1::Hello) -> Result<(), Refusal> {
        let hardware = hello.hardware.clone().unwrap_or_default();
        let fingerprint =
            HardwareFingerprint::try_from(&hardware).map_err(|_| Refusal::MessageMalformed)?;
        let store = &self.shared.store;
        let renewed = |state: Option<Arc<DeviceState>>| {
            let state = state.ok_or(Refusal::DeviceUnknown)?;
            renewed_record(&state.device, hello, &hardware, &fingerprint)
        };
        // Most say what is known; a morning's laptops must not queue for a decision about nothing.
        if renewed(store.device(self.device))?.is_none() {
            return Ok(());
        }
        let _decision = store.exclusive().await;
        if let Some(device) = renewed(store.device(self.device))? {
            let written = store.commit(vec![Write::PutDevice(device)]).await;
            written.map_err(|_| Refusal::StoreUnavailable)?;
        }
        Ok(())
    }

    /// Notices two machines with one identity by their boots, where their hardware does not tell.
    fn tell_apart(&self, hello: &v1::Hello, place: &Place<'_>) -> Result<(), Refusal> {
        let sent = hello.sent.as_ref();
        let Some(boot) = sent.and_then(|sent| BootId::try_from(&sent.boot[..]).ok()) else {
            return Ok(());
        };
        match self.shared.boots.note(self.device, boot) {
            Seen::Again => {}
            // Was the laptop started anew, its old stream is dead. Another machine comes again, and
            // is known by that.
            Seen::New => self.shared.streams.stop_others(place),
            Seen::Returned => return Err(Refusal::HardwareDiffers),
        }
        Ok(())
    }

    async fn take(&mut self, spool: SpoolId, reports: v1::Reports) -> Result<(), Status> {
        let shared = Arc::clone(&self.shared);
        shared.counters.messages.fetch_add(1, Ordering::Relaxed);
        let now = shared.now();
        let admission = match admit(reports, now) {
            Ok(admission) => admission,
            Err(error) => return Err(self.out_of_turn(&error.to_string()).await),
        };
        self.count_what_was_wrong(&admission, now).await;
        let last = admission.last;
        let stored = match self.append(spool, admission, now).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(%error, "reports were not stored");
                let refusal = Refusal::StoreUnavailable;
                return Err(shared.refuse(refusal, self.peer, "stream").await);
            }
        };
        let sequence = stored.max(last).0;
        self.say(Said::Ack(v1::Ack { sequence })).await?;
        self.keep_pace().await
    }

    async fn append(
        &self,
        spool: SpoolId,
        admission: Admission,
        now: UnixMs,
    ) -> Result<Sequence, StoreError> {
        let store = &self.shared.store;
        let mut reports = admission.reports;
        let Some((_, last)) = reports.last_mut() else {
            return store.stored(self.device, spool);
        };
        // A report that is full already tells it not: what is stored has to hold to the limit too.
        if last.readings.len() < limits::READINGS_PER_REPORT {
            let state = store.device(self.device);
            last.readings
                .extend(offset(state.as_deref(), admission.skew_ms));
        }
        let _waiting = UnderWay::new(&self.shared.counters.appending);
        let arrival = Arrival {
            device: self.device,
            spool,
            reports,
            received: now,
            skew_ms: admission.skew_ms,
        };
        Ok(store.append(arrival).await?.stored)
    }

    async fn count_what_was_wrong(&self, admission: &Admission, now: UnixMs) {
        let counters = &self.shared.counters;
        counters.count(Reason::ReadingRejected, admission.rejected.len());
        counters.count(Reason::ReportMalformed, admission.malformed.len());
        counters.count(Reason::FutureDated, admission.future);
        if let Some(error) = admission.rejected.first() {
            tracing::debug!(device = %self.device, %error, "readings were left out");
        }
        if let Some(error) = admission.malformed.first() {
            let word = Reason::ReportMalformed.word();
            let detail = error.to_string();
            self.shared
                .refusals
                .remark(self.peer, "stream", word, detail, now)
                .await;
        }
    }

    async fn keep_pace(&mut self) -> Result<(), Status> {
        let appending = self.shared.counters.appending.load(Ordering::Relaxed);
        let now = pace(appending, random_fraction());
        if now.credit == self.pace.credit {
            return Ok(());
        }
        self.pace = now;
        self.say_pace().await
    }

    async fn say_pace(&mut self) -> Result<(), Status> {
        let Pace { credit, wait } = self.pace;
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        self.say(Said::SlowDown(v1::SlowDown { credit, wait_ms }))
            .await
    }

    async fn configure(&mut self, configuration: &Configuration) -> Result<(), Status> {
        self.say(Said::Configuration(configuration.into())).await
    }

    /// Says why the stream was stopped.
    async fn end(&mut self) -> Result<(), Status> {
        match self.shared.standing(self.device) {
            Standing::Retired => {
                let reason = "this device was retired at the collector".to_owned();
                self.say(Said::Retire(v1::Retire { reason })).await
            }
            Standing::Revoked => Err(self
                .shared
                .refuse(Refusal::DeviceRevoked, self.peer, "stream")
                .await),
            Standing::Active => Err(Status::aborted(
                "a newer stream of this device took its place",
            )),
        }
    }

    async fn out_of_turn(&self, what: &str) -> Status {
        let (shared, word) = (&self.shared, Refusal::MessageMalformed.word());
        shared.counters.count(Reason::MessageOutOfTurn, 1);
        shared.counters.count_refusal(Refusal::MessageMalformed);
        let detail = what.to_owned();
        shared
            .refusals
            .remark(self.peer, "stream", word, detail, shared.now())
            .await;
        refuse::status(Refusal::MessageMalformed)
    }

    async fn say(&mut self, message: Said) -> Result<(), Status> {
        let down = v1::Down {
            message: Some(message),
        };
        self.link.say(down).await
    }
}

/// The record of a device after its Hello; `None` where nothing is new.
fn renewed_record(
    known: &Device,
    hello: &v1::Hello,
    hardware: &v1::Hardware,
    fingerprint: &HardwareFingerprint,
) -> Result<Option<Device>, Refusal> {
    if let Some(refusal) = known.standing.refusal() {
        return Err(refusal);
    }
    if !fingerprint.is_same_machine(&known.fingerprint) {
        return Err(Refusal::HardwareDiffers);
    }
    let device = Device {
        agent_version: short_text(&hello.agent_version),
        vendor: told(&hardware.vendor, &known.vendor),
        model: told(&hardware.model, &known.model),
        ..known.clone()
    };
    Ok((device != *known).then_some(device))
}

fn told(new: &str, known: &str) -> String {
    let new = short_text(new);
    if new.is_empty() {
        known.to_owned()
    } else {
        new
    }
}

fn offset(state: Option<&DeviceState>, skew_ms: i64) -> Option<rollcall_shared::reading::Reading> {
    let latest = state.and_then(|state| state.get(&metric::CLOCK_OFFSET, ""));
    clock_reading(latest.map(|latest| &latest.value), skew_ms)
}
