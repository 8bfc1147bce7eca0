//! One gRPC stream over HTTP/2 (RFC 9113), as a client and without input or output: bytes in, bytes
//! out. A connection of the crowd carries exactly one call, so that this holds no more than two
//! windows and what is incomplete.
//!
//! ```text
//! frame  length:24 type:8 flags:8 stream:32 payload
//! gRPC   compressed:8 length:32 message               (in the payload of DATA)
//! ```

use bytes::{Buf as _, BufMut as _};
use prost::Message as _;
use rollcall_proto::v1;
use rollcall_shared::limits;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const MESSAGE_HEAD: usize = 5;

/// The one stream.
const STREAM: u32 = 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const SETTING_INITIAL_WINDOW: u16 = 4;
const SETTING_MAX_FRAME: u16 = 5;

/// The window of either direction until somebody says otherwise (RFC 9113, section 6.9.2).
const FIRST_WINDOW: i64 = 65_535;

/// The longest frame until the peer says otherwise, and the longest that it may send us.
const FIRST_MAX_FRAME: usize = 16_384;

/// What we have taken in is given back to the peer's window in steps of this.
const GIVE_BACK: u32 = 32_768;

/// One call.
#[derive(Debug)]
pub struct Http2 {
    /// The start of a frame whose end has not come yet.
    partial: Vec<u8>,
    /// The start of a message whose end has not come yet.
    message: Vec<u8>,
    /// What waits for a window.
    waiting: Vec<u8>,
    window: i64,
    stream_window: i64,
    initial_window: i64,
    max_frame: usize,
    taken: u32,
    ended: Option<End>,
}

/// How the peer ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// With a status; which, its audit tells.
    Status,
    /// With RST_STREAM.
    Reset,
    /// With GOAWAY: it shuts down.
    GoAway,
}

