//! Requests with an id: they can be settled, refunded and released.

use super::book::{Entry, Refused};
use super::observe::{Collect, Ignore, Observer};
use super::request::{Cost, Request};
use super::{Decision, Engine, Mode, Report, Verdict};
use crate::error::IdError;
use crate::time::Nanos;

/// Under which id a request is to be known once it is admitted, and whether its cost is only reserved.
///
/// Ids belong to the engine, not to a subject; any bytes will do.
#[derive(Clone, Copy)]
pub struct Ticket<'a> {
    id: &'a [u8],
    ttl: Option<Nanos>,
}

impl<'a> Ticket<'a> {
    /// A check that can be refunded and released.
    pub fn check(id: &'a (impl AsRef<[u8]> + ?Sized)) -> Ticket<'a> {
        Ticket { id: id.as_ref(), ttl: None }
    }

    /// A reservation, whose settlement is late from `ttl` after it on.
    pub fn reserve(id: &'a (impl AsRef<[u8]> + ?Sized), ttl: Nanos) -> Ticket<'a> {
        Ticket { id: id.as_ref(), ttl: Some(ttl) }
    }
}

/// What became of a settlement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SettleStatus {
    /// The cost is the actual one now.
    Settled,
    /// The same, after the reservation's time.
    Late,
    /// It was settled or refunded before; nothing has changed.
    AlreadySettled,
    /// No reservation of this id was admitted, or it has been forgotten.
    UnknownId,
}

impl SettleStatus {
    /// `settled`, `late`, `already_settled` or `unknown_id`.
    pub const fn as_str(self) -> &'static str {
        match self {
            SettleStatus::Settled => "settled",
            SettleStatus::Late => "late",
            SettleStatus::AlreadySettled => "already_settled",
            SettleStatus::UnknownId => "unknown_id",
        }
    }
}

/// What became of a settlement, and what is used beyond the quotas after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settlement {
    status: SettleStatus,
    overdraft: u64,
}

impl Settlement {
    /// What became of it.
    pub fn status(&self) -> SettleStatus {
        self.status
    }

    /// The largest use beyond its allowance of a quota that the settlement adjusted in its current window, else 0.
    pub fn overdraft(&self) -> u64 {
        self.overdraft
    }
}

/// What became of a refund.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RefundStatus {
    /// Everything was returned.
    Refunded,
    /// It was settled or refunded before; nothing has changed.
    AlreadySettled,
    /// No request of this id was admitted, or it has been forgotten.
    UnknownId,
}

impl RefundStatus {
    /// `refunded`, `already_settled` or `unknown_id`.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefundStatus::Refunded => "refunded",
            RefundStatus::AlreadySettled => "already_settled",
            RefundStatus::UnknownId => "unknown_id",
        }
    }
}

/// What became of a release.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReleaseStatus {
    /// The request holds no slot any more.
    Released,
    /// It was released, settled or refunded before.
    AlreadyReleased,
    /// No request of this id was admitted, or it has been forgotten.
    UnknownId,
}

impl ReleaseStatus {
    /// `released`, `already_released` or `unknown_id`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReleaseStatus::Released => "released",
            ReleaseStatus::AlreadyReleased => "already_released",
            ReleaseStatus::UnknownId => "unknown_id",
        }
    }
}

impl Engine {
    /// Debits what a request may cost, to be settled when it is known what it did cost. Unsettled it stays debited.
    ///
    /// `ttl` is how long after this a settlement is in time. When all ids that [the engine knows](
    /// crate::EngineBuilder::ids) are open reservations, the verdict is `store_full`.
    ///
    /// ```
    /// use tollgate::{Cost, Nanos, Request, SettleStatus};
    /// # use tollgate::{Changes, Engine, Plan, Quota};
    /// # let changes = Changes::new().plan("free", Plan::new().quota(Quota::new(1_000, "day").unit("tokens")));
    /// # let engine = Engine::builder().changes(changes).build()?;
    /// let request = Request::anonymous("free", "192.0.2.1").costs(&[("tokens", 300)]);
    /// if engine.reserve(&request, "answer-1", Nanos::new(60_000_000_000))?.is_allowed() {
    ///     let settlement = engine.settle("answer-1", Cost::Units(&[("tokens", 120)]));
    ///     assert_eq!(settlement.status(), SettleStatus::Settled);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The id is that of a request that is known; nothing was decided.
    pub fn reserve(
        &self,
        request: &Request<'_>,
        id: &(impl AsRef<[u8]> + ?Sized),
        ttl: Nanos,
    ) -> Result<Decision, IdError> {
        self.decide_known(request, Ticket::reserve(id, ttl), self.now())
    }

