//! What ingest counts, in the form of `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_shared::refusal::Refusal;

use crate::ingest::{IngestCounters, Reason};
use crate::query::prometheus::{Exposition, FamilyKind};

/// Writes ingest's counters.
pub(super) fn expose(out: &mut Exposition, counters: &IngestCounters) {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let gauges = [
        (
            "rollcall_ingest_connections",
            "Connections that are up.",
            &counters.connections,
        ),
        (
            "rollcall_ingest_streams",
            "Streams of laptops that are up.",
            &counters.streams,
        ),
        (
            "rollcall_ingest_appending",
            "Appends that wait for the store.",
            &counters.appending,
        ),
    ];
    for (name, help, counter) in gauges {
        out.gauge(name, help, of(counter) as f64);
    }
    let help = "Messages with reports.";
    out.counter(
        "rollcall_ingest_messages_total",
        help,
        of(&counters.messages),
    );
    out.family(
        "rollcall_ingest_rejected_total",
        FamilyKind::Counter,
        "What came and was not taken as it was, by reason.",
        Reason::ALL
            .iter()
            .map(|reason| ([("reason", reason.word())], counters.of(*reason) as f64)),
    );
    out.family(
        "rollcall_ingest_refusals_total",
        FamilyKind::Counter,
        "Calls and streams of agents that were refused, by refusal.",
        Refusal::ALL.iter().map(|refusal| {
            (
                [("refusal", refusal.word())],
                counters.refused(*refusal) as f64,
            )
        }),
    );
}
