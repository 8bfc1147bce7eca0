//! Retention: what is older than it may be goes, a folder at a time.
//!
//! The collector's own clock alone decides nothing: one that is years ahead would remove everything. So
//! what has come of it is written down, moves on by a few hours an hour at most, and never passes the
//! newest report. After a summer without power it takes some days to catch up, which costs disk only.

use rollcall_shared::time::UnixMs;

use super::hot::{failed, put, remove};
use super::keys::{self, Day, Part, Place, RolledUp, TreeName, Week, meta};
use super::{Store, StoreError, Write};

/// How far retention moves on in one run, of which there is one an hour.
const STEP_MS: i64 = 7 * 3_600_000;

/// A part goes when its last day may: roll-ups by days are those of a year.
const LONGEST_PART_MS: i64 = 53 * 7 * 86_400_000;

/// How much longer than anything else readings stay that are not rolled up: they are within the day before
/// they may go, and where that fails for so long, a full disk would be worse.
const UNROLLED_MS: i64 = 14 * 86_400_000;

/// Removals in one transaction.
const AT_ONCE: usize = 256;

impl Store {
    /// Removes what is older than its retention: merged days, roll-ups, alerts and audit lines. Run it
    /// every hour.
    ///
    /// # Errors
    /// [`StoreError`] when something cannot be removed.
    pub async fn enforce_retention(&self, now: UnixMs) -> Result<(), StoreError> {
        let (before, newest) = {
            let memory = self.shared().memory();
            (memory.retained, memory.newest_report())
        };
        let Some(retained) = moved_on(before, newest, now) else {
            return Ok(());
        };
        let mark = put(
            TreeName::Meta,
            meta::RETAINED,
            keys::time(retained).to_vec(),
        );
        self.change(Vec::new(), vec![mark]).await?;
        self.shared().memory_mut().retained = Some(retained);
        self.blocking(move |store| store.remove_parts(retained))
            .await?;
        for tree in [
            TreeName::AlertHistory,
            TreeName::IncidentHistory,
            TreeName::Audit,
            TreeName::Days,
        ] {
            self.remove_rows(tree, retained).await?;
        }
        self.forget_words(retained).await
    }

    /// Forgets what people said that long ago, and silences that were over then.
    async fn forget_words(&self, retained: UnixMs) -> Result<(), StoreError> {
        let oldest = self.shared().options.oldest(retained);
        let writes: Vec<Write> = {
            let memory = self.shared().memory();
            let marks = memory.marks.values().filter(|m| m.changed < oldest);
            let silences = memory.silences.values();
            let silences = silences.filter(|s| s.over_at().is_some_and(|at| at < oldest));
            let marks = marks.map(|marks| Write::RemoveMarks(marks.subject));
            marks
                .chain(silences.map(|silence| Write::RemoveSilence(silence.id)))
                .collect()
        };
        for writes in writes.chunks(AT_ONCE) {
            self.commit(writes.to_vec()).await?;
        }
        Ok(())
    }

    fn remove_parts(&self, retained: UnixMs) -> Result<(), StoreError> {
        let options = &self.shared().options;
        let (oldest, oldest_raw) = (options.oldest(retained), options.oldest_raw(retained));
        let unrolled = oldest.plus_ms(-UNROLLED_MS);
        for part in self.shared().history.parts().map_err(failed)? {
            let kept_from = match part {
                // What is not rolled up yet would be gone altogether.
                Part::Raw(week) if self.is_unrolled(week.start(), Week(week.0 + 1).start()) => {
                    unrolled
                }
                Part::Merged(day, _) if self.is_unrolled(day, Day(day.0 + 1)) => unrolled,
                Part::Raw(_) | Part::Merged(..) => oldest_raw,
                Part::Sealed(..) => oldest,
                Part::Rollups(level, _) => options.oldest_rolled(level, retained),
            };
            if part.end() <= kept_from {
                let _nobody_reads = self.shared().close_gate();
                self.shared().history.remove(part).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Whether anything that is merged from a day up to another is not rolled up by every level.
    fn is_unrolled(&self, from: Day, to: Day) -> bool {
        let memory = self.shared().memory();
        let mut days = memory.days.range((from, 0)..(to, 0));
        days.any(|(day, place)| {
            *place != Place::Sealed && memory.rolled_up(*day) != RolledUp::Whole
        })
    }

    async fn remove_rows(&self, tree: TreeName, retained: UnixMs) -> Result<(), StoreError> {
        let options = &self.shared().options;
        let end = match tree {
            // What is rolled up of a day counts as long as its mark is there: some weeks after its end.
            TreeName::Days => {
                let oldest = options.oldest_of_all(retained).plus_ms(-LONGEST_PART_MS);
                keys::day(Day::of(oldest), 0).to_vec()
            }
            _ => keys::time(options.oldest(retained)).to_vec(),
        };
        let old = self.blocking(move |store| {
            let found = store.shared().hot.database.range(tree as usize, &[], &end);
            let keys: Result<Vec<_>, _> = found.map(|pair| pair.map(|(key, _)| key)).collect();
            keys.map_err(failed)
        });
        for keys in old.await?.chunks(AT_ONCE) {
            let ops = keys.iter().map(|key| remove(tree, key)).collect();
            self.change(Vec::new(), ops).await?;
        }
        Ok(())
    }
}

/// Up to where retention has come now; `None` while there is no report at all.
fn moved_on(before: Option<UnixMs>, newest: Option<UnixMs>, now: UnixMs) -> Option<UnixMs> {
    let newest = newest?;
    let wanted = newest.min(now);
    // A clock that was at its beginning for a while takes it back by a step at most, not for years.
    let before = before.unwrap_or(newest);
    Some(wanted.clamp(before.plus_ms(-STEP_MS), before.plus_ms(STEP_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_790_000_000_000);
    const YEAR_MS: i64 = 365 * 86_400_000;

    #[test]
    fn neither_the_clock_nor_the_newest_report_alone_removes_anything() {
        let ahead = NOW.plus_ms(10 * YEAR_MS);
        assert_eq!(moved_on(None, None, NOW), None);
        assert_eq!(moved_on(Some(NOW), Some(NOW), ahead), Some(NOW));
        let both = moved_on(Some(NOW), Some(ahead), ahead);
        assert_eq!(
            both,
            Some(NOW.plus_ms(STEP_MS)),
            "a wrong clock has a day at most"
        );
        assert_eq!(
            moved_on(both, Some(ahead), NOW),
            Some(NOW),
            "and is forgotten when it is right"
        );
    }
}
