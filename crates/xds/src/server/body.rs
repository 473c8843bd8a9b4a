//! Answers as they go over the wire.
//!
//! tonic would put a whole answer into one buffer, and keep a buffer of that size for as long as the stream
//! is open. The first answer is everything there is: 200 nodes of a mesh of 10,000 pods took 800 MB that
//! way, and take 120 MB this way. Here an answer is a list of resources that all streams share, and is
//! written out piece by piece as the client takes it.

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, future, stream};
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::body::Body;

use crate::proto::discovery::DeltaDiscoveryResponse;

/// A piece is sent once it has this length, in bytes.
const PIECE: usize = 32 << 10;
/// The number of the field that holds the resources.
const RESOURCES: u32 = 2;

/// A stream of answers as the body of a gRPC response: messages, then a status.
pub(super) fn body(answers: impl Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send + 'static) -> Body {
    let frames = answers.map(|answer| match answer.and_then(pieces) {
        Ok(pieces) => stream::iter(pieces.map(Frame::data)).left_stream(),
        Err(status) => end(&status).right_stream(),
    });
    let ended = end(&Status::ok(""));
    Body::new(StreamBody::new(frames.flatten().chain(ended).map(Ok::<_, Status>)))
}

/// What ends a response; what comes after it is not sent.
fn end(status: &Status) -> impl Stream<Item = Frame<Bytes>> + use<> {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // No header can hold its message. Without a status the response ends as an error, too.
        trailers.clear();
    }
    stream::once(future::ready(Frame::trailers(trailers)))
}

/// The pieces of an answer: a prefix with its length, all but the resources, and these.
fn pieces(mut answer: DeltaDiscoveryResponse) -> Result<impl Iterator<Item = Bytes> + Send, Status> {
    let resources = std::mem::take(&mut answer.resources);
    let length = answer.encoded_len() + resources.iter().map(field_len).sum::<usize>();
    let length = u32::try_from(length).map_err(|_| Status::resource_exhausted("more than one answer can hold"))?;
    let mut buffer = BytesMut::new();
    // Not compressed.
    buffer.put_u8(0);
    buffer.put_u32(length);
    buffer.put_slice(&answer.encode_to_vec());
    let mut resources = resources.into_iter();
    Ok(std::iter::from_fn(move || {
        while buffer.len() < PIECE
            && let Some(resource) = resources.next()
        {
            encode_key(RESOURCES, WireType::LengthDelimited, &mut buffer);
            encode_varint(resource.len() as u64, &mut buffer);
            buffer.put_slice(&resource);
        }
        (!buffer.is_empty()).then(|| std::mem::take(&mut buffer).freeze())
    }))
}

fn field_len(resource: &Bytes) -> usize {
    key_len(RESOURCES) + encoded_len_varint(resource.len() as u64) + resource.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_pieces_is_the_answer() {
        for (number, size) in [(0, 0), (1, 0), (3, 100), (1000, 300), (2, 100_000)] {
            let answer = DeltaDiscoveryResponse {
                system_version_info: "7".into(),
                resources: vec![Bytes::from(vec![7; size]); number],
                type_url: "type".into(),
                nonce: "1".into(),
                removed_resources: vec!["a".into(), "b".into()],
            };
            let pieces: Vec<_> = pieces(answer.clone()).unwrap().collect();
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE + size + 10));
            let whole = pieces.concat();
            let (prefix, message) = whole.split_at(5);
            assert_eq!(prefix, [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes()].concat());
            assert_eq!(DeltaDiscoveryResponse::decode(message).unwrap(), answer);
        }
    }
}
