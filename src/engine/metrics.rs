//! Counts of what was decided, by plan and verdict, and how full everything is.
//!
//! Each thread counts in a [`Tally`] of its own, which nobody else writes: a plain load and store, Relaxed, as a sum need not
//! be that of one instant. Tallies outlive their threads, and are handed on.

use std::fmt::Write;
use std::sync::Arc;

use super::decision::Verdict;
use super::{Engine, FullCounts};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Verdicts, in the order of their columns; one more column counts what would have been refused.
const VERDICTS: [Verdict; 13] = [
    Verdict::Ok,
    Verdict::Delayed,
    Verdict::Throttled,
    Verdict::QuotaExceeded,
    Verdict::ConcurrencyExceeded,
    Verdict::CostExceedsLimit,
    Verdict::KeyMissing,
    Verdict::KeyUnknown,
    Verdict::KeyDisabled,
    Verdict::KeyExpired,
    Verdict::KeyRevoked,
    Verdict::NoPlanForStage,
    Verdict::StoreFull,
];

const COLUMNS: usize = 16;
const WOULD_DENY: usize = VERDICTS.len();

pub(super) type Sums = Vec<[u64; COLUMNS]>;

/// What one thread counted: a row for decisions without a plan, then one for each plan's number.
pub(super) struct Tally(Box<[[AtomicU64; COLUMNS]]>);

impl Tally {
    fn new(plans: usize) -> Tally {
        let row = |_| core::array::from_fn(|_| AtomicU64::new(0));
        // Some more, so that not every new plan asks for a new one.
        Tally((0..(plans + 1).next_power_of_two().max(8)).map(row).collect())
    }

    /// Whether there is a row for each of so many plans.
    pub(super) fn has_room(&self, plans: usize) -> bool {
        plans < self.0.len()
    }

    /// Counts an admission at once under a plan. By its thread only.
    #[inline(always)]
    pub(super) fn admitted(&self, plan: u32) {
        self.count(plan as usize + 1, 0);
    }

    #[inline(always)]
    fn count(&self, row: usize, column: usize) {
        if let Some(row) = self.0.get(row) {
            let count = &row[column];
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Counts a decision. By its thread only.
    pub(super) fn decided(&self, plan: Option<u32>, verdict: Verdict, would_deny: bool) {
        let row = plan.map_or(0, |plan| plan as usize + 1);
        // The order of the columns is that of the enum.
        self.count(row, verdict as usize);
        if would_deny {
            self.count(row, WOULD_DENY);
        }
    }

    fn add_to(&self, sums: &mut Sums) {
        if sums.len() < self.0.len() {
            sums.resize(self.0.len(), [0; COLUMNS]);
        }
        for (sums, counts) in sums.iter_mut().zip(&self.0) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
    }
}

/// The tallies of an engine.
pub(super) struct Tallies {
    known: Mutex<Known>,
}

impl Default for Tallies {
    fn default() -> Tallies {
        Tallies { known: Mutex::new(Known::default()) }
    }
}

#[derive(Default)]
struct Known {
    /// Whoever counts in one holds another reference to it.
    tallies: Vec<Arc<Tally>>,
    /// Sums of those that became too small.
    retired: Sums,
}

impl Tallies {
    /// A tally for the calling thread, for so many plans.
    pub(super) fn get(&self, plans: usize) -> Arc<Tally> {
        let known = &mut *self.known.lock();
        let (tallies, retired) = (&mut known.tallies, &mut known.retired);
        let mut free = None;
        tallies.retain_mut(|tally| {
            // Acquire, with the release of the former holder's reference: what it counted last is seen.
            let Some(unused) = Arc::get_mut(tally) else { return true };
            if !unused.has_room(plans) {
                unused.add_to(retired);
                return false;
            }
            if free.is_none() {
                free = Some(tally.clone());
            }
            true
        });
        free.unwrap_or_else(|| {
            let tally = Arc::new(Tally::new(plans));
            tallies.push(tally.clone());
            tally
        })
    }

    pub(super) fn sums(&self) -> Sums {
        let known = self.known.lock();
        let mut sums = known.retired.clone();
        known.tallies.iter().for_each(|tally| tally.add_to(&mut sums));
        sums
    }
}

/// Decisions under one plan, by verdict. Peeks are not counted.
#[derive(Clone, Debug)]
pub struct PlanMetrics {
    plan: Option<Arc<str>>,
    counts: [u64; COLUMNS],
}

impl PlanMetrics {
    /// The plan; `None` for decisions that came to none, as for an unknown key.
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// How many decisions had this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.counts[verdict as usize]
    }

    /// How many requests an observing plan let through that it would have refused.
    pub fn would_deny(&self) -> u64 {
        self.counts[WOULD_DENY]
    }
}

/// What an engine has done so far, and how full it is: of this process, but for what is stored in a region.
#[derive(Clone, Debug)]
pub struct Metrics {
    plans: Vec<PlanMetrics>,
    cells: u64,
    cell_room: u64,
    lines: u64,
    line_room: u64,
    full: FullCounts,
    ids: u64,
    alerts_waiting: u64,
    alerts_dropped: u64,
}

impl Metrics {
    /// Decisions, by plan; first those that came to none.
    pub fn plans(&self) -> &[PlanMetrics] {
        &self.plans
    }

    /// Cells of the table in use, and how many it is planned for.
    pub fn cells(&self) -> (u64, u64) {
        (self.cells, self.cell_room)
    }

    /// The most lines that were in use at a time, and how many there can be.
    pub fn lines(&self) -> (u64, u64) {
        (self.lines, self.line_room)
    }

