//! `backup`, `restore` and `upkeep`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};

use super::output::{Place, unfinished};
use super::{LOCKED_TRIES, LOCKED_WAIT, Places, is_locked};
use crate::audit::AuditLine;
use crate::config::Config;
use crate::control::{ask_for_backup, ask_for_upkeep, backup::files_beside};
use crate::store::{
    BackupContent, Store, Write, check_store, restore as restore_store, verify_backup,
};

/// What the names of backups in a folder begin and end with.
const PREFIX: &str = "rollcall-";
const SUFFIX: &str = ".backup";

/// How long a collector that sends a backup may be silent.
const SENDER_PATIENCE: Duration = Duration::from_secs(120);

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where to put it: a folder, in which it gets a name with the time, or a file
    #[arg(long)]
    out: PathBuf,
    /// Of the backups in the folder keep only so many, this one included
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Leave out the authority, its keys and the admin's API token: laptops cannot return to what is
    /// restored from it unless the folder `authority` is kept elsewhere
    #[arg(long)]
    without_authority: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(long)]
    from: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct UpkeepArgs {
    /// Also merge the days and weeks that are over, instead of within an hour; of a large fleet that takes as
    /// long again
    #[arg(long)]
    merge: bool,
}

pub(super) fn backup(places: &Places, args: &BackupArgs) -> anyhow::Result<()> {
    if args.keep.is_some() && !args.out.is_dir() {
        bail!(
            "`--keep` counts the backups of a folder, and `--out {}` is none",
            args.out.display()
        );
    }
    let now = SystemClock.now().wall;
    let file = match Place::of(&target(&args.out, now))? {
        Place::File(file) => file,
        Place::Stream => bail!(
            "`--out {}` is neither a file nor a folder",
            args.out.display()
        ),
    };
    let unfinished = unfinished(&file);
    let made = make(places, args.without_authority, &unfinished)
        .and_then(|()| Ok(verify_backup(&unfinished)?))
        .and_then(|content| put_in_place(&unfinished, &file).map(|()| content));
    let content = made.inspect_err(|_| {
        // A half of a backup is of no use to anybody.
        let _ = fs::remove_file(&unfinished);
    })?;
    describe(&file, &content)?;
    match args.keep {
        Some(keep) => remove_old(&args.out, keep as usize),
        None => Ok(()),
    }
}

pub(super) fn restore(places: &Places, args: &RestoreArgs) -> anyhow::Result<()> {
    let config = Config::read(places.config.as_deref())?;
    let content = restore_store(&args.from, &places.data)?;
    let now = SystemClock.now().wall;
    let store = Store::open(&places.data, config.store_options(), now)
        .context("what was restored does not open")?;
    let line = AuditLine {
        at: now,
        actor: "admin".to_owned(),
        action: "store.restore".to_owned(),
        subject: format!("backup of {}", content.end.ended),
        outcome: "ok".to_owned(),
        detail: String::new(),
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(store.commit(vec![Write::Audit(line)]))?;
    let devices = store.devices().len();
    drop(store);
    let report = check_store(&places.data, &scratch(&places.data))?;
    if let Some(first) = report.findings.first() {
        bail!("what was restored is not as it was written: {first}");
    }
    println!(
        "{} holds what the backup of {} held: {devices} devices",
        places.data.display(),
        content.end.ended
    );
    if !content.head.authority {
        println!(
            "the backup has no authority: put the folder `authority` of the lost collector into {} \
             before the collector starts",
            places.data.display()
        );
    }
    Ok(())
}

pub(super) fn upkeep(places: &Places, args: &UpkeepArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let asked = ask_for_upkeep(&places.data, args.merge);
    if runtime.block_on(asked)?.is_none() {
        let config = Config::read(places.config.as_deref())?;
        let now = SystemClock.now().wall;
        let store = Store::open(&places.data, config.store_options(), now)?;
        runtime.block_on(store.seal(now))?;
        runtime.block_on(store.enforce_retention(now))?;
        if args.merge {
            runtime.block_on(store.merge(now))?;
            runtime.block_on(store.roll_up())?;
        }
    }
    println!("done");
    Ok(())
}

fn scratch(data: &Path) -> PathBuf {
    data.join("restored.check")
}

/// Writes the backup: the running collector's, or of a folder that no collector uses.
fn make(places: &Places, without_authority: bool, file: &Path) -> anyhow::Result<()> {
    let out = create(file).with_context(|| format!("cannot make {}", file.display()))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    for _ in 0..LOCKED_TRIES {
        let asked = runtime.block_on(ask_for_backup(&places.data, without_authority))?;
        if let Some(stream) = asked {
            stream.set_read_timeout(Some(SENDER_PATIENCE))?;
            return receive(stream, out)
                .with_context(|| format!("cannot write {}", file.display()));
        }
        match make_here(places, without_authority, &out) {
            Err(error) if is_locked(&error) => runtime.block_on(tokio::time::sleep(LOCKED_WAIT)),
            done => return done,
        }
    }
    bail!(
        "{} is in use by a collector that does not answer on its control.sock",
        places.data.display()
    )
}

fn make_here(places: &Places, without_authority: bool, out: &File) -> anyhow::Result<()> {
    let config = Config::read(places.config.as_deref())?;
    let store = Store::open(&places.data, config.store_options(), SystemClock.now().wall)?;
    let files = match without_authority {
        true => Vec::new(),
        false => files_beside(&places.data)?,
    };
    store.back_up(
        io::BufWriter::with_capacity(BUFFER, out),
        &files,
        &SystemClock,
    )?;
    Ok(out.sync_all()?)
}

fn receive(mut stream: std::os::unix::net::UnixStream, mut out: File) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return out.sync_all();
        }
        out.write_all(&buffer[..count])?;
    }
}

