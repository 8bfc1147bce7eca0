//! Bytes of our own forms: fixed numbers little-endian, lengths before what they measure.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::StoreError;
use super::keys::VALUE_BYTES;

/// zstd at its fastest: the log lives for an hour, and so does a state.
const LEVEL: i32 = 1;

/// The most bytes that a compressed form may have when unpacked: a message's limit, 16 times.
const UNPACKED_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a value that is split into pieces, beside the count of pieces in the first.
const PIECE_BYTES: usize = VALUE_BYTES - 2;

/// What is wrong with bytes that were read.
pub(super) type Problem = String;

/// Writes a form.
#[derive(Debug, Default)]
pub(super) struct Encoder(pub Vec<u8>);

impl Encoder {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn maybe_i64(&mut self, value: Option<i64>) {
        self.u8(u8::from(value.is_some()));
        self.i64(value.unwrap_or_default());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("forms are bounded far below 4 GB"));
        self.raw(bytes);
    }

    /// A signed number, short when it is small.
    pub fn varint(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.u8(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.u8(rest.to_le_bytes()[0]);
    }
}

/// Reads a form.
#[derive(Debug)]
pub(super) struct Decoder<'a>(pub &'a [u8]);

impl<'a> Decoder<'a> {
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| format!("it ends {} bytes early", count - self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        Ok(self.raw(N)?.try_into().expect("raw gives as many as asked"))
    }

    pub fn u8(&mut self) -> Result<u8, Problem> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Problem> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Problem> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn maybe_i64(&mut self) -> Result<Option<i64>, Problem> {
        let some = self.u8()? == 1;
        let value = self.i64()?;
        Ok(some.then_some(value))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Problem> {
        let count = self.u32()?;
        self.raw(count as usize)
    }

    pub fn varint(&mut self) -> Result<i64, Problem> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err("a number has more than 64 bits".to_owned())
    }
}

thread_local! {
    // A context of zstd has some hundred kilobytes, which cost more to make than a device's state to pack.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(LEVEL).expect("zstd has memory for a context"));
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("zstd has memory for a context"));
}

/// Compresses a form.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let packed = COMPRESSOR.with_borrow_mut(|zstd| zstd.compress(bytes));
    packed.expect("memory is all that compressing into memory needs")
}

/// Undoes [`pack`].
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    // The room that the frame asks for: most have some hundred bytes.
    let said = zstd::zstd_safe::get_frame_content_size(bytes)
        .ok()
        .flatten();
    let said = said.and_then(|said| usize::try_from(said).ok());
    let room = said.map_or(UNPACKED_BYTES, |said| said.min(UNPACKED_BYTES));
    let unpacked = DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress(bytes, room));
    unpacked.map_err(|error| error.to_string())
}

/// Splits a value into pieces, each small enough for a value; the first begins with their count.
pub(super) fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = if bytes.is_empty() {
        vec![bytes]
    } else {
        bytes.chunks(PIECE_BYTES).collect()
    };
    let count = u16::try_from(parts.len()).expect("forms are bounded far below 390 MB");
    let mut pieces: Vec<Vec<u8>> = parts.into_iter().map(<[u8]>::to_vec).collect();
    if let Some(first) = pieces.first_mut() {
        first.splice(0..0, count.to_le_bytes());
    }
    pieces
}

/// The count of pieces that the first piece names, and its own bytes.
pub(super) fn first_piece(bytes: &[u8]) -> Result<(u16, &[u8]), Problem> {
    let mut decoder = Decoder(bytes);
    let count = decoder.array().map(u16::from_le_bytes)?;
    Ok((count, decoder.0))
}

/// A record as JSON, which is small enough for a value.
pub(super) fn record<T: serde::Serialize>(
    what: &'static str,
    record: &T,
) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(record).expect("records have text keys and finite numbers");
    if json.len() > VALUE_BYTES {
        let (bytes, limit) = (json.len(), VALUE_BYTES);
        return Err(StoreError::TooLarge { what, bytes, limit });
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        let numbers = [0, 1, -1, 63, 64, -65, i64::MAX, i64::MIN, 86_400_000];
        let mut encoder = Encoder::default();
        numbers.iter().for_each(|n| encoder.varint(*n));
        let mut decoder = Decoder(&encoder.0);
        for number in numbers {
            assert_eq!(decoder.varint(), Ok(number));
        }
        assert!(decoder.is_empty() && decoder.varint().is_err());
    }

    #[test]
    fn pieces_fit_a_value_and_join() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
            let pieces = split(&bytes);
            assert!(pieces.iter().all(|piece| piece.len() <= VALUE_BYTES));
            let (count, first) = first_piece(&pieces[0]).unwrap();
            assert_eq!(usize::from(count), pieces.len());
            let joined = [first, &pieces[1..].concat()].concat();
            assert_eq!(joined, bytes);
        }
    }
}
