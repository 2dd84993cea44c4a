//! 128-bit atomics of x86-64, inlined: `lock cmpxchg16b`, and `vmovdqa`, which processors with AVX guarantee to be
//! atomic on 16 aligned bytes (Intel SDM volume 3, 10.1.1; AMD APM volume 2, 7.3.2). A call through a pointer, which
//! portable-atomic needs without compile-time features, costs as much as the operation.

#![allow(unsafe_code)]

use core::arch::asm;
use core::cell::UnsafeCell;

use portable_atomic::AtomicU128;

use super::{AtomicU8, Ordering};

/// 128 bits, 16-byte aligned, that change as one. The layout is that of a `u128`.
#[repr(transparent)]
pub(crate) struct Word(UnsafeCell<u128>);

// SAFETY: every access is atomic.
unsafe impl Sync for Word {}
// SAFETY: plain bits.
unsafe impl Send for Word {}

/// Whether all these instructions are there: 0 not looked yet, 1 yes, 2 no. Relaxed: complete in itself. (The standard
/// library's own cache costs a dozen instructions per question.)
static INSTRUCTIONS: AtomicU8 = AtomicU8::new(0);

#[inline(always)]
fn has_instructions() -> bool {
    match INSTRUCTIONS.load(Ordering::Relaxed) {
        1 => true,
        known => look_for_instructions(known),
    }
}

#[cold]
fn look_for_instructions(known: u8) -> bool {
    if known == 0 {
        let has =
            std::arch::is_x86_feature_detected!("avx") && std::arch::is_x86_feature_detected!("cmpxchg16b");
        INSTRUCTIONS.store(if has { 1 } else { 2 }, Ordering::Relaxed);
        return has;
    }
    false
}

impl Word {
    pub(crate) const fn new(value: u128) -> Word {
        Word(UnsafeCell::new(value))
    }

    /// The same answer decides for every operation of the process, so that the two ways never meet.
    fn portable(&self) -> &AtomicU128 {
        // SAFETY: valid and aligned, as `&self` is; all accesses of this process are portable-atomic's then.
        unsafe { AtomicU128::from_ptr(self.0.get()) }
    }

    #[cold]
    #[inline(never)]
    fn load_portably(&self, order: Ordering) -> u128 {
        self.portable().load(order)
    }

    #[cold]
    #[inline(never)]
    fn store_portably(&self, value: u128, order: Ordering) {
        self.portable().store(value, order);
    }

    #[cold]
    #[inline(never)]
    fn replace_portably(&self, old: u128, new: u128) -> Result<(), u128> {
        self.portable().compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    #[cold]
    #[inline(never)]
    fn position_portably(words: &[Word; 4], shift: u32, sought: u64) -> usize {
        let high = |word: &Word| (word.load_portably(Ordering::Relaxed) >> 64) as u64 >> shift;
        words.iter().position(|word| high(word) == sought).unwrap_or(0)
    }

    /// Asks for the line that it stands in.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        // SAFETY: SSE, which every x86-64 processor has; it reads nothing that a program could see.
        unsafe {
            core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(self.0.get().cast())
        }
    }

    /// At least as strong as `order`.
    #[inline(always)]
    pub(crate) fn load(&self, order: Ordering) -> u128 {
        if !has_instructions() {
            return self.load_portably(order);
        }
        let (low, high): (u64, u64);
        // SAFETY: 16 aligned bytes that are valid for reads; the processor has AVX. On x86 every load acquires;
        // without `nomem` the compiler moves nothing across.
        unsafe {
            asm!(
                "vmovdqa {x}, xmmword ptr [{at}]",
                "vmovq {low}, {x}",
                "vpextrq {high}, {x}, 1",
                at = in(reg) self.0.get(),
                x = out(xmm_reg) _,
                low = out(reg) low,
                high = out(reg) high,
                options(nostack, preserves_flags),
            );
        }
        u128::from(high) << 64 | u128::from(low)
    }

