//! How much agents may have on the way, by how much the store has to do.

use std::time::Duration;

use rollcall_shared::limits;

/// Appends at once that one commit of the store takes in without anybody waiting longer.
const EASY: u64 = 512;

/// Appends at once from which only what is urgent should come: their reports are about 64 MB.
const HARD: u64 = 4096;

/// Laptops asked to wait return within this time, at random.
const WAIT: Duration = Duration::from_secs(30);

/// What an agent is told of its pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Reports that it may have on the way.
    pub credit: u32,
    /// How long it should send nothing.
    pub wait: Duration,
}

impl Pace {
    /// The pace of a collector with nothing to do.
    pub const EASY: Self = Self {
        credit: limits::FIRST_CREDIT,
        wait: Duration::ZERO,
    };
}

/// The pace for a collector with so many appends under way; `random` lies in `[0, 1)`.
pub(super) fn pace(appending: u64, random: f64) -> Pace {
    match appending {
        ..EASY => Pace::EASY,
        EASY..HARD => Pace {
            credit: limits::FIRST_CREDIT / 4,
            wait: Duration::ZERO,
        },
        HARD.. => Pace {
            credit: 1,
            wait: WAIT.mul_f64(random),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_work_means_less_credit_and_never_none() {
        let credits: Vec<u32> = [0, EASY - 1, EASY, HARD - 1, HARD, u64::MAX]
            .map(|appending| pace(appending, 0.5).credit)
            .to_vec();
        assert_eq!(credits, [64, 64, 16, 16, 1, 1]);
        assert_eq!(pace(HARD, 0.5).wait, Duration::from_secs(15));
        assert_eq!(pace(EASY, 0.5).wait, Duration::ZERO);
    }
}
