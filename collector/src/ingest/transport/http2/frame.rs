//! Frames of HTTP/2 (RFC 9113, sections 4 to 7): their heads, kinds, flags and error codes.

/// What a client says first (section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head.
pub(super) const HEAD_BYTES: usize = 9;

/// The largest payload: the default of both sides, which neither changes here.
pub(super) const PAYLOAD_BYTES: usize = 16_384;

/// Kinds of frames.
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(super) mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Parameters of SETTINGS (section 6.5.2).
pub(super) mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Why a stream or a connection ends (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(in crate::ingest) enum Code {
    /// In order.
    NoError = 0,
    /// The other side does not keep to the protocol.
    Protocol = 1,
    /// More data than was allowed.
    FlowControl = 3,
    /// A frame of a wrong size.
    FrameSize = 6,
    /// Refused before anything was done; it may be tried again.
    Refused = 7,
    /// The headers cannot be read.
    Compression = 9,
    /// Too much ado about nothing.
    Calm = 11,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// The head at the beginning of `bytes`, if it is whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            // The first bit is reserved and means nothing.
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        })
    }

    /// Whether the frame bears this flag.
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame of at most [`PAYLOAD_BYTES`].
pub(super) fn write(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("a payload is short");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends a block of headers, in more than one frame where it is long.
pub(super) fn write_headers(stream: u32, block: &[u8], is_end: bool, out: &mut Vec<u8>) {
    let mut kind = kind::HEADERS;
    let mut flags = if is_end { flag::END_STREAM } else { 0 };
    let mut rest = block;
    while rest.len() > PAYLOAD_BYTES {
        let (now, later) = rest.split_at(PAYLOAD_BYTES);
        write(kind, flags, stream, now, out);
        (kind, flags, rest) = (kind::CONTINUATION, 0, later);
    }
    write(kind, flags | flag::END_HEADERS, stream, rest, out);
}

/// The payload without its padding.
pub(super) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}
