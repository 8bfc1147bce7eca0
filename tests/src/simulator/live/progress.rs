//! What the simulator says of itself: a line every some seconds, and a count at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall_shared::time::{Clock as _, Now};
use serde::Serialize;
use tokio::time::sleep;

use super::World;
use super::laptop::{LiveLaptop, Phase};

/// How often a line is written.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Watches all laptops of a run.
#[derive(Debug)]
pub struct Progress {
    laptops: Vec<Arc<LiveLaptop>>,
    began: Now,
}

/// How all laptops stand together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Laptops with an open stream.
    pub connected: u64,
    /// Laptops that would connect and have not.
    pub connecting: u64,
    /// Laptops that are awake without a network.
    pub offline: u64,
    /// Laptops that sleep.
    pub asleep: u64,
    /// Reports that the collector has stored, of this run.
    pub acknowledged: u64,
    /// Reports that wait in spools.
    pub waiting: u64,
    /// Reports that full spools have dropped.
    pub dropped: u64,
    /// What keeps laptops from connecting, and how many.
    pub problems: BTreeMap<String, u64>,
}

/// What was counted, as JSON on the standard output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted {
    /// Laptops in all.
    pub devices: u64,
    /// Laptops with an open stream at the end.
    pub connected: u64,
    /// For how many seconds.
    pub seconds: f64,
    /// Reports that the collector has stored meanwhile.
    pub acknowledged: u64,
    /// The same in a second.
    pub acknowledged_per_second: f64,
    /// Reports that wait in spools at the end.
    pub waiting: u64,
    /// Reports that full spools have dropped since the start.
    pub dropped: u64,
}

impl Progress {
    /// Watches laptops from a moment on.
    #[must_use]
    pub const fn new(laptops: Vec<Arc<LiveLaptop>>, began: Now) -> Self {
        Self { laptops, began }
    }

    /// Writes a line now and then.
    pub async fn tell_for_ever(&self, world: &World) {
        loop {
            sleep(TELL_EVERY).await;
            eprintln!("{}", self.line(world));
        }
    }

    /// Counts for a time after all laptops were started; without a time, for ever.
    pub async fn count_after(
        &self,
        ramp: Duration,
        time: Option<Duration>,
        world: &World,
    ) -> Counted {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        sleep(ramp).await;
        let (before, since) = (self.standing(), world.clock.now().since_boot);
        sleep(time).await;
        let seconds = world.clock.now().since_boot.since(since).as_secs_f64();
        let after = self.standing();
        let acknowledged = after.acknowledged - before.acknowledged;
        Counted {
            devices: self.laptops.len() as u64,
            connected: after.connected,
            seconds,
            acknowledged,
            acknowledged_per_second: acknowledged as f64 / seconds.max(0.001),
            waiting: after.waiting,
            dropped: after.dropped,
        }
    }

    /// The present state in one line.
    #[must_use]
    pub fn line(&self, world: &World) -> String {
        let now = world.clock.now();
        let all = self.standing();
        let seconds = now
            .since_boot
            .since(self.began.since_boot)
            .as_secs_f64()
            .max(0.001);
        let mut line = format!(
            "{} simulated laptops: {} connected, {} connecting, {} offline, {} asleep; {} reports stored \
             ({:.1}/s), {} waiting, {} dropped; their time is {}",
            self.laptops.len(),
            all.connected,
            all.connecting,
            all.offline,
            all.asleep,
            all.acknowledged,
            all.acknowledged as f64 / seconds,
            all.waiting,
            all.dropped,
            world.model.at(now),
        );
        if let Some((words, count)) = all.problems.iter().max_by_key(|(_, count)| **count) {
            line += &format!("\n  {count} of them: {words}");
        }
        line
    }

    /// How all laptops stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut all = Standing::default();
        for laptop in &self.laptops {
            laptop.add_to(&mut all);
        }
        all
    }
}

impl LiveLaptop {
    fn add_to(&self, all: &mut Standing) {
        let phase = *self.phase.borrow();
        let stats = self.line.spool().stats();
        let status = self.line.watch_status();
        let status = status.borrow();
        match phase {
            Phase::Asleep => all.asleep += 1,
            Phase::Offline => all.offline += 1,
            Phase::Online if status.connected => all.connected += 1,
            Phase::Online => {
                all.connecting += 1;
                if let Some(problem) = &status.last_error {
                    *all.problems.entry(problem.words.clone()).or_default() += 1;
                }
            }
        }
        let done = stats.done.0 - self.began.done.0;
        let dropped = stats.dropped - self.began.dropped;
        all.acknowledged += done.saturating_sub(dropped);
        all.dropped += dropped;
        all.waiting += stats.last.0.saturating_sub(stats.done.0);
    }
}
