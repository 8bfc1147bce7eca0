//! Gives memory back to the system after many laptops have left. glibc keeps what was freed between
//! pieces that live on: after 6,000 laptops had gone, all of it.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod linux;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;

/// How often it is looked at: one number. To trim walks through the whole heap, some 30 ms for 1 GiB.
const INTERVAL: Duration = Duration::from_millis(500);

/// Connections that have to go before it is worth the walk while more are going: about 9 MiB.
const WORTH: u64 = 1024;

/// Connections that have to have gone once no more are going: a walk for half a MiB, and no other until
/// as many have come and gone again.
const WORTH_AT_REST: u64 = 64;

/// When memory is given back: pure.
#[derive(Debug, Default)]
struct Tide {
    high: u64,
    before: u64,
}

impl Tide {
    /// Whether so many have left since the last time that their memory should go.
    fn has_fallen(&mut self, connections: u64) -> bool {
        self.high = self.high.max(connections);
        let gone = self.high - connections;
        let at_rest = connections >= self.before;
        self.before = connections;
        let worth = if at_rest { WORTH_AT_REST } else { WORTH };
        let is_worth_it = gone >= worth && gone >= self.high / 4;
        if is_worth_it {
            self.high = connections;
        }
        is_worth_it
    }
}

/// Gives memory back whenever many have left, until the shutdown.
pub(super) async fn after_many_have_left(shared: Arc<Shared>) {
    let mut tide = Tide::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shared.shutdown.cancelled() => return,
        }
        if tide.has_fallen(shared.counters.connections.load(Ordering::Relaxed)) {
            // If the task fails nothing is given back, and nothing is worse than before.
            let _ = tokio::task::spawn_blocking(give_back).await;
        }
    }
}

fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    linux::give_back();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_have_to_leave_and_once_is_enough() {
        let mut tide = Tide::default();
        let looks = [
            0, 20_000, 19_000, 15_500, 15_000, 14_900, 11_300, 10_276, 900, 0, 0, 0,
        ];
        let fallen = looks.map(|connections| tide.has_fallen(connections));
        let expected = [
            false, false, false, false, true, false, false, true, true, false, true, false,
        ];
        assert_eq!(
            fallen, expected,
            "the last 900 are noticed when nobody else goes"
        );
        let mut few = Tide::default();
        let looks = [63, 0, 0, 40, 0, 0];
        let fallen = looks.map(|connections| few.has_fallen(connections));
        assert_eq!(fallen, [false; 6], "too few to be worth it");
    }
}
