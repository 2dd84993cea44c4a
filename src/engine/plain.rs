//! Decisions of what came of the short way, and the check of the C library.

use super::admit::{Keyed, Short};
use super::decision::Decision;
use super::observe::Ignore;
use super::request::{Cost, Identity, PlanId, Request};
use super::{Engine, Mode};
use crate::time::Nanos;

impl Engine {
    /// The decision of what came of the short way, or of the long one if it has to be gone.
    #[inline(always)]
    pub(super) fn decided_shortly(&self, short: Short, request: &Request<'_>, now: Nanos) -> Decision {
        match short {
            Short::Admitted => Decision::ALLOWED,
            Short::Throttled { missing, per_nano } => Decision::throttled(missing, per_nano),
            Short::Closer => self.check_closer(request, now),
        }
    }

    #[inline(never)]
    fn check_closer(&self, request: &Request<'_>, now: Nanos) -> Decision {
        self.decide(std::slice::from_ref(request), now, Mode::Check, &mut Ignore, None)
    }

    /// [`check_at`](Engine::check_at) of a key and a cost, and of an anonymous subject's plan, for the C library: these stay in
    /// registers, where a [`Request`] would be written to memory before each check, and a [`Decision`] after it. If it cannot
    /// be made the short way, [`check_closer_at`](Engine::check_closer_at) follows.
    #[doc(hidden)]
    #[inline(always)]
    pub fn check_plain_at(
        &self,
        plan: Option<PlanId>,
        key: &[u8],
        cost: u64,
        now: Nanos,
    ) -> Result<Decision, NotPlain> {
        if self.shared || self.leases.is_some() {
            return Err(NotPlain(None));
        }
        match plan {
            Some(plan) => match self.admit_nearby(plan, key, cost, now.get()).short() {
                Some(Short::Admitted) => Ok(Decision::ALLOWED),
                Some(Short::Throttled { missing, per_nano }) => Ok(Decision::throttled(missing, per_nano)),
                Some(Short::Closer) | None => Err(NotPlain(Some(Keyed::Elsewhere))),
            },
            None => match self.admit_key::<false>(key, cost, now.get()) {
                Keyed::Admitted => Ok(Decision::ALLOWED),
                keyed => Err(NotPlain(Some(keyed))),
            },
        }
    }

    /// The decision of what [`check_plain_at`](Engine::check_plain_at) did not decide.
    #[doc(hidden)]
    #[cold]
    pub fn check_closer_at(&self, NotPlain(keyed): NotPlain, request: &Request<'_>, now: Nanos) -> Decision {
        let short = match (keyed, request.identity, request.cost) {
            (Some(_), Identity::AnonymousIn(plan), Cost::Every(cost)) => {
                self.admit_farther::<false>(plan, request, cost, now.get())
            }
            (Some(keyed), Identity::Registered, _) => self.admit_keyed::<false>(keyed, request, now.get()),
            _ => self.admit(request, now.get()),
        };
        self.decided_shortly(short, request, now)
    }
}

/// What came of a key's short way, if one was tried.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct NotPlain(Option<Keyed>);
