use tokio::io::{DuplexStream, duplex};

use super::*;

/// A client's frame with a mask.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 11, 13, 17];
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ ..=125) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    let mut payload = payload.to_vec();
    frame::unmask(&mut payload, mask, 0);
    frame.extend_from_slice(&payload);
    frame
}

async fn next(io: &mut DuplexStream) -> Vec<u8> {
    let mut head = [0; 2];
    io.read_exact(&mut head).await.unwrap();
    assert!(head[1] < 126, "short frames only");
    let mut frame = vec![head[0]];
    let mut payload = vec![0; usize::from(head[1])];
    io.read_exact(&mut payload).await.unwrap();
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn messages_go_to_their_channels_in_one_frame_or_many() {
    let (mut client, server) = duplex(1 << 16);
    let mut channels = Channels::new(server, false, &[0, 4]);
    let (mut stdin, mut sizes) = (channels.input(0).unwrap(), channels.input(4).unwrap());
    let mut sent = masked(0x82, b"\0whole");
    // A message in three frames, with a ping between them, and one on a channel that nobody reads.
    sent.extend(masked(0x02, b"\0be"));
    sent.extend(masked(0x89, b"there?"));
    sent.extend(masked(0x00, b"tween"));
    sent.extend(masked(0x80, b""));
    sent.extend(masked(0x82, b"\x09lost"));
    sent.extend(masked(0x82, b"\x04size"));
    sent.extend(masked(0x82, &[CLOSE, 0]));
    client.write_all(&sent).await.unwrap();
    let mut got = Vec::new();
    while let Some(bytes) = stdin.recv().await {
        got.extend_from_slice(&bytes);
    }
    assert_eq!(got, b"wholebetween");
    assert_eq!(sizes.recv().await.unwrap(), &b"size"[..]);
    assert_eq!(next(&mut client).await, b"\x8athere?");
    channels.output(1).send(b"out").await.unwrap();
    assert_eq!(next(&mut client).await, b"\x82\x01out");
    drop(channels);
    assert_eq!(next(&mut client).await, [0x88, 0x03, 0xe8]);
}

#[tokio::test]
async fn base64_protocols_carry_text() {
    let (mut client, server) = duplex(1 << 16);
    let mut channels = Channels::new(server, true, &[0]);
    let mut stdin = channels.input(0).unwrap();
    client.write_all(&masked(0x81, b"0aGVsbG8=")).await.unwrap();
    assert_eq!(stdin.recv().await.unwrap(), &b"hello"[..]);
    channels.output(2).send(b"err").await.unwrap();
    assert_eq!(next(&mut client).await, b"\x812ZXJy");
    client.write_all(&masked(0x81, b"0not base64!")).await.unwrap();
    channels.gone.cancelled().await;
}

#[tokio::test]
async fn a_close_is_answered_and_ends_all() {
    let (mut client, server) = duplex(1 << 16);
    let mut channels = Channels::new(server, false, &[0]);
    let mut stdin = channels.input(0).unwrap();
    client.write_all(&masked(0x88, &NORMAL.to_be_bytes())).await.unwrap();
    assert_eq!(stdin.recv().await, None);
    channels.gone.cancelled().await;
    assert_eq!(next(&mut client).await, [0x88, 0x03, 0xe8]);
}

#[tokio::test]
async fn a_tunnel_is_a_stream_of_bytes() {
    let (mut client, server) = duplex(1 << 20);
    let mut tunnel = tunnel(server);
    let long: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    client.write_all(&masked(0x82, b"be")).await.unwrap();
    client.write_all(&masked(0x82, b"gin")).await.unwrap();
    client.write_all(&masked(0x82, &long)).await.unwrap();
    let mut got = vec![0; 5 + long.len()];
    tunnel.read_exact(&mut got).await.unwrap();
    assert!(&got[..5] == b"begin" && got[5..] == long);
    tunnel.write_all(b"back").await.unwrap();
    assert_eq!(next(&mut client).await, b"\x82back");
    drop(tunnel);
    assert_eq!(next(&mut client).await, [0x88, 0x03, 0xe8]);
}
