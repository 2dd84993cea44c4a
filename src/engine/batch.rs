//! Many checks at once, and checks whose key is known before they are to be made: what they will need from memory is asked
//! for beforehand, so that they wait for all of it together.

use super::decision::Decision;
use super::owners::OwnerKind;
use super::request::{Cost, Identity, PlanId, Request};
use super::world::World;
use super::{Engine, Short};
use crate::key::MAX_KEY;
use crate::time::Nanos;

/// Requests whose memory is asked for at once: about as many as a processor core has loads in flight.
const CHUNK: usize = 16;

/// No hash of a state: those have 63 bits.
const NOT_ASKED: u64 = u64::MAX;

/// What was found out of a request beforehand.
#[derive(Clone, Copy)]
enum Ready {
    /// Nothing that helps.
    Not,
    /// Under a plan without routes and pool: the hash of its state in the line of its limits.
    Cell { plan: PlanId, line: u32, cost: u64, hash: u64 },
    /// A key, which leads to a line.
    Key,
}

impl Ready {
    fn is_key(&self) -> bool {
        matches!(self, Ready::Key)
    }
}

/// A request whose state is on its way from memory.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    request: Request<'a>,
    ready: Ready,
}

impl Engine {
    /// Decides whether each of `requests` may be made now, and debits it if so: as if they were [checked](Engine::check) one
    /// after the other, in this order, but faster. Appends the decisions to `decisions`.
    ///
    /// ```
    /// # use tollgate::{Changes, Engine, Plan, Request, Throttle};
    /// # let changes = Changes::new().plan("free", Plan::new().throttle(Throttle::new("1/s", 1)));
    /// # let engine = Engine::builder().changes(changes).build()?;
    /// let free = engine.plan_id("free").unwrap();
    /// let requests = ["192.0.2.1", "192.0.2.2", "192.0.2.1"].map(|name| Request::anonymous_in(free, name));
    /// let mut decisions = Vec::new();
    /// engine.check_batch(&requests, &mut decisions);
    /// assert_eq!(decisions.iter().map(|decision| decision.is_allowed()).collect::<Vec<_>>(), [true, true, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_batch(&self, requests: &[Request<'_>], decisions: &mut Vec<Decision>) {
        self.check_batch_at(requests, self.now(), decisions);
    }

    /// [`check_batch`](Engine::check_batch) at the caller's instant, the same for all.
    pub fn check_batch_at(&self, requests: &[Request<'_>], now: Nanos, decisions: &mut Vec<Decision>) {
        decisions.reserve(requests.len());
        self.check_batch_with(requests, |_| now, |_, decision| decisions.push(decision));
    }

    /// [`check_batch`](Engine::check_batch) with an instant for each request, and for hosts that keep decisions in another
    /// place than a vector: `each` is handed them in order, with the request's index. It allocates nothing by itself.
    #[inline(always)]
    pub fn check_batch_with(
        &self,
        requests: &[Request<'_>],
        now: impl Fn(usize) -> Nanos,
        mut each: impl FnMut(usize, Decision),
    ) {
        let mut ready = [Ready::Not; CHUNK];
        for (chunk, requests) in requests.chunks(CHUNK).enumerate() {
            let asked = self.world.with_seen(|world, _| {
                for (request, ready) in requests.iter().zip(&mut ready) {
                    *ready = self.ask_for(world, request);
                }
                for (request, _) in requests.iter().zip(&ready).filter(|(_, ready)| ready.is_key()) {
                    self.ask_for_line(world, request);
                }
            });
            if asked.is_none() {
                // Another world has to be fetched, which the first check does.
                ready = [Ready::Not; CHUNK];
            }
            // Admissions are handed over together: what is written between two debits has to reach the cache before the second.
            let first = chunk * CHUNK;
            let mut waiting = first;
            for ((request, ready), at) in requests.iter().zip(&ready).zip(first..) {
                let now = now(at);
                let short = self.admit_asked(ready, now);
                if !matches!(short, Some(Short::Admitted)) {
                    (waiting..at).for_each(|at| each(at, Decision::ALLOWED));
                    each(at, self.check_rest(request, short, now));
                    waiting = at + 1;
                }
            }
            (waiting..first + requests.len()).for_each(|at| each(at, Decision::ALLOWED));
        }
    }

    /// Asks for what the check of a request will need, for hosts that learn a request's key some time before they decide on
    /// it. It decides and debits nothing.
    ///
    /// ```
    /// # use tollgate::{Engine, Request};
    /// # let engine = Engine::builder().build()?;
    /// let prepared = engine.prepare(&Request::new("api key"));
    /// // ... the rest of the request is read ...
    /// let decision = engine.check_prepared(&prepared);
    /// # assert!(!decision.is_allowed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn prepare<'a>(&self, request: &Request<'a>) -> Prepared<'a> {
        let ready = self.world.with_seen(|world, _| {
            let ready = self.ask_for(world, request);
            if ready.is_key() {
                self.ask_for_line(world, request);
            }
            ready
        });
        Prepared { request: *request, ready: ready.unwrap_or(Ready::Not) }
    }

    /// [`check`](Engine::check) of a request that was prepared, at whatever time and by whichever thread.
    pub fn check_prepared(&self, prepared: &Prepared<'_>) -> Decision {
        self.check_prepared_at(prepared, self.now())
    }

    /// [`check_prepared`](Engine::check_prepared) at the caller's instant.
    pub fn check_prepared_at(&self, prepared: &Prepared<'_>, now: Nanos) -> Decision {
        self.check_rest(&prepared.request, self.admit_asked(&prepared.ready, now), now)
    }

    /// [`check`](Engine::check) of an anonymous subject.
    #[inline]
    pub(super) fn check_asked(&self, plan: PlanId, request: &Request<'_>, cost: u64) -> Decision {
        let ready = match self.ask_nearby(plan, request.key) {
            (_, NOT_ASKED) => Ready::Not,
            (line, hash) => Ready::Cell { plan, line, cost, hash },
        };
        let now = self.now();
        self.check_rest(request, self.admit_asked(&ready, now), now)
    }

    /// Asks for the state of an anonymous subject under a plan without routes and pool: the line of its limits, and the hash
    /// or [`NOT_ASKED`]. In two registers, for the reason of [`admit_nearby`](Engine::admit_nearby).
    #[inline(never)]
    fn ask_nearby(&self, plan: PlanId, key: &[u8]) -> (u32, u64) {
        let asked = self.world.with_seen(|world, _| {
            let quick = self.plain(world, plan)?;
            let owner = self.owners.owner_of_usual(OwnerKind::Anonymous, key)?;
            let hash = self.owners.hash(owner, quick.line);
            self.store.prefetch(hash);
            Some((quick.line, hash))
        });
        asked.flatten().unwrap_or((0, NOT_ASKED))
    }

    /// The short way of what was asked for.
    #[inline(always)]
    fn admit_asked(&self, ready: &Ready, now: Nanos) -> Option<Short> {
        match *ready {
            Ready::Not | Ready::Key => None,
            Ready::Cell { plan, line, cost, hash } => match self.leases {
                None => match self.admit_nearby_hashed(plan, line, hash, cost, now.get()).short() {
                    None => self.admit_ready::<false>(plan, line, hash, cost, now.get()),
                    decided => decided,
                },
                Some(_) => self.admit_ready::<true>(plan, line, hash, cost, now.get()),
            },
        }
    }

    /// Every other way.
    fn check_rest(&self, request: &Request<'_>, short: Option<Short>, now: Nanos) -> Decision {
        match short {
            Some(short) => self.decided_shortly(short, request, now),
            None => self.check_at(request, now),
        }
    }

    #[inline(never)]
    fn admit_ready<const LENDS: bool>(
        &self,
        plan: PlanId,
        line: u32,
        hash: u64,
        cost: u64,
        now: u64,
    ) -> Option<Short> {
        let short = self.world.with_seen(|world, here| {
            // The plan may have changed since.
            let quick = self.plain(world, plan).filter(|quick| quick.line == line)?;
            self.admit_hashed::<LENDS>(world, here, plan, quick, hash, cost, now)
        });
        short.flatten()
    }

    /// Asks for the first thing that a request's check will look at.
    #[inline(always)]
    fn ask_for(&self, world: &World, request: &Request<'_>) -> Ready {
        if !(1..=MAX_KEY).contains(&request.key.len()) {
            return Ready::Not;
        }
        match (self.by_number(request.identity), request.cost) {
            (Identity::AnonymousIn(plan), Cost::Every(cost)) => {
                let Some(quick) = self.plain(world, plan) else { return Ready::Not };
                let owner = self.owners.owner(OwnerKind::Anonymous, request.key);
                let hash = self.owners.hash(owner, quick.line);
                self.store.prefetch(hash);
                Ready::Cell { plan, line: quick.line, cost, hash }
            }
            (Identity::Registered, _) if !self.shared => {
                world.keys.prefetch(request.key);
                Ready::Key
            }
            _ => Ready::Not,
        }
    }

    /// Asks for the line to which a key leads.
    #[inline(always)]
    fn ask_for_line(&self, world: &World, request: &Request<'_>) {
        if let Some(brief) = world.keys.seen_of_late(request.key) {
            self.store.prefetch_line(brief.hint.get());
        }
    }
}

impl std::fmt::Debug for Prepared<'_> {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Prepared").field(&self.request).finish()
    }
}
