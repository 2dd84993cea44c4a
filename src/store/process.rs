//! Which process this is, and which others are still there.

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
