//! Updates as the Windows Update Agent knows them, without asking the network: what it found when it last
//! looked, and its history.
//!
//! Source: Microsoft's Windows Update Agent API. A `DATE` counts days since 1899-12-30, here in UTC.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use crate::collect::source::{self, Sourced};

/// Days from the first day of a `DATE` to 1970-01-01.
const EPOCH_DAYS: f64 = 25_569.0;

/// `OperationResultCode`: succeeded, succeeded with errors, failed, aborted.
const SUCCEEDED: [i32; 2] = [2, 3];
const FAILED: [i32; 2] = [4, 5];

/// What the update agent said.
#[derive(Debug, Clone)]
pub struct Updates {
    /// (all that are known and not installed, those with a security rating).
    pub pending: Sourced<(f64, f64)>,
    /// When updates were last looked for with success, and last installed with success, as a `DATE`.
    pub succeeded: Sourced<Vec<f64>>,
    /// Results of installations, newest first.
    pub history: Sourced<Vec<i32>>,
}

/// What is reported of the updates.
#[must_use]
pub fn readings(updates: Updates, wall: UnixMs) -> Vec<Reading> {
    let pending = updates.pending;
    let failed = updates.history.map(|results| failures(&results));
    let age = updates.succeeded.and_then(|dates| age_days(&dates, wall));
    vec![
        source::number_or_why(
            &metric::UPDATES_PENDING,
            "",
            pending.clone().map(|pending| pending.0),
        ),
        source::number_or_why(
            &metric::UPDATES_SECURITY_PENDING,
            "",
            pending.map(|pending| pending.1),
        ),
        source::number_or_why(&metric::UPDATES_LAST_AGE, "", age),
        source::number_or_why(&metric::UPDATES_FAILED, "", failed),
    ]
}

/// Failures since the last installation that succeeded.
fn failures(newest_first: &[i32]) -> f64 {
    let since = newest_first
        .iter()
        .take_while(|result| !SUCCEEDED.contains(result));
    since.filter(|result| FAILED.contains(result)).count() as f64
}

fn age_days(dates: &[f64], wall: UnixMs) -> Sourced<f64> {
    let newest = dates
        .iter()
        .copied()
        .filter(|date| *date > EPOCH_DAYS)
        .reduce(f64::max);
    let newest = newest.ok_or("Windows has never looked for updates with success")?;
    let age = wall.0 as f64 / 86_400_000.0 - (newest - EPOCH_DAYS);
    if age < 0.0 {
        return Err(
            "updates were looked for in the future, so the clock is or was wrong".to_owned(),
        );
    }
    Ok(age)
}

#[cfg(windows)]
pub use self::native::read;

#[cfg(windows)]
mod native {
    use rollcall_shared::reading::Reading;
    use rollcall_shared::time::UnixMs;
    use windows::Win32::Foundation::VARIANT_BOOL;
    use windows::Win32::System::Com::{CLSCTX_INPROC_SERVER, CoCreateInstance};
    use windows::Win32::System::UpdateAgent::{
        AutomaticUpdates, IAutomaticUpdates2, IUpdateSearcher, IUpdateSession, UpdateSession,
        uoInstallation,
    };
    use windows::Win32::System::Variant::{VARIANT, VT_DATE};
    use windows::core::BSTR;

    use super::{Updates, readings};
    use crate::collect::source::Sourced;
    use crate::collect::windows::failed;
    use crate::collect::windows::wmi::Com;

    /// Entries of the history that are looked at.
    const HISTORY: i32 = 50;

    /// Updates that are counted at most; a machine that was off for a year knows of a few dozen.
    const PENDING: i32 = 500;

    /// Reads what is pending, when updates last succeeded, and how often they failed since.
    pub fn read(wall: UnixMs) -> Vec<Reading> {
        readings(ask(), wall)
    }

    fn ask() -> Updates {
        let silent = |why: String| Updates {
            pending: Err(why.clone()),
            succeeded: Err(why.clone()),
            history: Err(why),
        };
        let com = match Com::enter() {
            Ok(com) => com,
            Err(why) => return silent(why),
        };
        let searcher = match searcher() {
            Ok(searcher) => searcher,
            Err(error) => return silent(failed("Windows Update", &error)),
        };
        let updates = Updates {
            pending: told(pending(&searcher)),
            succeeded: told(succeeded()),
            history: told(history(&searcher)),
        };
        drop(searcher);
        drop(com);
        updates
    }

    fn told<T>(answer: windows::core::Result<T>) -> Sourced<T> {
        answer.map_err(|error| failed("Windows Update", &error))
    }

