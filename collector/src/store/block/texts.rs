//! The texts of a piece: instances, words and reasons, each once.

use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Words that laptops report, which zstd begins with. A part of the format: it must never change.
const WORDS: &[u8] = include_bytes!("words.txt");

/// Texts are packed once and kept for a year, and there are few of them.
const LEVEL: i32 = 9;

/// What each frame of zstd begins with, and therefore none of ours.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The most bytes of all texts of a piece: the instance and the value of each reading of the largest
/// report.
pub(super) const TEXT_BYTES: usize = 1024 * 1024;

static PACKING: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(WORDS, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(WORDS));

thread_local! {
    // A context of zstd has some hundred kilobytes, which are dear to make for each piece.
    static COMPRESSOR: std::cell::RefCell<Compressor<'static>> = std::cell::RefCell::new(
        Compressor::with_prepared_dictionary(&PACKING).expect("zstd has memory for a context"),
    );
    static DECOMPRESSOR: std::cell::RefCell<Decompressor<'static>> = std::cell::RefCell::new(
        Decompressor::with_prepared_dictionary(&UNPACKING).expect("zstd has memory for a context"),
    );
}

/// The packed form of texts, where it is the smaller one.
pub(super) fn pack(texts: &[u8]) -> Option<Vec<u8>> {
    let packed = COMPRESSOR
        .with_borrow_mut(|zstd| zstd.compress(texts))
        .ok()?;
    let packed = packed.strip_prefix(&MAGIC)?;
    (packed.len() < texts.len()).then(|| packed.to_vec())
}

/// Undoes [`pack`].
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let frame = [&MAGIC, packed].concat();
    DECOMPRESSOR
        .with_borrow_mut(|zstd| zstd.decompress(&frame, TEXT_BYTES))
        .map_err(|error| format!("its texts cannot be unpacked: {error}"))
}
