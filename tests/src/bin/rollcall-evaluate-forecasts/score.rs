//! How right a verdict was: one verdict a drive, at the first moment that reached the points.

/// What is known of a drive's life, and how bad it looked when.
#[derive(Debug, Clone)]
pub struct Life {
    /// Whether the card was fitted on it.
    pub fitted: bool,
    /// Whether it is a 2.5-inch drive.
    pub laptop: bool,
    /// When it was first and last seen, in hours.
    pub seen: (f64, f64),
    /// When it failed, in hours.
    pub failed: Option<f64>,
    /// The first hour at which it had at least this many points (the index).
    pub reached: Vec<Option<f64>>,
    /// The first hour at which SMART 5, 187, 197 or 198 was above zero.
    pub any_sign: Option<f64>,
}

/// How right the verdicts were.
#[derive(Debug, Clone, Default)]
pub struct Score {
    found: usize,
    missed: usize,
    false_alarms: usize,
    years: f64,
    warning_days: Vec<f64>,
}

/// The score of the verdict "at least `points`".
pub fn score(lives: &[&Life], points: u32) -> Score {
    of(lives, |life| {
        life.reached.get(points as usize).copied().flatten()
    })
}

/// The score of the naive verdict "SMART 5, 187, 197 or 198 is above zero".
pub fn naive(lives: &[&Life]) -> Score {
    of(lives, |life| life.any_sign)
}

fn of(lives: &[&Life], alarm: impl Fn(&Life) -> Option<f64>) -> Score {
    let mut score = Score::default();
    for life in lives {
        score.years += (life.seen.1 - life.seen.0) / 8766.0;
        match (life.failed, alarm(life)) {
            (Some(failed), Some(at)) if at <= failed => {
                score.found += 1;
                score.warning_days.push((failed - at) / 24.0);
            }
            (Some(_), _) => score.missed += 1,
            (None, Some(_)) => score.false_alarms += 1,
            (None, None) => {}
        }
    }
    score.warning_days.sort_by(f64::total_cmp);
    score
}

impl Score {
    /// Share of the failures that were foreseen.
    pub fn recall(&self) -> f64 {
        self.found as f64 / (self.found + self.missed).max(1) as f64
    }

    /// Share of the verdicts that were right.
    pub fn precision(&self) -> f64 {
        self.found as f64 / (self.found + self.false_alarms).max(1) as f64
    }

    /// Verdicts that were wrong, per year of a drive.
    pub fn false_alarms_per_year(&self) -> f64 {
        self.false_alarms as f64 / self.years.max(f64::MIN_POSITIVE)
    }

    /// The line of the table.
    pub fn line(&self, label: &str) -> String {
        let median = self.warning_days.get(self.warning_days.len() / 2);
        format!(
            "  {label:<28} {:>6.3} {:>9.3} {:>12.4} {:>8.0} {:>8} {:>8}\n",
            self.recall(),
            self.precision(),
            self.false_alarms_per_year(),
            median.copied().unwrap_or(0.0),
            self.found + self.missed,
            self.false_alarms,
        )
    }

    /// The heading of the table.
    pub fn heading(title: &str) -> String {
        format!(
            "\n{title}\n  {:<28} {:>6} {:>9} {:>12} {:>8} {:>8} {:>8}\n",
            "verdict", "recall", "precision", "false/year", "days", "failed", "false"
        )
    }
}
