//! HTTP/1.1 as fast as it goes: requests that were made before, on connections that are kept.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// Connects.
    pub async fn open(server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await;
        let stream = stream.with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
        })
    }

    /// Sends a request and reads its answer, whose status must be 2xx.
    pub async fn exchange(&mut self, request: &Bytes) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break self.buffer.split_to(end + 4);
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let body = self.body(&head).await?;
        if head
            .split(' ')
            .nth(1)
            .is_none_or(|code| !code.starts_with('2'))
        {
            bail!("{head}{}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    async fn body(&mut self, head: &str) -> anyhow::Result<Vec<u8>> {
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        if field("transfer-encoding").is_some() {
            return self.chunks().await;
        }
        let length = field("content-length").and_then(|text| text.parse().ok());
        self.exactly(length.unwrap_or(0)).await
    }

    async fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.more().await?;
            };
            let line = self.buffer.split_to(end + 2);
            let size = std::str::from_utf8(&line[..end])?;
            let size = usize::from_str_radix(size.trim(), 16).context("a chunk's size")?;
            let chunk = self.exactly(size + 2).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn exactly(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        let bytes = self.buffer[..length].to_vec();
        self.buffer.advance(length);
        Ok(bytes)
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// A POST of `body`.
pub(super) fn post(server: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Bytes {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat().into()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
