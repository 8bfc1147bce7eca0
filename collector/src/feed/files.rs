//! A file a day. What is there and what is missing is read from the folder itself, so that a day that
//! the collector was down is made up for, and none is written twice.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rollcall_shared::metric;
use rollcall_shared::time::{Clock, UnixMs};
use tokio_util::sync::CancellationToken;

use super::Count;
use super::config::FilesConfig;
use crate::store::{Format, Selection, Store, export};

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Days that are made up for at most after the collector was down.
const MAKE_UP: i64 = 31;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// A feed of files.
pub(super) struct Files {
    config: FilesConfig,
    store: Store,
    clock: Arc<dyn Clock>,
    count: Arc<Count>,
}

/// What is to be done in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Work {
    /// Days to be written, counted from 1970 in UTC, oldest first.
    write: Vec<i64>,
    /// Days whose file has had its time.
    remove: Vec<i64>,
}

impl Files {
    pub fn new(
        config: FilesConfig,
        store: Store,
        clock: Arc<dyn Clock>,
        count: Arc<Count>,
    ) -> Self {
        Self {
            config,
            store,
            clock,
            count,
        }
    }

    /// Writes what is missing, now and from time to time, until `ending`.
    pub async fn run(self, ending: CancellationToken) {
        let feed = Arc::new(self);
        loop {
            let working = Arc::clone(&feed);
            let worked = tokio::task::spawn_blocking(move || working.work()).await;
            match worked.map_err(anyhow::Error::from).and_then(|done| done) {
                Ok(()) => {}
                Err(error) => {
                    feed.count.fail();
                    tracing::warn!(feed = %feed.config.name, "a file was not written: {error:#}");
                }
            }
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn work(&self) -> anyhow::Result<()> {
        let folder = &self.config.folder;
        let there = self.days_there()?;
        let now = self.clock.now().wall;
        let work = work(&there, now, self.config.hour, self.config.keep_days);
        for day in work.write {
            let rows = self.write(day)?;
            self.count.deliver(rows);
            tracing::info!(feed = %self.config.name, rows, "a day was written");
        }
        for day in work.remove {
            let path = folder.join(self.file_name(day));
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn days_there(&self) -> anyhow::Result<BTreeSet<i64>> {
        let folder = &self.config.folder;
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| self.day_of(&name)).collect())
    }

    fn write(&self, day: i64) -> anyhow::Result<u64> {
        let metric = self.config.metric.as_deref().and_then(metric::by_name);
        let selection = Selection {
            site: self.config.site.clone(),
            group: None,
            device: None,
            metric: metric.map(|metric| metric.code),
            from: UnixMs(day * DAY_MS),
            to: UnixMs((day + 1) * DAY_MS),
            resolution: None,
        };
        let path = self.config.folder.join(self.file_name(day));
        // Only a whole file bears the name that others look for.
        let unfinished = hidden(&path);
        let written = File::create(&unfinished)
            .with_context(|| unfinished.display().to_string())
            .and_then(|mut file| {
                let rows = export(&self.store, &selection, self.config.format, &mut file)?;
                file.sync_all()?;
                fs::rename(&unfinished, &path)?;
                Ok(rows)
            });
        written.inspect_err(|_| {
            let _ = fs::remove_file(&unfinished);
        })
    }

    fn file_name(&self, day: i64) -> String {
        let date = UnixMs(day * DAY_MS).to_string();
        let date = &date[..10];
        format!("{}{date}{}", self.start(), ending(self.config.format))
    }

    fn start(&self) -> String {
        format!("rollcall-{}-", self.config.name)
    }

    /// The day of a file of this feed; `None` for anything else, which is left alone.
    fn day_of(&self, name: &str) -> Option<i64> {
        let date = name.strip_prefix(&self.start())?;
        let date = date.strip_suffix(ending(self.config.format))?;
        let midnight: jiff::Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
        let day = midnight.as_millisecond().div_euclid(DAY_MS);
        (self.file_name(day) == name).then_some(day)
    }
}

fn hidden(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.unfinished"))
}

const fn ending(format: Format) -> &'static str {
    match format {
        Format::Csv => ".csv",
        Format::Jsonl => ".jsonl",
        Format::Parquet => ".parquet",
    }
}

/// What is to be done: yesterday is written once its hour has come, and before it what is missing
/// since the latest file.
fn work(there: &BTreeSet<i64>, now: UnixMs, hour: u8, keep_days: u16) -> Work {
    let yesterday = (now.0 - i64::from(hour) * HOUR_MS).div_euclid(DAY_MS) - 1;
    let oldest_kept = yesterday - i64::from(keep_days) + 1;
    let from = there.last().map_or(yesterday, |latest| {
        (latest + 1).max(yesterday - MAKE_UP + 1)
    });
    Work {
        write: (from.max(oldest_kept)..=yesterday).collect(),
        remove: there.range(..oldest_kept).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use rollcall_shared::time::SystemClock;

    use super::*;
    use crate::query::example::{Example, NOW};

    fn at(day: i64, hour: i64) -> UnixMs {
        UnixMs(day * DAY_MS + hour * HOUR_MS)
    }

    #[test]
    fn a_day_is_written_after_its_hour_and_made_up_for() {
        let days = |days: &[i64]| -> BTreeSet<i64> { days.iter().copied().collect() };
        let first = work(&days(&[]), at(100, 3), 2, 31);
        assert_eq!((first.write, first.remove), (vec![99], vec![]));
        assert_eq!(
            work(&days(&[98]), at(100, 1), 2, 31).write,
            Vec::<i64>::new()
        );
        assert_eq!(work(&days(&[96]), at(100, 3), 2, 31).write, [97, 98, 99]);
        assert_eq!(
            work(&days(&[99]), at(100, 23), 2, 31).write,
            Vec::<i64>::new()
        );
        // After a long rest not everything, and nothing that would be removed at once.
        assert_eq!(work(&days(&[1]), at(100, 3), 2, 365).write.len(), 31);
        assert_eq!(work(&days(&[1]), at(100, 3), 2, 3).write, [97, 98, 99]);
        assert_eq!(
            work(&days(&[96, 97, 98]), at(100, 3), 2, 2).remove,
            [96, 97]
        );
        // A clock that was set back writes nothing.
        assert_eq!(
            work(&days(&[99]), at(50, 3), 2, 31).write,
            Vec::<i64>::new()
        );
    }

    #[tokio::test]
    async fn files_are_whole_and_others_are_left_alone() {
        let example = Example::new().await;
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = FilesConfig {
            name: "sheet".parse().unwrap(),
            folder: folder.path().to_owned(),
            format: Format::Csv,
            site: None,
            metric: None,
            hour: 2,
            keep_days: 31,
        };
        let feed = Files::new(config, example.store.clone(), clock, Arc::default());
        fs::write(folder.path().join("budget.csv"), "ours").unwrap();
        let day = NOW.0.div_euclid(DAY_MS);
        let rows = feed.write(day).unwrap();
        let name = feed.file_name(day);
        let text = fs::read_to_string(folder.path().join(&name)).unwrap();
        assert!(
            rows > 0 && text.lines().count() as u64 == rows + 1,
            "{text}"
        );
        assert_eq!(feed.days_there().unwrap(), BTreeSet::from([day]));
        assert_eq!(feed.day_of("budget.csv"), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
