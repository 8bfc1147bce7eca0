//! HTTP/2 for one laptop's connection, without input or output: bytes in -> requests, their data, and
//! bytes out.
//!
//! It is strict, keeps nothing while nothing is under way, and every buffer has a bound: one frame of
//! 16 KiB in, one block of headers, the window's 64 KiB of each of [`STREAMS`] streams. What it says
//! waits for the other side to read; who drives it reads no more while that is so.

mod frame;
mod request;
#[cfg(test)]
mod tests;

use super::hpack::{self, Decoder, Field};
pub(in crate::ingest) use frame::Code;
use frame::{HEAD_BYTES, Head, PAYLOAD_BYTES, PREFACE, flag, kind, setting};
pub(in crate::ingest) use request::Request;

/// Streams at once: an agent has one for reports and one for renewal.
const STREAMS: usize = 2;

/// Bytes that a client may send on a stream before we have taken them: the protocol's default, and
/// as much for the whole connection.
const WINDOW: i64 = 65_535;

/// Credit is given back in pieces of at least this size.
const CREDIT: i64 = 16 * 1024;

/// The largest window (RFC 9113, section 6.9.1).
const WINDOW_MOST: i64 = 0x7fff_ffff;

/// Bytes of a block of headers before it is read, and the frames that it may come in.
const BLOCK_BYTES: usize = 16 * 1024;
const BLOCK_FRAMES: u32 = 8;

/// Frames that say nothing, such as pings, between two messages that say something. An agent sends
/// fewer than ten; a request counts as [`REQUEST_FUSS`] of them.
const FUSS: u32 = 2000;
const REQUEST_FUSS: u32 = 20;

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client broke HTTP/2: {why} ({code:?})")]
pub(in crate::ingest) struct Broken {
    /// As it is told to the client.
    pub code: Code,
    /// In words.
    pub why: &'static str,
}

const fn broken(code: Code, why: &'static str) -> Broken {
    Broken { code, why }
}

/// One connection, as the server sees it.
#[derive(Debug)]
pub(in crate::ingest) struct Http2 {
    /// The beginning of what is not whole yet.
    rest: Vec<u8>,
    stage: Stage,
    out: Vec<u8>,
    /// Until the client has acknowledged our settings.
    decoder: Option<Box<Decoder>>,
    block: Option<Box<Block>>,
    streams: Vec<Stream>,
    /// The last stream that the client has begun.
    last: u32,
    send_window: i64,
    window: Window,
    /// What a new stream may be sent, by the client's settings.
    first_window: i64,
    fuss: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preface,
    Settings,
    Frames,
    Left,
}

/// Headers whose end has not come yet.
#[derive(Debug)]
struct Block {
    stream: u32,
    is_end: bool,
    bytes: Vec<u8>,
    frames: u32,
}

/// What the client may still send, and what of it we have taken and not yet given back.
#[derive(Debug)]
struct Window {
    left: i64,
    taken: i64,
}

