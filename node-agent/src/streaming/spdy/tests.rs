use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A client that writes frames by hand.
struct Client {
    io: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Client {
    fn new() -> (Self, Session) {
        let (near, far) = duplex(1 << 16);
        let client = Self { io: near, encoder: Encoder::new().unwrap(), decoder: Decoder::default() };
        (client, Session::new(far))
    }

    async fn open(&mut self, stream: u32, headers: &[(&str, &str)]) {
        let block = self.encoder.encode(headers).unwrap();
        let length = u8::try_from(10 + block.len()).unwrap();
        let mut frame = vec![0x80, 3, 0, 1, 0, 0, 0, length];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(&[0; 6]);
        frame.extend_from_slice(&block);
        self.io.write_all(&frame).await.unwrap();
    }

    async fn send(&mut self, stream: u32, fin: bool, bytes: &[u8]) {
        self.io.write_all(&frame::data(stream, fin, bytes)).await.unwrap();
    }

    /// The next frame, in words.
    async fn next(&mut self) -> String {
        let mut head = [0; frame::HEADER];
        if self.io.read_exact(&mut head).await.is_err() {
            return "end".to_owned();
        }
        let read = async |io: &mut DuplexStream, length: usize| {
            let mut body = vec![0; length];
            io.read_exact(&mut body).await.unwrap();
            body
        };
        match frame::header(head).unwrap() {
            Header::Data { stream, fin, length } => {
                let body = read(&mut self.io, length).await;
                format!("data {stream} {} {fin}", String::from_utf8_lossy(&body))
            }
            Header::Control { kind, flags, length } => {
                let body = read(&mut self.io, length).await;
                match frame::control(kind, flags, &body).unwrap() {
                    Control::Headers { block } => {
                        assert_eq!(self.decoder.decode(block).unwrap(), Headers::new());
                        "reply".to_owned()
                    }
                    other => format!("{other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_close_by_halves() {
    let (mut client, mut session) = Client::new();
    client.open(1, &[("streamtype", "stdin")]).await;
    let mut stream = session.accept().await.unwrap();
    assert_eq!(stream.header("streamtype"), Some("stdin"));
    assert_eq!(client.next().await, "reply");
    client.send(1, false, b"hello").await;
    client.send(1, true, b"").await;
    assert_eq!(stream.input.recv().await.unwrap(), &b"hello"[..]);
    assert_eq!(stream.input.recv().await, None, "the client has closed its half");
    stream.output.send(b"answer").await.unwrap();
    stream.output.finish().await;
    assert_eq!(client.next().await, "data 1 answer false");
    assert_eq!(client.next().await, "data 1  true");
    drop(session);
    assert_eq!(client.next().await, "GoAway");
    assert_eq!(client.next().await, "end");
}

#[tokio::test]
async fn pings_are_answered_and_long_data_comes_in_pieces() {
    let (mut client, mut session) = Client::new();
    client.open(1, &[]).await;
    let mut stream = session.accept().await.unwrap();
    assert_eq!(client.next().await, "reply");
    client.io.write_all(&frame::ping(7)).await.unwrap();
    assert_eq!(client.next().await, "Ping { id: 7 }");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let expected = sent.clone();
    let (mut read, mut write) = tokio::io::split(client.io);
    let sending = tokio::spawn(async move { write.write_all(&frame::data(1, true, &sent)).await.unwrap() });
    let mut got = Vec::new();
    while let Some(piece) = stream.input.recv().await {
        assert!(piece.len() <= PIECE);
        got.extend_from_slice(&piece);
    }
    assert!(got == expected);
    sending.await.unwrap();
    // The connection ends with the last who could write to it.
    drop((session, stream));
    let mut rest = Vec::new();
    read.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn what_a_client_may_not_do_is_refused() {
    let (mut client, mut session) = Client::new();
    client.open(2, &[]).await;
    assert_eq!(client.next().await, "Reset { stream: 2 }", "even numbers are the server's");
    client.open(3, &[]).await;
    session.accept().await.unwrap();
    assert_eq!(client.next().await, "reply");
    client.open(1, &[]).await;
    assert_eq!(client.next().await, "Reset { stream: 1 }", "numbers only grow");
    client.send(9, false, b"for nobody").await;
    // A frame of another version of the protocol.
    client.io.write_all(&[0x80, 2, 0, 1, 0, 0, 0, 0]).await.unwrap();
    session.gone.cancelled().await;
    assert_eq!(client.next().await, "end");
}
