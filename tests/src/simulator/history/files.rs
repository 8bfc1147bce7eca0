//! The past as files: series, labels and truth.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};

use super::export::{self, OfDevice};
use super::{Kept, Past};
use crate::simulator::{Fleet, truth};

/// Bytes of one remote write request before it is compressed, about; VictoriaMetrics takes 32 MiB.
const REQUEST_BYTES: usize = 1024 * 1024;

/// Which files to write.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportOptions {
    /// Whose past, and which days.
    #[command(flatten)]
    pub past: Past,
    /// Series for `rollcall-collector backtest`: CSV with time, device, metric, instance, value.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// What happened, for `rollcall-collector backtest`: CSV with device, event, time.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Everything that is wrong: CSV with device, fault, from, until, cause.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// VictoriaMetrics' JSON lines.
    #[arg(long, value_name = "FILE")]
    pub vm_json_lines: Option<PathBuf>,
    /// InfluxDB's line protocol, times in milliseconds.
    #[arg(long, value_name = "FILE")]
    pub influx: Option<PathBuf>,
    /// Prometheus' remote write requests, compressed with snappy, each after its length in four bytes,
    /// big-endian.
    #[arg(long, value_name = "FILE")]
    pub remote_write: Option<PathBuf>,
}

/// Open files, each where it was asked for.
struct Files {
    csv: Option<csv::Writer<BufWriter<File>>>,
    vm_json_lines: Option<BufWriter<File>>,
    influx: Option<BufWriter<File>>,
    remote_write: Option<BufWriter<File>>,
    request: Vec<u8>,
}

/// Writes the files; the answer is how many numbers the series have.
///
/// # Errors
/// When a file cannot be written.
pub fn export(options: &ExportOptions) -> anyhow::Result<u64> {
    let now = SystemClock.now().wall;
    let (fleet, range) = (options.past.fleet(now), options.past.range(now));
    write_truth(options, fleet, &range)?;
    let mut files = Files::create(options)?;
    if files.is_none() {
        return Ok(0);
    }
    let mut samples = 0;
    for day in options.past.days(now) {
        for number in options.past.numbers() {
            let laptop = fleet.laptop(number);
            let kept = laptop.kept(day.clone(), options.past.step);
            samples += files.write(&laptop.device_id().to_string(), &kept)?;
        }
        eprintln!("up to {}: {samples} numbers", day.end);
    }
    files.finish()?;
    Ok(samples)
}

fn write_truth(options: &ExportOptions, fleet: Fleet, range: &Range<UnixMs>) -> anyhow::Result<()> {
    let truths = || fleet.truths(options.past.numbers(), range.start, range.end);
    let name = |number| fleet.laptop(number).device_id().to_string();
    if let Some(path) = &options.labels {
        truth::write_labels(truths(), range.start, name, &mut create(path)?)
            .with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &options.truth {
        truth::write_truths(truths(), name, &mut create(path)?)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

impl Files {
    fn create(options: &ExportOptions) -> anyhow::Result<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(create).transpose();
        let mut csv = open(&options.csv)?.map(csv::Writer::from_writer);
        if let Some(csv) = &mut csv {
            csv.write_record(["time", "device", "metric", "instance", "value"])?;
        }
        Ok(Self {
            csv,
            vm_json_lines: open(&options.vm_json_lines)?,
            influx: open(&options.influx)?,
            remote_write: open(&options.remote_write)?,
            request: Vec::new(),
        })
    }

    const fn is_none(&self) -> bool {
        self.csv.is_none()
            && self.vm_json_lines.is_none()
            && self.influx.is_none()
            && self.remote_write.is_none()
    }

    fn write(&mut self, device: &str, kept: &[Kept]) -> anyhow::Result<u64> {
        let of = OfDevice { device, kept };
        if let Some(out) = &mut self.csv {
            export::csv(of, out)?;
        }
        let mut text = String::new();
        if let Some(out) = &mut self.vm_json_lines {
            export::json_lines(of, &mut text);
            out.write_all(text.as_bytes())?;
        }
        text.clear();
        if let Some(out) = &mut self.influx {
            export::influx_lines(of, &mut text);
            out.write_all(text.as_bytes())?;
        }
        if self.remote_write.is_some() {
            export::remote_write(of, &mut self.request);
            if self.request.len() >= REQUEST_BYTES {
                self.send_request()?;
            }
        }
        Ok(of.samples())
    }

    fn send_request(&mut self) -> anyhow::Result<()> {
        let body = export::snappy(&self.request);
        self.request.clear();
        if let Some(out) = &mut self.remote_write {
            let length = u32::try_from(body.len()).context("a request is below 4 GiB")?;
            out.write_all(&length.to_be_bytes())?;
            out.write_all(&body)?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if !self.request.is_empty() {
            self.send_request()?;
        }
        if let Some(mut csv) = self.csv {
            csv.flush()?;
        }
        let others = [self.vm_json_lines, self.influx, self.remote_write];
        for mut out in others.into_iter().flatten() {
            out.flush()?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(BufWriter::new(file))
}
