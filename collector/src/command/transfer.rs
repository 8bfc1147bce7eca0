//! `export` and `import`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::metric;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};

use super::output::{Place, unfinished};
use super::{LOCKED_TRIES, LOCKED_WAIT, Places, is_locked};
use crate::config::Config;
use crate::control::{Request, ask_for_stream, receive_export, send_import};
use crate::store::rollup::Level;
use crate::store::{Format, ImportOptions, ImportReport, Selection, Store, export, import};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The form of the file
    #[arg(long)]
    format: Format,
    /// Only devices of this site
    #[arg(long)]
    site: Option<Label>,
    /// Only devices of this group
    #[arg(long)]
    group: Option<Label>,
    /// Only this device
    #[arg(long)]
    device: Option<DeviceId>,
    /// Only this metric, such as hw.battery.health
    #[arg(long, value_parser = parse_metric)]
    metric: Option<u16>,
    /// From this time on: RFC 3339, or a date for its start in UTC
    #[arg(long, value_parser = parse_time)]
    from: UnixMs,
    /// Before this time
    #[arg(long, value_parser = parse_time)]
    to: UnixMs,
    /// What each series was like in stretches of this length, instead of every value: how often it was
    /// read, its least, mean, greatest and last value. Kept for longer than every value is
    #[arg(long)]
    resolution: Option<Level>,
    /// The file, or `-` for the standard output
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// CSV or JSON lines as `export` writes them, gzip or not; `-` for the standard input
    file: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Make devices that are not known, in this site; without it their rows are refused
    #[arg(long, value_name = "SITE")]
    new_devices: Option<Label>,
}

pub(super) fn run_export(places: &Places, args: &ExportArgs) -> anyhow::Result<()> {
    if args.from >= args.to {
        bail!("`--from {}` is not before `--to {}`", args.from, args.to);
    }
    let selection = Selection {
        site: args.site.clone(),
        group: args.group.clone(),
        device: args.device,
        metric: args.metric,
        from: args.from,
        to: args.to,
        resolution: args.resolution,
    };
    if args.out == Path::new("-") {
        let rows = write_export(places, &selection, args.format, &mut io::stdout())?;
        eprintln!("{rows} rows");
        return Ok(());
    }
    let place = Place::of(&args.out);
    let place = place.with_context(|| format!("cannot write {}", args.out.display()))?;
    let rows = match place {
        Place::File(file) => export_to_file(places, &selection, args.format, &file)?,
        Place::Stream => {
            let mut stream = OpenOptions::new().write(true).open(&args.out)?;
            write_export(places, &selection, args.format, &mut stream)?
        }
    };
    println!("{rows} rows in {}", args.out.display());
    Ok(())
}

fn export_to_file(
    places: &Places,
    selection: &Selection,
    format: Format,
    out: &Path,
) -> anyhow::Result<u64> {
    let unfinished = unfinished(out);
    let cannot = || format!("cannot write {}", unfinished.display());
    let mut file = File::create(&unfinished).with_context(cannot)?;
    let written = write_export(places, selection, format, &mut file)
        .and_then(|rows| file.sync_all().with_context(cannot).map(|()| rows));
    let rows = written.inspect_err(|_| {
        // A half of a file would be taken for a whole one.
        let _ = fs::remove_file(&unfinished);
    })?;
    fs::rename(&unfinished, out)
        .with_context(|| format!("cannot put {} in place", out.display()))?;
    Ok(rows)
}

fn write_export(
    places: &Places,
    selection: &Selection,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<u64> {
    let request = Request::Export {
        selection: selection.clone(),
        format,
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    for _ in 0..LOCKED_TRIES {
        if let Some(stream) = runtime.block_on(ask_for_stream(&places.data, &request))? {
            return receive_export(stream, out);
        }
        match open(places) {
            Err(error) if is_locked(&error) => runtime.block_on(tokio::time::sleep(LOCKED_WAIT)),
            store => return Ok(export(&store?, selection, format, out)?),
        }
    }
    bail!(silent(places))
}

pub(super) fn run_import(places: &Places, args: &ImportArgs) -> anyhow::Result<()> {
    let options = ImportOptions {
        dry_run: args.dry_run,
        new_devices: args.new_devices.clone(),
    };
    let mut file: Box<dyn Read> = match args.file.as_path() {
        path if path == Path::new("-") => Box::new(io::stdin()),
        path => {
            Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
    };
    let report = read_import(places, &options, file.as_mut())
        .with_context(|| args.file.display().to_string())?;
    tell(&report, args.dry_run);
    Ok(())
}

fn read_import(
    places: &Places,
    options: &ImportOptions,
    file: &mut dyn Read,
) -> anyhow::Result<ImportReport> {
    let request = Request::Import {
        options: options.clone(),
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    for _ in 0..LOCKED_TRIES {
        if let Some(stream) = runtime.block_on(ask_for_stream(&places.data, &request))? {
            return send_import(stream, file);
        }
        match open(places) {
            Err(error) if is_locked(&error) => runtime.block_on(tokio::time::sleep(LOCKED_WAIT)),
            store => {
                let now = SystemClock.now().wall;
                return import(&store?, file, options, now, runtime.handle().clone());
            }
        }
    }
    bail!(silent(places))
}

fn tell(report: &ImportReport, is_dry: bool) {
    for problem in &report.problems {
        eprintln!("{problem}");
    }
    let unnamed = report.refused - report.problems.len() as u64;
    if unnamed > 0 {
        eprintln!("and {unnamed} more");
    }
    let would = if is_dry { "would be " } else { "" };
    println!(
        "{} rows: {} {would}stored, {} there already, {} refused; {} devices {would}made",
        report.rows, report.stored, report.known, report.refused, report.new_devices
    );
}

pub(super) fn open(places: &Places) -> anyhow::Result<Store> {
    let config = Config::read(places.config.as_deref())?;
    let now = SystemClock.now().wall;
    Ok(Store::open(&places.data, config.store_options(), now)?)
}

pub(super) fn silent(places: &Places) -> String {
    format!(
        "{} is in use by a collector that does not answer on its control.sock",
        places.data.display()
    )
}

fn parse_metric(name: &str) -> Result<u16, String> {
    let metric = metric::by_name(name);
    metric
        .map(|metric| metric.code)
        .ok_or_else(|| "it is not in the catalogue; the documentation lists the metrics".to_owned())
}

fn parse_time(text: &str) -> Result<UnixMs, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(UnixMs(time.as_millisecond()));
    }
    let date = text.parse::<jiff::civil::Date>();
    let start = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC));
    start
        .map(|start| UnixMs(start.timestamp().as_millisecond()))
        .map_err(|_| "a time is RFC 3339, such as 2026-08-24T07:45:00Z, or a date".to_owned())
}
