//! Which process this is, and which others are still there.

#![allow(unsafe_code)]

use crate::sync::Number;

/// This process's number; 0: not looked for yet, or a child that was forked.
static THIS: Number = Number::new(0);

/// Whether a fork makes the child look again.
static WATCHED: Number = Number::new(0);

/// This process's number, in a forked child that of the child.
#[inline]
pub(super) fn this() -> u32 {
    match THIS.get() {
        0 => look(),
        process => process,
    }
}

#[cold]
fn look() -> u32 {
    #[cfg(unix)]
    if WATCHED.get() == 0 {
        extern "C" fn forget() {
            THIS.set(0);
        }
        // SAFETY: the handler does one store, which is allowed at any moment. Twice is as good as once.
        let watched = unsafe { libc::pthread_atfork(None, None, Some(forget)) };
        if watched != 0 {
            return std::process::id();
        }
        WATCHED.set(1);
    }
    let process = std::process::id();
    THIS.set(process);
    process
}

/// Whether a process may still do something. Only "no" is certain: a number may have been given again.
#[cfg(target_os = "linux")]
pub(super) fn is_alive(process: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else {
        return false;
    };
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_alive(_: u32) -> bool {
    true
}
