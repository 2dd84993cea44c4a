//! Memory of this process, as the kernel counts it.
//!
//! Resident memory rather than an allocator that counts: the engine maps its memory itself, past any allocator, and
//! what allocators waste is the user's, too.

use std::fs;

/// Resident bytes of this process; `None` where the system does not say.
pub(crate) fn resident() -> Option<u64> {
    field("/proc/self/status", "VmRSS:")
}

/// Bytes that this machine could still give out; `None` where the system does not say.
pub(crate) fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// Bytes of memory of this machine; `None` where the system does not say.
pub(crate) fn total() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:")
}

/// A field of a file of the form `name: number kB`.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_touched_is_resident() {
        let before = super::resident().unwrap();
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let grown = super::resident().unwrap() - before;
        assert!((60 << 20..80 << 20).contains(&grown), "{grown} of {}", memory.len());
        assert!(super::available().unwrap() < super::total().unwrap());
    }
}
