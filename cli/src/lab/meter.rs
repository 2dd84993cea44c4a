//! What an algorithm did with a trace, measured as the decisions come. All counts are of cost.

use std::collections::VecDeque;

use tollgate::lab::Limit;

use super::Request;

/// Counts are dispersed over intervals of this part of the window.
pub(crate) const BINS_PER_WINDOW: u64 = 20;

/// The index of dispersion of the counts of all keys, each weighed by its mean.
///
/// With n intervals, of a key's counts c: the variance is `sum c^2 / n - mean^2`, the mean `total / n`. Weighing by the
/// means turns the mean of variance over mean into the sum of the variances over the sum of the means.
#[derive(Default)]
pub(crate) struct Dispersion {
    /// By key: the present interval, its count, and the total of all.
    keys: Vec<(u64, u64, u64)>,
    /// Of the counts of all intervals that have ended.
    squares: f64,
}

impl Dispersion {
    pub(crate) fn add(&mut self, key: u32, interval: u64, count: u64) {
        let key = key as usize;
        if key >= self.keys.len() {
            self.keys.resize(key + 1, (0, 0, 0));
        }
        let (present, so_far, total) = &mut self.keys[key];
        if *present != interval {
            self.squares += square(*so_far);
            (*present, *so_far) = (interval, 0);
        }
        *so_far = so_far.saturating_add(count);
        *total = total.saturating_add(count);
    }

    /// Over so many intervals. `None` where nothing was counted.
    pub(crate) fn index(&self, intervals: u64) -> Option<f64> {
        let sum: f64 = self.keys.iter().map(|&(_, _, total)| total as f64).sum();
        let squares = self.squares + self.keys.iter().map(|&(_, last, _)| square(last)).sum::<f64>();
        let means: f64 = self.keys.iter().map(|&(_, _, total)| square(total)).sum::<f64>() / intervals as f64;
        (sum > 0.0).then(|| ((squares - means) / sum).max(0.0))
    }

    pub(crate) fn total(&self, key: usize) -> u64 {
        self.keys.get(key).map_or(0, |&(_, _, total)| total)
    }

    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }
}

fn square(count: u64) -> f64 {
    count as f64 * count as f64
}

/// What was admitted of a key in the window up to now.
#[derive(Default)]
struct Window {
    /// Instant and cost, in order of time; no instant twice.
    admitted: VecDeque<(u64, u64)>,
    sum: u64,
}

/// Measures one algorithm.
pub(crate) struct Meter {
    limit: u64,
    window: u64,
    windows: Vec<Window>,
    pub(crate) admitted: u64,
    /// Admitted although that put more than the limit into the window before it.
    pub(crate) wrongly_admitted: u64,
    /// Refused although that would not have put more than the limit into the window before it.
    pub(crate) wrongly_refused: u64,
    /// The most in any window.
    pub(crate) worst: u64,
    pub(crate) dispersion: Dispersion,
}

impl Meter {
    pub(crate) fn new(limit: &Limit) -> Meter {
        Meter {
            limit: limit.limit(),
            window: limit.window().get(),
            windows: Vec::new(),
            admitted: 0,
            wrongly_admitted: 0,
            wrongly_refused: 0,
            worst: 0,
            dispersion: Dispersion::default(),
        }
    }

    /// Counts a decision. Instants do not go back.
    pub(crate) fn add(&mut self, request: &Request, admitted: bool) {
        let &Request { at, key, cost } = request;
        if key as usize >= self.windows.len() {
            self.windows.resize_with(key as usize + 1, Window::default);
        }
        let window = &mut self.windows[key as usize];
        while let Some(&(then, cost)) = window.admitted.front()
            && at - then >= self.window
        {
            window.sum -= cost;
            window.admitted.pop_front();
        }
        let sum = window.sum.saturating_add(cost);
        if !admitted {
            if sum <= self.limit {
                self.wrongly_refused += cost;
            }
            return;
        }
        if sum > self.limit {
            self.wrongly_admitted += cost;
        }
        match window.admitted.back_mut() {
            Some((then, sum)) if *then == at => *sum += cost,
            _ => window.admitted.push_back((at, cost)),
        }
        window.sum = sum;
        // The fullest window of all ends with one of its admissions.
        self.worst = self.worst.max(sum);
        self.admitted += cost;
        self.dispersion.add(key, interval(at, self.window), cost);
    }

