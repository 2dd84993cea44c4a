//! 128-bit atomics of x86-64, inlined: `lock cmpxchg16b`, and `vmovdqa`, which processors with AVX guarantee to be
//! atomic on 16 aligned bytes (Intel SDM volume 3, 10.1.1; AMD APM volume 2, 7.3.2), and AVX2 to look at four words at once. A call through a pointer, which
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
            std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("cmpxchg16b");
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
    #[cold]
    fn portable(&self) -> &AtomicU128 {
        // SAFETY: valid and aligned, as `&self` is; all accesses of this process are portable-atomic's then.
        unsafe { AtomicU128::from_ptr(self.0.get()) }
    }

    /// At least as strong as `order`.
    #[inline(always)]
    pub(crate) fn load(&self, order: Ordering) -> u128 {
        if !has_instructions() {
            return self.portable().load(order);
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

    /// Which of four words has `sought` in those of its bits 64 to 127 that `mask` names; any, if none has. Relaxed: a
    /// hint of what a load may find. No branch depends on where it is, which is not to be guessed.
    #[inline(always)]
    pub(crate) fn position(words: &[Word; 4], mask: u64, sought: u64) -> usize {
        if !has_instructions() {
            let high = |word: &Word| (word.portable().load(Ordering::Relaxed) >> 64) as u64;
            return words.iter().position(|word| high(word) & mask == sought).unwrap_or(0);
        }
        let found: u32;
        // SAFETY: 64 bytes that are valid for reads; the processor has AVX2. `vzeroupper` changes all of ymm0 to ymm15.
        unsafe {
            asm!(
                "vmovdqu ymm0, ymmword ptr [{at}]",
                "vmovdqu ymm1, ymmword ptr [{at} + 32]",
                "vpunpckhqdq ymm0, ymm0, ymm1",
                "vmovq xmm1, {mask}",
                "vpbroadcastq ymm1, xmm1",
                "vpand ymm0, ymm0, ymm1",
                "vmovq xmm1, {sought}",
                "vpbroadcastq ymm1, xmm1",
                "vpcmpeqq ymm0, ymm0, ymm1",
                "vmovmskpd {found:e}, ymm0",
                "vzeroupper",
                at = in(reg) words.as_ptr(),
                mask = in(reg) mask,
                sought = in(reg) sought,
                found = lateout(reg) found,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack, preserves_flags, readonly),
            );
        }
        // The halves stand in the order 0, 2, 1, 3.
        0b11_01_10_00 >> (2 * (found | 8).trailing_zeros()) & 3
    }

    /// Relaxed or Release.
    #[inline(always)]
    pub(crate) fn store(&self, value: u128, order: Ordering) {
        debug_assert!(matches!(order, Ordering::Relaxed | Ordering::Release));
        if !has_instructions() {
            return self.portable().store(value, order);
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
            let changed = self.portable().compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
            return changed.map(drop);
        }
        let (mut low, mut high) = (old as u64, (old >> 64) as u64);
        let equal: u64;
        // SAFETY: 16 aligned bytes that are valid for reads and writes; the processor has the instruction. rbx, which
        // the compiler keeps for itself, is restored; no operand can be in it, as all have registers of their own.
        unsafe {
            asm!(
                "xchg r8, rbx",
                "lock cmpxchg16b xmmword ptr [rsi]",
                "sete cl",
                "mov rbx, r8",
                in("rsi") self.0.get(),
                inout("r8") new as u64 => _,
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
