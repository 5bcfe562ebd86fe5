//! `exec` and `attach`: a client's streams and a program's, put together.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::remote_command::{self, Accepted, Outcome, Sizes, Streams, Wanted};
use super::upgrade::Refusal;
use super::wire::Output;
use super::{Place, Streaming, query};
use crate::runtime::{Attached, Exec, ExecSpec, Stream};

const PIECE: usize = 32 * 1024;

/// Runs a program in a container.
pub(super) async fn exec(
    State(streaming): State<Streaming>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let begin = || {
        let query = query(&request)?;
        let wanted = Wanted::new(&query)?;
        let place = streaming.container(&namespace, &pod, &container)?;
        let args: Vec<String> = query.into_iter().filter(|(key, _)| key == "command").map(|(_, value)| value).collect();
        if args.is_empty() {
            return Err(Refusal(StatusCode::BAD_REQUEST, "you must specify a command".to_owned()));
        }
        Ok((wanted, place, args))
    };
    let (wanted, place, args) = match begin() {
        Ok(begun) => begun,
        Err(refusal) => return refusal.into_response(),
    };
    serve(streaming, request, wanted, async move |streaming, streams| {
        run(&streaming, &place, args, wanted, streams).await
    })
}

/// Connects to a container's own streams.
pub(super) async fn attach(
    State(streaming): State<Streaming>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let wanted = query(&request).and_then(|query| Wanted::new(&query));
    let place = streaming.container(&namespace, &pod, &container);
    match (wanted, place) {
        (Ok(wanted), Ok(place)) => serve(streaming, request, wanted, async move |streaming, streams| {
            join(&streaming, &place, wanted, streams).await
        }),
        (Err(refusal), _) | (_, Err(refusal)) => refusal.into_response(),
    }
}

/// Answers, and goes on with the connection in a task of its own.
fn serve<F, W>(streaming: Streaming, request: Request, wanted: Wanted, work: W) -> Response
where
    W: FnOnce(Streaming, Streams) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let accepted = remote_command::accept(request, wanted);
    let answered = accepted.and_then(|Accepted { upgrade, wanted }| {
        let (transport, protocol) = (upgrade.transport, upgrade.protocol.clone());
        let (response, connecting) = upgrade.answer()?;
        let further = streaming.clone();
        streaming.spawn(async move {
            let Some(io) = connecting.connected().await else { return };
            match remote_command::open(io, transport, &protocol, wanted).await {
                Ok(streams) => work(further, streams).await,
                Err(error) => tracing::debug!(error, "a streaming client did not get to its command"),
            }
        })?;
        Ok(response)
    });
    answered.unwrap_or_else(IntoResponse::into_response)
}

async fn run(streaming: &Streaming, place: &Place, args: Vec<String>, wanted: Wanted, mut streams: Streams) {
    let Wanted { stdin, stdout, stderr, terminal } = wanted;
    let spec = ExecSpec { args, stdin, stdout, stderr, terminal };
    let outcome = match streaming.runtime.exec(&place.pod_uid, &place.container_id, spec).await {
        Ok(exec) => match follow(exec, &mut streams).await {
            Some(outcome) => outcome,
            // The streams are dropped with the program's ends: it is hung up on.
            None => return,
        },
        Err(error) => Outcome::Failed(format!("error executing command in container: {error}")),
    };
    streams.finish(&outcome).await;
}

