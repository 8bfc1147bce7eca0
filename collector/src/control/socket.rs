//! The control socket: who may connect to it is the administrator.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rollcall_shared::time::Clock;
use rollcall_shared::token::AuthorityFingerprint;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Answer, Request, backup, execute, transfer};
use crate::evaluate::book::RuleBook;
use crate::store::{BackupFile, CheckReport, Format, ImportOptions, Selection, Store, StoreError};

const NAME: &str = "control.sock";

/// Bytes of a request: an API token for 500 sites takes 40 KB.
const REQUEST_BYTES: u64 = 256 * 1024;

/// Bytes of an answer: 500,000 devices take about 400 MB, which nobody reads; 64 MB are 80,000.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Requests at once: one administrator, and some scripts.
const REQUESTS: usize = 16;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The socket of a running collector.
pub struct ControlServer {
    path: PathBuf,
    listener: UnixListener,
    store: Store,
    authority: AuthorityFingerprint,
    book: RuleBook,
    clock: Arc<dyn Clock>,
}

impl ControlServer {
    /// Listens in `data`. The caller holds the store's lock, so that a socket which is there already
    /// was left by a collector that is gone.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(
        data: &Path,
        store: Store,
        authority: AuthorityFingerprint,
        book: RuleBook,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let path = data.join(NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", path.display()));
            }
            _ => {}
        }
        let short = Short::of(data).with_context(|| format!("cannot open {}", data.display()))?;
        let listener = UnixListener::bind(short.path())
            .and_then(|listener| {
                std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
                Ok(listener)
            })
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        Ok(Self {
            path,
            listener,
            store,
            authority,
            book,
            clock,
        })
    }

    /// Answers until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(REQUESTS));
        let server = Arc::new(self);
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let accepted = tokio::select! {
                accepted = server.listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
            tokio::spawn(async move {
                let answered = tokio::time::timeout(PATIENCE, server.answer(stream)).await;
                match answered {
                    Ok(Ok(Some((stream, Wanted::Backup(files))))) => {
                        server.send_backup(stream, files, shutdown).await;
                    }
                    Ok(Ok(Some((stream, Wanted::Upkeep { merge })))) => {
                        server.send_upkeep(stream, merge).await;
                    }
                    Ok(Ok(Some((stream, Wanted::Check)))) => server.send_check(stream).await,
                    Ok(Ok(Some((stream, Wanted::Transfer(transfer))))) => {
                        server.transfer(stream, transfer).await;
                    }
                    Ok(Err(error)) => tracing::warn!(%error, "a control request was not answered"),
                    Ok(Ok(None)) | Err(_) => {}
                }
                drop(place);
            });
        }
    }

    /// Answers a request; what takes long is to be sent after the answer.
    async fn answer(&self, mut stream: UnixStream) -> io::Result<Option<(UnixStream, Wanted)>> {
        // Between its making and its permissions the socket may have been open to others.
        let caller = stream.peer_cred()?.uid();
        let own = rustix::process::geteuid().as_raw();
        if caller != own && caller != 0 {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "another user's request",
            ));
        }
        let (read, mut write) = stream.split();
        let mut line = String::new();
        BufReader::new(read.take(REQUEST_BYTES))
            .read_line(&mut line)
            .await?;
        let mut wanted = None;
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(Request::Backup { without_authority }) => {
                let files = self.files_for_backup(without_authority);
                files.map(|files| {
                    wanted = Some(Wanted::Backup(files));
                    Answer::Done
                })
            }
            Ok(Request::Upkeep { merge }) => {
                wanted = Some(Wanted::Upkeep { merge });
                Ok(Answer::Done)
            }
            Ok(Request::Check) => {
                wanted = Some(Wanted::Check);
                Ok(Answer::Done)
            }
            Ok(Request::Export { selection, format }) => {
                wanted = Some(Wanted::Transfer(Transfer::Export(selection, format)));
                Ok(Answer::Done)
            }
            Ok(Request::Import { options }) => {
                wanted = Some(Wanted::Transfer(Transfer::Import(options)));
                Ok(Answer::Done)
            }
            Ok(Request::InventoryImport { dry_run }) => {
                wanted = Some(Wanted::Transfer(Transfer::Inventory(dry_run)));
                Ok(Answer::Done)
            }
            Ok(request) => self.execute(request).await,
            Err(error) => Err(format!("the request cannot be read: {error}")),
        };
        let mut json = serde_json::to_vec(&answer)?;
        json.push(b'\n');
        write.write_all(&json).await?;
        match wanted {
            Some(wanted) => Ok(Some((stream, wanted))),
            None => write.shutdown().await.map(|()| None),
        }
    }

    fn files_for_backup(&self, without_authority: bool) -> Result<Vec<BackupFile>, String> {
        if without_authority {
            return Ok(Vec::new());
        }
        let data = self
            .path
            .parent()
            .expect("the socket lies in the data folder");
        backup::files_beside(data).map_err(|error| format!("{error:#}"))
    }

    async fn send_upkeep(&self, mut stream: UnixStream, merge: bool) {
        let now = self.clock.now().wall;
        let work = async {
            self.store.seal(now).await?;
            self.store.enforce_retention(now).await?;
            if merge {
                self.store.merge(now).await?;
                self.store.roll_up().await?;
            }
            Ok(())
        };
        let done = work.await.map_err(|error: StoreError| error.to_string());
        let json = serde_json::to_vec(&done).expect("a text has a form in JSON");
        // Whoever has gone in the meantime needs no answer.
        let _ = stream.write_all(&json).await;
    }

    async fn send_check(&self, mut stream: UnixStream) {
        let store = self.store.clone();
        let checked = tokio::task::spawn_blocking(move || {
            serde_json::to_vec(&store.check_running()).map_err(io::Error::from)
        });
        let sent = match checked
            .await
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        {
            Ok(json) => stream.write_all(&json).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "what a check has found could not be told");
        }
    }

    async fn transfer(&self, stream: UnixStream, wanted: Transfer) {
        let (store, now) = (self.store.clone(), self.clock.now().wall);
        let runtime = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            match wanted {
                Transfer::Export(selection, format) => {
                    transfer::send_export(&store, &stream, &selection, format)
                }
                Transfer::Inventory(dry_run) => {
                    transfer::receive_inventory(&store, &stream, dry_run, now, &runtime)
                }
                Transfer::Import(options) => {
                    transfer::receive_import(&store, &stream, &options, now, runtime)
                }
            }
        });
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "an export or import was given up"),
            Err(error) => tracing::error!(%error, "an export or import panicked"),
        }
    }

    async fn send_backup(
        &self,
        stream: UnixStream,
        files: Vec<BackupFile>,
        shutdown: CancellationToken,
    ) {
        let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
        let sent = tokio::task::spawn_blocking(move || {
            let stream = stream.into_std()?;
            backup::send(&store, stream, &files, clock.as_ref(), shutdown)
        });
        match sent.await {
            Ok(Ok(made)) => {
                let (bytes, changes) = (made.bytes, made.end.changes);
                tracing::info!(bytes, changes, "a backup was sent");
            }
            Ok(Err(error)) => tracing::warn!(%error, "a backup was given up"),
            Err(error) => tracing::error!(%error, "a backup panicked"),
        }
    }

    async fn execute(&self, request: Request) -> Result<Answer, String> {
        let (rules, now) = (self.book.rules(), self.clock.now().wall);
        execute(&self.store, self.authority, &rules, request, now).await
    }
}

