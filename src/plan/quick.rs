//! What the short way of a decision needs to know of the limits of one place.

use std::sync::Arc;

use super::compile::{Alert, Kind, Limit, LimitSet, LineUse};
use super::directory::QUOTAS;
use crate::algo::{gcra, quota};
use crate::sync::Number;

/// What the short way of a decision needs to know of limits that stand in one line.
#[derive(Clone, Debug)]
pub(crate) struct Quick {
    pub line: u32,
    pub segment: u32,
    /// The segment, where the state of a throttle that is the only limit can be a cell; else 0, which no cell has.
    pub cell_segment: u32,
    pub unit: Arc<str>,
    pub throttle: Option<gcra::Narrow>,
    /// By slot; none for one that the plan does not use.
    pub quotas: [Option<QuickQuota>; QUOTAS],
    /// Whether a throttle that delays nobody is the only limit: what it refuses is refused.
    pub refuses: bool,
    /// Where the line stands, if these are the limits of a pool.
    pub hint: Number,
}

#[derive(Clone, Debug)]
pub(crate) struct QuickQuota {
    limit: u64,
    /// Charges up to this one are within the limit and below every level at which an alert fires.
    calm: u64,
    alerts: Arc<[Alert]>,
    pub schedule: Arc<quota::Schedule>,
}

impl QuickQuota {
    /// Whether `cost` more is within the limit and no alert's level is crossed.
    #[inline(always)]
    pub(crate) fn accepts(&self, charged: u64, cost: u64) -> bool {
        match charged.checked_add(cost) {
            Some(after) => after <= self.calm || self.accepts_closer(charged, after),
            None => false,
        }
    }

    #[inline(never)]
    fn accepts_closer(&self, charged: u64, after: u64) -> bool {
        let crossed = |alert: &Alert| charged < alert.level && alert.level <= after;
        after <= self.limit && !self.alerts.iter().any(crossed)
    }
}

impl LimitSet {
    pub(super) fn quick(&self) -> Option<Quick> {
        let [LineUse { shape, unit, .. }] = &self.lines[..] else { return None };
        let (line, segment, unit) = (shape.line, shape.segment, unit.clone());
        let quotas = [const { None }; QUOTAS];
        let hint = Number::default();
        let mut quick =
            Quick { line, segment, cell_segment: 0, unit, throttle: None, quotas, refuses: false, hint };
        for limit in &self.limits {
            match &limit.kind {
                Kind::Throttle { .. } => quick.throttle = Some(shape.throttle.as_ref()?.narrow()?),
                Kind::Quota { slot, quota, alerts } => {
                    let schedule = shape.quotas[*slot].as_ref()?.schedule.clone();
                    let (limit, alerts) = (quota.limit, alerts.clone());
                    let first = alerts.iter().map(|alert| alert.level).min();
                    let calm = first.map_or(limit, |first| limit.min(first.saturating_sub(1)));
                    quick.quotas[*slot] = Some(QuickQuota { limit, calm, alerts, schedule });
                }
                Kind::Concurrency(_) => return None,
            }
        }
        if quick.throttle.is_some() && quick.quotas.iter().all(Option::is_none) {
            quick.cell_segment = segment;
            quick.refuses = matches!(self.limits[..], [Limit { kind: Kind::Throttle { max_delay: 0 }, .. }]);
        }
        Some(quick)
    }
}
