use std::sync::mpsc::{Receiver, channel};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn failure() -> SnapshotError {
    SnapshotError::Mismatch { what: "planned".to_owned() }
}

/// One that sends a number at each call, and fails where `fails` says so.
fn counting(interval: Duration, fails: fn(u64) -> bool) -> (Periodic, Receiver<u64>) {
    let (calls, seen) = channel();
    let mut call = 0;
    let periodic = Periodic::start(interval, move || {
        call += 1;
        calls.send(call).unwrap();
        if fails(call) { Err(failure()) } else { Ok(()) }
    });
    (periodic.unwrap(), seen)
}

#[test]
fn calls_follow_each_other_until_it_is_stopped() {
    let (mut periodic, seen) = counting(SHORTEST, |_| false);
    for call in 1..=5 {
        assert_eq!(seen.recv().unwrap(), call);
    }
    periodic.stop();
    let status = periodic.status();
    let more = seen.into_iter().count() as u64;
    assert!(more >= 1, "no last one");
    assert_eq!((status.completed(), status.failed(), status.last_error()), (5 + more, 0, None));
    periodic.stop();
    assert_eq!(periodic.status(), status);
}

#[test]
fn stopping_waits_for_no_interval_and_takes_one_last_snapshot() {
    let (mut periodic, seen) = counting(HOUR, |_| false);
    assert_eq!(periodic.status().completed(), 0);
    periodic.stop();
    assert_eq!(periodic.status().completed(), 1);
    assert_eq!(seen.into_iter().count(), 1);
    let (periodic, seen) = counting(Duration::MAX, |_| false);
    drop(periodic);
    assert_eq!(seen.into_iter().count(), 1);
}

#[test]
fn failures_are_counted_and_do_not_end_it() {
    let (mut periodic, seen) = counting(SHORTEST, |call| call == 2 || call == 3);
    for call in 1..=5 {
        assert_eq!(seen.recv().unwrap(), call);
        if call == 4 {
            // Counted before the fourth call began.
            let status = periodic.status();
            assert_eq!((status.failed(), status.last_error().unwrap()), (2, failure().to_string().as_str()));
        }
    }
    periodic.stop();
    let status = periodic.status();
    assert_eq!((status.failed(), status.failed_in_a_row()), (2, 0));
    assert_eq!(status.completed(), 3 + seen.into_iter().count() as u64);
    assert!(status.last_error().is_some(), "it is kept");
    let (mut periodic, _seen) = counting(HOUR, |_| true);
    periodic.stop();
    assert_eq!(periodic.status().failed_in_a_row(), 1);
    assert!(format!("{periodic:?}").contains("failed: 1"), "{periodic:?}");
}

#[test]
fn a_panic_is_a_failure() {
    let (calls, seen) = channel();
    let mut call = 0;
    let mut periodic = Periodic::start(SHORTEST, move || {
        call += 1;
        calls.send(call).unwrap();
        match call {
            1 => panic!("one"),
            2 => panic!("number {call}"),
            3 => std::panic::panic_any(call),
            _ => Ok(()),
        }
    })
    .unwrap();
    let mut errors = Vec::new();
    for call in 1..=4 {
        assert_eq!(seen.recv().unwrap(), call);
        errors.push(periodic.status().last_error().map(str::to_owned));
    }
    periodic.stop();
    let status = periodic.status();
    assert_eq!((status.failed(), status.failed_in_a_row()), (3, 0));
    assert_eq!(status.last_error(), Some("the snapshot panicked: no message"));
    // What is seen during a call may be older than the next call, never older than the call itself.
    assert_eq!(errors[3].as_deref(), status.last_error());
    let texts = ["one", "number 2", "no message"].map(|text| format!("the snapshot panicked: {text}"));
    assert!(errors.iter().flatten().all(|error| texts.contains(error)), "{errors:?}");
}

#[test]
fn an_interval_that_is_too_short_is_refused() {
    for interval in [Duration::ZERO, Duration::from_micros(999)] {
        let error = Periodic::start(interval, || Ok(())).unwrap_err();
        assert!(error.to_string().contains(&format!("{interval:?}")), "{error}");
    }
}

#[test]
fn a_snapshot_may_stop_its_own_thread() {
    let (calls, seen) = channel();
    let slot = Arc::new(Mutex::new(None::<Periodic>));
    let of_thread = Arc::clone(&slot);
    let periodic = Periodic::start(SHORTEST, move || {
        // Not before it is there to be taken.
        if let Some(periodic) = of_thread.lock().take() {
            drop(periodic);
            calls.send("stopped").unwrap();
        } else {
            calls.send("called").unwrap();
        }
        Ok(())
    });
    *slot.lock() = Some(periodic.unwrap());
    // Ends when the thread drops its sender.
    let all: Vec<_> = seen.into_iter().collect();
    let stopped = all.iter().position(|&call| call == "stopped").unwrap();
    assert_eq!(all[stopped..], ["stopped", "called"]);
}

#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn a_forked_child_neither_waits_nor_takes_snapshots() {
    let (mut periodic, seen) = counting(HOUR, |_| false);
    let process = std::process::id();
    // SAFETY: the child touches nothing that another thread may have held at the fork, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends a child that waits all the same.
        unsafe { libc::alarm(60) };
        periodic.stop();
        let status = periodic.status();
        let right = process != std::process::id() && status.completed() == 0 && seen.try_recv().is_err();
        // SAFETY: ends the process and nothing else.
        unsafe { libc::_exit(if right { 7 } else { 8 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is there to be written to.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
    periodic.stop();
    assert_eq!(seen.into_iter().count(), 1);
}
