//! Requests over time, in a fixed number of bins that widen as the trace goes on.

use tollgate::Nanos;

const BINS: usize = 240;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Each width divides the next, so bins are merged without a remainder.
const WIDTHS: [u64; 21] = [
    MS,
    5 * MS,
    10 * MS,
    50 * MS,
    100 * MS,
    500 * MS,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    6 * HOUR,
    DAY,
    7 * DAY,
    28 * DAY,
    364 * DAY,
    364 * 10 * DAY,
];

/// Counts of one bin.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Bin {
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
}

/// Bins of equal width, aligned to the Unix epoch.
pub(crate) struct Timeline {
    /// Index into [`WIDTHS`].
    width: usize,
    /// Number of the first and last bin in use since the epoch; `last - first < BINS`.
    first: u64,
    last: u64,
    /// Bin `first + i` is at `i`.
    bins: Vec<Bin>,
}

impl Timeline {
    pub(crate) fn new() -> Timeline {
        Timeline { width: 0, first: 0, last: 0, bins: Vec::new() }
    }

    /// The bin of an instant, in nanoseconds.
    pub(crate) fn width(&self) -> u64 {
        WIDTHS[self.width]
    }

    /// When the first bin begins, in nanoseconds.
    pub(crate) fn start(&self) -> u64 {
        self.first.saturating_mul(self.width())
    }

    pub(crate) fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The bin that an instant falls into.
    pub(crate) fn at(&mut self, at: Nanos) -> &mut Bin {
        if self.bins.is_empty() {
            self.first = at.get() / self.width();
            self.last = self.first;
            self.bins.push(Bin::default());
        }
        loop {
            let bin = at.get() / self.width();
            let (first, last) = (self.first.min(bin), self.last.max(bin));
            if last - first < BINS as u64 || self.width + 1 == WIDTHS.len() {
                let before = (self.first - first) as usize;
                self.bins.splice(..0, std::iter::repeat_n(Bin::default(), before));
                self.bins.resize((last - first + 1) as usize, Bin::default());
                (self.first, self.last) = (first, last);
                return &mut self.bins[(bin - first) as usize];
            }
            self.widen();
        }
    }

    fn widen(&mut self) {
        let factor = WIDTHS[self.width + 1] / WIDTHS[self.width];
        let first = self.first / factor;
        let mut merged = vec![Bin::default(); (self.last / factor - first + 1) as usize];
        for (number, bin) in (self.first..).zip(&self.bins) {
            let target = &mut merged[(number / factor - first) as usize];
            target.admitted += bin.admitted;
            target.refused += bin.refused;
        }
        self.width += 1;
        self.last /= factor;
        self.first = first;
        self.bins = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_divide_each_other_and_reach_every_instant() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0));
        assert!(u64::MAX / WIDTHS[WIDTHS.len() - 1] < BINS as u64);
    }

    #[test]
    fn nothing_is_lost_in_any_order() {
        let instants = [5 * DAY, 5 * DAY + 3, 5 * DAY + MINUTE, 4 * DAY, 900 * DAY, 0, u64::MAX, 5 * DAY];
        let mut timeline = Timeline::new();
        for (count, at) in (1..).zip(instants) {
            timeline.at(Nanos::new(at)).admitted += 1;
            let total: u64 = timeline.bins().iter().map(|bin| bin.admitted).sum();
            assert_eq!(total, count);
            assert!(timeline.bins().len() <= BINS);
            assert!(timeline.start() <= at);
            assert_eq!(timeline.bins().len() as u64, timeline.last - timeline.first + 1);
        }
    }

    #[test]
    fn bins_start_narrow() {
        let mut timeline = Timeline::new();
        timeline.at(Nanos::new(7 * MS)).refused += 1;
        timeline.at(Nanos::new(9 * MS)).refused += 1;
        assert_eq!((timeline.width(), timeline.start(), timeline.bins().len()), (MS, 7 * MS, 3));
        timeline.at(Nanos::new(10 * HOUR)).admitted += 1;
        assert_eq!((timeline.width(), timeline.bins().len()), (5 * MINUTE, 121));
        assert_eq!(timeline.bins()[0], Bin { admitted: 0, refused: 2 });
    }
}
