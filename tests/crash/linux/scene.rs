//! What every engine of a walk has in place, and what a survivor holds it to.

use std::sync::LazyLock;

use tollgate::{
    ApplyError, Capacity, Changes, Clock, Engine, Key, Limits, ManualClock, Mode, Nanos, Plan, Quota,
    Request, SecretKey, Subject, Throttle, Verdict, WhenFull,
};

use super::memory::Shared;
use super::walk::{Pace, Point, Tally, walk};

pub const T0: u64 = 1_700_000_000_000_000_000;
pub const DAY: u64 = 86_400_000_000_000;
/// Limits of pools, which are never reached.
pub const POOL: u64 = 1_000_000;

/// Cells of the smallest table: all that a hash can have.
pub static WINDOW: LazyLock<usize> = LazyLock::new(|| {
    let case = Case { tight: true, ..CASE };
    let memory = case.memory();
    let engine = case.attach(&memory);
    let fits = |n: &u32| check(&engine, &anonymous("cell", &n.to_string()), T0) == Verdict::Ok;
    KEPT + (0..).take_while(fits).count()
});

/// Cells that are never given to others: those of a pool, two subjects, what is kept beside their three quotas, and two keys.
pub const KEPT: usize = 8;

/// One operation, and what is to be found wherever it was broken off.
pub struct Case {
    pub name: &'static str,
    /// Whether there is room for no more than [`WINDOW`] cells.
    pub tight: bool,
    pub when_full: WhenFull,
    /// By the engine that survives, before another process comes.
    pub before: fn(&Engine),
    /// By every engine that comes later.
    pub joined: fn(&Engine),
    pub run: fn(&Engine),
    /// By a survivor: how far the operation was.
    pub after: fn(&Engine, Point) -> u8,
    /// How far it is at its end.
    pub last: u8,
    /// Whether it is to leave the memory as it is.
    pub silent: bool,
    /// The latest instant of all these.
    pub now: u64,
    /// Cells that are kept when `after` has returned.
    pub kept: usize,
    /// Whether one that comes after the kill finds it like one that was there.
    pub newcomers: bool,
    /// Where it is killed, unless at other points is asked for.
    pub pace: Pace,
}

/// A case in which nothing happens.
pub const CASE: Case = Case {
    name: "nothing",
    tight: false,
    when_full: WhenFull::Refuse,
    before: |_| {},
    joined: |_| {},
    run: |_| {},
    after: |_, _| 0,
    last: 1,
    silent: false,
    now: T0,
    kept: KEPT,
    newcomers: true,
    pace: Pace::Instructions { stride: 101, phase: 0 },
};

impl Case {
    fn lines(&self) -> usize {
        if self.tight { 300 } else { 30 }
    }

    pub fn capacity(&self) -> Capacity {
        Capacity::new().cells(if self.tight { 1 } else { 100 }).lines(self.lines() as u64)
    }

    pub fn memory(&self) -> Shared {
        Shared::zeroed(self.capacity().region_bytes())
    }

    pub fn attach(&self, memory: &Shared) -> Engine {
        attach(memory, self.capacity(), self.when_full, plans()).unwrap()
    }

    /// Attaches one more engine.
    pub fn join(&self, memory: &Shared) -> Engine {
        let engine = self.attach(memory);
        (self.joined)(&engine);
        engine.peek_at(&anonymous("cell", "nobody"), Nanos::new(T0));
        engine
    }

    pub fn walk(&self, pace: Pace) -> Tally {
        let mut memory = self.memory();
        let engine = self.attach(&memory);
        (self.before)(&engine);
        let tally = self.walk_on(&mut memory, &engine, pace);
        assert_eq!((tally.first, tally.last), (0, self.last), "{}: before and after it", self.name);
        assert!(tally.changes == 0 || !self.silent, "{}: changed something", self.name);
        tally
    }

    /// From what `memory` holds on.
    pub fn walk_on(&self, memory: &mut Shared, engine: &Engine, pace: Pace) -> Tally {
        let survive = |memory: &Shared, point: Point| {
            let newcomer = (self.newcomers && point.is_newcomers()).then(|| self.join(memory));
            let engine = newcomer.as_ref().unwrap_or(engine);
            let stage = (self.after)(engine, point);
            if point.is_thorough() {
                self.goes_on(engine);
            }
            stage
        };
        walk(self.name, memory, pace, &|memory, go| self.come(memory, go), &survive)
    }

    /// A process that is to do it.
    pub fn come(&self, memory: &Shared, go: &dyn Fn(&dyn Fn())) {
        let engine = self.join(memory);
        go(&|| (self.run)(&engine));
    }

