//! A thread that takes snapshots again and again.

use core::time::Duration;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::error::SnapshotError;
use crate::sync::{Condvar, Mutex};

/// The shortest time between two snapshots.
const SHORTEST: Duration = Duration::from_millis(1);

/// How periodic snapshots have gone so far.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PeriodicStatus {
    completed: u64,
    failed: u64,
    failed_in_a_row: u64,
    last_error: Option<String>,
}

impl PeriodicStatus {
    /// Snapshots that were completed.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Snapshots that failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Snapshots that failed since the last one that was completed.
    pub fn failed_in_a_row(&self) -> u64 {
        self.failed_in_a_row
    }

    /// Why the last one that failed did, however many were completed since.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn count(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.completed += 1;
                self.failed_in_a_row = 0;
            }
            Err(error) => {
                self.failed += 1;
                self.failed_in_a_row += 1;
                self.last_error = Some(error);
            }
        }
    }
}

/// What the handle and the thread share. The lock is never held while a snapshot is taken.
struct Shared {
    state: Mutex<State>,
    stopping: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    status: PeriodicStatus,
}

/// A background thread that takes snapshots until the handle is [stopped](Periodic::stop) or dropped.
///
/// The interval is that from the end of one snapshot to the beginning of the next, so that slow ones do not pile up;
/// the first comes after one interval. A snapshot that fails, or panics, is counted, and the next one is tried in its
/// time.
///
/// A forked child has no such thread, and none is started there: its copy of the handle does nothing. Start another
/// in the child if it is to take snapshots.
pub struct Periodic {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The process whose thread it is.
    process: u32,
}

impl Periodic {
    /// Starts the thread, which calls `snapshot` every `interval`.
    ///
    /// # Errors
    /// An interval of less than a millisecond; a system that gives no thread.
    pub fn start(
        interval: Duration,
        snapshot: impl FnMut() -> Result<(), SnapshotError> + Send + 'static,
    ) -> Result<Periodic, SnapshotError> {
        if interval < SHORTEST {
            return Err(SnapshotError::Interval(interval));
        }
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), stopping: Condvar::new() });
        let thread = thread::Builder::new().name("tollgate-snap".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, interval, snapshot)
        });
        let thread = Some(thread.map_err(SnapshotError::Thread)?);
        Ok(Periodic { shared, thread, process: std::process::id() })
    }

    /// How it has gone so far.
    pub fn status(&self) -> PeriodicStatus {
        if self.is_forked() {
            // The thread may have held the lock when the process was forked, and will not let go of it here.
            return self
                .shared
                .state
                .try_lock()
                .map_or_else(PeriodicStatus::default, |state| state.status.clone());
        }
        self.shared.state.lock().status.clone()
    }

    /// Takes one last snapshot and ends the thread: neither a snapshot nor an interval begins once this has returned. It
    /// waits for snapshots, for no interval. Stopping again does nothing.
    ///
    /// Called by `snapshot` itself, it does not wait: the last snapshot follows when this one is done.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.is_forked() {
            // It is not there to be waited for, nor to be let go of.
            std::mem::forget(thread);
            return;
        }
        self.shared.state.lock().stop = true;
        self.shared.stopping.notify_one();
        if thread.thread().id() != thread::current().id() {
            // Panics of snapshots are caught and counted; one from dropping `snapshot` ends with the thread.
            let _ = thread.join();
        }
    }

    fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.stop();
    }
}

impl core::fmt::Debug for Periodic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Periodic").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The thread. No notification is lost: `stop` changes under the lock that is let go of only by waiting.
fn run(shared: &Shared, interval: Duration, mut snapshot: impl FnMut() -> Result<(), SnapshotError>) {
    loop {
        let mut state = shared.state.lock();
        shared.stopping.wait_while_for(&mut state, |state| !state.stop, interval);
        let last = state.stop;
        drop(state);
        // A snapshot that panicked has dropped its file beside; what it reads is the host's to keep sound.
        let outcome = match catch_unwind(AssertUnwindSafe(&mut snapshot)) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("the snapshot panicked: {}", message(&*panic))),
        };
        shared.state.lock().status.count(outcome);
        if last {
            return;
        }
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
