//! Gives memory back to the system after many laptops have left. glibc keeps what was freed between
//! pieces that live on: after 6,000 laptops had gone, all of it.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod linux;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;

/// How often it is looked at. To trim walks through the whole heap, some 30 ms for 1 GiB.
const INTERVAL: Duration = Duration::from_secs(5);

/// Connections that have to go before it is worth the walk: about 9 MiB.
const WORTH: u64 = 1024;

/// When memory is given back: pure.
#[derive(Debug, Default)]
struct Tide {
    high: u64,
}

impl Tide {
    /// Whether so many have left since the last time that their memory should go.
    fn has_fallen(&mut self, connections: u64) -> bool {
        self.high = self.high.max(connections);
        let gone = self.high - connections;
        let is_worth_it = gone >= WORTH && gone >= self.high / 4;
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
            0, 20_000, 19_000, 15_500, 15_000, 14_900, 11_300, 10_276, 0, 0,
        ];
        let fallen = looks.map(|connections| tide.has_fallen(connections));
        let expected = [
            false, false, false, false, true, false, false, true, true, false,
        ];
        assert_eq!(fallen, expected);
        assert!(!Tide { high: 1000 }.has_fallen(0), "too few to be worth it");
    }
}
