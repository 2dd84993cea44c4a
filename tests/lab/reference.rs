//! The algorithms by their definitions, with the whole trace at hand and no state worth the name.

use tollgate::lab::Limit;

type Requests<'a> = &'a [(u64, u64)];

/// Decides each request from those admitted before it.
fn decide(trace: Requests<'_>, mut admits: impl FnMut(Requests<'_>, u64, u64) -> bool) -> Vec<bool> {
    let mut admitted = Vec::new();
    let mut verdicts = Vec::new();
    for &(at, cost) in trace {
        let verdict = admits(&admitted, at, cost);
        if verdict {
            admitted.push((at, cost));
        }
        verdicts.push(verdict);
    }
    verdicts
}

fn sum(admitted: Requests<'_>, keep: impl Fn(u64) -> bool) -> u128 {
    admitted.iter().filter(|(at, _)| keep(*at)).map(|(_, cost)| u128::from(*cost)).sum()
}

/// Tokens in units of 1/window, refilled from one request to the next, refused ones too.
pub fn token_bucket(limit: &Limit, trace: Requests<'_>) -> Vec<bool> {
    let window = u128::from(limit.window().get());
    let full = u128::from(limit.burst()) * window;
    let (mut tokens, mut last) = (full, 0);
    decide(trace, |_, at, cost| {
        tokens = full.min(tokens + u128::from(limit.limit()) * u128::from(at - last));
        last = at;
        let wanted = u128::from(cost) * window;
        let admits = wanted <= tokens;
        if admits {
            tokens -= wanted;
        }
        admits
    })
}

/// What the window before the instant has, counted anew each time.
pub fn sliding_log(limit: &Limit, trace: Requests<'_>) -> Vec<bool> {
    let window = limit.window().get();
    decide(trace, |admitted, at, cost| {
        let before = sum(admitted, |then| then + window > at);
        cost == 0 || before + u128::from(cost) <= limit.limit().into()
    })
}

pub fn fixed_window(limit: &Limit, trace: Requests<'_>) -> Vec<bool> {
    let window = limit.window().get();
    decide(trace, |admitted, at, cost| {
        let this = sum(admitted, |then| then / window == at / window);
        this + u128::from(cost) <= limit.limit().into()
    })
}

/// `before * (1 - passed / window) + this + cost <= limit`, with both sides times the window.
pub fn sliding_counter(limit: &Limit, trace: Requests<'_>) -> Vec<bool> {
    let window = limit.window().get();
    decide(trace, |admitted, at, cost| {
        let start = at - at % window;
        let this = sum(admitted, |then| then >= start);
        let before = sum(admitted, |then| then < start && then + window >= start);
        let overlap = u128::from(start + window - at);
        let room = i128::from(limit.limit()) - (this + u128::from(cost)) as i128;
        (before * overlap) as i128 <= room * i128::from(window)
    })
}

/// A counter, decremented at every `k * window / limit` that has passed.
pub fn leaky_bucket(limit: &Limit, trace: Requests<'_>) -> Vec<bool> {
    let (mut count, mut next) = (0u64, 1u128);
    decide(trace, |_, at, cost| {
        // k * window / limit <= at
        while next * u128::from(limit.window().get()) <= u128::from(at) * u128::from(limit.limit()) {
            count = count.saturating_sub(1);
            next += 1;
        }
        let admits = count + cost <= limit.burst();
        if admits {
            count += cost;
        }
        admits
    })
}