    /// Everything works as if nobody had been killed, and not a cell and not a line is lost.
    pub fn goes_on(&self, engine: &Engine) {
        let later = self.now + 400 * DAY;
        engine.maintain_at(10_000, Nanos::new(later));
        assert_eq!(engine.cells(), self.kept, "cells that are kept");

        let room = self.lines().min(if self.tight { *WINDOW } else { usize::MAX }) - self.kept;
        for n in 0..room {
            assert_eq!(
                check(engine, &anonymous("two", &format!("line {n}")), later),
                Verdict::Ok,
                "line {n}"
            );
        }
        let verdict = check(engine, &anonymous("two", "one more"), later);
        assert!(verdict == Verdict::StoreFull || self.when_full == WhenFull::EvictSmallest, "{verdict:?}");

        let later = later + 400 * DAY;
        engine.maintain_at(10_000, Nanos::new(later));
        assert_eq!(engine.cells(), self.kept, "cells that are kept, again");
        for visitor in ["one", "other"] {
            assert_eq!(admitted(engine, &anonymous("cell", visitor), later), 3);
            assert_eq!(admitted(engine, &anonymous("pool", visitor), later), 4);
        }
        assert_eq!(engine.cells(), self.kept + 4);

        let newer = Changes::new().plan("newer", Plan::new().throttle(Throttle::new("1/d", 5)));
        engine.apply_at(&newer, Nanos::new(later)).unwrap();
        assert_eq!(admitted(engine, &anonymous("newer", "one"), later), 5);
        engine.disable("other").unwrap();
        assert_eq!(check(engine, &Request::new("other key"), later), Verdict::KeyDisabled);
        engine.enable("other").unwrap();
        assert_eq!(admitted(engine, &Request::new("other key"), later), 4);
    }
}

/// An engine that has decided once, by which the instant is fixed that arithmetic counts from.
pub fn attach(
    memory: &Shared,
    capacity: Capacity,
    when_full: WhenFull,
    changes: Changes,
) -> Result<Engine, ApplyError> {
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0)));
    let engine = Engine::attach(memory.region()).capacity(capacity).when_full(when_full);
    let engine = engine.changes(changes).clock(clock).build()?;
    engine.peek_at(&anonymous("cell", "nobody"), Nanos::new(T0));
    Ok(engine)
}

fn quota(limit: u64, per: &str) -> Quota {
    Quota::new(limit, per)
}

pub fn subject(id: &str, key: &str) -> Subject {
    Subject::new(["pool"]).key(Key::new(id, SecretKey::new(key).unwrap()))
}

/// Some of [`plans`].
pub fn few_plans() -> Changes {
    let pooled =
        Plan::new().quota(quota(4, "day").named("own")).pool(Limits::new().quota(quota(POOL, "forever")));
    Changes::new()
        .plan("cell", Plan::new().throttle(Throttle::new("1/d", 3)))
        .plan("pool", pooled)
        .subject("s", subject("k", "a key"))
}

/// By their state: a cell, a line with two quotas, a line and a pool's.
pub fn plans() -> Changes {
    few_plans()
        .plan("two", Plan::new().quota(quota(4, "day")).quota(quota(9, "month").zone("Asia/Tokyo")))
        .subject("other", subject("other", "other key"))
}

pub fn anonymous<'a>(plan: &'a str, subject: &'a str) -> Request<'a> {
    Request::anonymous(plan, subject)
}

pub fn check(engine: &Engine, request: &Request<'_>, now: u64) -> Verdict {
    engine.check_at(request, Nanos::new(now)).verdict()
}

/// How often it is admitted before it is refused.
pub fn admitted(engine: &Engine, request: &Request<'_>, now: u64) -> u64 {
    let mut admitted = 0;
    while check(engine, request, now) == Verdict::Ok {
        admitted += 1;
        assert!(admitted < 100, "without end");
    }
    admitted
}

/// What each limit has left.
pub fn left(engine: &Engine, request: &Request<'_>, now: u64) -> Vec<u64> {
    let report = engine.report_at(&request.cost(0), Nanos::new(now), Mode::Peek);
    report.limits().iter().map(|limit| limit.remaining()).collect()
}

/// How many debits of `request` others made, of which nobody was told: at most `most`, the same of every limit, and
/// held against its subject. `before` is what each limit had left.
pub fn debits(
    engine: &Engine,
    request: &Request<'_>,
    now: u64,
    point: Point,
    before: &[u64],
    most: u64,
) -> u64 {
    let seen = point.reads_first().then(|| {
        let left = left(engine, request, now);
        let debits = before[0] - left[0];
        assert!(
            before.iter().zip(&left).all(|(before, left)| before - left == debits),
            "torn: {before:?}, {left:?}"
        );
        debits
    });
    let least = *before.iter().min().unwrap();
    let debits = least - admitted(engine, request, now);
    assert!(debits <= most, "{debits} debits");
    assert!(seen.is_none_or(|seen| seen == debits), "{seen:?} debits, then {debits}");
    let end: Vec<u64> = before.iter().map(|before| before - least).collect();
    assert_eq!(left(engine, request, now), end, "torn");
    debits
}

/// The same of one that was killed on its way to a single debit.
pub fn debit(engine: &Engine, request: &Request<'_>, now: u64, point: Point, before: &[u64]) -> u8 {
    debits(engine, request, now, point, before, 1) as u8
}
