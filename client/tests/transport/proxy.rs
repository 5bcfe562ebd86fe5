//! The byte-moving proxy: a connection reaches a living master, and is cut when its master dies.

use std::net::SocketAddr;
use std::time::Duration;

use client::Masters;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::master::{Authority, Master};

const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(authority: &Authority, proxy: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(proxy).await.unwrap();
    let name = ServerName::try_from("kubernetes").unwrap();
    timeout(PATIENCE, TlsConnector::from(authority.client()).connect(name, stream)).await.unwrap().unwrap()
}

/// Which master is behind a connection.
async fn name(stream: &mut TlsStream<TcpStream>) -> SocketAddr {
    stream.write_all(b"GET /name HTTP/1.1\r\nHost: kubernetes\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // The only line that ends so is the body.
    while !answer.ends_with(b"\n") || answer.ends_with(b"\r\n") {
        let count = timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap();
        assert_ne!(count, 0, "the connection ended");
    }
    let answer = String::from_utf8(answer).unwrap();
    answer.trim().rsplit("\r\n").next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn connections_reach_a_living_master_and_are_cut_from_a_dead_one() {
    let authority = Authority::new();
    let mut masters = [Master::start(&authority).await, Master::start(&authority).await];
    let stop = CancellationToken::new();
    let addresses = masters.iter().map(|master| master.address).collect();
    let known = Masters::start(addresses, authority.client(), stop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let running = tokio::spawn(client::proxy::run(listener, known, None, stop.clone()));

    let mut stream = connect(&authority, proxy).await;
    let first = name(&mut stream).await;
    let at = masters.iter().position(|master| master.address == first).unwrap();
    masters[at].freeze();
    let mut rest = Vec::new();
    // An error or an end, but soon.
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().ok();
    let mut stream = connect(&authority, proxy).await;
    assert_ne!(name(&mut stream).await, first);

    masters[1 - at].kill();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().ok();
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_proxy_ends_by_itself_but_not_while_someone_is_connected() {
    let authority = Authority::new();
    let master = Master::start(&authority).await;
    let stop = CancellationToken::new();
    let known = Masters::start(vec![master.address], authority.client(), stop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let idle = Duration::from_millis(300);
    let running = tokio::spawn(client::proxy::run(listener, known, Some(idle), stop.clone()));
    let mut stream = connect(&authority, proxy).await;
    tokio::time::sleep(idle * 2).await;
    assert_eq!(name(&mut stream).await, master.address);
    drop(stream);
    timeout(PATIENCE, running).await.unwrap().unwrap();
    stop.cancel();
}