    /// What happened because there was no room.
    pub fn full_counts(&self) -> FullCounts {
        self.full
    }

    /// Ids of requests that are known.
    pub fn ids(&self) -> u64 {
        self.ids
    }

    /// Alerts that wait to be read, and how many were dropped in all.
    pub fn alerts(&self) -> (u64, u64) {
        (self.alerts_waiting, self.alerts_dropped)
    }

    /// The same in Prometheus' text format, version 0.0.4.
    ///
    /// ```
    /// # use tollgate::{Changes, Engine, Plan, Request};
    /// # let engine = Engine::builder().changes(Changes::new().plan("free", Plan::new())).build()?;
    /// engine.check(&Request::anonymous("free", "192.0.2.1"));
    /// let text = engine.metrics().prometheus();
    /// assert!(text.contains("tollgate_decisions_total{plan=\"free\",verdict=\"ok\"} 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = self.write_prometheus(&mut text);
        text
    }

    /// [`prometheus`](Metrics::prometheus), written piece by piece.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_prometheus(&self, out: &mut impl Write) -> core::fmt::Result {
        write!(
            out,
            "# HELP tollgate_decisions_total Decisions by plan (none: empty) and verdict.\n\
             # TYPE tollgate_decisions_total counter\n"
        )?;
        for plan in &self.plans {
            let name = label(plan.plan().unwrap_or(""));
            for verdict in VERDICTS.into_iter().filter(|&verdict| plan.count(verdict) > 0) {
                let count = plan.count(verdict);
                writeln!(out, "tollgate_decisions_total{{plan=\"{name}\",verdict=\"{verdict}\"}} {count}")?;
            }
        }
        write!(
            out,
            "# HELP tollgate_would_deny_total Requests that an observing plan would have refused.\n\
             # TYPE tollgate_would_deny_total counter\n"
        )?;
        for plan in self.plans.iter().filter(|plan| plan.would_deny() > 0) {
            let name = label(plan.plan().unwrap_or(""));
            writeln!(out, "tollgate_would_deny_total{{plan=\"{name}\"}} {}", plan.would_deny())?;
        }
        let FullCounts { refused, passed, evicted, unlogged } = self.full;
        let rest: [(&str, &str, &str, u64); 12] = [
            ("tollgate_cells", "gauge", "Cells of the table in use.", self.cells),
            ("tollgate_cells_planned", "gauge", "Cells that the table is planned for.", self.cell_room),
            ("tollgate_lines_used", "gauge", "Most lines in use at a time.", self.lines),
            ("tollgate_lines_planned", "gauge", "Lines that there can be.", self.line_room),
            ("tollgate_full_refused_total", "counter", "Decisions refused for want of room.", refused),
            ("tollgate_full_passed_total", "counter", "Limits left out for want of room.", passed),
            ("tollgate_full_evicted_total", "counter", "Cells taken from another owner.", evicted),
            (
                "tollgate_unlogged_total",
                "counter",
                "Debits and refusals that have no row in the log.",
                unlogged,
            ),
            ("tollgate_ids", "gauge", "Ids of requests that are known.", self.ids),
            ("tollgate_alerts_waiting", "gauge", "Alerts that wait to be read.", self.alerts_waiting),
            ("tollgate_alerts_dropped_total", "counter", "Alerts dropped.", self.alerts_dropped),
            ("tollgate_plans", "gauge", "Plans that decisions came to.", self.plans.len() as u64 - 1),
        ];
        for (name, kind, help, value) in rest {
            write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")?;
        }
        Ok(())
    }
}

/// A label's value.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Engine {
    /// What was decided so far, and how full everything is. Counts cells one by one, and takes no lock that a decision waits
    /// for.
    pub fn metrics(&self) -> Metrics {
        let sums = self.world.sums();
        let count = |row: usize| sums.get(row).copied().unwrap_or([0; COLUMNS]);
        let mut plans = vec![PlanMetrics { plan: None, counts: count(0) }];
        self.world.with(|world| {
            let names = (0..world.plans.len() as u32).map(|number| world.directory.plan_name(number));
            plans.extend(
                names
                    .enumerate()
                    .map(|(number, name)| PlanMetrics { plan: Some(name.into()), counts: count(number + 1) }),
            );
        });
        let (cell_room, line_room) = self.store.room();
        let (alerts_waiting, alerts_dropped) = self.alerts.counts();
        Metrics {
            plans,
            cells: self.store.cells() as u64,
            cell_room,
            lines: self.store.lines_used(),
            line_room,
            full: self.full_counts(),
            ids: self.book.len(),
            alerts_waiting,
            alerts_dropped,
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_column() {
        for (column, verdict) in VERDICTS.into_iter().enumerate() {
            assert_eq!(verdict as usize, column);
        }
        const { assert!(WOULD_DENY < COLUMNS) };
    }

    #[test]
    fn nothing_is_lost_when_tallies_are_handed_on() {
        let tallies = Tallies::default();
        for plans in [1, 3, 7, 8, 20] {
            let one = tallies.get(plans);
            let other = tallies.get(plans);
            one.admitted(0);
            other.admitted(plans as u32 - 1);
            other.decided(None, Verdict::KeyUnknown, false);
            one.decided(Some(0), Verdict::Ok, true);
        }
        let sums = tallies.sums();
        assert_eq!(sums.iter().map(|row| row[0]).sum::<u64>(), 15);
        assert_eq!((sums[0][Verdict::KeyUnknown as usize], sums[1][WOULD_DENY]), (5, 5));
        assert_eq!(tallies.known.lock().tallies.len(), 2, "small ones are not kept");
    }
}
