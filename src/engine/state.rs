//! What a cell's four words mean. All zeros is the fresh state of both kinds.
//!
//! | kind | word 0 | word 1 | word 2 | word 3 |
//! | --- | --- | --- | --- | --- |
//! | throttle | level, low half | level, high half | 0 | generation |
//! | quota | used | window start | adjustment, two's complement | generation; bit 32: debited |

use crate::algo::gcra::Bucket;
use crate::algo::quota::Counter;
use crate::store::Words;

const DEBITED: u64 = 1 << 32;

pub(super) fn bucket(words: &Words) -> Bucket {
    Bucket { level: u128::from(words[1]) << 64 | u128::from(words[0]), generation: words[3] as u32 }
}

pub(super) fn of_bucket(bucket: Bucket) -> Words {
    [bucket.level as u64, (bucket.level >> 64) as u64, 0, bucket.generation.into()]
}

pub(super) fn counter(words: &Words) -> Counter {
    Counter {
        used: words[0],
        window: words[1],
        adjust: words[2] as i64,
        generation: words[3] as u32,
        debited: words[3] & DEBITED != 0,
    }
}

pub(super) fn of_counter(counter: Counter) -> Words {
    let debited = if counter.debited { DEBITED } else { 0 };
    [counter.used, counter.window, counter.adjust as u64, u64::from(counter.generation) | debited]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_every_state() {
        let full = Bucket { level: u128::MAX - 5, generation: u32::MAX };
        assert_eq!(bucket(&of_bucket(full)), full);
        let counted = Counter { used: u64::MAX, window: 7, adjust: -9, generation: u32::MAX, debited: true };
        assert_eq!(counter(&of_counter(counted)), counted);
        assert_eq!(bucket(&[0; 4]), Bucket::default());
        assert_eq!(counter(&[0; 4]), Counter::default());
    }
}
