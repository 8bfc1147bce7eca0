//! The thread that reads files for the probes: one for all that are due together, which ends with the
//! last of them.
//!
//! A file on a network that is gone may never answer. A job that takes long therefore keeps its
//! thread for itself, and those behind it get another. The threads are not the runtime's, whose end
//! would wait for them. What the jobs found is handed over together, so that whoever waits wakes once.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long one job may hold up the others. Files answer in milliseconds, and the least budget of a
/// probe lets all of them be waited for in turn.
const PATIENCE: Duration = Duration::from_millis(250);

/// Address space of a thread's stack; the deepest reader touches about 20 KiB of it.
const STACK_BYTES: usize = 512 * 1024;

/// Runs jobs in the order in which they come.
#[derive(Debug, Default)]
pub struct Reader {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(u64, Job)>,
    /// What waits to be handed over, until there are no more jobs.
    found: Vec<Found>,
    /// The number of the next job, and of the next thread.
    next: u64,
    /// The thread that takes the jobs; one that finds another's number here ends.
    thread: Option<u64>,
    /// The job that it is at.
    at: Option<u64>,
}

type Job = Box<dyn FnOnce() -> Found + Send>;

/// Hands over what a job found.
type Found = Box<dyn FnOnce() + Send>;

impl Reader {
    /// Runs a job on the thread and gives what it gives; `None` where it panicked. The job goes on
    /// where nobody waits for it any more.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let (send, mut receive) = oneshot::channel();
        let own = self.push(Box::new(move || {
            let found = job();
            Box::new(move || {
                // Nobody listens any more where the probe was cut off.
                let _ = send.send(found);
            })
        }))?;
        loop {
            let before = lock(&self.queue).at;
            if let Ok(found) = timeout(PATIENCE, &mut receive).await {
                return Ok(found.ok());
            }
            if self.pass_by(before)? == Some(own) {
                return Ok(receive.await.ok());
            }
        }
    }

    fn push(&self, job: Job) -> io::Result<u64> {
        let mut queue = lock(&self.queue);
        let number = queue.number();
        queue.jobs.push_back((number, job));
        if queue.thread.is_none() {
            self.start(&mut queue)?;
        }
        Ok(number)
    }

    /// Leaves the thread to the job that it is at, if that is still `before`, and tells which one
    /// that was.
    fn pass_by(&self, before: Option<u64>) -> io::Result<Option<u64>> {
        let mut queue = lock(&self.queue);
        if before.is_none() || queue.at != before {
            return Ok(None);
        }
        queue.thread = None;
        queue.at = None;
        hand_over(&mut queue.found);
        if !queue.jobs.is_empty() {
            self.start(&mut queue)?;
        }
        Ok(before)
    }

    fn start(&self, queue: &mut Queue) -> io::Result<()> {
        let number = queue.number();
        let shared = Arc::clone(&self.queue);
        let spawned = std::thread::Builder::new()
            .name("probes".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || work(&shared, number));
        match spawned {
            Ok(_) => queue.thread = Some(number),
            Err(error) => {
                queue.jobs.clear();
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Queue {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The next job for this thread; `None` ends it.
    fn take(&mut self, thread: u64) -> Option<Job> {
        if self.thread != Some(thread) {
            return None;
        }
        let job = self.jobs.pop_front();
        self.at = job.as_ref().map(|(number, _)| *number);
        if job.is_none() {
            self.thread = None;
            hand_over(&mut self.found);
        }
        job.map(|(_, job)| job)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.jobs.len())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

fn work(queue: &Mutex<Queue>, thread: u64) {
    loop {
        let job = lock(queue).take(thread);
        let Some(job) = job else {
            return;
        };
        // What a panic leaves half done is dropped with the job; its waiter is told by the channel.
        let Ok(found) = catch_unwind(AssertUnwindSafe(job)) else {
            continue;
        };
        let mut queue = lock(queue);
        if queue.thread == Some(thread) {
            queue.found.push(found);
        } else {
            // Late, and alone: the others have gone on.
            found();
        }
    }
}

fn hand_over(found: &mut Vec<Found>) {
    for found in std::mem::take(found) {
        found();
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Nothing in here panics between two changes that belong together.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[tokio::test]
    async fn what_is_due_together_is_read_by_one_thread_in_turn() {
        let reader = Reader::default();
        let (release, wait) = mpsc::channel::<()>();
        let first = reader.run(move || {
            let _ = wait.recv();
            thread::current().id()
        });
        let second = reader.run(|| thread::current().id());
        let then = async {
            tokio::task::yield_now().await;
            drop(release);
        };
        let (first, second, ()) = tokio::join!(first, second, then);
        assert_eq!(first.unwrap().unwrap(), second.unwrap().unwrap());
        let (a, b) = (reader.run(|| 1).await, reader.run(|| 2).await);
        assert_eq!((a.unwrap(), b.unwrap()), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn a_job_that_hangs_holds_up_the_others_for_a_moment_only() {
        let reader = Reader::default();
        let (release, wait) = mpsc::channel::<()>();
        let hanging = reader.run(move || {
            let _ = wait.recv();
            "late"
        });
        let others = async {
            let (a, b) = tokio::join!(reader.run(|| "a"), reader.run(|| "b"));
            drop(release);
            (a.unwrap(), b.unwrap())
        };
        let (late, others) = tokio::join!(hanging, others);
        assert_eq!(others, (Some("a"), Some("b")));
        assert_eq!(late.unwrap(), Some("late"));
    }

    #[tokio::test]
    async fn a_hanging_job_that_nobody_waits_for_is_passed_by_too() {
        let reader = Reader::default();
        let (release, wait) = mpsc::channel::<()>();
        let given_up = timeout(
            Duration::from_millis(20),
            reader.run(move || {
                let _ = wait.recv();
            }),
        );
        assert!(given_up.await.is_err());
        assert_eq!(reader.run(|| 7).await.unwrap(), Some(7));
        drop(release);
    }

    #[tokio::test]
    async fn a_panic_is_the_jobs_own() {
        let reader = Reader::default();
        let panicking = reader.run(|| -> u8 { panic!("on purpose") });
        let (panicked, next) = tokio::join!(panicking, reader.run(|| 2));
        assert_eq!((panicked.unwrap(), next.unwrap()), (None, Some(2)));
    }
}
