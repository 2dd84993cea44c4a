//! 24 bytes that each thread has for itself, zeros at first.
//!
//! Where the C library of GNU loads it, their distance from the thread's pointer is known once the library is loaded (the
//! model "initial-exec" of Drepper, "ELF Handling For Thread-Local Storage"). `thread_local!` asks for it with a call from a
//! shared library, 1.8 ns for each check, and with registers saved about it. A library that is loaded at run time takes the
//! bytes from what glibc keeps for that purpose (1,664 bytes); musl keeps nothing, and has `thread_local!` as all others.

#![allow(unsafe_code)]

pub(crate) const OWN_BYTES: usize = 24;

#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu",
    not(any(miri, loom, shuttle))
)))]
pub(crate) fn own() -> *mut [u64; OWN_BYTES / 8] {
    thread_local!(static OWN: core::cell::UnsafeCell<[u64; OWN_BYTES / 8]> = const { core::cell::UnsafeCell::new([0; 3]) });
    // Without anything to drop, it is there for as long as its thread.
    OWN.with(|own| own.get())
}

#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu",
    not(any(miri, loom, shuttle))
))]
pub(crate) use initial_exec::own;

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(any(miri, loom, shuttle))))]
mod initial_exec {
    use core::arch::{asm, global_asm};

    use super::OWN_BYTES;

    /// Hidden: another version in the same program has its own.
    macro_rules! symbol {
        ($before:literal, $after:literal) => {
            concat!(
                $before,
                "tollgate_own_",
                env!("CARGO_PKG_VERSION_MAJOR"),
                "_",
                env!("CARGO_PKG_VERSION_MINOR"),
                "_",
                env!("CARGO_PKG_VERSION_PATCH"),
                $after
            )
        };
    }

    global_asm!(
        ".pushsection .tbss.tollgate_own, \"awT\", @nobits",
        symbol!(".globl ", ""),
        symbol!(".hidden ", ""),
        symbol!(".type ", ", @object"),
        symbol!(".size ", ", {bytes}"),
        ".p2align 3",
        symbol!("", ":"),
        ".zero {bytes}",
        ".popsection",
        bytes = const OWN_BYTES,
    );

    #[inline(always)]
    pub(crate) fn own() -> *mut [u64; OWN_BYTES / 8] {
        let own;
        // SAFETY: reads the thread's pointer and a word of the library that the loader wrote. The sum is the same each time
        // in a thread.
        unsafe {
            asm!(
                "mov {own}, qword ptr fs:[0]",
                symbol!("add {own}, qword ptr [rip + ", "@GOTTPOFF]"),
                own = out(reg) own,
                options(pure, nomem, nostack),
            );
        }
        own
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn each_thread_has_its_own() {
            let mine = own();
            assert!(mine.is_aligned());
            assert_eq!(mine, own());
            let other = std::thread::spawn(|| {
                let own = own();
                // SAFETY: this thread's.
                let before = unsafe { own.replace([7; 3]) };
                (own.addr(), before)
            });
            let (other, before) = other.join().unwrap();
            assert_ne!(other, mine.addr());
            assert_eq!(before, [0; 3]);
        }
    }
}