/// Only its owner may read it: it holds the authority's keys.
fn create(file: &Path) -> io::Result<File> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600).open(file)
}

fn put_in_place(unfinished: &Path, file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    fs::rename(unfinished, file)
        .and_then(|()| File::open(folder.unwrap_or(Path::new(".")))?.sync_all())
        .with_context(|| format!("cannot put {} in place", file.display()))
}

fn describe(file: &Path, content: &BackupContent) -> anyhow::Result<()> {
    let keys: u64 = content
        .end
        .keys
        .values()
        .flat_map(|trees| trees.values())
        .sum();
    let bytes = fs::metadata(file)?.len();
    println!("{}", file.display());
    println!(
        "of {}: {keys} keys and {} changes while it was made, {bytes} bytes{}",
        content.end.ended,
        content.end.changes,
        if content.head.authority {
            ", with the authority and its keys"
        } else {
            ", without the authority"
        }
    );
    Ok(())
}

fn target(out: &Path, now: UnixMs) -> PathBuf {
    if !out.is_dir() {
        return out.to_owned();
    }
    let time: String = now
        .to_string()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    out.join(format!("{PREFIX}{time}{SUFFIX}"))
}

/// Removes the oldest of the backups that this command has named, beyond `keep`.
fn remove_old(folder: &Path, keep: usize) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(is_ours(&name).then_some(name));
    }
    names.sort_unstable();
    let old = names.len().saturating_sub(keep);
    for name in &names[..old] {
        let path = folder.join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        println!("removed {}", path.display());
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    let time = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    time.is_some_and(|time| {
        let bytes = time.as_bytes();
        bytes.iter().all(u8::is_ascii_alphanumeric) && bytes.contains(&b'T') && time.ends_with('Z')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_backups_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let now = UnixMs(1_790_000_000_000);
        let made: Vec<PathBuf> = (0..4).map(|n| target(dir.path(), now.plus_ms(n))).collect();
        let others = [
            "rollcall-notes.backup",
            "rollcall-20260101T000000Z.backup.new",
            "x",
        ];
        let others: Vec<PathBuf> = others.iter().map(|name| dir.path().join(name)).collect();
        for path in made.iter().chain(&others) {
            fs::write(path, "").unwrap();
        }
        remove_old(dir.path(), 2).unwrap();
        let there: Vec<bool> = made.iter().map(|path| path.exists()).collect();
        assert_eq!(there, [false, false, true, true], "{made:?}");
        assert!(others.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_backup_is_its_owners_alone_from_the_beginning() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        fs::write(&path, "left").unwrap();
        let file = create(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
