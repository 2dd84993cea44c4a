//! What is asked.

/// A request for a decision: who, where, and how much.
///
/// ```
/// use tollgate::Request;
/// let request = Request::new(b"api key").stage("pets/prod").route("GET /pets?page=2").cost(3);
/// let upload = Request::new(b"api key").costs(&[("requests", 1), ("bytes", 65_536)]);
/// let visitor = Request::anonymous("free", b"192.0.2.1");
/// # let _ = (request, upload, visitor);
/// ```
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(super) key: &'a [u8],
    pub(super) identity: Identity<'a>,
    pub(super) stage: Option<&'a str>,
    pub(super) route: Option<&'a str>,
    pub(super) cost: Cost<'a>,
}

/// How a request's key is to be understood.
#[derive(Clone, Copy)]
pub(super) enum Identity<'a> {
    /// A registered key.
    Registered,
    /// A registered key, else an anonymous subject of the plan.
    RegisteredOrAnonymous(&'a str),
    /// An anonymous subject of the plan.
    Anonymous(&'a str),
    /// The same, the plan being known by its number.
    AnonymousIn(PlanId),
}

/// A plan of one engine, found once by [`Engine::plan_id`](crate::Engine::plan_id) so that no request has to look for
/// its name. It stays the same when the plan changes, and when it goes and comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlanId(pub(super) u32);

/// What requests have to bring along: see [`Engine::needs`](crate::Engine::needs).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Needs {
    /// A plan has limits for routes, which pass over a request that names none.
    pub route: bool,
    /// A plan caps requests in flight: the slot of a request without an id is held until its lease ends.
    pub id: bool,
}

/// What a request costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost<'a> {
    /// The same on every limit, whatever its unit.
    Every(u64),
    /// By unit; a limit whose unit is not named costs 0, of one named twice the first counts.
    Units(&'a [(&'a str, u64)]),
}

impl From<u64> for Cost<'_> {
    fn from(cost: u64) -> Self {
        Cost::Every(cost)
    }
}

impl<'a> From<&'a [(&'a str, u64)]> for Cost<'a> {
    fn from(costs: &'a [(&'a str, u64)]) -> Self {
        Cost::Units(costs)
    }
}

impl<'a> Request<'a> {
    fn by(key: &'a [u8], identity: Identity<'a>) -> Request<'a> {
        Request { key, identity, stage: None, route: None, cost: Cost::Every(1) }
    }

    /// A request with an API key; an empty one is `key_missing`.
    pub fn new(key: &'a (impl AsRef<[u8]> + ?Sized)) -> Request<'a> {
        Request::by(key.as_ref(), Identity::Registered)
    }

    /// A request of an anonymous subject (any 1 to 4096 bytes: an address, a token's `sub`) on a named
    /// plan. A plan that is not in place gives `no_plan_for_stage`.
    pub fn anonymous(plan: &'a str, subject: &'a (impl AsRef<[u8]> + ?Sized)) -> Request<'a> {
        Request::by(subject.as_ref(), Identity::Anonymous(plan))
    }

    /// [`anonymous`](Request::anonymous) on a plan that was looked for before.
    pub fn anonymous_in(plan: PlanId, subject: &'a (impl AsRef<[u8]> + ?Sized)) -> Request<'a> {
        Request::by(subject.as_ref(), Identity::AnonymousIn(plan))
    }

    /// Takes a key that is not registered for an anonymous subject of `plan`; one that was revoked while it
    /// was registered stays revoked.
    pub fn or_anonymous(mut self, plan: &'a str) -> Request<'a> {
        self.identity = Identity::RegisteredOrAnonymous(plan);
        self
    }

    /// The stage, `api/stage`. Without one only plans that cover every stage apply.
    pub fn stage(mut self, stage: &'a str) -> Request<'a> {
        self.stage = Some(stage);
        self
    }

    /// The route, `METHOD /path`, normalised by the host. A query string is dropped.
    pub fn route(mut self, route: &'a str) -> Request<'a> {
        self.route = Some(route);
        self
    }

    /// Costs `n` on every limit, whatever its unit. 0 is never refused by a limit and leaves no trace.
    pub fn cost(mut self, n: u64) -> Request<'a> {
        self.cost = Cost::Every(n);
        self
    }

    /// Costs what is named, by unit; a limit whose unit is not named costs 0, of one named twice the
    /// first counts.
    pub fn costs(mut self, costs: &'a [(&'a str, u64)]) -> Request<'a> {
        self.cost = Cost::Units(costs);
        self
    }
}

impl Cost<'_> {
    /// Whether anything is to be paid at all.
    pub(super) fn is_any(&self) -> bool {
        match self {
            Cost::Every(n) => *n > 0,
            Cost::Units(costs) => costs.iter().any(|(_, n)| *n > 0),
        }
    }

    #[inline(always)]
    pub(super) fn of(&self, unit: &str) -> u64 {
        match self {
            Cost::Every(n) => *n,
            Cost::Units(costs) => named(costs, unit),
        }
    }
}

#[inline(never)]
fn named(costs: &[(&str, u64)], unit: &str) -> u64 {
    costs.iter().find(|(name, _)| *name == unit).map_or(0, |&(_, n)| n)
}

impl core::fmt::Debug for Request<'_> {
    /// Leaves the key out.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Request")
            .field("stage", &self.stage)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
