//! The messages of one direction of a call, each with its delay, in their order.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use store::world::Hold;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use super::{Net, Place, call::lost};

/// Messages on their way at once.
const UNDER_WAY_MAX: usize = 64;

/// Carries `body`, which a process makes, until it ends, the call is over or the connection breaks.
pub(super) async fn pump(
    net: Net,
    (from, to): (Place, Place),
    (mut body, source): (Body, Hold),
    sender: mpsc::Sender<Result<Frame<Bytes>, Status>>,
    connection: CancellationToken,
    over: CancellationToken,
) {
    let mut under_way: VecDeque<(Instant, Result<Frame<Bytes>, Status>)> = VecDeque::new();
    let mut last = Instant::now();
    let mut ended = false;
    // Made once, and not for each message.
    let (mut broken, mut let_go) = (pin!(connection.cancelled()), pin!(over.cancelled()));
    let mut arrival = pin!(tokio::time::sleep_until(last));
    while !(ended && under_way.is_empty()) {
        tokio::select! {
            biased;
            () = &mut broken => {
                // Whoever does not listen any more need not know.
                drop(sender.try_send(Err(lost())));
                return;
            }
            () = &mut let_go => return,
            () = &mut arrival, if !under_way.is_empty() => {
                tokio::select! {
                    biased;
                    () = &mut broken => continue,
                    () = net.passable(from, to) => {}
                }
                let Some((_, frame)) = under_way.pop_front() else { continue };
                net.state.lock().traversed.messages += 1;
                tokio::select! {
                    biased;
                    () = &mut broken => continue,
                    sent = sender.send(frame) => if sent.is_err() { return },
                }
                if let Some((due, _)) = under_way.front() {
                    arrival.as_mut().reset(*due);
                }
            }
            frame = source.clone().keep(body.frame()), if !ended && under_way.len() < UNDER_WAY_MAX => match frame {
                Some(frame) => {
                    last = last.max(Instant::now() + net.delay(from, to));
                    if under_way.is_empty() {
                        arrival.as_mut().reset(last);
                    }
                    under_way.push_back((last, frame));
                }
                None => ended = true,
            },
        }
    }
}
