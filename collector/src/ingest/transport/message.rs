//! Messages of gRPC within a stream's data: a flag, a length, a message, compressed or not.

use std::cell::RefCell;

use prost::Message;
use rollcall_shared::limits;
use tonic::Status;

/// The flag and the length.
const HEAD_BYTES: usize = 5;

thread_local! {
    /// Decompresses for all connections of a thread: a context has some 150 KiB.
    static ZSTD: RefCell<Option<Box<Unpacker>>> = const { RefCell::new(None) };
}

struct Unpacker {
    context: zstd::bulk::Decompressor<'static>,
    plain: Vec<u8>,
}

/// How long the first message is with its head, once that is known.
///
/// # Errors
/// When it is longer than a message may be.
pub(super) fn length(data: &[u8]) -> Result<Option<usize>, Status> {
    let Some([_, length @ ..]) = data.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let (length, most) = (u32::from_be_bytes(*length) as usize, limits::MESSAGE_BYTES);
    if length > most {
        let words = format!("a message of {length} bytes is longer than {most}");
        return Err(Status::out_of_range(words));
    }
    Ok(Some(HEAD_BYTES + length))
}

/// Reads a whole message with its head.
///
/// # Errors
/// When it is not what its head says, or too long.
pub(super) fn decode<M: Message + Default>(whole: &[u8], packed: bool) -> Result<M, Status> {
    let (head, body) = whole.split_at(HEAD_BYTES);
    match head[0] {
        0 => plain(body),
        1 if packed => ZSTD.with_borrow_mut(|unpacker| unpack(unpacker, body)),
        1 => Err(Status::internal(
            "a compressed message, but no grpc-encoding",
        )),
        _ => Err(Status::internal("a message with an unknown flag")),
    }
}

fn plain<M: Message + Default>(body: &[u8]) -> Result<M, Status> {
    M::decode(body).map_err(|error| Status::internal(error.to_string()))
}

fn unpack<M: Message + Default>(
    unpacker: &mut Option<Box<Unpacker>>,
    body: &[u8],
) -> Result<M, Status> {
    let wrong = |error: std::io::Error| {
        Status::resource_exhausted(format!("the message cannot be decompressed: {error}"))
    };
    let unpacker = match unpacker {
        Some(unpacker) => unpacker,
        None => unpacker.insert(Box::new(Unpacker {
            context: zstd::bulk::Decompressor::new().map_err(wrong)?,
            plain: Vec::with_capacity(limits::MESSAGE_BYTES),
        })),
    };
    unpacker.plain.clear();
    let Unpacker {
        context,
        plain: text,
    } = &mut **unpacker;
    context.decompress_to_buffer(body, text).map_err(wrong)?;
    plain(text)
}

/// A message with its head, not compressed: what goes down is short.
pub(super) fn encode(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut data = Vec::with_capacity(HEAD_BYTES + length);
    data.push(0);
    let length = u32::try_from(length).expect("a message has 1 MiB at most");
    data.extend_from_slice(&length.to_be_bytes());
    message.encode(&mut data).expect("a vector has room");
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_proto::v1;
    use tonic::Code;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let body = zstd::bulk::compress(bytes, 1).unwrap();
        let mut whole = vec![1];
        whole.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        whole.extend(body);
        whole
    }

    #[test]
    fn what_is_encoded_is_decoded_and_compressed_too() {
        let ack = v1::Ack { sequence: 700 };
        let whole = encode(&ack);
        assert_eq!(length(&whole[..4]).unwrap(), None);
        assert_eq!(length(&whole).unwrap(), Some(whole.len()));
        assert_eq!(decode::<v1::Ack>(&whole, false).unwrap(), ack);
        let small = packed(&ack.encode_to_vec());
        assert_eq!(decode::<v1::Ack>(&small, true).unwrap(), ack);
        assert_eq!(
            decode::<v1::Ack>(&small, false).unwrap_err().code(),
            Code::Internal
        );
    }

    #[test]
    fn what_is_too_long_is_refused_before_and_after_decompression() {
        let head = [0, 0, 0x10, 0, 1];
        assert_eq!(length(&head).unwrap_err().code(), Code::OutOfRange);
        let bomb = packed(&vec![0; limits::MESSAGE_BYTES + 1]);
        assert!(bomb.len() < 1000);
        let refused = decode::<v1::Up>(&bomb, true).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(decode::<v1::Up>(&[1, 0, 0, 0, 1, 9], true).is_err());
        assert_eq!(
            decode::<v1::Up>(&[7, 0, 0, 0, 0], true).unwrap_err().code(),
            Code::Internal
        );
    }
}
