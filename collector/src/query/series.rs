//! The points of a series, few enough to be drawn and none of its extremes lost: which part of the past,
//! and from readings or from which roll-ups.

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::QueryError;
use crate::store::rollup::Level;

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

/// The longest range in one answer: as long as anything is ever kept.
pub const LONGEST_RANGE_MS: i64 = 3660 * DEFAULT_RANGE_MS;

/// The longest range of readings in one answer: some 600,000 of them.
pub const LONGEST_RAW_MS: i64 = 400 * DEFAULT_RANGE_MS;

/// Up to which range an answer is made of readings or of the roll-ups of a level, unless the caller says
/// otherwise: up to some two thousand points, which is what a wide chart shows.
const RAW_UP_TO_MS: i64 = 2 * DEFAULT_RANGE_MS;
const QUARTERS_UP_TO_MS: i64 = 14 * DEFAULT_RANGE_MS;
const HOURS_UP_TO_MS: i64 = 100 * DEFAULT_RANGE_MS;

/// Which part of a series is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: UnixMs,
    /// The last moment, included.
    pub to: UnixMs,
    /// At most this many points.
    pub points: usize,
    /// What it is to be made of; without it, what suits the range.
    pub resolution: Option<Resolution>,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Every reading.
    Raw,
    /// Roll-ups.
    Rolled(Level),
}

impl Resolution {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Rolled(level) => level.word(),
        }
    }

    const fn level(self) -> Option<Level> {
        match self {
            Self::Raw => None,
            Self::Rolled(level) => Some(level),
        }
    }

    /// What suits a range.
    const fn suiting(range_ms: i64) -> Self {
        if range_ms <= RAW_UP_TO_MS {
            Self::Raw
        } else if range_ms <= QUARTERS_UP_TO_MS {
            Self::Rolled(Level::Quarter)
        } else if range_ms <= HOURS_UP_TO_MS {
            Self::Rolled(Level::Hour)
        } else {
            Self::Rolled(Level::Day)
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::Rolled(Level::Quarter)),
            Self::Rolled(Level::Quarter) => Some(Self::Rolled(Level::Hour)),
            Self::Rolled(Level::Hour) => Some(Self::Rolled(Level::Day)),
            Self::Rolled(Level::Day) => None,
        }
    }
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
                "must lie at most 3660 days before `to`",
            ));
        }
        let points = usize::try_from(points.unwrap_or(DEFAULT_POINTS as u64))
            .ok()
            .filter(|points| (FEWEST_POINTS..=MOST_POINTS).contains(points))
            .ok_or_else(|| {
                let bounds = format!("must be from {FEWEST_POINTS} to {MOST_POINTS}");
                QueryError::field("points", bounds)
            })?;
        Ok(Self {
            from,
            to,
            points,
            resolution: None,
        })
    }

    /// The same window made of what a caller asked for: `raw`, `15m`, `1h` or `1d`; `auto`, an empty word and
    /// none mean what suits the range.
    ///
    /// # Errors
    /// [`QueryError::Field`] names `resolution`.
    pub fn made_of(self, word: Option<&str>) -> Result<Self, QueryError> {
        let resolution = match word.unwrap_or_default() {
            "" | "auto" => None,
            "raw" => Some(Resolution::Raw),
            word => Some(
                Level::from_word(word)
                    .map(Resolution::Rolled)
                    .ok_or_else(|| {
                        QueryError::field("resolution", "must be auto, raw, 15m, 1h or 1d")
                    })?,
            ),
        };
        Ok(Self { resolution, ..self })
    }

    /// What the answer is made of: what was asked for, or what suits the range and reaches as far back.
    /// `oldest` says how far each reaches.
    ///
    /// # Errors
    /// [`QueryError::Field`] names `from` when it lies too far back for readings.
    pub fn resolve(
        &self,
        oldest: impl Fn(Option<Level>) -> UnixMs,
    ) -> Result<Resolution, QueryError> {
        let range_ms = self.to.since(self.from);
        if let Some(asked) = self.resolution {
            if asked == Resolution::Raw && range_ms > LONGEST_RAW_MS {
                let problem =
                    "must lie at most 400 days before `to` where every reading is asked for";
                return Err(QueryError::field("from", problem));
            }
            return Ok(asked);
        }
        let mut resolution = Resolution::suiting(range_ms);
        while oldest(resolution.level()) > self.from
            && let Some(next) = resolution.next()
        {
            resolution = next;
        }
        Ok(resolution)
    }

    /// How long the stretches of roll-ups are so that no more are told of than were asked for: as long as
    /// those of the level, or some of them together.
    #[must_use]
    pub fn step_ms(&self, level: Level) -> i64 {
        let width = level.width_ms();
        // The first and the last may reach over the range.
        let stretches = self.to.since(self.from) / width + 2;
        let points = self.points as i64;
        width * ((stretches + points - 1) / points).max(1)
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
    fn the_range_says_what_an_answer_is_made_of() {
        let now = UnixMs(2_000 * 86_400_000);
        let days = |days: i64| UnixMs(now.0 - days * 86_400_000);
        let oldest = |level: Option<Level>| match level {
            None => days(35),
            Some(Level::Quarter) => days(100),
            Some(Level::Hour) => days(400),
            Some(Level::Day) => days(1830),
        };
        let made_of = |from, to, word| {
            let window = Window::new(Some(days(from)), Some(days(to)), Some(500), now).unwrap();
            let window = window.made_of(word).unwrap();
            let resolution = window.resolve(oldest).unwrap();
            let step = resolution
                .level()
                .map(|level| window.step_ms(level) / 60_000);
            (resolution.word(), step)
        };
        assert_eq!(made_of(1, 0, None), ("raw", None));
        assert_eq!(
            made_of(40, 39, None),
            ("15m", Some(15)),
            "the readings are gone"
        );
        assert_eq!(made_of(7, 0, None), ("15m", Some(30)));
        assert_eq!(made_of(30, 0, None), ("1h", Some(120)));
        assert_eq!(made_of(30, 0, Some("raw")), ("raw", None));
        assert_eq!(made_of(30, 0, Some("1d")), ("1d", Some(1440)));
        assert_eq!(made_of(365, 0, Some("auto")), ("1d", Some(1440)));
        assert_eq!(made_of(1999, 0, None), ("1d", Some(5 * 1440)));
        let window = Window::new(Some(days(500)), Some(now), None, now).unwrap();
        let all = window.made_of(Some("raw")).unwrap().resolve(oldest);
        assert!(all.unwrap_err().to_string().starts_with("`from`"));
        let wrong = window.made_of(Some("5m")).unwrap_err().to_string();
        assert!(wrong.starts_with("`resolution`"), "{wrong}");
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
