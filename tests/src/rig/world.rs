//! Networks of a story's own: namespaces with links between them, and servers that stand in them.
//!
//! A namespace lives as long as the process that holds it, so that none is left behind however a
//! story ends.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::patience::{PATIENCE, eventually, require};
use super::process::{self, Finished, Process};

/// How long a command such as `ip` may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// The longest that a namespace is held.
const HELD: &str = "1800";

/// A network namespace.
#[derive(Debug)]
pub struct Network {
    holder: Process,
}

/// What a server in a network does with each connection.
#[derive(Clone)]
pub enum Manner {
    /// It answers so, in clear.
    Plain(&'static str),
    /// It answers so, over TLS.
    Secure(TlsAcceptor, &'static str),
    /// It reads the beginning and cuts the connection.
    Cut,
    /// It opens the encryption with a certificate of its own and passes on what it reads to a server.
    Intercept(
        TlsAcceptor,
        SocketAddr,
        ServerName<'static>,
        Arc<ClientConfig>,
    ),
}

/// A server in a network; it ends with this.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// A new one with nothing in it but its loopback.
    ///
    /// # Panics
    /// When the kernel gives none.
    #[must_use]
    pub fn new(name: &str, folder: &Path) -> Self {
        let network = Self::unplugged(name, folder);
        network.ip("link set lo up");
        network
    }

    /// A new one in which nothing is up, not even its loopback.
    ///
    /// # Panics
    /// When the kernel gives none.
    #[must_use]
    pub fn unplugged(name: &str, folder: &Path) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", HELD]);
        let network = Self {
            holder: Process::start(name, folder, &mut command),
        };
        eventually("a network of its own", PATIENCE, || {
            let link = |path: &Path| fs::read_link(path).map_err(|error| error.to_string());
            let (own, other) = (
                link(Path::new("/proc/self/ns/net"))?,
                link(&network.path())?,
            );
            require(own != other, || "it is still this one".to_owned())
        });
        network
    }

    /// The process that holds it.
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }

    /// The words by which a program is started in it.
    #[must_use]
    pub fn launcher(&self) -> Vec<String> {
        vec![
            "nsenter".to_owned(),
            format!("--net={}", self.path().display()),
        ]
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let words = self.launcher();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    /// Runs a command in it to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Finished {
        process::run(self.command(program).args(arguments), COMMAND_LIMIT)
    }

    /// Runs `ip`.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, arguments: &str) {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let _ = self.run("ip", &words).success();
    }

    /// Puts these rules in the place of all that there are.
    ///
    /// # Panics
    /// When `nft` does not take them.
    pub fn rules(&self, folder: &Path, rules: &str) {
        let file = folder.join("rules.nft");
        fs::write(&file, format!("flush ruleset\n{rules}\n")).expect("rules can be written");
        let _ = self.run("nft", &["-f", &file.to_string_lossy()]).success();
    }

    /// Links two networks: a name of the link's end in each.
    ///
    /// # Panics
    /// When the kernel does not make the link.
    pub fn link(&self, end: &str, other: &Self, other_end: &str) {
        let (own, far) = (self.holder.id(), other.holder.id());
        let arguments =
            format!("link add {end} netns {own} type veth peer name {other_end} netns {far}");
        self.ip(&arguments);
        self.ip(&format!("link set {end} up"));
        other.ip(&format!("link set {other_end} up"));
    }

    /// Moves this thread into it; so are the programs that the thread starts then.
    ///
    /// # Panics
    /// When the kernel does not let it.
    pub fn enter(&self) {
        enter(&self.path());
    }

    /// Starts a server in it.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn serve(&self, address: &str, manner: Manner) -> Server {
        let address: SocketAddr = address.parse().expect("an address is written as one");
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let path = self.path();
        let thread = std::thread::spawn(move || {
            enter(&path);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await;
                let listener = listener.unwrap_or_else(|error| panic!("{address}: {error}"));
                let _ = ready.send(());
                tokio::select! {
                    _ = stopped => {}
                    () = accept(&listener, &manner) => {}
                }
            });
        });
        is_ready
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("no server at {address}: {error}"));
        Server {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn enter(path: &Path) {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

async fn accept(listener: &TcpListener, manner: &Manner) {
    while let Ok((stream, _)) = listener.accept().await {
        let manner = manner.clone();
        tokio::spawn(async move {
            // A client that goes away in between is no matter of the server.
            let _ = treat(stream, manner).await;
        });
    }
}

async fn treat(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    match manner {
        Manner::Plain(answer) => reply(stream, answer).await,
        Manner::Secure(acceptor, answer) => reply(acceptor.accept(stream).await?, answer).await,
        Manner::Cut => {
            let mut beginning = [0; 64];
            let _ = stream.read(&mut beginning).await?;
            // What is unread when a socket is closed makes the kernel reset it.
            drop(stream);
            Ok(())
        }
        Manner::Intercept(acceptor, server, name, config) => {
            let mut client = acceptor.accept(stream).await?;
            let server = TcpStream::connect(server).await?;
            let mut server = TlsConnector::from(config).connect(name, server).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
    }
}

async fn reply<S>(mut stream: S, answer: &str) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut question = [0; 2048];
    let _ = stream.read(&mut question).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
