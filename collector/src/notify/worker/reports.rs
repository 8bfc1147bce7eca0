//! The weekly report's part of a worker: exactly one for each week, also over restarts.

use std::time::Duration;

use rollcall_shared::backoff::random_fraction;
use rollcall_shared::time::UnixMs;

use super::super::config::ReportConfig;
use super::super::report::{self, WEEK_MS};
use super::super::{Outcome, slots};
use super::{REST, Worker};
use crate::incident::Incident;
use crate::memo::{Content, Memo, MemoKey, Subject};
use crate::store::{StoreError, Write};

/// Reports of weeks that passed while the collector was down; older ones are left out.
const BACKLOG_MS: i64 = 4 * WEEK_MS;

/// Incidents of a week that are looked at.
const INCIDENTS: usize = 100_000;

/// The wait after a report that was not taken.
const RETRY_MS: u64 = 5 * 60_000;

impl Worker {
    /// Reports each week. What was reported last is written in the same batch as the audit line of it; the
    /// first start only notes where it begins.
    pub(super) async fn run_reports(&self, config: &ReportConfig) -> anyhow::Result<()> {
        let key = MemoKey {
            channel: self.common.name.clone(),
            subject: Subject::Report,
        };
        loop {
            let now = self.now();
            let Some(Content::Reported(last)) = self.store.memo(&key).map(|memo| memo.content)
            else {
                self.commit(vec![self.reported(&key, now)]).await?;
                continue;
            };
            let from = UnixMs(last.0.max(now.plus_ms(-BACKLOG_MS).0)).plus_ms(1);
            let calendar = self.book.rules().calendar.clone();
            let due = slots::next_report(config, &calendar, from);
            let Some(due) = due.filter(|due| *due <= now) else {
                let ms = due.map_or(i64::MAX, |due| due.since(now));
                tokio::time::sleep(Duration::from_millis(ms.unsigned_abs()).min(REST)).await;
                continue;
            };
            self.report(&key, due).await?;
        }
    }

    async fn report(&self, key: &MemoKey, due: UnixMs) -> anyhow::Result<()> {
        let from = due.plus_ms(-WEEK_MS);
        let incidents = self.incidents_since(from)?;
        let rules = self.book.rules();
        let not_useful = self.marked_not_useful();
        let sites = &self.common.sites;
        let week = report::week(&incidents, &not_useful, &rules, sites, from, due);
        let (shown_from, shown_to) = (rules.calendar.show(from), rules.calendar.show(due));
        let post = week.post(&self.common.name, due, (&shown_from, &shown_to));
        let action = "report.deliver";
        let (outcome, detail) = match self.channel.post(&post, self.now()).await {
            Outcome::Delivered => ("ok", format!("{} found", week.found)),
            Outcome::Partly(why) => ("partly", why),
            Outcome::Retry { why, .. } | Outcome::Rejected(why) => {
                tracing::warn!(
                    channel = self.common.name,
                    key = post.key,
                    why,
                    "not reported yet"
                );
                let wait = RETRY_MS / 2 + (random_fraction() * (RETRY_MS / 2) as f64) as u64;
                tokio::time::sleep(Duration::from_millis(wait)).await;
                return Ok(());
            }
        };
        tracing::info!(
            channel = self.common.name,
            key = post.key,
            outcome,
            "reported"
        );
        let audit = self.audit(&post.key, action, outcome, detail);
        self.commit(vec![self.reported(key, due), audit]).await
    }

    fn incidents_since(&self, from: UnixMs) -> Result<Vec<Incident>, StoreError> {
        let mut all: Vec<Incident> = self.store.incidents().into_values().collect();
        all.extend(
            self.store
                .closed_incidents(from, UnixMs(i64::MAX - 1), INCIDENTS)?,
        );
        Ok(all)
    }

    /// The rules against which somebody's mark counts, and when it was set.
    fn marked_not_useful(&self) -> Vec<(String, UnixMs)> {
        let marks = self.store.all_marks().into_values();
        let against = marks.filter_map(|marks| {
            let at = marks.not_useful?.at;
            Some(marks.rules.into_iter().map(move |rule| (rule, at)))
        });
        against.flatten().collect()
    }

    fn reported(&self, key: &MemoKey, due: UnixMs) -> Write {
        Write::PutMemo(Memo {
            key: key.clone(),
            content: Content::Reported(due),
        })
    }
}
