use proptest::prelude::*;

use super::*;

/// A client's first request, as `h2` sends it but without Huffman.
fn request(id: u32, flags: u8, http: &mut Vec<u8>) {
    let mut block = vec![0x83, 0x87];
    hpack::encode(b":path", b"/s/Stream", &mut block);
    frame::write(kind::HEADERS, flags | flag::END_HEADERS, id, &block, http);
}

fn greeted() -> Http2 {
    let mut http = Http2::new();
    let mut hello = PREFACE.to_vec();
    frame::write(kind::SETTINGS, 0, 0, &[], &mut hello);
    frame::write(kind::SETTINGS, flag::ACK, 0, &[], &mut hello);
    http.receive(&hello).unwrap();
    http.take_out();
    http
}

fn begun() -> Http2 {
    let (mut http, mut bytes) = (greeted(), Vec::new());
    request(1, 0, &mut bytes);
    http.receive(&bytes).unwrap();
    assert_eq!(http.next_request(|_| true).unwrap().0, 1);
    http
}

fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(head) = Head::read(bytes) {
        let (unit, rest) = bytes.split_at(HEAD_BYTES + head.length);
        all.push((
            head.kind,
            head.flags,
            head.stream,
            unit[HEAD_BYTES..].to_vec(),
        ));
        bytes = rest;
    }
    all
}

fn framed(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(kind, flags, id, payload, &mut bytes);
    bytes
}

#[test]
fn settings_come_first_and_the_clients_are_acknowledged() {
    let mut http = Http2::new();
    let ours = frames(&http.take_out());
    assert_eq!((ours.len(), ours[0].0, ours[0].1), (1, kind::SETTINGS, 0));
    let hello = [PREFACE, &framed(kind::SETTINGS, 0, 0, &[])].concat();
    for byte in &hello {
        http.receive(std::slice::from_ref(byte)).unwrap();
    }
    assert_eq!(
        frames(&http.take_out()),
        [(kind::SETTINGS, flag::ACK, 0, Vec::new())]
    );
}

#[test]
fn data_is_credited_when_it_is_taken_and_no_earlier() {
    let mut http = begun();
    for _ in 0..3 {
        http.receive(&framed(kind::DATA, 0, 1, &[7; 16_384]))
            .unwrap();
    }
    assert!(http.take_out().is_empty());
    assert_eq!(http.take(1).len(), 3 * 16_384);
    let credit = 49_152_u32.to_be_bytes().to_vec();
    let expected = [1, 0].map(|id| (kind::WINDOW_UPDATE, 0, id, credit.clone()));
    assert_eq!(frames(&http.take_out()), expected);
    for _ in 0..3 {
        http.receive(&framed(kind::DATA, 0, 1, &[7; 16_384]))
            .unwrap();
    }
    let over = http
        .receive(&framed(kind::DATA, 0, 1, &[7; 16_384]))
        .unwrap_err();
    assert_eq!(over.code, Code::FlowControl);
    assert_eq!(frames(&http.take_out())[0].0, kind::GOAWAY);
}

#[test]
fn an_answer_waits_for_the_clients_windows_and_then_ends() {
    let mut http = begun();
    http.respond(1, &[(b"content-type", b"application/grpc")]);
    http.send(1, &vec![1; 100_000]);
    http.finish(1, None, &[(b"grpc-status", b"0")]);
    let sent = |out: &[u8]| -> usize {
        frames(out)
            .iter()
            .filter(|frame| frame.0 == kind::DATA)
            .map(|frame| frame.3.len())
            .sum()
    };
    assert_eq!((sent(&http.take_out()), http.unsent(1)), (65_535, 34_465));
    http.receive(&framed(
        kind::WINDOW_UPDATE,
        0,
        1,
        &100_000_u32.to_be_bytes(),
    ))
    .unwrap();
    assert!(
        http.take_out().is_empty(),
        "the connection's window is used up"
    );
    http.receive(&framed(
        kind::WINDOW_UPDATE,
        0,
        0,
        &100_000_u32.to_be_bytes(),
    ))
    .unwrap();
    let out = http.take_out();
    assert_eq!(sent(&out), 34_465);
    let kinds: Vec<u8> = frames(&out).iter().map(|frame| frame.0).collect();
    assert_eq!(kinds[kinds.len() - 2..], [kind::HEADERS, kind::RST_STREAM]);
    assert!(http.is_idle());
    http.receive(&framed(kind::DATA, 0, 1, b"late")).unwrap();
}