    /// What the word held, its low half at an earlier instant than its high half: only to be compared with by
    /// [`replace`](Word::replace). Acquire.
    #[inline(always)]
    pub(crate) fn glance(&self) -> u128 {
        let (low, high): (u64, u64);
        // SAFETY: 16 aligned bytes that are valid for reads. On x86 every load acquires, and loads stay in order.
        unsafe {
            asm!(
                "mov {low}, qword ptr [{at}]",
                "mov {high}, qword ptr [{at} + 8]",
                at = in(reg) self.0.get(),
                low = out(reg) low,
                high = lateout(reg) high,
                options(nostack, preserves_flags),
            );
        }
        u128::from(high) << 64 | u128::from(low)
    }

    /// Which of four words has `sought` in its bits from 64 + `SHIFT` on; any, if none has. Relaxed: a hint of what a load
    /// may find. No branch depends on where it is, which is not to be guessed.
    #[inline(always)]
    pub(crate) fn position<const SHIFT: u32>(words: &[Word; 4], sought: u64) -> usize {
        if !has_instructions() {
            return Word::position_portably(words, SHIFT, sought);
        }
        let found: u32;
        // SAFETY: 64 bytes that are valid for reads, aligned to 16; the processor has AVX.
        unsafe {
            asm!(
                "vmovdqa {a}, xmmword ptr [{at}]",
                "vmovdqa {b}, xmmword ptr [{at} + 32]",
                "vmovq {x}, {sought}",
                "vpunpckhqdq {a}, {a}, xmmword ptr [{at} + 16]",
                "vpunpckhqdq {b}, {b}, xmmword ptr [{at} + 48]",
                "vpunpcklqdq {x}, {x}, {x}",
                "vpsrlq {a}, {a}, {shift}",
                "vpsrlq {b}, {b}, {shift}",
                "vpcmpeqq {a}, {a}, {x}",
                "vpcmpeqq {b}, {b}, {x}",
                "vpackssdw {a}, {a}, {b}",
                "vmovmskps {found:e}, {a}",
                at = in(reg) words.as_ptr(),
                sought = in(reg) sought,
                shift = const SHIFT,
                found = lateout(reg) found,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                x = out(xmm_reg) _,
                options(nostack, preserves_flags, readonly),
            );
        }
        (found | 8).trailing_zeros() as usize & 3
    }

    /// Relaxed or Release.
    #[inline(always)]
    pub(crate) fn store(&self, value: u128, order: Ordering) {
        debug_assert!(matches!(order, Ordering::Relaxed | Ordering::Release));
        if !has_instructions() {
            return self.store_portably(value, order);
        }
        let (low, high) = (value as u64, (value >> 64) as u64);
        // SAFETY: 16 aligned bytes that are valid for writes; the processor has AVX. On x86 every store releases.
        unsafe {
            asm!(
                "vmovq {x}, {low}",
                "vpinsrq {x}, {x}, {high}, 1",
                "vmovdqa xmmword ptr [{at}], {x}",
                at = in(reg) self.0.get(),
                x = out(xmm_reg) _,
                low = in(reg) low,
                high = in(reg) high,
                options(nostack, preserves_flags),
            );
        }
    }

    /// `new` in the place of `old`, AcqRel, or what stands there instead, Acquire.
    #[inline(always)]
    pub(crate) fn replace(&self, old: u128, new: u128) -> Result<(), u128> {
        if !has_instructions() {
            return self.replace_portably(old, new);
        }
        let (mut low, mut high) = (old as u64, (old >> 64) as u64);
        let equal: u64;
        // SAFETY: 16 aligned bytes that are valid for reads and writes; the processor has the instruction. rbx, which
        // the compiler keeps for itself, is restored; no operand can be in it, as all have registers of their own.
        unsafe {
            asm!(
                "mov r9, rbx",
                "mov rbx, r8",
                "lock cmpxchg16b xmmword ptr [rsi]",
                "sete cl",
                "mov rbx, r9",
                in("rsi") self.0.get(),
                in("r8") new as u64,
                out("r9") _,
                inout("rcx") (new >> 64) as u64 => equal,
                inout("rax") low,
                inout("rdx") high,
                options(nostack),
            );
        }
        match equal as u8 {
            0 => Err(u128::from(high) << 64 | u128::from(low)),
            _ => Ok(()),
        }
    }
}