/// What takes longer than an answer may.
enum Wanted {
    /// A backup, with these files.
    Backup(Vec<BackupFile>),
    /// Sealing, retention, and merging where that is wanted.
    Upkeep { merge: bool },
    /// A look through the store.
    Check,
    /// An export or import.
    Transfer(Transfer),
}

/// What goes out or comes in.
enum Transfer {
    /// What is exported, and in which form.
    Export(Selection, Format),
    /// How it is imported.
    Import(ImportOptions),
    /// Files of the inventory, and whether only to look.
    Inventory(bool),
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // The store is still locked, so no other collector can have made its own yet.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks the collector that runs on `data`; `None` when none does.
///
/// # Errors
/// What the collector says is wrong, or why it could not be asked.
pub async fn ask(data: &Path, request: &Request) -> anyhow::Result<Option<Answer>> {
    let Some(mut stream) = connect(data).await? else {
        return Ok(None);
    };
    let asked = tokio::time::timeout(PATIENCE, converse(&mut stream, request)).await;
    let line = asked.context("the collector did not answer in time")??;
    parse_answer(&line).map(Some)
}

/// Asks the collector that runs on `data` for a backup; `None` when none does. What comes next on the
/// stream is the backup, up to its end.
///
/// # Errors
/// What the collector says is wrong, or why it could not be asked.
pub async fn ask_for_backup(
    data: &Path,
    without_authority: bool,
) -> anyhow::Result<Option<std::os::unix::net::UnixStream>> {
    ask_for_stream(data, &Request::Backup { without_authority }).await
}

/// Asks the collector that runs on `data` for something that follows its answer on the stream; `None`
/// when none runs.
///
/// # Errors
/// What the collector says is wrong, or why it could not be asked.
pub async fn ask_for_stream(
    data: &Path,
    request: &Request,
) -> anyhow::Result<Option<std::os::unix::net::UnixStream>> {
    let Some(stream) = ask_for_more(data, request).await? else {
        return Ok(None);
    };
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(Some(stream))
}

/// Asks the collector that runs on `data` to look through its store; `None` when none does.
///
/// # Errors
/// What the collector says is wrong, or why it could not be asked.
pub async fn ask_for_check(data: &Path) -> anyhow::Result<Option<CheckReport>> {
    ask_for_result(data, &Request::Check).await
}

/// Asks the collector that runs on `data` to seal and to remove what has expired; `None` when none does.
///
/// # Errors
/// What the collector says is wrong, or why it could not be asked.
pub async fn ask_for_upkeep(data: &Path, merge: bool) -> anyhow::Result<Option<()>> {
    let done = ask_for_result::<Result<(), String>>(data, &Request::Upkeep { merge }).await?;
    done.transpose().map_err(anyhow::Error::msg)
}

async fn ask_for_result<T: serde::de::DeserializeOwned>(
    data: &Path,
    request: &Request,
) -> anyhow::Result<Option<T>> {
    let Some(stream) = ask_for_more(data, request).await? else {
        return Ok(None);
    };
    let mut json = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut json).await?;
    let result = serde_json::from_slice(&json);
    result
        .map(Some)
        .context("the collector ended before it was done; its log says more")
}