    /// [`reserve`](Engine::reserve) at the caller's instant.
    ///
    /// # Errors
    /// As [`reserve`](Engine::reserve).
    pub fn reserve_at(
        &self,
        request: &Request<'_>,
        id: &(impl AsRef<[u8]> + ?Sized),
        ttl: Nanos,
        now: Nanos,
    ) -> Result<Decision, IdError> {
        self.decide_known(request, Ticket::reserve(id, ttl), now)
    }

    /// [`check`](Engine::check), and if it is admitted it can be refunded and released by its id.
    ///
    /// # Errors
    /// As [`reserve`](Engine::reserve).
    pub fn check_as(
        &self,
        request: &Request<'_>,
        id: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<Decision, IdError> {
        self.decide_known(request, Ticket::check(id), self.now())
    }

    /// [`check_as`](Engine::check_as) at the caller's instant.
    ///
    /// # Errors
    /// As [`reserve`](Engine::reserve).
    pub fn check_as_at(
        &self,
        request: &Request<'_>,
        id: &(impl AsRef<[u8]> + ?Sized),
        now: Nanos,
    ) -> Result<Decision, IdError> {
        self.decide_known(request, Ticket::check(id), now)
    }

    /// [`check_all_at`](Engine::check_all_at) of a check or reservation with an id, which is that of all of them together.
    /// Where a plan that observes would refuse and others enforce, it is that of the others.
    ///
    /// # Errors
    /// As [`reserve`](Engine::reserve).
    pub fn check_all_as_at(
        &self,
        requests: &[Request<'_>],
        ticket: Ticket<'_>,
        now: Nanos,
    ) -> Result<Decision, IdError> {
        self.decide_as(requests, ticket, now, &mut Ignore)
    }

    fn decide_known(
        &self,
        request: &Request<'_>,
        ticket: Ticket<'_>,
        now: Nanos,
    ) -> Result<Decision, IdError> {
        self.decide_as(std::slice::from_ref(request), ticket, now, &mut Ignore)
    }

    /// [`report_at`](Engine::report_at) of a check or reservation with an id.
    ///
    /// # Errors
    /// As [`reserve`](Engine::reserve).
    pub fn report_as_at(
        &self,
        request: &Request<'_>,
        ticket: Ticket<'_>,
        now: Nanos,
    ) -> Result<Report, IdError> {
        let mut collect = Collect::default();
        let decision = self.decide_as(std::slice::from_ref(request), ticket, now, &mut collect)?;
        Ok(collect.into_report(decision))
    }

    fn decide_as<O: Observer>(
        &self,
        requests: &[Request<'_>],
        ticket: Ticket<'_>,
        now: Nanos,
        observer: &mut O,
    ) -> Result<Decision, IdError> {
        let id = self.owners.id(ticket.id);
        match self.book.take(id) {
            Ok(()) => {}
            Err(Refused::InUse) => return Err(IdError::InUse(IdError::shown(ticket.id))),
            Err(Refused::Memory) => return Err(IdError::Memory(IdError::shown(ticket.id))),
            Err(Refused::Full) => {
                self.world.count(None, Verdict::StoreFull, false);
                return Ok(Decision::without_limits(Verdict::StoreFull));
            }
        }
        let late_from = ticket.ttl.map(|ttl| now.get().saturating_add(ttl.get()));
        let mut entry = Entry { late_from, ..Entry::default() };
        let decision = self.decide(requests, now, Mode::Check, observer, Some(&mut entry));
        // A plan that enforces may have been debited where one that observes would have refused.
        let known = decision.would_deny() != Some(true) || entry.holds_something();
        if decision.is_allowed() && known {
            self.book.put(id, entry);
        } else {
            self.book.drop(id);
        }
        Ok(decision)
    }

    /// Makes the cost of a reservation the actual one: the surplus is returned, an overrun is debited even past the limit.
    pub fn settle<'a>(&self, id: &(impl AsRef<[u8]> + ?Sized), actual: impl Into<Cost<'a>>) -> Settlement {
        self.settle_at(id, actual, self.now())
    }

    /// [`settle`](Engine::settle) at the caller's instant.
    pub fn settle_at<'a>(
        &self,
        id: &(impl AsRef<[u8]> + ?Sized),
        actual: impl Into<Cost<'a>>,
        now: Nanos,
    ) -> Settlement {
        let (id, actual) = (self.owners.id(id.as_ref()), actual.into());
        let nothing = |status| Settlement { status, overdraft: 0 };
        let open = |entry: &Entry| match (entry.late_from, entry.closed) {
            (None, _) => Err(nothing(SettleStatus::UnknownId)),
            (_, true) => Err(nothing(SettleStatus::AlreadySettled)),
            (Some(late_from), false) if now.get() < late_from => Ok(SettleStatus::Settled),
            (Some(_), false) => Ok(SettleStatus::Late),
        };
        match self.close(id, actual, now, &open) {
            None => nothing(SettleStatus::UnknownId),
            Some(Ok((status, overdraft))) => Settlement { status, overdraft },
            Some(Err(settlement)) => settlement,
        }
    }

    /// Returns everything that a check or an open reservation has cost.
    pub fn refund(&self, id: &(impl AsRef<[u8]> + ?Sized)) -> RefundStatus {
        self.refund_at(id, self.now())
    }

    /// [`refund`](Engine::refund) at the caller's instant.
    pub fn refund_at(&self, id: &(impl AsRef<[u8]> + ?Sized), now: Nanos) -> RefundStatus {
        let id = self.owners.id(id.as_ref());
        let open = |entry: &Entry| match entry.closed {
            true => Err(RefundStatus::AlreadySettled),
            false => Ok(RefundStatus::Refunded),
        };
        match self.close(id, Cost::Every(0), now, &open) {
            None => RefundStatus::UnknownId,
            Some(Ok((status, _))) => status,
            Some(Err(status)) => status,
        }
    }

    /// Closes a known entry at another cost, if `open` does not say that there is something against it. Gives what it says
    /// otherwise, and the overdraft.
    fn close<S, E>(
        &self,
        id: u128,
        cost: Cost<'_>,
        now: Nanos,
        open: &dyn Fn(&Entry) -> Result<S, E>,
    ) -> Option<Result<(S, u64), E>> {
        let closed = self.in_world(now, |world| {
            // Held until the entry is closed: a second settlement waits and finds it so.
            let mut shard = self.book.shard(id).lock();
            let Some(entry) = shard.get(id) else { return Ok(None) };
            let status = match open(entry) {
                Ok(status) => status,
                Err(answer) => return Ok(Some(Err(answer))),
            };
            let overdraft = self.adjust(world, &entry.parts, cost, now.get())?;
            let slots = std::mem::take(&mut entry.slots);
            entry.parts = Vec::new();
            let past = entry.late_from.is_none();
            (entry.closed, entry.released) = (true, true);
            if !past {
                self.book.closed(id);
            }
            slots.iter().for_each(|taken| self.free_slot(taken));
            Ok(Some(Ok((status, overdraft))))
        });
        closed.flatten()
    }

    /// Frees the slots that a request holds, at no cost returned.
    pub fn release(&self, id: &(impl AsRef<[u8]> + ?Sized)) -> ReleaseStatus {
        let id = self.owners.id(id.as_ref());
        let mut shard = self.book.shard(id).lock();
        let Some(entry) = shard.get(id) else { return ReleaseStatus::UnknownId };
        if entry.released {
            return ReleaseStatus::AlreadyReleased;
        }
        entry.released = true;
        std::mem::take(&mut entry.slots).iter().for_each(|taken| self.free_slot(taken));
        ReleaseStatus::Released
    }
}
