use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::*;

fn split(frame: &[u8]) -> (Header, &[u8]) {
    let (head, body) = frame.split_first_chunk::<HEADER>().unwrap();
    (header(*head).unwrap(), body)
}

#[test]
fn what_is_written_can_be_read() {
    let frame = data(5, true, b"abc");
    assert_eq!(split(&frame), (Header::Data { stream: 5, fin: true, length: 3 }, &b"abc"[..]));
    for (frame, expected) in [
        (syn_reply(7, b"block"), Control::Headers { block: b"block" }),
        (reset(9, Reset::Refused), Control::Reset { stream: 9 }),
        (ping(3), Control::Ping { id: 3 }),
        (go_away(9), Control::GoAway),
    ] {
        let (head, body) = split(&frame);
        let Header::Control { kind, flags, length } = head else { panic!("{head:?}") };
        assert_eq!(length, body.len());
        assert_eq!(control(kind, flags, body).unwrap(), expected);
    }
}

#[test]
fn a_new_stream_is_read_as_clients_write_it() {
    // SYN_STREAM of stream 1 with priority 0 and two bytes of headers; the client will send nothing.
    let frame = [0x80, 3, 0, 1, 1, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xab, 0xcd];
    let (head, body) = split(&frame);
    let Header::Control { kind, flags, .. } = head else { panic!("{head:?}") };
    let expected = Control::SynStream { stream: 1, fin: true, block: &[0xab, 0xcd] };
    assert_eq!(control(kind, flags, body).unwrap(), expected);
}

#[test]
fn malformed_frames_are_refused() {
    let too_long = CONTROL_MAX + 1;
    let [.., l2, l1, l0] = too_long.to_be_bytes();
    for (bytes, expected) in [
        ([0x80, 2, 0, 1, 0, 0, 0, 0], Malformed::Version),
        ([0x80, 3, 0, 1, 0, l2, l1, l0], Malformed::Length(too_long)),
        ([0, 0, 0, 0, 0, 0, 0, 0], Malformed::Stream),
    ] {
        assert_eq!(header(bytes), Err(expected), "{bytes:?}");
    }
    for (kind, body, expected) in [
        (SYN_STREAM, &[0, 0, 0, 1, 0, 0, 0, 0, 0][..], Malformed::Length(9)),
        (SYN_STREAM, &[0; 12], Malformed::Stream),
        (RST_STREAM, &[0, 0], Malformed::Length(2)),
        (PING, &[], Malformed::Length(0)),
    ] {
        assert_eq!(control(kind, 0, body), Err(expected), "{kind} {body:?}");
    }
}

#[test]
fn any_bytes_are_read_or_refused_and_never_more_than_the_limit_is_asked_for() {
    let mut random = SmallRng::seed_from_u64(20);
    for _ in 0..200_000 {
        let mut bytes: [u8; HEADER] = random.random();
        // Most random bytes would fail at the version already.
        if random.random() {
            bytes[..3].copy_from_slice(&[0x80, 3, 0]);
            bytes[3] %= 12;
            bytes[5] = 0;
        }
        let Ok(Header::Control { kind, flags, length }) = header(bytes) else { continue };
        assert!(length <= CONTROL_MAX);
        let body: Vec<u8> = (0..random.random_range(0..24)).map(|_| random.random()).collect();
        // Either answer is fine, as long as it is one.
        drop(control(kind, flags, &body));
    }
}