/// Moves bytes until the program ends; `None` when the client leaves first.
async fn follow(exec: Exec, streams: &mut Streams) -> Option<Outcome> {
    let Exec { stdin, stdout, stderr, terminal, exit, .. } = exec;
    let ended = CancellationToken::new();
    let sizes = streams.sizes.take();
    let input = forward(stdin, streams.stdin.take());
    let resizing = resize(terminal, sizes);
    let output = async {
        tokio::join!(
            copy(stdout, streams.stdout.as_ref(), &ended),
            copy(stderr, streams.stderr.as_ref(), &ended),
            async {
                let code = exit.await;
                ended.cancel();
                code
            }
        )
    };
    tokio::pin!(output);
    let beside = async { tokio::join!(input, resizing) };
    tokio::pin!(beside);
    let mut is_fed = true;
    let (_, _, code) = loop {
        tokio::select! {
            done = &mut output => break done,
            _ = &mut beside, if is_fed => is_fed = false,
            () = streams.gone.cancelled() => return None,
        }
    };
    Some(match code {
        Ok(0) => Outcome::Success,
        Ok(code) => Outcome::Exit(code),
        Err(_) => Outcome::Failed("error executing command in container: its end was not seen".to_owned()),
    })
}

/// Moves the client's bytes to the program, and ends its input when the client does.
async fn forward(stdin: Option<Stream>, from: Option<mpsc::Receiver<Bytes>>) {
    let (Some(stdin), Some(mut from)) = (stdin, from) else { return };
    while let Some(bytes) = from.recv().await {
        // A program that reads no more is no reason to end it.
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn resize(terminal: Option<Stream>, sizes: Option<Sizes>) {
    let (Some(terminal), Some(mut sizes)) = (terminal, sizes) else { return };
    while let Some(size) = sizes.next().await {
        if let Err(error) = terminal.resize(size.width, size.height) {
            tracing::debug!(%error, "cannot resize a terminal");
        }
    }
}

/// Moves output to the client: to its end, or once `ended` to what is there. The end of a program counts, whoever else may
/// hold its pipes. What no client wants is dropped.
async fn copy(from: Option<Stream>, to: Option<&Output>, ended: &CancellationToken) {
    let Some(from) = from else { return };
    let mut buffer = vec![0; PIECE];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.map(Some),
            () = ended.cancelled() => from.read_now(&mut buffer),
        };
        match read {
            Ok(Some(count @ 1..)) => match to {
                Some(to) if to.send(&buffer[..count]).await.is_err() => return,
                _ => {}
            },
            _ => return,
        }
    }
}

async fn join(streaming: &Streaming, place: &Place, wanted: Wanted, mut streams: Streams) {
    let (uid, id) = (&place.pod_uid, &place.container_id);
    // The end of its output is the end of the container, whether or not anyone wants to read it.
    let stdout = wanted.stdout || !wanted.stderr;
    let attached = streaming.runtime.attach(uid, id, wanted.stdin, stdout, wanted.stderr).await;
    let Attached { stdin, stdout, stderr, terminal } = match attached {
        Ok(attached) => attached,
        Err(error) => {
            let outcome = Outcome::Failed(format!("error attaching to container: {error}"));
            return streams.finish(&outcome).await;
        }
    };
    let resizing = resize(stdin.clone().filter(|_| terminal), streams.sizes.take());
    let fed = stdin.is_some();
    let input = {
        let from = streams.stdin.take();
        async move {
            forward(stdin, from).await;
            // The next client finds an input that has ended, if the container said so.
            if fed
                && place.stdin_once
                && let Err(error) = streaming.runtime.close_stdin(uid, id).await
            {
                tracing::debug!(%error, container = id, "cannot end a container's input");
            }
        }
    };
    let never = CancellationToken::new();
    let gone = streams.gone.clone();
    let has_ended = {
        let (out, err) = (streams.stdout.as_ref(), streams.stderr.as_ref());
        let output = async { tokio::join!(copy(stdout, out, &never), copy(stderr, err, &never)) };
        let beside = async { tokio::join!(input, resizing) };
        tokio::pin!(output, beside);
        let mut is_fed = true;
        loop {
            tokio::select! {
                _ = &mut output => break true,
                _ = &mut beside, if is_fed => is_fed = false,
                () = gone.cancelled() => {
                    // Its input ends like that of a client that says so.
                    if is_fed && fed && place.stdin_once {
                        streaming.runtime.close_stdin(uid, id).await.ok();
                    }
                    break false;
                }
            }
        }
    };
    if has_ended {
        streams.finish(&Outcome::Success).await;
    }
}