    #[expect(unsafe_code, reason = "COM's methods")]
    fn searcher() -> windows::core::Result<IUpdateSearcher> {
        // SAFETY: COM is entered.
        unsafe {
            let session: IUpdateSession =
                CoCreateInstance(&UpdateSession, None, CLSCTX_INPROC_SERVER)?;
            let searcher = session.CreateUpdateSearcher()?;
            searcher.SetOnline(VARIANT_BOOL::from(false))?;
            Ok(searcher)
        }
    }

    #[expect(unsafe_code, reason = "COM's methods")]
    fn pending(searcher: &IUpdateSearcher) -> windows::core::Result<(f64, f64)> {
        let wanted = BSTR::from("IsInstalled=0 and IsHidden=0 and Type='Software'");
        // SAFETY: COM is entered; the text lives for the call.
        unsafe {
            let updates = searcher.Search(&wanted)?.Updates()?;
            let all = updates.Count()?;
            let mut rated = 0;
            for number in 0..all.min(PENDING) {
                // Only security updates have a rating.
                let rating = updates.get_Item(number)?.MsrcSeverity();
                rated += i32::from(rating.is_ok_and(|rating| !rating.is_empty()));
            }
            Ok((f64::from(all), f64::from(rated)))
        }
    }

    #[expect(
        unsafe_code,
        reason = "COM's methods, and a union that its own tag tells apart"
    )]
    fn succeeded() -> windows::core::Result<Vec<f64>> {
        let date = |variant: VARIANT| {
            // SAFETY: the tag says which field of the union is set.
            unsafe {
                let value = &variant.Anonymous.Anonymous;
                (value.vt == VT_DATE).then(|| value.Anonymous.date)
            }
        };
        // SAFETY: COM is entered.
        let dates = unsafe {
            let updates: IAutomaticUpdates2 =
                CoCreateInstance(&AutomaticUpdates, None, CLSCTX_INPROC_SERVER)?;
            let results = updates.Results()?;
            [
                results.LastSearchSuccessDate()?,
                results.LastInstallationSuccessDate()?,
            ]
        };
        Ok(dates.into_iter().filter_map(date).collect())
    }

    #[expect(unsafe_code, reason = "COM's methods")]
    fn history(searcher: &IUpdateSearcher) -> windows::core::Result<Vec<i32>> {
        // SAFETY: COM is entered.
        unsafe {
            let count = searcher.GetTotalHistoryCount()?.min(HISTORY);
            if count == 0 {
                return Ok(Vec::new());
            }
            let entries = searcher.QueryHistory(0, count)?;
            let mut results = Vec::new();
            for number in 0..entries.Count()? {
                let entry = entries.get_Item(number)?;
                if entry.Operation()? == uoInstallation {
                    results.push(entry.ResultCode()?.0);
                }
            }
            Ok(results)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    /// 2026-08-24T07:45:00Z.
    const WALL: UnixMs = UnixMs(1_787_557_500_000);

    #[test]
    fn pending_failed_and_the_last_success() {
        let updates = Updates {
            pending: Ok((5.0, 2.0)),
            // 2026-08-22 and 2026-08-14, at 07:45.
            succeeded: Ok(vec![46_256.322_916_666_7, 46_248.322_916_666_7]),
            history: Ok(vec![4, 1, 5, 2, 4]),
        };
        let readings = readings(updates, WALL);
        assert_eq!(number(&readings, "os.updates.pending", ""), Some(5.0));
        assert_eq!(
            number(&readings, "os.updates.security_pending", ""),
            Some(2.0)
        );
        assert_eq!(number(&readings, "os.updates.failed", ""), Some(2.0));
        let age = number(&readings, "os.updates.last_success.age", "").unwrap();
        assert!((age - 2.0).abs() < 1e-6, "{age}");
    }

    #[test]
    fn what_is_not_known_has_words() {
        let updates = Updates {
            pending: Err("refused".to_owned()),
            succeeded: Ok(vec![0.0]),
            history: Ok(Vec::new()),
        };
        let readings = readings(updates, WALL);
        assert_eq!(
            value(&readings, "os.updates.pending", ""),
            "unavailable: refused"
        );
        assert!(value(&readings, "os.updates.last_success.age", "").contains("never looked"));
        assert_eq!(number(&readings, "os.updates.failed", ""), Some(0.0));
        let ahead = age_days(&[90_000.0], WALL);
        assert!(ahead.unwrap_err().contains("future"));
    }
}
