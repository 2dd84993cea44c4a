//! The tag by AES instructions.

#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_cvtsi64_si128, _mm_loadu_si128, _mm_storeu_si128,
    _mm_xor_si128,
};

use zeroize::Zeroize;

/// Rounds per block.
const ROUNDS: usize = 4;
/// Rounds at the end. They are a permutation, which makes no collision: they spread what the length adds. As nobody ever
/// sees a tag, that few bits could be told from random ones by somebody who sees many does not matter.
const LAST: usize = 4;

/// Round keys. There is one only where the processor has AES instructions.
pub(in crate::key) struct Mac {
    begin: [u128; 2],
    /// Of the blocks with even and with odd numbers.
    block: [[u128; ROUNDS]; 2],
    end: [u128; LAST + 1],
}

impl Mac {
    /// `None` without AES instructions.
    pub(super) fn new(random: impl Fn() -> u128) -> Option<Mac> {
        std::arch::is_x86_feature_detected!("aes").then(|| Mac {
            begin: core::array::from_fn(|_| random()),
            block: core::array::from_fn(|_| core::array::from_fn(|_| random())),
            end: core::array::from_fn(|_| random()),
        })
    }

    #[inline(always)]
    pub(super) fn tag(&self, key: &[u8]) -> u128 {
        // SAFETY: `new` has seen that the processor has the instructions.
        unsafe { self.run(key) }
    }

    #[target_feature(enable = "aes")]
    fn run(&self, key: &[u8]) -> u128 {
        let (pairs, rest) = key.as_chunks::<32>();
        let mut state = self.begin.map(|begin| load(&begin.to_ne_bytes()));
        for pair in pairs {
            state = self.absorb(state, pair);
        }
        if !rest.is_empty() {
            let mut pair = [0; 32];
            pair[..rest.len()].copy_from_slice(rest);
            state = self.absorb(state, &pair);
            pair.zeroize();
        }
        let mut state = _mm_xor_si128(state[0], state[1]);
        // Keys that zeros make equal differ here.
        state = _mm_xor_si128(state, _mm_cvtsi64_si128(key.len() as i64));
        let [first, middle @ .., last] = &self.end;
        state = _mm_xor_si128(state, load(&first.to_ne_bytes()));
        for key in middle {
            state = _mm_aesenc_si128(state, load(&key.to_ne_bytes()));
        }
        state = _mm_aesenclast_si128(state, load(&last.to_ne_bytes()));
        let mut tag = [0; 16];
        // SAFETY: 16 bytes that are valid for writes, at any alignment.
        unsafe { _mm_storeu_si128(tag.as_mut_ptr().cast::<__m128i>(), state) };
        u128::from_ne_bytes(tag)
    }

    /// Two blocks, which the processor works on at the same time.
    #[target_feature(enable = "aes")]
    #[inline]
    fn absorb(&self, state: [__m128i; 2], pair: &[u8; 32]) -> [__m128i; 2] {
        let (blocks, _) = pair.as_chunks::<16>();
        let mut state =
            [_mm_xor_si128(state[0], load(&blocks[0])), _mm_xor_si128(state[1], load(&blocks[1]))];
        for (even, odd) in self.block[0].iter().zip(&self.block[1]) {
            state[0] = _mm_aesenc_si128(state[0], load(&even.to_ne_bytes()));
            state[1] = _mm_aesenc_si128(state[1], load(&odd.to_ne_bytes()));
        }
        state
    }
}

#[target_feature(enable = "sse2")]
#[inline]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes that are valid for reads, at any alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>()) }
}
