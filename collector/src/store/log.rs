//! Entries of the log: what arrived together, before it is sealed.
//!
//! ```text
//! entry := version[1] (device[16] length[4] frame)*
//! ```
//! The frames are drawn in `frame`. What version 1 wrote is read by `legacy`.

use rollcall_shared::id::DeviceId;

use super::codec::{Decoder, Encoder, Problem, pack, unpack};

const VERSION: u8 = 2;

/// Bytes of an entry before it is compressed, after which the next one begins. With one more message of
/// the largest size it stays well below what may be unpacked: an entry that could not be read again
/// would be a store that does not open.
const ENTRY_BYTES: usize = 1024 * 1024;

/// An entry in the making.
#[derive(Debug)]
pub(super) struct EntryForm(Encoder);

impl EntryForm {
    pub fn new() -> Self {
        Self(Encoder(vec![VERSION]))
    }

    /// Adds a frame, and says whether the entry is large enough now.
    pub fn push(&mut self, device: DeviceId, frame: &[u8]) -> bool {
        self.0.raw(device.as_bytes());
        self.0.bytes(frame);
        self.0.0.len() >= ENTRY_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.0.0.len() == 1
    }

    pub fn finish(self) -> Vec<u8> {
        pack(&self.0.0)
    }
}

/// An entry, unpacked.
#[derive(Debug)]
pub(super) struct LogEntry(Vec<u8>);

impl LogEntry {
    pub fn unpack(bytes: &[u8]) -> Result<Self, Problem> {
        let bytes = unpack(bytes)?;
        match bytes.first() {
            Some(&VERSION) => Ok(Self(bytes)),
            Some(other) => Err(format!("its form {other} is unknown")),
            None => Err("it is empty".to_owned()),
        }
    }

    /// Each frame and whose it is, in order.
    pub fn frames(&self) -> impl Iterator<Item = Result<(DeviceId, &[u8]), Problem>> {
        let mut form = Decoder(&self.0[1..]);
        std::iter::from_fn(move || {
            (!form.is_empty()).then(|| {
                let device = DeviceId::from_bytes(form.array()?);
                Ok((device, form.bytes()?))
            })
        })
    }
}
