//! What a decision tells to whom.

use std::sync::Arc;

use super::decision::{Decision, LimitKind, LimitReport, Report};
use super::world::KeyRecord;
use crate::algo::Standing;
use crate::plan::{CompiledPlan, Kind, Limit};
use crate::time::Nanos;

/// Who wants to know more than the decision.
pub(super) trait Observer {
    /// The subject and plan of a request.
    fn resolved(&mut self, plan: &CompiledPlan, record: Option<&KeyRecord>);
    /// A limit after the decision. `standing` is computed only when asked for.
    fn limit(
        &mut self,
        limit: &Limit,
        violated: bool,
        window: impl FnOnce() -> Option<u64>,
        standing: impl FnOnce() -> Standing,
    );
    /// The decision has to be made again.
    fn restart(&mut self);
}

/// Nobody.
pub(super) struct Ignore;

impl Observer for Ignore {
    fn resolved(&mut self, _: &CompiledPlan, _: Option<&KeyRecord>) {}
    fn limit(&mut self, _: &Limit, _: bool, _: impl FnOnce() -> Option<u64>, _: impl FnOnce() -> Standing) {}
    fn restart(&mut self) {}
}

/// Collects a [`Report`].
#[derive(Default)]
pub(super) struct Collect {
    limits: Vec<LimitReport>,
    plan: Option<Arc<str>>,
    subject: Option<Arc<str>>,
    key_id: Option<Arc<str>>,
}

impl Collect {
    pub(super) fn into_report(self, decision: Decision) -> Report {
        Report { decision, limits: self.limits, plan: self.plan, subject: self.subject, key_id: self.key_id }
    }
}

impl Observer for Collect {
    fn resolved(&mut self, plan: &CompiledPlan, record: Option<&KeyRecord>) {
        if self.plan.is_none() {
            self.plan = Some(plan.name.clone());
            self.subject = record.map(|record| record.subject.name.clone());
            self.key_id = record.map(|record| record.id.clone());
        }
    }

    fn limit(
        &mut self,
        limit: &Limit,
        violated: bool,
        window: impl FnOnce() -> Option<u64>,
        standing: impl FnOnce() -> Standing,
    ) {
        let Standing { limit: size, remaining, reset } = standing();
        self.limits.push(LimitReport {
            name: limit.name.clone(),
            kind: limit.kind.name(),
            limit: size,
            remaining,
            reset: reset.map(Nanos::new),
            window: window().map(Nanos::new),
            violated,
        });
    }

    fn restart(&mut self) {
        *self = Collect::default();
    }
}

impl Kind {
    pub(super) fn name(&self) -> LimitKind {
        match self {
            Kind::Throttle { .. } => LimitKind::Throttle,
            Kind::Quota { .. } => LimitKind::Quota,
            Kind::Concurrency(_) => LimitKind::Concurrency,
        }
    }
}