impl Window {
    const fn new() -> Self {
        Self {
            left: WINDOW,
            taken: 0,
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Broken> {
        self.left -= as_window(bytes);
        if self.left < 0 {
            return Err(broken(
                Code::FlowControl,
                "more data than the window allows",
            ));
        }
        Ok(())
    }

    /// Notes that bytes were taken; returns the credit to give back, where it is worth a frame.
    fn take(&mut self, bytes: usize) -> Option<u32> {
        self.taken += as_window(bytes);
        if self.taken < CREDIT {
            return None;
        }
        self.left += self.taken;
        u32::try_from(std::mem::take(&mut self.taken)).ok()
    }
}

#[derive(Debug)]
struct Stream {
    id: u32,
    request: Option<Request>,
    inbox: Vec<u8>,
    /// The client sends no more.
    is_ended: bool,
    /// The client wants no more.
    is_reset: bool,
    window: Window,
    send_window: i64,
    /// What waits for the client's window.
    outbox: Vec<u8>,
    /// The block that ends the stream after that.
    trailers: Option<Vec<u8>>,
}

impl Http2 {
    /// A connection that has just come up.
    pub fn new() -> Self {
        let mut new = Self {
            rest: Vec::new(),
            stage: Stage::Preface,
            out: Vec::new(),
            decoder: Some(Box::new(Decoder::before_settings())),
            block: None,
            streams: Vec::new(),
            last: 0,
            send_window: WINDOW,
            window: Window::new(),
            first_window: WINDOW,
            fuss: 0,
        };
        new.say_settings();
        new
    }

    fn say_settings(&mut self) {
        let settings = [
            (setting::HEADER_TABLE_SIZE, 0),
            (setting::MAX_CONCURRENT_STREAMS, STREAMS as u32),
            (setting::MAX_HEADER_LIST_SIZE, hpack::FIELDS_BYTES as u32),
        ];
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(kind::SETTINGS, 0, 0, &payload, &mut self.out);
    }

    /// Takes in what has come.
    ///
    /// # Errors
    /// When the client breaks the protocol; it is told, and nothing more is to be read.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let received = self.read(bytes);
        if let Err(broken) = received {
            self.leave(broken.code);
        }
        received
    }

    /// What is to be sent; it must be, before more is received.
    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// A request that has come and is wanted now, and its stream.
    pub fn next_request(&mut self, wanted: impl Fn(&Request) -> bool) -> Option<(u32, Request)> {
        let mut all = self.streams.iter_mut();
        all.find_map(|stream| {
            let request = stream.request.take_if(|request| wanted(request))?;
            Some((stream.id, request))
        })
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether the client sends no more on a stream; what is in the inbox was sent before.
    pub fn is_ended(&self, id: u32) -> bool {
        self.stream(id).is_none_or(|stream| stream.is_ended)
    }

    /// Whether the client wants no more of a stream.
    pub fn is_reset(&self, id: u32) -> bool {
        self.stream(id).is_none_or(|stream| stream.is_reset)
    }

    /// Bytes that have come on a stream and were not taken.
    pub fn waiting(&self, id: u32) -> usize {
        self.stream(id).map_or(0, |stream| stream.inbox.len())
    }

    /// Takes what has come on a stream, and lets the client send as much again.
    pub fn take(&mut self, id: u32) -> Vec<u8> {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else {
            return Vec::new();
        };
        let data = std::mem::take(&mut stream.inbox);
        let credit = stream.window.take(data.len());
        if let Some(credit) = credit.filter(|_| !stream.is_ended) {
            self.give_credit(id, credit);
        }
        self.take_of_connection(data.len());
        data
    }

    /// Notes that the client has said something of use.
    pub const fn calm(&mut self) {
        self.fuss = 0;
    }

    /// Begins the answer on a stream with these fields.
    pub fn respond(&mut self, id: u32, fields: &[(&[u8], &[u8])]) {
        let mut block = vec![hpack::STATUS_200];
        append(fields, &mut block);
        frame::write_headers(id, &block, false, &mut self.out);
    }

    /// Sends data on a stream, as soon as the client lets us.
    pub fn send(&mut self, id: u32, data: &[u8]) {
        let open = |stream: &&mut Stream| stream.id == id && !stream.is_reset;
        if let Some(stream) = self.streams.iter_mut().find(open) {
            stream.outbox.extend_from_slice(data);
            self.pump();
        }
    }

    /// Bytes that wait for the client to let us send them.
    pub fn unsent(&self, id: u32) -> usize {
        self.stream(id).map_or(0, |stream| stream.outbox.len())
    }

    /// Ends a stream with these fields: after what was sent, or as the whole answer, with a status of
    /// its own, if none was begun.
    pub fn finish(&mut self, id: u32, status: Option<&[u8]>, fields: &[(&[u8], &[u8])]) {
        let mut block = Vec::new();
        match status {
            Some(b"200") => block.push(hpack::STATUS_200),
            Some(status) => hpack::encode(b":status", status, &mut block),
            None => {}
        }
        append(fields, &mut block);
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            stream.trailers = Some(block);
            self.pump();
        }
    }

    /// Drops a stream, and says why.
    pub fn reset(&mut self, id: u32, code: Code) {
        self.remove(id);
        frame::write(
            kind::RST_STREAM,
            0,
            id,
            &(code as u32).to_be_bytes(),
            &mut self.out,
        );
    }

    /// Says that the connection ends and why.
    pub fn leave(&mut self, code: Code) {
        if self.stage != Stage::Left {
            self.stage = Stage::Left;
            let payload = [self.last.to_be_bytes(), (code as u32).to_be_bytes()].concat();
            frame::write(kind::GOAWAY, 0, 0, &payload, &mut self.out);
        }
    }
}

impl Http2 {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut joined = std::mem::take(&mut self.rest);
        let mut bytes = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined[..]
        };
        while let Some(length) = self.unit(bytes)? {
            if self.stage == Stage::Left {
                return Ok(());
            }
            let (unit, later) = bytes.split_at(length);
            self.on_unit(unit)?;
            bytes = later;
        }
        self.rest = bytes.to_vec();
        Ok(())
    }

    /// The length of the preface or frame at the beginning of `bytes`, if it is whole.
    fn unit(&self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        if self.stage == Stage::Preface {
            let known = bytes.len().min(PREFACE.len());
            return match bytes[..known] == PREFACE[..known] {
                true => Ok((known == PREFACE.len()).then_some(known)),
                false => Err(broken(Code::Protocol, "this is not HTTP/2")),
            };
        }
        let Some(head) = Head::read(bytes) else {
            return Ok(None);
        };
        if head.length > PAYLOAD_BYTES {
            return Err(broken(Code::FrameSize, "a frame of more than 16 KiB"));
        }
        let length = HEAD_BYTES + head.length;
        Ok((bytes.len() >= length).then_some(length))
    }

    fn on_unit(&mut self, unit: &[u8]) -> Result<(), Broken> {
        if self.stage == Stage::Preface {
            self.stage = Stage::Settings;
            return Ok(());
        }
        let head = Head::read(unit).expect("the unit is whole");
        if self.stage == Stage::Settings && head.kind != kind::SETTINGS {
            return Err(broken(Code::Protocol, "the first frame is not SETTINGS"));
        }
        self.stage = Stage::Frames;
        let is_continued = head.kind == kind::CONTINUATION;
        let block_of = self.block.as_ref().map(|block| block.stream);
        if block_of.is_some() != is_continued || (is_continued && block_of != Some(head.stream)) {
            return Err(broken(
                Code::Protocol,
                "headers are not continued as they must be",
            ));
        }
        self.on_frame(head, &unit[HEAD_BYTES..])
    }

    fn on_frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        if head.kind != kind::DATA {
            self.make_fuss(1)?;
        }
        match head.kind {
            kind::DATA => self.on_data(head, payload),
            kind::HEADERS => self.on_headers(head, payload),
            kind::CONTINUATION => self.on_continuation(head, payload),
            kind::RST_STREAM => self.on_reset(head, payload),
            kind::SETTINGS => self.on_settings(head, payload),
            kind::PING => self.on_ping(head, payload),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            kind::PRIORITY if payload.len() != 5 || head.stream == 0 => {
                Err(broken(Code::FrameSize, "PRIORITY of a wrong form"))
            }
            kind::GOAWAY if payload.len() < 8 || head.stream != 0 => {
                Err(broken(Code::FrameSize, "GOAWAY of a wrong form"))
            }
            kind::PUSH_PROMISE => Err(broken(Code::Protocol, "a client pushes nothing")),
            // Whoever leaves closes, and frames of unknown kinds are to be ignored.
            _ => Ok(()),
        }
    }

    const fn make_fuss(&mut self, much: u32) -> Result<(), Broken> {
        self.fuss += much;
        if self.fuss > FUSS {
            return Err(broken(Code::Calm, "too many frames that say nothing"));
        }
        Ok(())
    }

    fn on_data(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        self.check_begun(head.stream)?;
        self.window.spend(payload.len())?;
        let data = frame::unpadded(head, payload);
        let data = data.ok_or(broken(
            Code::Protocol,
            "the padding is longer than the frame",
        ))?;
        let is_end = head.has(flag::END_STREAM);
        let Some(stream) = self
            .stream_mut(head.stream)
            .filter(|stream| !stream.is_reset)
        else {
            // It was sent before the client knew that the stream is over.
            self.make_fuss(1)?;
            self.take_of_connection(payload.len());
            return Ok(());
        };
        if stream.is_ended {
            return Err(broken(Code::Protocol, "data after the end of the stream"));
        }
        stream.window.spend(payload.len())?;
        stream.is_ended = is_end;
        stream.inbox.extend_from_slice(data);
        let padding = payload.len() - data.len();
        if padding > 0 || data.is_empty() {
            let credit = stream.window.take(padding);
            if let Some(credit) = credit.filter(|_| !is_end) {
                self.give_credit(head.stream, credit);
            }
            self.take_of_connection(padding);
            self.make_fuss(1)?;
        }
        Ok(())
    }

    fn on_headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        if head.stream.is_multiple_of(2) {
            return Err(broken(
                Code::Protocol,
                "a client's streams have odd numbers",
            ));
        }
        let mut block = frame::unpadded(head, payload);
        if head.has(flag::PRIORITY) {
            block = block.and_then(|block| block.get(5..));
        }
        let block = block.ok_or(broken(Code::FrameSize, "HEADERS of a wrong form"))?;
        let is_end = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.on_block(head.stream, is_end, block);
        }
        self.block = Some(Box::new(Block {
            stream: head.stream,
            is_end,
            bytes: block.to_vec(),
            frames: 1,
        }));
        Ok(())
    }

    fn on_continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        let mut block = self.block.take().expect("it was looked at before");
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        if block.bytes.len() > BLOCK_BYTES || block.frames > BLOCK_FRAMES {
            return Err(broken(Code::Calm, "headers without an end"));
        }
        if head.has(flag::END_HEADERS) {
            return self.on_block(block.stream, block.is_end, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    fn on_block(&mut self, id: u32, is_end: bool, block: &[u8]) -> Result<(), Broken> {
        let fields = self.decode(block)?;
        if let Some(stream) = self.stream_mut(id) {
            if !is_end || stream.is_ended {
                return Err(broken(
                    Code::Protocol,
                    "headers within a stream do not end it",
                ));
            }
            stream.is_ended = true;
            return Ok(());
        }
        // Trailers of a stream that is over change nothing.
        if id <= self.last {
            return Ok(());
        }
        self.make_fuss(REQUEST_FUSS)?;
        self.last = id;
        self.begin(id, is_end, fields);
        Ok(())
    }

    fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, Broken> {
        let fields = match &mut self.decoder {
            Some(decoder) => decoder.decode(block),
            None => Decoder::without_table().decode(block),
        };
        fields.map_err(|_| broken(Code::Compression, "the headers cannot be read"))
    }

    fn begin(&mut self, id: u32, is_end: bool, fields: Vec<Field>) {
        if self.streams.len() >= STREAMS {
            return self.reset(id, Code::Refused);
        }
        let Some(request) = Request::new(fields) else {
            return self.reset(id, Code::Protocol);
        };
        self.streams.reserve_exact(1);
        self.streams.push(Stream {
            id,
            request: Some(request),
            inbox: Vec::new(),
            is_ended: is_end,
            is_reset: false,
            window: Window::new(),
            send_window: self.first_window,
            outbox: Vec::new(),
            trailers: None,
        });
    }

    fn on_reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        self.check_begun(head.stream)?;
        if payload.len() != 4 {
            return Err(broken(Code::FrameSize, "RST_STREAM of a wrong form"));
        }
        let Some(stream) = self.stream_mut(head.stream) else {
            return Ok(());
        };
        (stream.is_reset, stream.is_ended) = (true, true);
        stream.outbox = Vec::new();
        // Nobody has looked at it yet, and nobody shall.
        if stream.request.is_some() || stream.trailers.is_some() {
            self.remove(head.stream);
        }
        Ok(())
    }

    fn on_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        let is_whole = payload.len().is_multiple_of(6) && head.stream == 0;
        if !is_whole || (head.has(flag::ACK) && !payload.is_empty()) {
            return Err(broken(Code::FrameSize, "SETTINGS of a wrong form"));
        }
        if head.has(flag::ACK) {
            // From here on the client uses no table.
            self.decoder = None;
            return Ok(());
        }
        for parameter in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([parameter[0], parameter[1]]);
            let value =
                u32::from_be_bytes([parameter[2], parameter[3], parameter[4], parameter[5]]);
            self.set(name, value)?;
        }
        frame::write(kind::SETTINGS, flag::ACK, 0, &[], &mut self.out);
        self.pump();
        Ok(())
    }

    fn set(&mut self, name: u16, value: u32) -> Result<(), Broken> {
        match name {
            setting::ENABLE_PUSH if value > 1 => {
                Err(broken(Code::Protocol, "ENABLE_PUSH is neither 0 nor 1"))
            }
            setting::MAX_FRAME_SIZE if !(PAYLOAD_BYTES as u32..=0xff_ffff).contains(&value) => {
                Err(broken(Code::Protocol, "MAX_FRAME_SIZE is out of range"))
            }
            setting::INITIAL_WINDOW_SIZE => self.set_first_window(i64::from(value)),
            _ => Ok(()),
        }
    }

    fn set_first_window(&mut self, window: i64) -> Result<(), Broken> {
        let change = window - self.first_window;
        self.first_window = window;
        let mut streams = self.streams.iter_mut();
        let is_over = streams.any(|stream| {
            stream.send_window += change;
            stream.send_window > WINDOW_MOST
        });
        if is_over || window > WINDOW_MOST {
            return Err(broken(Code::FlowControl, "a window that is too large"));
        }
        Ok(())
    }

    fn on_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        if payload.len() != 8 || head.stream != 0 {
            return Err(broken(Code::FrameSize, "PING of a wrong form"));
        }
        if !head.has(flag::ACK) {
            frame::write(kind::PING, flag::ACK, 0, payload, &mut self.out);
        }
        Ok(())
    }

    fn on_window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        let bytes = payload.try_into();
        let bytes = bytes.map_err(|_| broken(Code::FrameSize, "WINDOW_UPDATE of a wrong form"))?;
        let more = i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff);
        if head.stream != 0 {
            self.check_begun(head.stream)?;
        }
        let window = match head.stream {
            0 => Some(&mut self.send_window),
            id => self.stream_mut(id).map(|stream| &mut stream.send_window),
        };
        if let Some(window) = window {
            *window += more;
            if more == 0 || *window > WINDOW_MOST {
                return Err(broken(
                    Code::FlowControl,
                    "a window that is too large, or none",
                ));
            }
        }
        self.pump();
        Ok(())
    }

    /// Refuses frames of streams that the client has not begun.
    const fn check_begun(&self, id: u32) -> Result<(), Broken> {
        if id == 0 || id.is_multiple_of(2) || id > self.last {
            return Err(broken(
                Code::Protocol,
                "a frame of a stream that was never begun",
            ));
        }
        Ok(())
    }

    /// Sends what the windows allow, and ends streams whose answer is whole.
    fn pump(&mut self) {
        let mut over = Vec::new();
        for stream in &mut self.streams {
            stream.pump(&mut self.send_window, &mut self.out);
            if stream.outbox.is_empty()
                && let Some(block) = stream.trailers.take()
            {
                if !stream.is_reset {
                    frame::write_headers(stream.id, &block, true, &mut self.out);
                }
                over.push((stream.id, stream.is_ended));
            }
        }
        for (id, is_ended) in over {
            match is_ended {
                true => self.remove(id),
                // The answer is whole: what the client has left to say is of no use any more.
                false => self.reset(id, Code::NoError),
            }
        }
    }

    fn remove(&mut self, id: u32) {
        let at = self.streams.iter().position(|stream| stream.id == id);
        if let Some(stream) = at.map(|at| self.streams.swap_remove(at)) {
            self.take_of_connection(stream.inbox.len());
        }
    }

    fn take_of_connection(&mut self, bytes: usize) {
        if let Some(credit) = self.window.take(bytes) {
            self.give_credit(0, credit);
        }
    }

    fn give_credit(&mut self, id: u32, credit: u32) {
        frame::write(
            kind::WINDOW_UPDATE,
            0,
            id,
            &credit.to_be_bytes(),
            &mut self.out,
        );
    }

    fn stream(&self, id: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.id == id)
    }

    fn stream_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }
}

impl Stream {
    fn pump(&mut self, connection: &mut i64, out: &mut Vec<u8>) {
        let mut sent = 0;
        while sent < self.outbox.len() {
            let allowed = (*connection)
                .min(self.send_window)
                .clamp(0, as_window(PAYLOAD_BYTES));
            let length = (self.outbox.len() - sent).min(allowed as usize);
            if length == 0 {
                break;
            }
            let data = &self.outbox[sent..sent + length];
            frame::write(kind::DATA, 0, self.id, data, out);
            sent += length;
            *connection -= as_window(length);
            self.send_window -= as_window(length);
        }
        self.outbox.drain(..sent);
        if self.outbox.is_empty() {
            self.outbox = Vec::new();
        }
    }
}

fn append(fields: &[(&[u8], &[u8])], block: &mut Vec<u8>) {
    for (name, value) in fields {
        hpack::encode(name, value, block);
    }
}

/// Lengths here are those of buffers, far below the largest window.
const fn as_window(bytes: usize) -> i64 {
    bytes as i64
}