async fn ask_for_more(data: &Path, request: &Request) -> anyhow::Result<Option<UnixStream>> {
    let Some(mut stream) = connect(data).await? else {
        return Ok(None);
    };
    let mut json = serde_json::to_vec(request)?;
    json.push(b'\n');
    stream.write_all(&json).await?;
    let line = tokio::time::timeout(PATIENCE, first_line(&mut stream)).await;
    let line = line.context("the collector did not answer in time")??;
    parse_answer(&line)?;
    Ok(Some(stream))
}

/// Byte by byte: what follows the line is not ours.
async fn first_line(stream: &mut UnixStream) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') && (line.len() as u64) < REQUEST_BYTES {
        line.push(
            stream
                .read_u8()
                .await
                .context("the collector said nothing")?,
        );
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

async fn connect(data: &Path) -> anyhow::Result<Option<UnixStream>> {
    let Ok(short) = Short::of(data) else {
        return Ok(None);
    };
    match UnixStream::connect(short.path()).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if nobody_listens(&error) => Ok(None),
        Err(error) => {
            let name = data.join(NAME).display().to_string();
            Err(error).with_context(|| format!("cannot reach the collector by {name}"))
        }
    }
}

fn parse_answer(line: &str) -> anyhow::Result<Answer> {
    let answer: Result<Answer, String> = serde_json::from_str(line)
        .context("the collector's answer cannot be read; is it of another version?")?;
    answer.map_err(anyhow::Error::msg)
}

async fn converse(stream: &mut UnixStream, request: &Request) -> anyhow::Result<String> {
    let mut json = serde_json::to_vec(request)?;
    json.push(b'\n');
    stream.write_all(&json).await?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES))
        .read_line(&mut line)
        .await?;
    Ok(line)
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

/// The socket's path by way of its open folder: a socket's address holds 108 bytes at most.
struct Short {
    folder: File,
    data: PathBuf,
}

impl Short {
    fn of(data: &Path) -> io::Result<Self> {
        Ok(Self {
            folder: File::open(data)?,
            data: data.to_owned(),
        })
    }

    fn path(&self) -> PathBuf {
        let of_process = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()));
        let folder = if of_process.exists() {
            &of_process
        } else {
            &self.data
        };
        folder.join(NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;
    use rollcall_shared::time::SystemClock;
    use rollcall_shared::token::EnrolmentToken;

    /// With a path that is far too long for the address of a socket.
    #[tokio::test]
    async fn a_running_collector_does_what_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("x".repeat(120));
        let clock = Arc::new(SystemClock);
        let store = Store::create(&data, StoreOptions::default(), clock.now().wall).unwrap();
        assert_eq!(ask(&data, &Request::TokenList).await.unwrap(), None);
        let authority = AuthorityFingerprint([4; 32]);
        let book = RuleBook::open(None).unwrap();
        // What a crash has left is no obstacle.
        std::fs::write(data.join(NAME), b"").unwrap();
        let server = ControlServer::bind(&data, store.clone(), authority, book, clock).unwrap();
        let mode = std::fs::metadata(data.join(NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(shutdown.clone()));

        let create = Request::TokenCreate {
            site: "Lincoln".parse().unwrap(),
            group: None,
            uses: Some(3),
            life_ms: Some(1000),
        };
        let Some(Answer::Secret(text)) = ask(&data, &create).await.unwrap() else {
            panic!("no token");
        };
        let token: EnrolmentToken = text.parse().unwrap();
        assert_eq!(token.authority, authority);
        let record = store.tokens().pop().unwrap();
        assert_eq!(
            (record.hash, record.uses_left),
            (token.secret.hash(), Some(3))
        );
        let revoke = Request::TokenRevoke { id: record.id };
        assert_eq!(ask(&data, &revoke).await.unwrap(), Some(Answer::Done));
        assert!(store.tokens()[0].revoked);
        let unknown = Request::TokenRevoke {
            id: "nothing".to_owned(),
        };
        assert!(
            ask(&data, &unknown)
                .await
                .unwrap_err()
                .to_string()
                .contains("token list")
        );
        let Some(Answer::Audit(lines)) = ask(&data, &Request::Audit { limit: 9 }).await.unwrap()
        else {
            panic!("no audit");
        };
        let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
        assert_eq!(actions, ["token.revoke", "token.create"]);
        shutdown.cancel();
        running.await.unwrap();
    }
}
