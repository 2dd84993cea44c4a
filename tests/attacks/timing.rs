//! Whether time tells how much of a key was guessed right.

use std::hint::black_box;
use std::time::Instant;

use tollgate::{Changes, Engine, Key, Nanos, Plan, Request, SecretKey, Subject, Verdict};

use super::T0;

const KEYS: usize = 500;
const SAMPLES: usize = 40_000;

/// Deterministic, and different for each key.
fn key(n: usize) -> [u8; 40] {
    let mut state = n as u64 ^ 0x9e37_79b9_7f4a_7c15;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + (state >> 40) as u8 % 26
    })
}

fn mean_and_variance(times: &[f64]) -> (f64, f64) {
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (times.len() - 1) as f64)
}

/// Welch's t of the two samples, without the slowest tenth of each, which is other programs' time.
fn welch(mut samples: [Vec<f64>; 2]) -> f64 {
    let [(a, va, na), (b, vb, nb)] = samples.each_mut().map(|times| {
        times.sort_by(f64::total_cmp);
        let kept = &times[..times.len() * 9 / 10];
        let (mean, variance) = mean_and_variance(kept);
        (mean, variance, kept.len() as f64)
    });
    (a - b) / (va / na + vb / nb).sqrt()
}

/// How long checks take of guesses that share no byte with a registered key, and all but the last. Each guess is made
/// once, so that no cache knows it.
fn samples(check: impl Fn(&[u8])) -> [Vec<f64>; 2] {
    let mut samples = [Vec::new(), Vec::new()];
    let mut order = 1u64;
    for n in 0..2 * SAMPLES {
        order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let class = (order >> 33) as usize % 2;
        let mut guess = match class {
            0 => key(1_000_000 + n),
            _ => key(n % KEYS),
        };
        // The last bytes say which guess it is.
        guess[39] = b'A' + (n / KEYS % 26) as u8;
        guess[38] = if class == 0 { b'A' + (n / KEYS / 26) as u8 } else { guess[38] };
        let begin = Instant::now();
        check(black_box(&guess));
        samples[class].push(begin.elapsed().as_nanos() as f64);
    }
    samples
}

#[test]
#[ignore = "statistical: on a quiet machine"]
fn time_tells_nothing_of_a_key() {
    let subject = (0..KEYS).fold(Subject::new(["p"]), |subject, n| {
        subject.key(Key::new(&format!("k{n}"), SecretKey::new(key(n)).unwrap()))
    });
    let changes = Changes::new().plan("p", Plan::new()).subject("s", subject);
    let engine = Engine::builder().changes(changes).build().unwrap();
    let t = welch(samples(|guess| {
        let verdict = engine.check_at(&Request::new(guess), Nanos::new(T0)).verdict();
        assert_eq!(verdict, Verdict::KeyUnknown);
    }));
    // What the measure sees: a comparison that ends at the first difference, over all keys.
    let keys: Vec<[u8; 40]> = (0..KEYS).map(key).collect();
    let compare = |guess: &[u8]| {
        let equal = |key: &[u8; 40]| key.iter().zip(guess).take_while(|(a, b)| a == b).count();
        black_box(keys.iter().map(equal).max());
    };
    let careless = welch(samples(compare));
    println!("t = {t:.2}; of a comparison that ends early {careless:.2}");
    assert!(t.abs() < 4.5, "{t}");
    assert!(careless.abs() > 4.5, "{careless}: the measure sees nothing");
}
