//! The Huffman code of RFC 7541, Appendix B. It is canonical: the lengths of its codes say all of it.

use std::sync::LazyLock;

use super::HpackError;

/// The end-of-string symbol, which may only be hinted at by padding.
const END: u16 = 256;

/// The longest code, in bits.
const LONGEST: usize = 30;

/// Bits of each symbol's code, by symbol.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The code by length: the first code of each, how many there are, and their symbols in order.
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [usize; LONGEST + 1],
    symbols: Vec<u16>,
}

static CODE: LazyLock<Code> = LazyLock::new(Code::of_lengths);

impl Code {
    fn of_lengths() -> Self {
        let mut code = Self {
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            start: [0; LONGEST + 1],
            symbols: Vec::with_capacity(LENGTHS.len()),
        };
        let mut next = 0;
        for length in 1..=LONGEST {
            next <<= 1;
            code.first[length] = next;
            code.start[length] = code.symbols.len();
            let of_length = (0..=END).filter(|at| usize::from(LENGTHS[usize::from(*at)]) == length);
            code.symbols.extend(of_length);
            let count = code.symbols.len() - code.start[length];
            code.count[length] = u32::try_from(count).expect("there are 257 symbols");
            next += code.count[length];
        }
        code
    }

    /// The symbol of so many bits, if they are a whole code.
    fn symbol(&self, bits: u32, length: usize) -> Option<u16> {
        let offset = bits.checked_sub(self.first[length])?;
        (offset < self.count[length]).then(|| self.symbols[self.start[length] + offset as usize])
    }
}

/// Decodes a string of at most `most` bytes.
///
/// # Errors
/// When it is longer, is no such code, or is padded with anything but the beginning of the end.
pub(super) fn decode(coded: &[u8], most: usize) -> Result<Vec<u8>, HpackError> {
    let (code, mut text) = (&*CODE, Vec::new());
    let (mut bits, mut length) = (0_u32, 0_usize);
    for bit in coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        bits = bits << 1 | u32::from(bit);
        length += 1;
        match code.symbol(bits, length) {
            Some(END) => return Err(HpackError::Malformed),
            Some(symbol) => {
                if text.len() == most {
                    return Err(HpackError::TooLarge);
                }
                text.push(u8::try_from(symbol).expect("the others are bytes"));
                (bits, length) = (0, 0);
            }
            None if length == LONGEST => return Err(HpackError::Malformed),
            None => {}
        }
    }
    let is_padding = length < 8 && bits == (1 << length) - 1;
    is_padding.then_some(text).ok_or(HpackError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings of RFC 7541, Appendix C.4 and C.6.
    #[test]
    fn the_rfcs_strings_are_read() {
        let known: [(&[u8], &str); 4] = [
            (
                b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", "custom-value"),
            (
                b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                "https://www.example.com",
            ),
        ];
        for (coded, text) in known {
            assert_eq!(decode(coded, 64).unwrap(), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn wrong_padding_the_end_symbol_and_long_strings_are_refused() {
        assert_eq!(
            decode(b"\xa8\xeb\x10\x64\x9c\xb0", 64),
            Err(HpackError::Malformed)
        );
        assert_eq!(decode(b"\xff\xff\xff\xff", 64), Err(HpackError::Malformed));
        assert_eq!(decode(b"\xff", 64), Err(HpackError::Malformed));
        assert_eq!(
            decode(b"\xa8\xeb\x10\x64\x9c\xbf", 7),
            Err(HpackError::TooLarge)
        );
    }
}
