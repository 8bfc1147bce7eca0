//! The clocks of a simulation: the model's, which may run fast, and each laptop's own.

use std::str::FromStr;

use rollcall_shared::report::Taken;
use rollcall_shared::time::{Clock, Now, SinceBootMs, SystemClock, UnixMs, days_from_civil};

use crate::simulator::calendar::{Local, Zone, last_school_day};

/// When the laptops' day begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// In a lesson, twenty past ten in the east, of the last school day that had one by now.
    Lesson,
    /// Now.
    Now,
    /// At a local time in the east.
    At(Local),
}

/// Real time to the model's time.
#[derive(Debug, Clone, Copy)]
pub struct ModelClock {
    real: SinceBootMs,
    model: UnixMs,
    speed: f64,
}

/// What a simulated laptop's own clocks say: the wall clock is as wrong as the model has it, the
/// time since boot is right. Both go on at the real pace.
#[derive(Debug, Clone, Copy)]
pub struct LaptopClock {
    real: SinceBootMs,
    since_boot: SinceBootMs,
    skew_ms: i64,
}

const LESSON_SECOND: u32 = 10 * 3600 + 20 * 60;

impl Start {
    /// The moment at which the model starts, where it is really `now`.
    #[must_use]
    pub fn moment(self, now: UnixMs) -> UnixMs {
        let zone = Zone::Eastern;
        match self {
            Self::Now => now,
            Self::At(local) => zone.moment(local),
            Self::Lesson => {
                let lesson = |day| {
                    zone.moment(Local {
                        day,
                        second: LESSON_SECOND,
                    })
                };
                let today = lesson(last_school_day(zone, now));
                if today <= now {
                    today
                } else {
                    lesson(last_school_day(zone, now.plus_ms(-86_400_000)))
                }
            }
        }
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lesson" => Ok(Self::Lesson),
            "now" => Ok(Self::Now),
            _ => local(text).map(Self::At).ok_or_else(|| {
                format!(
                    "`{text}` is neither `lesson` nor `now` nor a time such as 2026-09-01T08:00"
                )
            }),
        }
    }
}

impl ModelClock {
    /// A model that stands at `model` at the real moment `now`.
    #[must_use]
    pub const fn new(now: Now, model: UnixMs, speed: f64) -> Self {
        Self {
            real: now.since_boot,
            model,
            speed,
        }
    }

    /// The model's time at a real moment.
    #[must_use]
    pub fn at(&self, now: Now) -> UnixMs {
        let passed = now.since_boot.since(self.real).as_secs_f64() * 1000.0;
        self.model.plus_ms((passed * self.speed) as i64)
    }
}

impl LaptopClock {
    /// The clocks of a laptop that at the real moment `now` has `taken` in a model at `model`.
    #[must_use]
    pub const fn new(now: Now, taken: Taken, model: UnixMs) -> Self {
        Self {
            real: now.since_boot,
            since_boot: taken.since_boot,
            skew_ms: taken.wall.since(model),
        }
    }

    fn read(&self, now: Now) -> Now {
        let passed = now.since_boot.since(self.real).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Now {
            wall: now.wall.plus_ms(self.skew_ms),
            since_boot: SinceBootMs(self.since_boot.0.saturating_add(passed)),
        }
    }
}

impl Clock for LaptopClock {
    fn now(&self) -> Now {
        self.read(SystemClock.now())
    }
}

/// Reads `2026-09-01T08:00`.
fn local(text: &str) -> Option<Local> {
    let (date, time) = text.split_once('T')?;
    let date: Vec<i64> = date
        .split('-')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let time: Vec<u32> = time
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let (&[year, month, day], &[hour, minute]) = (&date[..], &time[..]) else {
        return None;
    };
    let fits =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let second = hour * 3600 + minute * 60;
    (fits && hour < 24 && minute < 60).then(|| Local {
        day: days_from_civil(year, month, day),
        second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(start: &str, now: &str) -> String {
        let now = Zone::Eastern.moment(local(now).unwrap());
        start.parse::<Start>().unwrap().moment(now).to_string()
    }

    #[test]
    fn a_lesson_is_in_the_past_and_on_a_school_day() {
        // Monday at eight: the lesson is last Friday's. New York is five hours behind UTC.
        assert_eq!(
            text("lesson", "2026-11-23T08:00"),
            "2026-11-20T15:20:00.000Z"
        );
        assert_eq!(
            text("lesson", "2026-11-23T12:00"),
            "2026-11-23T15:20:00.000Z"
        );
        assert_eq!(
            text("lesson", "2026-07-20T12:00"),
            "2026-06-12T14:20:00.000Z"
        );
        assert_eq!(
            text("2026-09-01T08:00", "2026-11-23T12:00"),
            "2026-09-01T12:00:00.000Z"
        );
        assert_eq!(text("now", "2026-11-23T12:00"), "2026-11-23T17:00:00.000Z");
        for wrong in [
            "soon",
            "2026-13-01T08:00",
            "2026-09-01",
            "2026-09-01T24:00",
            "2026-09-01T8",
        ] {
            assert!(
                wrong.parse::<Start>().unwrap_err().contains(wrong),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_model_runs_fast_and_the_laptops_clocks_do_not() {
        let now = |ms: u64| Now {
            wall: UnixMs(5_000_000),
            since_boot: SinceBootMs(ms),
        };
        let model = ModelClock::new(now(1000), UnixMs(0), 60.0);
        assert_eq!(model.at(now(3000)), UnixMs(120_000));
        let taken = Taken {
            wall: UnixMs(-7000),
            boot: rollcall_shared::id::BootId::generate(),
            since_boot: SinceBootMs(500_000),
        };
        let clock = LaptopClock::new(now(1000), taken, UnixMs(0));
        let read = clock.read(now(3000));
        assert_eq!(
            (read.wall, read.since_boot),
            (UnixMs(4_993_000), SinceBootMs(502_000))
        );
    }
}