/// What no HTTP/2 peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the collector sent what is not HTTP/2 with gRPC: {0}")]
pub struct Broken(&'static str);

impl Http2 {
    /// A call; `out` gets the preface and the request's head.
    #[must_use]
    pub fn call(authority: &str, path: &str, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        // No server push; a table of headers that we never look into may stay empty.
        frame(out, SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        frame(out, HEADERS, END_HEADERS, STREAM, &request(authority, path));
        Self {
            partial: Vec::new(),
            message: Vec::new(),
            waiting: Vec::new(),
            window: FIRST_WINDOW,
            stream_window: FIRST_WINDOW,
            initial_window: FIRST_WINDOW,
            max_frame: FIRST_MAX_FRAME,
            taken: 0,
            ended: None,
        }
    }

    /// Sends a message, as far as the peer's windows allow; the rest follows by itself.
    pub fn send(&mut self, message: &[u8], is_compressed: bool, out: &mut Vec<u8>) {
        let length = u32::try_from(message.len()).expect("a message is below a mebibyte");
        self.waiting.put_u8(u8::from(is_compressed));
        self.waiting.put_u32(length);
        self.waiting.extend_from_slice(message);
        self.flush(out);
    }

    /// Says that no message follows.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        frame(out, DATA, END_STREAM, STREAM, &[]);
    }

    /// How the peer ended the call, if it did.
    #[must_use]
    pub const fn ended(&self) -> Option<End> {
        self.ended
    }

    /// Takes in what came; messages go to `heard`, what must be answered to `out`.
    ///
    /// # Errors
    /// [`Broken`]; the connection is of no use any more.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<v1::Down>,
    ) -> Result<(), Broken> {
        if self.partial.is_empty() {
            let used = self.frames(bytes, out, heard)?;
            self.partial = bytes[used..].to_vec();
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let used = self.frames(&whole, out, heard)?;
        self.partial = whole[used..].to_vec();
        Ok(())
    }

    /// Handles every whole frame; the answer is how many bytes they had.
    fn frames(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<v1::Down>,
    ) -> Result<usize, Broken> {
        let mut used = 0;
        while bytes.len() - used >= FRAME_HEAD {
            let mut head = &bytes[used..];
            let length = usize::try_from(head.get_uint(3)).expect("24 bits");
            let (kind, flags) = (head.get_u8(), head.get_u8());
            let stream = head.get_u32() & 0x7fff_ffff;
            if length > FIRST_MAX_FRAME {
                return Err(Broken("a frame is longer than the settings allow"));
            }
            let Some(payload) = head.get(..length) else {
                break;
            };
            self.handle(kind, flags, stream, payload, out, heard)?;
            used += FRAME_HEAD + length;
        }
        Ok(used)
    }

    fn handle(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<v1::Down>,
    ) -> Result<(), Broken> {
        match kind {
            DATA => self.data(flags, payload, out, heard)?,
            HEADERS if flags & END_STREAM != 0 => self.ended = Some(End::Status),
            RST_STREAM => self.ended = Some(End::Reset),
            SETTINGS if flags & ACK == 0 => self.settings(payload, out)?,
            PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
            GOAWAY => self.ended = Some(End::GoAway),
            WINDOW_UPDATE => self.widen(stream, payload, out)?,
            // Heads and their continuations say nothing that is needed here.
            _ => {}
        }
        Ok(())
    }

    fn data(
        &mut self,
        flags: u8,
        payload: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<v1::Down>,
    ) -> Result<(), Broken> {
        let content = unpadded(flags, payload)?;
        self.message.extend_from_slice(content);
        while let Some(down) = self.next_message()? {
            heard.push(down);
        }
        if flags & END_STREAM != 0 {
            self.ended = Some(End::Status);
        }
        self.taken += u32::try_from(payload.len()).expect("a frame is short");
        if self.taken >= GIVE_BACK {
            for stream in [0, STREAM] {
                frame(out, WINDOW_UPDATE, 0, stream, &self.taken.to_be_bytes());
            }
            self.taken = 0;
        }
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<v1::Down>, Broken> {
        let Some(mut head) = self.message.get(..MESSAGE_HEAD) else {
            return Ok(None);
        };
        let (compressed, length) = (head.get_u8(), head.get_u32() as usize);
        if compressed != 0 || length > limits::MESSAGE_BYTES {
            return Err(Broken("a message that was not asked for"));
        }
        let Some(message) = self.message.get(MESSAGE_HEAD..MESSAGE_HEAD + length) else {
            return Ok(None);
        };
        let down = v1::Down::decode(message).map_err(|_| Broken("a message of another kind"))?;
        self.message.drain(..MESSAGE_HEAD + length);
        if self.message.is_empty() {
            // A connection that rests holds no buffer.
            self.message = Vec::new();
        }
        Ok(Some(down))
    }

    fn settings(&mut self, mut payload: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        while payload.has_remaining() {
            if payload.len() < 6 {
                return Err(Broken("settings that are cut off"));
            }
            match (payload.get_u16(), payload.get_u32()) {
                (SETTING_INITIAL_WINDOW, window) => {
                    self.stream_window += i64::from(window) - self.initial_window;
                    self.initial_window = i64::from(window);
                }
                (SETTING_MAX_FRAME, most) => self.max_frame = most as usize,
                _ => {}
            }
        }
        frame(out, SETTINGS, ACK, 0, &[]);
        self.flush(out);
        Ok(())
    }

    fn widen(&mut self, stream: u32, mut payload: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if payload.len() != 4 {
            return Err(Broken("a window update that is cut off"));
        }
        let more = i64::from(payload.get_u32() & 0x7fff_ffff);
        match stream {
            0 => self.window += more,
            _ => self.stream_window += more,
        }
        self.flush(out);
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let mut sent = 0;
        loop {
            let window = self.window.min(self.stream_window).max(0);
            let window = usize::try_from(window).unwrap_or(usize::MAX);
            let count = (self.waiting.len() - sent).min(window).min(self.max_frame);
            if count == 0 {
                break;
            }
            let content = &self.waiting[sent..sent + count];
            frame(out, DATA, 0, STREAM, content);
            let count_i = i64::try_from(count).expect("a frame is short");
            (self.window, self.stream_window) =
                (self.window - count_i, self.stream_window - count_i);
            sent += count;
        }
        if sent == self.waiting.len() {
            self.waiting = Vec::new();
        } else {
            self.waiting.drain(..sent);
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
    out.extend_from_slice(payload);
}

fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8], Broken> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (pad, rest) = payload.split_first().ok_or(Broken("padding is missing"))?;
    let content = rest.len().checked_sub(usize::from(*pad));
    Ok(&rest[..content.ok_or(Broken("more padding than content"))?])
}

/// The head of the call in HPACK (RFC 7541): what the static table has by its index, the rest as
/// literals that enter no table.
fn request(authority: &str, path: &str) -> Vec<u8> {
    const METHOD_POST: u8 = 0x83;
    const SCHEME_HTTPS: u8 = 0x87;
    const AUTHORITY: u8 = 1;
    const PATH: u8 = 4;
    const USER_AGENT: u8 = 58;
    const CONTENT_TYPE: u8 = 31;
    let mut head = vec![METHOD_POST, SCHEME_HTTPS];
    let agent = concat!("rollcall-simulator/", env!("CARGO_PKG_VERSION"));
    let known = [
        (PATH, path),
        (AUTHORITY, authority),
        (CONTENT_TYPE, "application/grpc"),
        (USER_AGENT, agent),
    ];
    for (name, value) in known {
        // The index of a literal's name has a prefix of four bits.
        match name.checked_sub(15) {
            None => head.push(name),
            Some(more) => head.extend([15, more]),
        }
        text(&mut head, value);
    }
    for (name, value) in [("te", "trailers"), ("grpc-encoding", "zstd")] {
        head.push(0);
        text(&mut head, name);
        text(&mut head, value);
    }
    head
}

/// A string without Huffman coding; lengths have a prefix of seven bits.
fn text(head: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => head.push(u8::try_from(text.len()).expect("below 127")),
        Some(more) => {
            head.push(127);
            prost::encoding::encode_varint(more as u64, head);
        }
    }
    head.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Http2 {
        Http2::call("h:1", "/a/B", &mut Vec::new())
    }

    fn ack(sequence: u64) -> Vec<u8> {
        let message = Some(v1::down::Message::Ack(v1::Ack { sequence }));
        let body = v1::Down { message }.encode_to_vec();
        let mut bytes = vec![0];
        bytes.put_u32(u32::try_from(body.len()).unwrap());
        bytes.extend(body);
        bytes
    }

    fn sequences(heard: &[v1::Down]) -> Vec<u64> {
        let of = |down: &v1::Down| match down.message {
            Some(v1::down::Message::Ack(v1::Ack { sequence })) => sequence,
            _ => 0,
        };
        heard.iter().map(of).collect()
    }

    #[test]
    fn messages_are_heard_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        frame(&mut bytes, HEADERS, END_HEADERS, STREAM, &[0x88]);
        let (one, two) = (ack(300), ack(70_000));
        frame(&mut bytes, DATA, 0, STREAM, &[&one[..], &two[..4]].concat());
        let padded = [&[2][..], &two[4..], &[0, 0]].concat();
        frame(&mut bytes, DATA, PADDED, STREAM, &padded);
        frame(&mut bytes, PING, 0, 0, b"12345678");
        for step in 1..=bytes.len() {
            let (mut call, mut out, mut heard) = (call(), Vec::new(), Vec::new());
            for piece in bytes.chunks(step) {
                call.receive(piece, &mut out, &mut heard).unwrap();
            }
            assert_eq!(sequences(&heard), [300, 70_000], "in pieces of {step}");
            let mut answers = Vec::new();
            frame(&mut answers, SETTINGS, ACK, 0, &[]);
            frame(&mut answers, PING, ACK, 0, b"12345678");
            assert_eq!((out, call.ended()), (answers, None));
            assert!(call.partial.capacity() == 0 && call.message.capacity() == 0);
        }
    }

    #[test]
    fn no_more_is_sent_than_the_windows_allow() {
        let (mut call, mut out, mut heard) = (call(), Vec::new(), Vec::new());
        // 40,000 bytes of window for the stream, 70,000 for the connection.
        let mut settings = vec![0, 4];
        settings.put_u32(40_000);
        let mut bytes = Vec::new();
        frame(&mut bytes, SETTINGS, 0, 0, &settings);
        call.receive(&bytes, &mut Vec::new(), &mut heard).unwrap();
        call.send(&vec![7; 100_000], false, &mut out);
        let sent = |out: &[u8]| -> usize {
            let (mut at, mut sum) = (0, 0);
            while at < out.len() {
                let length = usize::try_from((&out[at..]).get_uint(3)).unwrap();
                assert!(length <= FIRST_MAX_FRAME && out[at + 3] == DATA);
                (at, sum) = (at + FRAME_HEAD + length, sum + length);
            }
            sum
        };
        assert_eq!(sent(&out), 40_000);
        for (stream, total) in [(STREAM, 65_535), (0, 100_005)] {
            let mut bytes = Vec::new();
            frame(
                &mut bytes,
                WINDOW_UPDATE,
                0,
                stream,
                &100_000_u32.to_be_bytes(),
            );
            call.receive(&bytes, &mut out, &mut heard).unwrap();
            assert_eq!(sent(&out), total);
        }
        assert_eq!(call.waiting.capacity(), 0);
    }

    #[test]
    fn what_was_taken_in_is_given_back() {
        let (mut call, mut out, mut heard) = (call(), Vec::new(), Vec::new());
        let mut bytes = Vec::new();
        for sequence in 0..4000 {
            frame(&mut bytes, DATA, 0, STREAM, &ack(1_000_000 + sequence));
        }
        call.receive(&bytes, &mut out, &mut heard).unwrap();
        let per_message = ack(1_000_000).len() as u32;
        let steps = 4000 * per_message / (GIVE_BACK.div_ceil(per_message) * per_message);
        assert!(steps > 0);
        assert_eq!(out.len(), 2 * (FRAME_HEAD + 4) * steps as usize);
    }

    #[test]
    fn every_end_is_told_and_nonsense_is_refused() {
        let ends = [
            (HEADERS, END_STREAM | END_HEADERS, End::Status),
            (RST_STREAM, 0, End::Reset),
            (GOAWAY, 0, End::GoAway),
        ];
        for (kind, flags, end) in ends {
            let (mut call, mut bytes) = (call(), Vec::new());
            frame(&mut bytes, kind, flags, STREAM, &[0; 8]);
            call.receive(&bytes, &mut Vec::new(), &mut Vec::new())
                .unwrap();
            assert_eq!(call.ended(), Some(end));
        }
        let nonsense: [&[u8]; 3] = [
            b"HTTP/1.1 400 Bad",
            &[0, 0, 1, 8, 0, 0, 0, 0, 1, 9],
            &[0, 0, 5, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0],
        ];
        for bytes in nonsense {
            assert!(
                call()
                    .receive(bytes, &mut Vec::new(), &mut Vec::new())
                    .is_err(),
                "{bytes:?}"
            );
        }
    }
}
