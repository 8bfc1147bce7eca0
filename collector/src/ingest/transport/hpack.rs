//! Header compression (RFC 7541), as much of it as one connection of a laptop needs.
//!
//! A decoder with a bounded table is wanted for a client's first request only: it may be sent before
//! our settings, which allow no table, are known to the client. Crates for this exist, but none that
//! is strict, bounded and kept up; `h2` does not offer its own. What we send is never compressed.

mod fields;
mod huffman;

use std::collections::VecDeque;

use fields::STATIC;

/// Bytes of a table before our settings are known (RFC 7541, section 4.2, and RFC 9113, 6.5.2).
const TABLE_BYTES: usize = 4096;

/// What an entry costs beside its name and value (RFC 7541, section 4.1).
const ENTRY_BYTES: usize = 32;

/// Bytes of all the fields of one request; gRPC clients send about 300.
pub(super) const FIELDS_BYTES: usize = 8192;

/// A field's name and value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// Why a block of headers cannot be read; the connection is lost with it, since its state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HpackError {
    /// It is not HPACK.
    #[error("the block of headers is malformed")]
    Malformed,
    /// It says more than anybody has to say.
    #[error("the headers are larger than {FIELDS_BYTES} bytes")]
    TooLarge,
}

/// Decodes the blocks of one connection.
#[derive(Debug)]
pub(super) struct Decoder {
    table: VecDeque<Field>,
    bytes: usize,
    /// The size that the client has chosen.
    size: usize,
    /// The largest that it may choose.
    most: usize,
}

impl Decoder {
    /// A decoder for a client that may not know our settings yet.
    pub const fn before_settings() -> Self {
        Self::with_table(TABLE_BYTES)
    }

    /// A decoder for a client that has acknowledged that it may use no table.
    pub const fn without_table() -> Self {
        Self::with_table(0)
    }

    const fn with_table(most: usize) -> Self {
        Self {
            table: VecDeque::new(),
            bytes: 0,
            size: most,
            most,
        }
    }

    /// The fields of a whole block.
    ///
    /// # Errors
    /// When it is malformed or says too much.
    pub fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, HpackError> {
        let (mut rest, mut fields, mut bytes) = (Bytes(block), Vec::new(), 0);
        while let Some(first) = rest.0.first().copied() {
            if first & 0xe0 == 0x20 {
                self.resize(rest.integer(5)?, fields.is_empty())?;
                continue;
            }
            let field = self.field(first, &mut rest)?;
            bytes += field.0.len() + field.1.len() + ENTRY_BYTES;
            if bytes > FIELDS_BYTES {
                return Err(HpackError::TooLarge);
            }
            fields.push(field);
        }
        Ok(fields)
    }

    fn field(&mut self, first: u8, rest: &mut Bytes<'_>) -> Result<Field, HpackError> {
        if first & 0x80 != 0 {
            let at = rest.integer(7)?;
            return self.entry(at);
        }
        let is_kept = first & 0x40 != 0;
        let at = rest.integer(if is_kept { 6 } else { 4 })?;
        let name = match at {
            0 => rest.string()?,
            at => self.entry(at)?.0,
        };
        let field = (name, rest.string()?);
        if is_kept {
            self.keep(field.clone());
        }
        Ok(field)
    }

    fn entry(&self, at: usize) -> Result<Field, HpackError> {
        let at = at.checked_sub(1).ok_or(HpackError::Malformed)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        let kept = self.table.get(at - STATIC.len());
        kept.cloned().ok_or(HpackError::Malformed)
    }

    fn keep(&mut self, field: Field) {
        let bytes = size_of_entry(&field);
        self.shrink_to(self.size.saturating_sub(bytes));
        if bytes <= self.size {
            self.bytes += bytes;
            self.table.push_front(field);
        }
    }

    fn resize(&mut self, size: usize, is_first: bool) -> Result<(), HpackError> {
        if size > self.most || !is_first {
            return Err(HpackError::Malformed);
        }
        self.size = size;
        self.shrink_to(size);
        Ok(())
    }

    fn shrink_to(&mut self, bytes: usize) {
        while self.bytes > bytes
            && let Some(oldest) = self.table.pop_back()
        {
            self.bytes -= size_of_entry(&oldest);
        }
    }
}

