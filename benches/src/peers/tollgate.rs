//! The engine itself.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tollgate::{
    Capacity, Changes, Clock, Engine, Limits, ManualClock, Nanos, Plan, PlanId, Quota, Request, SecretKey,
    Subject, SystemClock, Throttle,
};

use super::{Entry, Peer, Room, Set, Setup, Time};
use crate::workload::Key;

const VERSION: &str = env!("VERSION_TOLLGATE");
/// How often a ticked clock moves, for every contender that has one.
pub(super) const TICK_INTERVAL: Duration = Duration::from_millis(1);

pub(super) const GIVEN: Entry = Entry {
    name: "tollgate",
    title: "tollgate",
    version: VERSION,
    time: Time::Given,
    how: "anonymous subjects of a plan with one throttle; `PlanId`, `check_at`, `touched`",
    baseline: true,
    bytes_per_key: 35,
    build: |setup| Box::new(Anonymous::<true>::new(setup, None)),
    ..Entry::USUAL
};

pub(super) const TICK: Entry = Entry {
    name: "tollgate-tick",
    title: "tollgate, ticked clock",
    time: Time::Tick,
    how: "the same with `check` and a `ManualClock` that a thread moves every millisecond",
    build: |setup| Box::new(Anonymous::<false>::new(setup, Some(Ticker::start()))),
    ..GIVEN
};

pub(super) const OWN: Entry = Entry {
    name: "tollgate-own",
    title: "tollgate, own clock",
    time: Time::Own,
    how: "as a newcomer has it: `check`, the plan by name, the system's clock, memory that grows",
    build: |setup| Box::new(Newcomer::new(setup)),
    ..GIVEN
};

pub(super) const OWN_BY_ID: Entry = Entry {
    name: "tollgate-own-id",
    title: "tollgate, own clock, PlanId",
    how: "the best with a clock in every check: the system's clock, `PlanId`, `touched`",
    baseline: false,
    build: |setup| Box::new(Anonymous::<false>::new(setup, None)),
    ..OWN
};

pub(super) const REGISTERED: Entry = Entry {
    name: "tollgate-quotas",
    title: "tollgate, registered, throttle + 2 quotas",
    set: Set::Registered,
    how: "a registered key; a throttle, a quota per day and one per month",
    baseline: true,
    bytes_per_key: 2_000,
    build: |setup| Box::new(Registered::new(setup, false)),
    ..GIVEN
};

pub(super) const REGISTERED_POOL: Entry = Entry {
    name: "tollgate-pool",
    title: "tollgate, registered, throttle + 2 quotas + pool",
    how: "the same and a throttle that all of the plan's subjects share",
    baseline: false,
    build: |setup| Box::new(Registered::new(setup, true)),
    ..REGISTERED
};

fn throttle(setup: &Setup) -> Throttle {
    Throttle::new(&format!("1/{}ns", setup.limit.interval.as_nanos()), setup.limit.burst.into())
}

fn changes(setup: &Setup) -> Changes {
    Changes::new().plan("free", Plan::new().throttle(throttle(setup)))
}

fn capacity(setup: &Setup) -> Capacity {
    Capacity::new().cells((u64::from(setup.keys) * 5 / 4).max(1_000)).lines(16)
}

/// One throttle per anonymous subject. `GIVEN`: the time comes with each check.
struct Anonymous<const GIVEN: bool> {
    engine: Engine,
    plan: PlanId,
    burst: u64,
    /// Moves the engine's clock as long as it lives.
    _ticker: Option<Ticker>,
}

impl<const GIVEN: bool> Anonymous<GIVEN> {
    fn new(setup: &Setup, ticker: Option<Ticker>) -> Anonymous<GIVEN> {
        let mut builder = Engine::builder().changes(changes(setup)).capacity(capacity(setup));
        if setup.room == Room::Planned {
            builder = builder.touched();
        }
        if let Some(ticker) = &ticker {
            builder = builder.clock(Clock::Manual(ticker.clock.clone()));
        }
        let engine = builder.build().expect("the plan is valid, the capacity modest");
        let plan = engine.plan_id("free").expect("it was just put in place");
        Anonymous { engine, plan, burst: setup.limit.burst.into(), _ticker: ticker }
    }
}

impl<const GIVEN: bool> Peer for Anonymous<GIVEN> {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, now: u64) -> bool {
        let request = Request::anonymous_in(self.plan, key.bytes());
        match GIVEN {
            true => self.engine.check_at(&request, Nanos::new(now)).is_allowed(),
            false => self.engine.check(&request).is_allowed(),
        }
    }

    fn drain(&self, key: &Key, now: u64) -> bool {
        let request = Request::anonymous_in(self.plan, key.bytes()).cost(self.burst);
        match GIVEN {
            true => self.engine.check_at(&request, Nanos::new(now)).is_allowed(),
            false => self.engine.check(&request).is_allowed(),
        }
    }
}

struct Newcomer {
    engine: Engine,
    burst: u64,
}

impl Newcomer {
    fn new(setup: &Setup) -> Newcomer {
        let engine = Engine::builder().changes(changes(setup)).capacity(capacity(setup)).build();
        Newcomer { engine: engine.expect("the plan is valid"), burst: setup.limit.burst.into() }
    }
}

impl Peer for Newcomer {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.engine.check(&Request::anonymous("free", key.bytes())).is_allowed()
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        self.engine.check(&Request::anonymous("free", key.bytes()).cost(self.burst)).is_allowed()
    }
}

struct Registered {
    engine: Engine,
    burst: u64,
}

impl Registered {
    fn new(setup: &Setup, pool: bool) -> Registered {
        let quota = |per| Quota::new(1 << 60, per);
        let mut plan = Plan::new().throttle(throttle(setup)).quota(quota("day")).quota(quota("month"));
        if pool {
            plan = plan.pool(Limits::new().throttle(Throttle::new("1000000000/s", 1_000_000_000)));
        }
        let mut changes = Changes::new().plan("gold", plan);
        for n in 0..setup.keys {
            let secret = SecretKey::new(Key::new(n).text().to_owned()).expect("32 letters are a key");
            let key = tollgate::Key::new(&format!("k{n}"), secret);
            changes = changes.subject(&format!("s{n}"), Subject::new(["gold"]).key(key));
        }
        let engine = Engine::builder().changes(changes).build().expect("the plan is valid");
        Registered { engine, burst: setup.limit.burst.into() }
    }
}

impl Peer for Registered {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, now: u64) -> bool {
        self.engine.check_at(&Request::new(key.bytes()), Nanos::new(now)).is_allowed()
    }

    fn drain(&self, key: &Key, now: u64) -> bool {
        let request = Request::new(key.bytes()).cost(self.burst);
        self.engine.check_at(&request, Nanos::new(now)).is_allowed()
    }
}

/// A thread that moves a clock until this is dropped.
struct Ticker {
    clock: ManualClock,
    /// Dropped first, which ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start() -> Ticker {
        let source = Arc::new(Clock::System(SystemClock::start()));
        let clock = ManualClock::at(source.now());
        let moved = clock.clone();
        let (stop, stopped) = mpsc::channel::<()>();
        let tick = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK_INTERVAL) {
                moved.set(source.now());
            }
        };
        Ticker { clock, stop: Some(stop), thread: Some(thread::spawn(tick)) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing that could panic.
            let _ = thread.join();
        }
    }
}