    /// Jain's index of the shares of what each key asked for that it was given; 1: the same for all.
    ///
    /// R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination for Resource Allocation in
    /// Shared Computer Systems", DEC-TR-301, 1984: `(sum x)^2 / (n * sum x^2)`. `None` where nothing was admitted.
    pub(crate) fn fairness(&self, offered: &Dispersion) -> Option<f64> {
        let shares = (0..offered.keys())
            .filter(|&key| offered.total(key) > 0)
            .map(|key| self.dispersion.total(key) as f64 / offered.total(key) as f64);
        let (count, sum, squares) = shares.fold((0.0, 0.0, 0.0), |(n, sum, squares), share| {
            (n + 1.0, sum + share, squares + share * share)
        });
        (squares > 0.0).then(|| sum * sum / (count * squares))
    }
}

/// The number of the interval of [`Dispersion`] that an instant falls into.
pub(crate) fn interval(at: u64, window: u64) -> u64 {
    (u128::from(at) * u128::from(BINS_PER_WINDOW) / u128::from(window)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tollgate::Nanos;

    const WINDOW: u64 = 1_000_000;

    fn limit(limit: u64) -> Limit {
        Limit::new(limit, Nanos::new(WINDOW), None).unwrap()
    }

    proptest! {
        /// Every number beside its definition, from the whole list.
        #[test]
        fn the_measures_are_what_they_say(
            most in 1u64..9,
            steps in vec((0u32..3, prop_oneof![Just(0), Just(WINDOW / 20), 0..2 * WINDOW], 1u64..4, any::<bool>()), 1..80),
        ) {
            let mut meter = Meter::new(&limit(most));
            let mut offered = Dispersion::default();
            let (mut at, mut wrongly_admitted, mut wrongly_refused) = (0, 0, 0);
            let mut admitted: Vec<Request> = Vec::new();
            let mut asked = Vec::new();
            for (key, step, cost, verdict) in steps {
                at += step;
                let request = Request { at, key, cost };
                meter.add(&request, verdict);
                offered.add(key, interval(at, WINDOW), cost);
                asked.push(request);
                let before: u64 = admitted
                    .iter()
                    .filter(|r| r.key == key && r.at + WINDOW > at)
                    .map(|r| r.cost)
                    .sum();
                match verdict {
                    true if before + cost > most => wrongly_admitted += cost,
                    false if before + cost <= most => wrongly_refused += cost,
                    _ => {}
                }
                if verdict {
                    admitted.push(request);
                }
            }
            prop_assert_eq!(meter.wrongly_admitted, wrongly_admitted);
            prop_assert_eq!(meter.wrongly_refused, wrongly_refused);
            let total = |requests: &[Request], keep: &dyn Fn(&Request) -> bool| -> u64 {
                requests.iter().filter(|r| keep(r)).map(|r| r.cost).sum()
            };
            prop_assert_eq!(meter.admitted, total(&admitted, &|_| true));
            let worst = admitted
                .iter()
                .map(|first| total(&admitted, &|r| r.key == first.key && (first.at..first.at + WINDOW).contains(&r.at)))
                .max();
            prop_assert_eq!(meter.worst, worst.unwrap_or(0));

            let intervals = interval(at, WINDOW) + 1;
            let (mut variances, mut means) = (0.0, 0.0);
            for key in 0..3 {
                let count = |n: u64| total(&admitted, &|r| r.key == key && r.at * 20 / WINDOW == n) as f64;
                let mean = (0..intervals).map(count).sum::<f64>() / intervals as f64;
                variances += (0..intervals).map(|n| (count(n) - mean).powi(2)).sum::<f64>() / intervals as f64;
                means += mean;
            }
            match meter.dispersion.index(intervals) {
                Some(index) => prop_assert!((index - variances / means).abs() < 1e-9, "{} {}", index, variances / means),
                None => prop_assert!(admitted.is_empty()),
            }

            let shares: Vec<f64> = (0..3)
                .map(|key| (total(&admitted, &|r| r.key == key), total(&asked, &|r| r.key == key)))
                .filter(|(_, asked)| *asked > 0)
                .map(|(admitted, asked)| admitted as f64 / asked as f64)
                .collect();
            let jain = shares.iter().sum::<f64>().powi(2)
                / (shares.len() as f64 * shares.iter().map(|share| share * share).sum::<f64>());
            match meter.fairness(&offered) {
                Some(fairness) => prop_assert!((fairness - jain).abs() < 1e-9),
                None => prop_assert!(admitted.is_empty()),
            }
        }
    }

    #[test]
    fn dispersion_is_0_for_clockwork_and_grows_with_bursts() {
        let of = |counts: &[u64]| {
            let mut dispersion = Dispersion::default();
            (0..).zip(counts).for_each(|(interval, &count)| dispersion.add(0, interval, count));
            dispersion.index(counts.len() as u64)
        };
        assert_eq!(of(&[5, 5, 5, 5]), Some(0.0));
        assert_eq!(of(&[10, 0, 10, 0]), Some(5.0));
        assert_eq!(of(&[20, 0, 0, 0]), Some(15.0));
        assert_eq!(of(&[0, 0]), None);
    }
}
