//! One candidate on one subject.

use std::fmt;

use anyhow::{Result, ensure};
use rollcall_collector::store::block::Column;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::candidates::Candidate;

/// What one value costs beside its bytes: a key of 28 bytes (device, time, number), and about as much
/// as sled adds to an entry of a leaf.
const ENTRY_BYTES: usize = 40;

/// What a candidate made of a subject.
#[derive(Debug)]
pub struct Figures {
    name: &'static str,
    samples: usize,
    values: usize,
    bytes: usize,
    encode_ns: f64,
    decode_ns: f64,
}

impl Figures {
    /// The head of the table.
    pub const HEADER: &'static str = "form             samples   values  bytes/sample  with keys  \
                                      encode ns/sample  decode ns/sample";

    /// Packs and unpacks all blocks, and fails unless every bit comes back.
    pub fn of(candidate: &Candidate, blocks: &[Vec<Column>]) -> Result<Self> {
        let samples = blocks
            .iter()
            .flatten()
            .map(|column| column.points.len())
            .sum();
        // Once before it counts: dictionaries and contexts are made on first use.
        blocks
            .iter()
            .take(1)
            .for_each(|block| drop((candidate.encode)(block)));
        let start = cpu_ns();
        let packed: Vec<Vec<Vec<u8>>> = blocks
            .iter()
            .map(|block| (candidate.encode)(block))
            .collect();
        let encoded = cpu_ns();
        let unpacked: Result<Vec<_>> = packed
            .iter()
            .map(|values| (candidate.decode)(values))
            .collect();
        let decoded = cpu_ns();
        for (block, back) in blocks.iter().zip(unpacked?) {
            ensure!(
                candidate.holds(block, &back),
                "{} loses something",
                candidate.name
            );
        }
        let values: usize = packed.iter().map(Vec::len).sum();
        Ok(Self {
            name: candidate.name,
            samples,
            values,
            bytes: packed.iter().flatten().map(Vec::len).sum(),
            encode_ns: (encoded - start) / samples as f64,
            decode_ns: (decoded - encoded) / samples as f64,
        })
    }

    fn bytes_per_sample(&self) -> f64 {
        self.bytes as f64 / self.samples as f64
    }

    fn with_keys(&self) -> f64 {
        (self.bytes + ENTRY_BYTES * self.values) as f64 / self.samples as f64
    }

    /// The figures for a machine.
    pub fn json(&self) -> Value {
        json!({
            "samples": self.samples,
            "values": self.values,
            "bytes_per_sample": self.bytes_per_sample(),
            "bytes_per_sample_with_keys": self.with_keys(),
            "encode_ns_per_sample": self.encode_ns,
            "decode_ns_per_sample": self.decode_ns,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<14} {:>9} {:>8} {:>13.3} {:>10.3} {:>17.0} {:>17.0}",
            self.name,
            self.samples,
            self.values,
            self.bytes_per_sample(),
            self.with_keys(),
            self.encode_ns,
            self.decode_ns
        )
    }
}

/// Processor time of this thread, which other processes do not disturb much.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
