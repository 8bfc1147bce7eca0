//! What ingest counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_shared::refusal::Refusal;

/// Why something that came was not taken as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A report without identity or time, or with too many readings.
    ReportMalformed,
    /// A reading that is not one of the catalogue, or is out of range.
    ReadingRejected,
    /// A report that claims to be later than the message that brought it.
    FutureDated,
    /// Reports out of order, too many in one message, or a message out of turn.
    MessageOutOfTurn,
    /// A message that gRPC could not read: too long, cut off, not protobuf.
    MessageUnreadable,
    /// A TLS handshake that failed.
    Handshake,
    /// A TLS handshake that took too long.
    HandshakeTimeout,
    /// A connection without a device's certificate, when there were too many.
    TooManyStrangers,
    /// A connection of a certificate that has enough of them.
    TooManyOfOne,
    /// A connection without a device's certificate that made no request in time.
    StrangerSilent,
    /// An audit line left out, because there were too many.
    AuditSuppressed,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::ReportMalformed,
        Self::ReadingRejected,
        Self::FutureDated,
        Self::MessageOutOfTurn,
        Self::MessageUnreadable,
        Self::Handshake,
        Self::HandshakeTimeout,
        Self::TooManyStrangers,
        Self::TooManyOfOne,
        Self::StrangerSilent,
        Self::AuditSuppressed,
    ];

    /// The reason in one word, as a label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReportMalformed => "report-malformed",
            Self::ReadingRejected => "reading-rejected",
            Self::FutureDated => "future-dated",
            Self::MessageOutOfTurn => "message-out-of-turn",
            Self::MessageUnreadable => "message-unreadable",
            Self::Handshake => "handshake-failed",
            Self::HandshakeTimeout => "handshake-timed-out",
            Self::TooManyStrangers => "too-many-strangers",
            Self::TooManyOfOne => "too-many-of-one-certificate",
            Self::StrangerSilent => "stranger-silent",
            Self::AuditSuppressed => "audit-suppressed",
        }
    }
}

/// The counts since the start, and how much is under way.
#[derive(Debug, Default)]
pub struct IngestCounters {
    /// Messages with reports.
    pub messages: AtomicU64,
    /// Streams that are up.
    pub streams: AtomicU64,
    /// Connections that are up.
    pub connections: AtomicU64,
    /// Appends that wait for the store.
    pub appending: AtomicU64,
    reasons: [AtomicU64; Reason::ALL.len()],
    refusals: [AtomicU64; Refusal::ALL.len()],
}

impl IngestCounters {
    /// How often there was this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons[reason as usize].load(Ordering::Relaxed)
    }

    /// How often this was refused.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, reason: Reason, more: usize) {
        self.reasons[reason as usize].fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn count_refusal(&self, refusal: Refusal) {
        self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts something as under way for as long as it lives.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    pub fn new(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_refusal_has_its_own_count() {
        let counters = IngestCounters::default();
        for reason in Reason::ALL {
            counters.count(*reason, 2);
            assert_eq!(counters.of(*reason), 2, "{}", reason.word());
        }
        for refusal in Refusal::ALL {
            counters.count_refusal(*refusal);
            assert_eq!(counters.refused(*refusal), 1, "{}", refusal.word());
        }
    }
}
