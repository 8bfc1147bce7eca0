//! `inventory`: taking in laptops, loans and rosters.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use rollcall_shared::time::{Clock as _, SystemClock};

use super::{LOCKED_TRIES, LOCKED_WAIT, Places, is_locked, transfer};
use crate::control::{Request, ask_for_stream, send_inventory};
use crate::inventory::{FILES, IMPORT_BYTES, InventoryFile, InventoryReport, import};

#[derive(Debug, Subcommand)]
pub(super) enum InventoryCommand {
    /// Take in CSV files: laptops and loans (`asset_tag`), rosters (`pupil`), `OneRoster`'s orgs, users, roles and
    /// enrollments; rows that are not right are told by line and the rest is kept
    Import {
        /// The files; those that belong together in one import
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(places: &Places, command: &InventoryCommand) -> anyhow::Result<()> {
    let InventoryCommand::Import { files, dry_run } = command;
    let files = read(files)?;
    let report = import_files(places, &files, *dry_run)?;
    tell(&report);
    Ok(())
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<InventoryFile>> {
    ensure!(
        paths.len() <= FILES,
        "{} files are more than {FILES}",
        paths.len()
    );
    let mut left = IMPORT_BYTES;
    let mut files = Vec::new();
    for path in paths {
        let file = read_file(path, left).with_context(|| path.display().to_string())?;
        left -= file.text.len();
        files.push(file);
    }
    Ok(files)
}

fn read_file(path: &Path, most: usize) -> anyhow::Result<InventoryFile> {
    let mut bytes = Vec::new();
    let file = File::open(path).context("cannot read")?;
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .context("cannot read")?;
    ensure!(
        bytes.len() <= most,
        "the files of an import have more than {IMPORT_BYTES} bytes together"
    );
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        anyhow::anyhow!("line {} is not UTF-8; save the file as CSV UTF-8", line + 1)
    })?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(InventoryFile {
        name: name.to_string_lossy().into_owned(),
        text,
    })
}

fn import_files(
    places: &Places,
    files: &[InventoryFile],
    dry_run: bool,
) -> anyhow::Result<InventoryReport> {
    let request = Request::InventoryImport { dry_run };
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    for _ in 0..LOCKED_TRIES {
        if let Some(stream) = runtime.block_on(ask_for_stream(&places.data, &request))? {
            return send_inventory(stream, files);
        }
        match transfer::open(places) {
            Err(error) if is_locked(&error) => runtime.block_on(tokio::time::sleep(LOCKED_WAIT)),
            store => {
                let (store, now) = (store?, SystemClock.now().wall);
                let done = import(&store, files, dry_run, "admin", now);
                return Ok(runtime.block_on(done)?);
            }
        }
    }
    bail!(transfer::silent(places))
}

fn tell(report: &InventoryReport) {
    for problem in &report.problems {
        eprintln!("{problem}");
    }
    let unnamed = report.refused - report.problems.len() as u64;
    if unnamed > 0 {
        eprintln!("and {unnamed} more");
    }
    for file in &report.files {
        println!("{}: {}, {} rows", file.name, file.kind, file.rows);
        if !file.left_out.is_empty() {
            println!("  not read: {}", file.left_out.join(", "));
        }
    }
    let would = if report.dry_run { "would be " } else { "" };
    println!(
        "laptops: {} {would}added, {} {would}changed; pupils: {} {would}added, {} {would}changed, {} {would}removed; \
         {} rows refused",
        report.laptops_added,
        report.laptops_changed,
        report.pupils_added,
        report.pupils_changed,
        report.pupils_removed,
        report.refused
    );
}
