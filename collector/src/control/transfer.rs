//! Exports and imports over the control socket, after the line that says that they begin.
//!
//! ```text
//! export := frame*        from the collector; a frame of no bytes is the last
//! import := the file      from the command line, which then closes its side; ImportReport, JSON, back
//! frame  := size[4] bytes
//! end    := a frame of no bytes, then Result<rows, problem>, JSON
//! ```
//! The command line reads and writes the files, so that they belong to who asked for them.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rollcall_shared::error::chain;
use rollcall_shared::time::UnixMs;
use tokio::runtime::Handle;

use crate::inventory::{self, InventoryFile, InventoryReport};
use crate::store::{Format, ImportOptions, ImportReport, Selection, Store, export, import};

/// How long the other side may do nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of a frame.
const FRAME_BYTES: usize = 64 * 1024;

/// Bytes of an inventory's files: as JSON writes them they are at most twice as long.
const INVENTORY_BYTES: u64 = 2 * inventory::IMPORT_BYTES as u64;

/// Bytes of a report or an end: a thousand problems of some hundred bytes.
const REPORT_BYTES: u64 = 1024 * 1024;

/// Sends what is selected, where blocking is allowed.
pub(super) fn send_export(
    store: &Store,
    stream: &UnixStream,
    selection: &Selection,
    format: Format,
) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let frames = io::BufWriter::with_capacity(FRAME_BYTES, Frames(stream));
    let done = export(store, selection, format, frames).map_err(|error| error.to_string());
    let mut stream = stream;
    stream.write_all(&0_u32.to_le_bytes())?;
    stream.write_all(&serde_json::to_vec(&done)?)
}

/// Receives what a collector exports, and answers how many rows that were.
///
/// # Errors
/// What the collector says is wrong, or why its answer cannot be read or written.
pub fn receive_export(mut stream: UnixStream, out: &mut dyn Write) -> anyhow::Result<u64> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut frame = Vec::new();
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let size = u32::from_le_bytes(size) as usize;
        if size == 0 {
            break;
        }
        anyhow::ensure!(
            size <= FRAME_BYTES * 16,
            "the collector sends what is no export"
        );
        frame.resize(size, 0);
        stream.read_exact(&mut frame)?;
        out.write_all(&frame)?;
    }
    let mut end = Vec::new();
    stream.take(REPORT_BYTES).read_to_end(&mut end)?;
    let done: Result<u64, String> = serde_json::from_slice(&end)?;
    done.map_err(anyhow::Error::msg)
}

/// Stores what the command line sends, and tells what came of it, where blocking is allowed.
pub(super) fn receive_import(
    store: &Store,
    stream: &UnixStream,
    options: &ImportOptions,
    now: UnixMs,
    runtime: Handle,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let done = import(store, stream, options, now, runtime);
    let done = done.map_err(|error| chain(error.as_ref()));
    let mut stream = stream;
    stream.write_all(&serde_json::to_vec(&done)?)
}

/// Sends a file to be imported, and answers what came of it.
///
/// # Errors
/// What the collector says is wrong, or why it could not be told.
pub fn send_import(mut stream: UnixStream, file: &mut dyn Read) -> anyhow::Result<ImportReport> {
    let sent = io::copy(file, &mut stream).and_then(|_| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let read = stream.take(REPORT_BYTES).read_to_end(&mut answer);
    // A collector that gives up says why, and takes no more: its answer tells more than our error.
    if answer.is_empty() {
        sent?;
        read?;
    }
    let done: Result<ImportReport, String> = serde_json::from_slice(&answer)?;
    done.map_err(anyhow::Error::msg)
}

/// Takes in the files of an inventory, and tells what came of it, where blocking is allowed.
pub(super) fn receive_inventory(
    store: &Store,
    stream: &UnixStream,
    dry_run: bool,
    now: UnixMs,
    runtime: &Handle,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut json = Vec::new();
    stream.take(INVENTORY_BYTES).read_to_end(&mut json)?;
    let done = match serde_json::from_slice::<Vec<InventoryFile>>(&json) {
        Ok(files) => {
            let done = inventory::import(store, &files, dry_run, super::execute::ADMIN, now);
            runtime.block_on(done).map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("the files cannot be read: {error}")),
    };
    let mut stream = stream;
    stream.write_all(&serde_json::to_vec(&done)?)
}

/// Sends the files of an inventory, and answers what came of it.
///
/// # Errors
/// What the collector says is wrong, or why it could not be told.
pub fn send_inventory(
    mut stream: UnixStream,
    files: &[InventoryFile],
) -> anyhow::Result<InventoryReport> {
    stream.write_all(&serde_json::to_vec(files)?)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.take(REPORT_BYTES).read_to_end(&mut answer)?;
    let done: Result<InventoryReport, String> = serde_json::from_slice(&answer)?;
    done.map_err(anyhow::Error::msg)
}

/// Writes frames: each write is one.
struct Frames<'a>(&'a UnixStream);

impl Write for Frames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(FRAME_BYTES * 16)];
        if bytes.is_empty() {
            return Ok(0);
        }
        let size = u32::try_from(bytes.len()).expect("a mebibyte at most");
        self.0.write_all(&size.to_le_bytes())?;
        self.0.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