fn size_of_entry(field: &Field) -> usize {
    field.0.len() + field.1.len() + ENTRY_BYTES
}

/// What is left of a block.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Result<u8, HpackError> {
        let (first, rest) = self.0.split_first().ok_or(HpackError::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number whose first byte has `bits` of it (RFC 7541, section 5.1); none here is large.
    fn integer(&mut self, bits: u32) -> Result<usize, HpackError> {
        let mask = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & mask;
        if number < mask {
            return Ok(number);
        }
        for shift in [0, 7, 14] {
            let byte = usize::from(self.byte()?);
            number += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(HpackError::Malformed)
    }

    fn string(&mut self) -> Result<Vec<u8>, HpackError> {
        let is_coded = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        if length > self.0.len() {
            return Err(HpackError::Malformed);
        }
        let (text, rest): (&'a [u8], &'a [u8]) = self.0.split_at(length);
        self.0 = rest;
        if is_coded {
            return huffman::decode(text, FIELDS_BYTES);
        }
        Ok(text.to_vec())
    }
}

/// Appends a field that no table shall keep, as it is: our answers are short and few.
pub(super) fn encode(name: &[u8], value: &[u8], block: &mut Vec<u8>) {
    block.push(0);
    for text in [name, value] {
        encode_length(text.len(), block);
        block.extend_from_slice(text);
    }
}

/// The field `:status: 200`, which has a number.
pub(super) const STATUS_200: u8 = 0x88;

fn encode_length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(0x7f) else {
        block.push(u8::try_from(length).expect("it is below 127"));
        return;
    };
    block.push(0x7f);
    while rest >= 0x80 {
        block.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    block.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(fields: &[Field]) -> Vec<String> {
        let one = |(name, value): &Field| {
            format!(
                "{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        };
        fields.iter().map(one).collect()
    }

    /// RFC 7541, Appendix C.4: three requests on one connection.
    #[test]
    fn the_rfcs_requests_are_read() {
        let mut decoder = Decoder::before_settings();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let common = [
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
        ];
        assert_eq!(text(&decoder.decode(first).unwrap()), common);
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        let fields = text(&decoder.decode(second).unwrap());
        assert_eq!(fields[..4], common);
        assert_eq!(fields[4], "cache-control: no-cache");
        let third = b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
        let fields = text(&decoder.decode(third).unwrap());
        assert_eq!(fields[3..], [common[3], "custom-key: custom-value"]);
        assert_eq!(decoder.bytes, 164, "as the RFC says");
    }

    #[test]
    fn a_table_is_bounded_and_none_is_allowed_after_settings() {
        let mut decoder = Decoder::before_settings();
        for number in 0..200_u8 {
            let mut block = vec![0x40];
            encode_length(100, &mut block);
            block.extend([b'a'; 100]);
            block.extend([1, number]);
            decoder.decode(&block).unwrap();
        }
        assert!(decoder.bytes <= TABLE_BYTES && decoder.table.len() == 30);
        let mut decoder = Decoder::without_table();
        assert_eq!(decoder.decode(b"\x20").unwrap(), []);
        decoder.decode(b"\x40\x01a\x01b").unwrap();
        assert_eq!(decoder.decode(b"\xbe"), Err(HpackError::Malformed));
        assert_eq!(decoder.decode(b"\x3f\x01"), Err(HpackError::Malformed));
    }

    #[test]
    fn too_many_fields_are_refused() {
        let block = vec![0x82; 1000];
        assert_eq!(
            Decoder::before_settings().decode(&block),
            Err(HpackError::TooLarge)
        );
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut block = vec![STATUS_200];
        let value = vec![b'x'; 5000];
        encode(b"grpc-message", &value, &mut block);
        let fields = Decoder::without_table().decode(&block).unwrap();
        assert_eq!(fields[0], (b":status".to_vec(), b"200".to_vec()));
        assert_eq!(fields[1], (b"grpc-message".to_vec(), value));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_grow(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8)) {
            let mut decoder = Decoder::before_settings();
            for block in blocks {
                let _ = decoder.decode(&block);
                prop_assert!(decoder.bytes <= TABLE_BYTES);
            }
        }
    }
}
