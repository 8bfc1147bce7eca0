//! An HTTP proxy that knows CONNECT and asks for a user name and a password.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub struct Proxy {
    pub address: SocketAddr,
    tunnels: Arc<AtomicU32>,
}

impl Proxy {
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }
}

pub async fn start(user: &str, password: &str) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tunnels = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&tunnels);
    let expected = format!(
        "Proxy-Authorization: Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    );
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(client, expected.clone(), Arc::clone(&counter)));
        }
    });
    Proxy { address, tunnels }
}

async fn serve(client: TcpStream, expected: String, tunnels: Arc<AtomicU32>) {
    let mut client = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await.unwrap_or(0) <= 2 {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    if !head.contains(&expected) {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        let _ = client.write_all(answer).await;
        return;
    }
    let target = head[0]
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let Ok(mut server) = TcpStream::connect(target.unwrap_or_default()).await else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        return;
    };
    tunnels.fetch_add(1, Ordering::Relaxed);
    let _ = client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await;
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