#[test]
fn settings_change_the_windows_of_open_streams() {
    let mut http = begun();
    let window = |window: u32| [&[0, 4][..], &window.to_be_bytes()].concat();
    http.receive(&framed(kind::SETTINGS, 0, 0, &window(10)))
        .unwrap();
    http.send(1, &[1; 30]);
    assert_eq!(http.unsent(1), 20);
    http.receive(&framed(kind::SETTINGS, 0, 0, &window(25)))
        .unwrap();
    assert_eq!(http.unsent(1), 5);
    let over = http.receive(&framed(kind::SETTINGS, 0, 0, &window(u32::MAX)));
    assert_eq!(over.unwrap_err().code, Code::FlowControl);
}

#[test]
fn more_streams_than_allowed_are_refused_and_the_others_go_on() {
    let (mut http, mut bytes) = (begun(), Vec::new());
    request(3, flag::END_STREAM, &mut bytes);
    request(5, flag::END_STREAM, &mut bytes);
    http.receive(&bytes).unwrap();
    let refused = (
        kind::RST_STREAM,
        0,
        5,
        (Code::Refused as u32).to_be_bytes().to_vec(),
    );
    assert_eq!(frames(&http.take_out()), [refused]);
    assert_eq!(http.next_request(|_| true).unwrap().0, 3);
    assert!(http.is_ended(3) && !http.is_ended(1));
}

#[test]
fn headers_may_be_continued_but_not_for_ever() {
    let mut block = vec![0x83, 0x87];
    hpack::encode(b":path", b"/s/Stream", &mut block);
    let (mut http, (a, b)) = (greeted(), block.split_at(5));
    http.receive(&framed(kind::HEADERS, 0, 1, a)).unwrap();
    http.receive(&framed(kind::CONTINUATION, flag::END_HEADERS, 1, b))
        .unwrap();
    assert_eq!(http.next_request(|_| true).unwrap().1.path, "/s/Stream");

    let mut http = greeted();
    http.receive(&framed(kind::HEADERS, 0, 1, a)).unwrap();
    let mut flood = (0..100).map(|_| http.receive(&framed(kind::CONTINUATION, 0, 1, &[0; 9])));
    assert_eq!(flood.find_map(Result::err).unwrap().code, Code::Calm);

    let mut http = greeted();
    http.receive(&framed(kind::HEADERS, 0, 1, a)).unwrap();
    let between = http
        .receive(&framed(kind::PING, 0, 0, &[0; 8]))
        .unwrap_err();
    assert_eq!(between.code, Code::Protocol);
}

/// Floods that each cost a server something: pings, settings, resets (CVE-2023-44487), empty data.
#[test]
fn floods_end_the_connection_unless_something_is_said_between_them() {
    let reset = |number: u32| {
        let (id, mut bytes) = (2 * number + 3, Vec::new());
        request(id, 0, &mut bytes);
        frame::write(kind::RST_STREAM, 0, id, &8_u32.to_be_bytes(), &mut bytes);
        bytes
    };
    let floods: [&dyn Fn(u32) -> Vec<u8>; 5] = [
        &|_| framed(kind::PING, 0, 0, &[0; 8]),
        &|_| framed(kind::SETTINGS, 0, 0, &[]),
        &|_| framed(kind::DATA, 0, 1, &[]),
        &|_| framed(0xfa, 0, 0, &[]),
        &reset,
    ];
    for (number, flood) in floods.iter().enumerate() {
        let mut http = begun();
        let mut each = (0..=FUSS).map(|at| {
            let received = http.receive(&flood(at));
            http.take_out();
            received
        });
        let ended = each.find_map(Result::err);
        assert_eq!(
            ended.map(|broken| broken.code),
            Some(Code::Calm),
            "flood {number}"
        );
    }
    let mut http = begun();
    for _ in 0..3 * FUSS {
        http.receive(&framed(kind::PING, 0, 0, &[0; 8])).unwrap();
        http.take_out();
        http.calm();
    }
}

