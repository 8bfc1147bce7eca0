//! Refusing: a status that agents act on, a count, and a line in the audit log, all bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_shared::refusal::{REFUSAL_KEY, Refusal};
use rollcall_shared::time::UnixMs;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::{IngestCounters, Peer, Reason};
use crate::audit::AuditLine;
use crate::store::{Store, Write};

/// Refused enrolments that an address may cause in a minute. A school has one address for all of its
/// laptops, and a wrong token in an imaging room of 30 makes 30 refusals; right ones do not count.
const REFUSED_PER_MINUTE: u32 = 120;

/// Addresses that are counted apart; beyond that the oldest are forgotten. About 64 bytes each.
const ADDRESSES: usize = 4096;

/// Lines of one outcome in the audit log within a minute, so that a flood of one kind hides no other:
/// a stranger who breaks off handshakes must not keep a revoked laptop out of the log. Strangers can
/// cause about six outcomes; 120 lines a minute for a year are 12 GB at the very worst. What is left
/// out is counted.
const LINES_PER_MINUTE: u32 = 20;

const MINUTE_MS: i64 = 60_000;

/// The status that an agent gets, with the refusal's word beside it.
pub(super) fn status(refusal: Refusal) -> Status {
    let mut status = Status::new(code(refusal), refusal.sentence());
    let word = MetadataValue::from_static(refusal.word());
    status.metadata_mut().insert(REFUSAL_KEY, word);
    status
}

const fn code(refusal: Refusal) -> Code {
    match refusal {
        Refusal::TokenUnknown
        | Refusal::TokenUsedUp
        | Refusal::TokenExpired
        | Refusal::TokenRevoked
        | Refusal::DeviceRevoked
        | Refusal::DeviceRetired
        | Refusal::DeviceUnknown => Code::PermissionDenied,
        Refusal::RequestMalformed | Refusal::MessageMalformed => Code::InvalidArgument,
        Refusal::CertificateMissing | Refusal::CertificateExpired | Refusal::GraceOver => {
            Code::Unauthenticated
        }
        Refusal::HardwareDiffers => Code::FailedPrecondition,
        Refusal::TooMany => Code::ResourceExhausted,
        Refusal::StoreUnavailable => Code::Unavailable,
    }
}

/// Counts refusals and writes them down.
#[derive(Debug)]
pub(super) struct Refusals {
    store: Store,
    counters: Arc<IngestCounters>,
    addresses: Mutex<HashMap<IpAddr, Minute>>,
    /// By outcome, which is a word of ours.
    lines: Mutex<HashMap<String, Minute>>,
}

impl Refusals {
    pub fn new(store: Store, counters: Arc<IngestCounters>) -> Self {
        Self {
            store,
            counters,
            addresses: Mutex::default(),
            lines: Mutex::default(),
        }
    }

    /// Whether an address was refused so often that it has to wait.
    pub fn too_many_from(&self, address: IpAddr, now: UnixMs) -> bool {
        let addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let minute = addresses.get(&address);
        minute.is_some_and(|minute| minute.is_current(now) && minute.count >= REFUSED_PER_MINUTE)
    }

    /// Counts and audits a refusal.
    pub async fn refuse(&self, refusal: Refusal, peer: Peer, action: &str, now: UnixMs) {
        self.counters.count_refusal(refusal);
        if action == "enroll" {
            self.count_address(peer.address.ip(), now);
        }
        tracing::info!(refusal = refusal.word(), action, device = %peer.subject(), "refused");
        // A store that cannot take reports takes no line about that either.
        if refusal != Refusal::StoreUnavailable {
            self.write(line(peer, action, peer.subject(), refusal.word(), now))
                .await;
        }
    }

    /// Writes down what went well.
    pub async fn note(&self, peer: Peer, action: &str, subject: String, now: UnixMs) {
        self.write(line(peer, action, subject, "ok", now)).await;
    }

    /// Writes down what was wrong with something, with the details.
    pub async fn remark(
        &self,
        peer: Peer,
        action: &str,
        outcome: &str,
        detail: String,
        now: UnixMs,
    ) {
        let line = AuditLine {
            detail,
            ..line(peer, action, peer.subject(), outcome, now)
        };
        self.write(line).await;
    }

    async fn write(&self, line: AuditLine) {
        let fits = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let of_this_outcome = lines.entry(line.outcome.clone()).or_default();
            of_this_outcome.count(line.at) <= LINES_PER_MINUTE
        };
        if !fits {
            return self.counters.count(Reason::AuditSuppressed, 1);
        }
        if let Err(error) = self.store.commit(vec![Write::Audit(line)]).await {
            tracing::warn!(%error, "an audit line could not be written");
        }
    }

    fn count_address(&self, address: IpAddr, now: UnixMs) {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, minute| minute.is_current(now));
        }
        if addresses.len() < ADDRESSES || addresses.contains_key(&address) {
            addresses.entry(address).or_default().count(now);
        }
    }
}

/// A count that begins anew each minute.
#[derive(Debug, Default)]
struct Minute {
    began: UnixMs,
    count: u32,
}

impl Minute {
    /// A clock that was set back ends the minute too.
    fn is_current(&self, now: UnixMs) -> bool {
        (0..MINUTE_MS).contains(&now.since(self.began))
    }

    fn count(&mut self, now: UnixMs) -> u32 {
        if !self.is_current(now) {
            *self = Self {
                began: now,
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

fn line(peer: Peer, action: &str, subject: String, outcome: &str, now: UnixMs) -> AuditLine {
    AuditLine {
        at: now,
        actor: peer.actor(),
        action: action.to_owned(),
        subject,
        outcome: outcome.to_owned(),
        detail: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_travels_as_its_word() {
        for refusal in Refusal::ALL {
            let status = status(*refusal);
            let word = status
                .metadata()
                .get(REFUSAL_KEY)
                .unwrap()
                .to_str()
                .unwrap();
            assert_eq!(Refusal::from_word(word), Some(*refusal));
            assert_ne!(status.code(), Code::Ok);
        }
    }

    #[test]
    fn a_minute_ends_also_when_the_clock_is_set_back() {
        let mut minute = Minute::default();
        let at = UnixMs(1_790_000_000_000);
        assert_eq!((minute.count(at), minute.count(at.plus_ms(59_999))), (1, 2));
        assert_eq!(minute.count(at.plus_ms(MINUTE_MS)), 1);
        assert_eq!(minute.count(at), 1);
    }
}
