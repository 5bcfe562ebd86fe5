//! The demo image's program: a small HTTP server that says which pod answered, and a few helpers that a container
//! without a shell needs for looking around (`demo cat PATH...`, `demo ls PATH...`, `demo sleep SECONDS`, ...).

use std::{
    env, fs, hint,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const HELP: &str = "demo [serve | exit CODE | cat [PATH...] | ls PATH... | write PATH TEXT | sleep SECONDS | ignore-term \
                    | alloc MEBIBYTES | fork COUNT | env | id | spew BYTES | spin SECONDS \
                    | get http://ADDRESS:PORT/PATH]";
const CONNECTIONS_MAX: usize = 64;
const HEAD_MAX: u64 = 16 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let result = match *words.as_slice() {
        [] | ["serve"] => serve(),
        ["exit", code] => return code.parse().map_or(ExitCode::FAILURE, |code: u8| ExitCode::from(code)),
        ["cat"] => io::copy(&mut io::stdin(), &mut io::stdout()).map(drop).map_err(|error| error.to_string()),
        ["cat", ref paths @ ..] => paths.iter().try_for_each(|path| cat(path)),
        ["ls", ref paths @ ..] => paths.iter().try_for_each(|path| list(path)),
        ["write", path, text] => fs::write(path, text).map_err(|error| format!("{path}: {error}")),
        ["sleep", seconds] => number(seconds).map(wait),
        ["ignore-term"] => ignore_term(),
        ["alloc", mebibytes] => number(mebibytes).map(allocate),
        ["fork", count] => number(count).and_then(fork),
        ["env"] => print_env(),
        ["id"] => cat("/proc/self/status"),
        ["spew", bytes] => number(bytes).and_then(spew),
        ["spin", seconds] => number(seconds).map(spin),
        ["get", url] => get(url),
        _ => Err(HELP.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Asks another demo server, and prints what it answers.
fn get(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").ok_or("the address begins with http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.take(1 << 20).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| format!("{url}: {error}"))?;
    println!("{answer}");
    Ok(())
}

fn serve() -> Result<(), String> {
    signals::end_on_term();
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("[::]:{port}"))
        .or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}")))
        .map_err(|error| format!("port {port}: {error}"))?;
    println!("demo version {} of pod {} listens on port {port}", version(), pod());
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let open = Arc::clone(&open);
        thread::spawn(move || {
            // A client that went away is no news.
            drop(answer(&connection));
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

fn version() -> String {
    env::var("DEMO_VERSION").unwrap_or_else(|_| "unknown".to_owned())
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn pod() -> String {
    env::var("POD_NAME").unwrap_or_else(|_| hostname())
}

fn answer(connection: &TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(connection.take(HEAD_MAX));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or("-"), words.next().unwrap_or("-"));
    let peer = connection.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    println!("{method} {path} from {peer}");
    let body =
        format!("version: {}\npod: {}\nhostname: {}\npath: {path}\nclient: {peer}\n", version(), pod(), hostname());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length:";
    let mut connection = connection;
    write!(connection, "{head} {}\r\n\r\n{body}", body.len())
}

fn cat(path: &str) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    io::stdout().write_all(&bytes).map_err(|error| error.to_string())
}

fn list(path: &str) -> Result<(), String> {
    let entries = fs::read_dir(path).map_err(|error| format!("{path}: {error}"))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        println!("{}", name.display());
    }
    Ok(())
}

fn print_env() -> Result<(), String> {
    for (name, value) in env::vars() {
        println!("{name}={value}");
    }
    let folder = env::current_dir().map_err(|error| error.to_string())?;
    println!("working directory: {}", folder.display());
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "doing nothing is the purpose")]
fn wait(seconds: u64) {
    signals::end_on_term();
    println!("waiting");
    thread::sleep(Duration::from_secs(seconds));
}

/// As the first process of a container, one without a handler is not ended by SIGTERM.
#[allow(clippy::disallowed_methods, reason = "doing nothing is the purpose")]
fn ignore_term() -> Result<(), String> {
    println!("waiting");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn allocate(mebibytes: u64) {
    let mut held = Vec::new();
    for _ in 0..mebibytes {
        held.push(vec![1_u8; 1024 * 1024]);
    }
    println!("{}", hint::black_box(&held).len());
}

fn fork(count: u64) -> Result<(), String> {
    let mut children = Vec::new();
    for number in 0..count {
        match Command::new("/proc/self/exe").args(["sleep", "60"]).spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                println!("process {number}: {error}");
                break;
            }
        }
    }
    println!("{} children", children.len());
    for mut child in children {
        drop(child.kill());
        drop(child.wait());
    }
    Ok(())
}

fn spew(bytes: u64) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let line = [b'x'; 99];
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left.min(99)).map_err(|error| error.to_string())?;
        out.write_all(&line[..part]).and_then(|()| out.write_all(b"\n")).map_err(|error| error.to_string())?;
        left -= part as u64;
    }
    Ok(())
}

fn spin(seconds: u64) {
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    while std::time::Instant::now() < end {
        hint::spin_loop();
    }
}

/// A process that is number 1 is not ended by a signal it did not ask for.
mod signals {
    use std::sync::{Arc, atomic::AtomicBool};

    use signal_hook::{consts::SIGTERM, flag::register_conditional_shutdown};

    /// Ends the process at once, successfully, when it is asked to.
    pub(crate) fn end_on_term() {
        if let Err(error) = register_conditional_shutdown(SIGTERM, 0, Arc::new(AtomicBool::new(true))) {
            eprintln!("SIGTERM cannot be awaited: {error}");
        }
    }
}