#[test]
fn what_breaks_the_protocol_is_told_so() {
    let cases: [(Vec<u8>, Code); 12] = [
        (framed(kind::DATA, 0, 0, b"x"), Code::Protocol),
        (framed(kind::DATA, 0, 3, b"x"), Code::Protocol),
        (
            framed(kind::DATA, flag::PADDED, 1, b"\x09x"),
            Code::Protocol,
        ),
        (
            framed(kind::HEADERS, flag::END_HEADERS, 2, b"\x82"),
            Code::Protocol,
        ),
        (
            framed(kind::HEADERS, flag::END_HEADERS, 3, b"\xff\xff\xff\xff"),
            Code::Compression,
        ),
        (framed(kind::SETTINGS, 0, 0, b"12345"), Code::FrameSize),
        (
            framed(kind::SETTINGS, 0, 0, b"\0\x05\0\0\0\x01"),
            Code::Protocol,
        ),
        (framed(kind::PING, 0, 0, b"1234567"), Code::FrameSize),
        (
            framed(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
            Code::FlowControl,
        ),
        (
            framed(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
            Code::FlowControl,
        ),
        (framed(kind::PUSH_PROMISE, 0, 1, &[0; 4]), Code::Protocol),
        (vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], Code::FrameSize),
    ];
    for (bytes, code) in cases {
        let mut http = begun();
        assert_eq!(http.receive(&bytes).unwrap_err().code, code, "{bytes:?}");
        assert_eq!(frames(&http.take_out()).last().unwrap().0, kind::GOAWAY);
    }
    assert_eq!(
        Http2::new()
            .receive(b"GET / HTTP/1.1\r\n")
            .unwrap_err()
            .code,
        Code::Protocol
    );
    let early = [PREFACE, &framed(kind::PING, 0, 0, &[0; 8])].concat();
    assert_eq!(
        Http2::new().receive(&early).unwrap_err().code,
        Code::Protocol
    );
}

fn held(http: &Http2) -> usize {
    let of_streams = http
        .streams
        .iter()
        .map(|stream| stream.inbox.len() + stream.outbox.len());
    let block = http.block.as_ref().map_or(0, |block| block.bytes.len());
    http.rest.len() + block + of_streams.sum::<usize>()
}

#[test]
fn an_idle_stream_holds_no_buffer() {
    let mut http = begun();
    http.receive(&framed(kind::DATA, 0, 1, &[7; 1000])).unwrap();
    http.take(1);
    http.send(1, &[1; 100]);
    http.take_out();
    assert_eq!(held(&http), 0);
    let stream = &http.streams[0];
    let capacities = [
        http.rest.capacity(),
        http.out.capacity(),
        stream.inbox.capacity(),
    ];
    assert_eq!((capacities, stream.outbox.capacity()), ([0; 3], 0));
    assert!(http.decoder.is_none());
    let bytes = size_of::<Http2>() + http.streams.capacity() * size_of::<Stream>();
    assert!(bytes <= 600, "{bytes}");
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    (0_u8..12, any::<u8>(), 0_u32..8, payload)
        .prop_map(|(kind, flags, id, payload)| framed(kind, flags, id, &payload))
}

proptest! {
    #[test]
    fn no_frames_make_it_panic_or_grow(all in prop::collection::vec(any_frame(), 0..60), cut in 1_usize..40) {
        let mut http = begun();
        for piece in all.concat().chunks(cut) {
            if http.receive(piece).is_err() {
                break;
            }
            while let Some((id, _)) = http.next_request(|_| true) {
                http.respond(id, &[]);
                http.send(id, b"answer");
            }
            http.take_out();
            prop_assert!(held(&http) <= 300_000);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = begun().receive(&bytes);
        let _ = Http2::new().receive(&bytes);
    }
}
