//! The points of a series, few enough to be drawn and none of its extremes lost.

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::QueryError;

/// What was read, and when.
pub type Point = (UnixMs, Value);

/// Points in an answer when the caller does not say: one for each pixel of a wide chart.
pub const DEFAULT_POINTS: usize = 2000;

/// Most points in an answer: about 500 kB as JSON.
pub const MOST_POINTS: usize = 10_000;

/// Fewest points that can keep first, last, least and greatest apart.
pub const FEWEST_POINTS: usize = 10;

/// The range when the caller does not say: a day.
pub const DEFAULT_RANGE_MS: i64 = 86_400_000;

/// The longest range in one answer: as far back as a report may lie.
pub const LONGEST_RANGE_MS: i64 = 400 * 86_400_000;

/// Which part of a series is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: UnixMs,
    /// The last moment, included.
    pub to: UnixMs,
    /// At most this many points.
    pub points: usize,
}

impl Window {
    /// The window that a caller asked for; what is absent means the last day, and
    /// [`DEFAULT_POINTS`].
    ///
    /// # Errors
    /// [`QueryError::Field`] names `from`, `to` or `points`.
    pub fn new(
        from: Option<UnixMs>,
        to: Option<UnixMs>,
        points: Option<u64>,
        now: UnixMs,
    ) -> Result<Self, QueryError> {
        let to = to.unwrap_or(now);
        let from = from.unwrap_or_else(|| to.plus_ms(-DEFAULT_RANGE_MS));
        if from > to {
            return Err(QueryError::field("from", "must not be later than `to`"));
        }
        if to.since(from) > LONGEST_RANGE_MS {
            return Err(QueryError::field(
                "from",
                "must lie at most 400 days before `to`",
            ));
        }
        let points = usize::try_from(points.unwrap_or(DEFAULT_POINTS as u64))
            .ok()
            .filter(|points| (FEWEST_POINTS..=MOST_POINTS).contains(points))
            .ok_or_else(|| {
                let bounds = format!("must be from {FEWEST_POINTS} to {MOST_POINTS}");
                QueryError::field("points", bounds)
            })?;
        Ok(Self { from, to, points })
    }
}

/// Keeps at most `most` points: the first and the last, and of each stretch between them the least
/// and the greatest number and the first and last point that is no number. The second part says
/// whether any point was left out.
#[must_use]
pub fn thin(points: Vec<Point>, most: usize) -> (Vec<Point>, bool) {
    if points.len() <= most {
        return (points, false);
    }
    let inner = points.len() - 2;
    let stretches = (most.saturating_sub(2) / kept_of_each(&points)).max(1);
    let mut kept = vec![0];
    for stretch in 0..stretches {
        let start = 1 + stretch * inner / stretches;
        let end = 1 + (stretch + 1) * inner / stretches;
        kept.extend(extremes(&points, start, end));
    }
    kept.push(points.len() - 1);
    let mut at = 0;
    let mut kept = kept.into_iter().peekable();
    let mut points = points;
    points.retain(|_| {
        let keep = kept.next_if_eq(&at).is_some();
        at += 1;
        keep
    });
    (points, true)
}

fn kept_of_each(points: &[Point]) -> usize {
    let all_numbers = points.iter().all(|(_, value)| value.as_number().is_some());
    if all_numbers { 2 } else { 4 }
}

/// The indexes from `start` to before `end` that [`thin`] keeps, ascending.
fn extremes(points: &[Point], start: usize, end: usize) -> Vec<usize> {
    let number = |at: &usize| points[*at].1.as_number();
    let by_number = |a: &usize, b: &usize| {
        let (a, b) = (number(a).unwrap_or(0.0), number(b).unwrap_or(0.0));
        a.total_cmp(&b)
    };
    let numbers = || (start..end).filter(|at| number(at).is_some());
    let mut others = (start..end).filter(|at| number(at).is_none());
    let (first_other, last_other) = (others.next(), others.next_back());
    let (least, greatest) = (numbers().min_by(by_number), numbers().max_by(by_number));
    let mut kept: Vec<usize> = [least, greatest, first_other, last_other]
        .into_iter()
        .flatten()
        .collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        let point = |(at, value)| (UnixMs(at), Value::Number(value));
        (0..).zip(values).map(point).collect()
    }

    #[test]
    fn a_thinned_series_keeps_its_ends_and_its_extremes() {
        let mut wave: Vec<f64> = (0..100_000).map(|i| f64::from(i % 100)).collect();
        wave[54_321] = 1e6;
        wave[12_345] = -1e6;
        let points = numbers(wave);
        let (first, last) = (points[0].clone(), points[99_999].clone());
        for most in [FEWEST_POINTS, 57, DEFAULT_POINTS, MOST_POINTS] {
            let (kept, thinned) = thin(points.clone(), most);
            assert!(thinned && kept.len() <= most, "{} of {most}", kept.len());
            assert!(kept.len() * 2 > most, "{} of {most} is too few", kept.len());
            assert_eq!((&kept[0], kept.last().unwrap()), (&first, &last));
            for extreme in [1e6, -1e6] {
                assert!(kept.iter().any(|(_, v)| *v == Value::Number(extreme)));
            }
            assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    #[test]
    fn gaps_survive_thinning() {
        let mut points = numbers((0..5000).map(f64::from));
        points[2500].1 = Value::Unavailable("smartctl is not installed".to_owned());
        let (kept, _) = thin(points, 40);
        assert!(kept.len() <= 40);
        assert!(kept.iter().any(|(_, value)| !value.is_available()));
    }

    #[test]
    fn a_short_series_is_left_alone() {
        let points = numbers([1.0, 2.0, 3.0]);
        assert_eq!(thin(points.clone(), 10), (points, false));
    }

    #[test]
    fn windows_are_checked_by_name() {
        let now = UnixMs(1_000 * 86_400_000);
        let day = Window::new(None, None, None, now).unwrap();
        assert_eq!((day.to.since(day.from), day.points), (86_400_000, 2000));
        let named = |from, to, points| {
            let window = Window::new(from, to, points, now).unwrap_err();
            window.to_string()
        };
        assert!(named(Some(now), Some(UnixMs(0)), None).starts_with("`from`"));
        assert!(named(Some(UnixMs(i64::MIN)), None, None).starts_with("`from`"));
        assert!(named(None, None, Some(9)).starts_with("`points`"));
        assert!(named(None, None, Some(10_001)).starts_with("`points`"));
    }
}
